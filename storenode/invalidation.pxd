# cython: language_level=3
"""Invalidation: which client may hold which key in its cache, and telling it when the key changes (CLIENT TRACKING).

    Node.tracked   a Dict: name of a key (of any database) -> ids of the clients that read it, sorted, 8 bytes each

A key is in the table from the first tracked read to its next change: the invalidation takes it out, so a key written
often and read seldom costs nothing. The table holds tracking-table-max-keys at most; beyond, one at random is
invalidated to make room. Ids of clients that are gone are passed over, and swept out by and by.

The other mode, by prefixes and without a table, is broadcast.pyx; its messages begin here, too.
"""

from libc.stdint cimport uint64_t

from proxy.wire.output cimport Output
from storenode.types cimport Call, Client, Node, Slice

cdef Output* begin_message(Node* node, Client* client, int* version) noexcept nogil
cdef void invalidation_open(Node* node) noexcept nogil
cdef void invalidation_close(Node* node) noexcept nogil
cdef void tracking_remember(Call* call) noexcept nogil
cdef void invalidate_key(Node* node, const Slice* key, bint own) noexcept nogil
cdef void invalidate_all(Node* node) noexcept nogil
cdef void tracked_limit(Node* node) noexcept nogil
cdef bint tracked_sweep(Node* node, uint64_t deadline_us) noexcept nogil
