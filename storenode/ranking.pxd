# cython: language_level=3
"""Ranking: a large sorted set. Members by name in a Dict, and their order in a counted B+ tree.

    Branch (up to 30 children, how many members are below each, the least of them)
      └─ Leaf (up to 62 of {score, member}) ⇄ Leaf ⇄ Leaf

A rank is found by adding counts on one way down, so ranges by score, by name and by rank all become two ranks and a
walk along the leaves. 16 bytes a member in leaves about two thirds full (all but full when members come in order), and
half a dozen cache lines for a lookup among millions; a skip list takes 40 bytes and a cache line for each comparison.
"""

from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memcpy

from storenode.types cimport Entry, Member, Node, Ranked, Ranking, Slice

cdef enum BoundKind:
    BY_PLACE = 0               # score and name: where exactly a member is or would be
    BY_SCORE = 1
    BY_NAME = 2                # all members are taken to have one score, as ZRANGEBYLEX does
    BOTTOM = 3                 # before every member
    TOP = 4                    # behind every member

cdef struct Bound:             # a cut between two members
    int kind
    bint behind                # of members that equal the bound: True, they are in front of the cut
    double score
    Slice name                 # borrowed

cdef enum:
    LEAF_MOST = 62

cdef struct Leaf:
    Leaf* next
    Leaf* previous
    uint32_t count
    uint32_t spare
    Ranked items[LEAF_MOST]

cdef Ranking* ranking_new(Node* node) noexcept nogil
cdef bint ranking_drain(Ranking* ranking, size_t* budget) noexcept nogil
cdef void ranking_insert(Ranking* ranking, double score, Member* member) noexcept nogil
cdef void ranking_remove(Ranking* ranking, double score, const Slice* name) noexcept nogil
cdef uint64_t ranking_below(const Ranking* ranking, const Bound* bound) noexcept nogil
cdef Leaf* ranking_at(const Ranking* ranking, uint64_t rank, uint32_t* index) noexcept nogil
cdef bint lies_before(double score, const Slice* name, const Bound* bound) noexcept nogil
cdef size_t ranking_bytes(const Ranking* ranking) noexcept nogil


cdef inline Ranking* ranking_of(const Entry* entry) noexcept nogil:
    cdef void* structure
    memcpy(&structure, <char*> (entry + 1) + entry.key_length, sizeof(void*))
    return <Ranking*> structure


cdef inline Slice member_name(const Member* member) noexcept nogil:
    cdef Slice name
    name.data = <const char*> (member + 1)
    name.length = member.key_length
    return name
