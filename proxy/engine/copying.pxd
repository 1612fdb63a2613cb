# cython: language_level=3
"""Copying: requests that go to every node that has their key, in pools with `replication: ring`. Step 4 of a request's life.

The copies of a key are at the first `copies` distinct nodes of its walk round the ring. A write goes to all of them at
once, in the same order as to the first of them; a read goes to the first that serves (route.pxd), or to all of them where
it is to be a quorum's.
"""

from libc.stdint cimport int64_t, uint32_t

from proxy.engine.types cimport Client, Conn, Core, Node, Row
from proxy.engine.voices cimport Quorum
from proxy.wire.resp cimport Frame

cdef struct Places:            # the nodes of a key
    int nodes[8]               # voices.COPIES
    int count
    Node* there[8]             # that are asked, those that serve first
    Conn* conns[8]
    int asked
    int serving
    Node* gone[8]              # that are not, and have to be told later
    int missing

cdef bint keys_hidden(Core* core, int count) noexcept nogil
cdef int needed(Client* client, bint writes) noexcept nogil
cdef void places_judge(Core* core, Client* client, Places* places) noexcept nogil
cdef int too_few(Core* core, Client* client, Row* row, bint writes) noexcept nogil
cdef Quorum* begin(Client* client, Row* row, Places* places, uint32_t slot, uint32_t part, size_t key_bytes,
                   int need, bint reads) noexcept nogil
cdef void hint_gone(Core* core, Conn* conn, Places* places, Quorum* quorum, int64_t wall_ms) noexcept nogil
cdef void expect(Core* core, Conn* conn, Quorum* quorum, int voice, size_t before) noexcept nogil
cdef int copying(Core* core, Client* client, Row* row, Frame* frame) noexcept nogil
