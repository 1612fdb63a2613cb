# cython: language_level=3
"""Parts: a command cut by node, in a cluster by slot. Step 4g of a request's life, for MGET, MSET, DEL, UNLINK, EXISTS and TOUCH.

Whoever splits a command asks for its parts, gives each an Output (a node connection's, or the block of a transaction)
and has them written; what comes back is the job of merge.pyx.
"""

from libc.stdint cimport uint16_t, uint32_t

from proxy.engine.types cimport Conn, Core, Node, Pool, Row
from proxy.wire.output cimport Output
from proxy.wire.resp cimport Frame

cdef struct Part:              # what one place gets of a split command
    int place                  # see route.pxd
    Node* node
    Conn* conn                 # the caller's, who may leave it alone
    Output* output             # where it is to be written; the caller sets it
    size_t length              # bytes written
    uint32_t keys
    int first                  # key of it, and
    int last
    int* following             # by key, the next one of the same part, or -1; one array for all parts

cdef Part* parts_find(Core* core, Pool* pool, int count, uint32_t* used) noexcept nogil
cdef void parts_write(Core* core, Row* row, Frame* frame, int count, Part* parts, uint32_t used,
                      uint16_t* part_of) noexcept nogil
