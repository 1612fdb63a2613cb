# cython: language_level=3
"""Sorted set: members with scores, in order. Small: a PACK whose elements are sorted; large: a RANKING.

Every range, whether by rank, score or name, is two cuts between members (Bound of ranking.pxd), which zset_below()
turns into ranks, and a walk between them.
"""

from libc.stdint cimport uint32_t, uint64_t

from storenode.pack cimport ZSET_PACK_MOST
from storenode.ranking cimport Bound, Leaf
from storenode.types cimport Entry, Node, Place, Slice

cdef enum:
    SCORE_ROOM = 8             # bytes of an encoded score at most

cdef struct Ladder:            # a walk by rank over a sorted set that does not change meanwhile
    Slice name                 # of the current member, borrowed until the next step
    double score
    const Entry* entry
    bint backwards
    Leaf* leaf                 # of a RANKING: where the next member is
    uint32_t index             # in the leaf, or among `offsets`
    uint32_t count             # of a PACK
    uint32_t offsets[ZSET_PACK_MOST]

cdef double score_of(const Slice* payload) noexcept nogil
cdef Slice score_payload(double score, char* room) noexcept nogil
cdef bint zset_score(const Entry* entry, const Slice* name, double* score) noexcept nogil
cdef bint zset_put(Node* node, Place* place, const Slice* name, double score) noexcept nogil
cdef bint zset_remove(Node* node, Place* place, const Slice* name) noexcept nogil
cdef void zset_delete(Node* node, Place* place, uint64_t start, uint64_t end) noexcept nogil
cdef uint64_t zset_below(const Entry* entry, const Bound* bound) noexcept nogil
cdef void ladder_begin(const Entry* entry, uint64_t rank, bint backwards, Ladder* ladder) noexcept nogil
cdef bint ladder_next(Ladder* ladder) noexcept nogil
