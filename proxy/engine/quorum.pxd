# cython: language_level=3
"""Quorum: what follows from the replies of the nodes that have a key. See voices.pxd.

A write is confirmed when as many serving nodes as its level says have answered as its leader did (the first node that
has not failed). What a node failed to carry out is hinted at those that did, ahead of the client's reply. A node that
answers something else than the leader holds something else: its keys are doubted, to be compared and mended.
"""

from libc.stdint cimport int64_t

from proxy.engine.types cimport Conn, Core, Node, Pending
from proxy.engine.voices cimport Quorum

cdef void quorum_reply(Core* core, Conn* conn, Pending* pending, const char* data, size_t size) noexcept nogil
cdef void quorums_decide(Core* core) noexcept nogil
cdef Conn* copy_conn(Core* core, Node* node, int protocol, int database) noexcept nogil
cdef void hint_send(Core* core, Conn* conn, Node* about, bint doubt, Quorum* quorum, bint awaited,
                    int64_t wall_ms) noexcept nogil
