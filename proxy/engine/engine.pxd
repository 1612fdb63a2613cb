# cython: language_level=3
"""Engine: the Python face of one data-plane thread."""

from proxy.engine.controls cimport Controls
from proxy.engine.types cimport Peers

cdef class EngineGroup:
    """What the engines of one process share: client counts, pipes for handing sockets over, client ids."""
    cdef Peers peers
    cdef list readers          # read ends of the pipes, by engine
    cdef unsigned long long next_id

cdef class Engine(Controls):
    cdef EngineGroup group
    cdef list kept             # Python objects whose memory the core borrows
    cdef readonly list names   # command names by row
    cdef readonly int event_fd
    cdef bint built

    cdef char* keep(self, bytes text)
