# cython: language_level=3
"""Reaper: frees values. A small one at once; a large one, or a whole keyspace, bit by bit where that is asked for.

UNLINK and FLUSHALL ASYNC hand over what they removed and answer; the loop calls reap() between two turns until nothing
is left. What waits here still counts as used memory: it is. DEL, eviction and expiry free at once, as Redis does unless
told otherwise: an evicted key that frees its memory later would take other keys with it.
"""

from storenode.types cimport Dict, Entry, Node

cdef enum:
    KEYSPACE = 100             # Doomed.encoding: a Dict of Entries
    LAZY_FROM = 64             # elements from which on a value is freed later, if asked for

cdef void value_release(Node* node, Entry* entry, bint lazily) noexcept nogil
cdef void keyspace_release(Node* node, Dict* keys, bint lazily) noexcept nogil
cdef bint reap(Node* node, size_t elements) noexcept nogil
