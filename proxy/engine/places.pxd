# cython: language_level=3
"""Places: the nodes that have copies of a hot key as things are now, and the requests of our own that go there.

The copies are at the next nodes of the key's walk behind its home that can be reached. A node that does not take a
tombstone gets no copies for a while; until those that it may have are over, a write waits for nothing else.
"""

from libc.stdint cimport uint32_t, uint64_t

from proxy.engine.heat cimport Fan, Place
from proxy.engine.types cimport Conn, Core

cdef enum:
    WANTED_MOST = 8            # copies of one key; options.py says so, too
    OUT_US = 5000000           # a node that took no tombstone gets no copy for so long

cdef struct Chosen:
    uint32_t count
    uint32_t at[WANTED_MOST]   # in fan.places
    Conn* conns[WANTED_MOST]
    uint64_t gone_us           # nodes that were passed over may have copies until then

cdef void places_choose(Core* core, Fan* fan, int protocol, int database, Chosen* chosen) noexcept nogil
cdef void place_used(Core* core, Fan* fan, Place* place) noexcept nogil
cdef void place_asked(Core* core, Conn* conn, uint32_t row, size_t before, int role, void* what,
                      uint32_t part) noexcept nogil
cdef void places_retire(Core* core) noexcept nogil
