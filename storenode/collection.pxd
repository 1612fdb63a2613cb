# cython: language_level=3
"""Collection: elements with a name and a payload, however they are laid out. Hashes and sets are nothing else; of sorted
sets (sortedset.pyx) what does not depend on the order is served here, too.

    PACK   up to 128 elements (512 of a hash) of up to 64 bytes, in the entry's block     pack.pxd
    INTS   up to 512 integers, in the entry's block                       ints.pxd
    TABLE  a Dict of Members: a block for each, and the hash table of the keyspace over them

A collection only grows into the next layout and never goes back, as in Redis.
"""

from libc.stdint cimport uint32_t, uint64_t

from storenode.ranking cimport Leaf
from storenode.table cimport Walk
from storenode.types cimport Dict, Entry, Member, Node, Place, Slice

cdef struct Elements:          # a walk over a collection that does not change meanwhile, or one element found otherwise
    Slice name                 # of the current element, borrowed until the next step
    Slice payload
    const Entry* entry
    size_t at                  # of a PACK: bytes; of INTS: numbers
    Walk walk                  # of a TABLE
    Leaf* leaf                 # of a RANKING
    uint32_t index
    char digits[24]            # an integer's name

cdef uint64_t collection_count(const Entry* entry) noexcept nogil
cdef bint collection_find(const Entry* entry, const Slice* name, Slice* payload) noexcept nogil
cdef bint collection_put(Node* node, Place* place, const Slice* name, const Slice* payload) noexcept nogil
cdef bint collection_remove(Node* node, Place* place, const Slice* name) noexcept nogil
cdef bint set_add(Node* node, Place* place, const Slice* name) noexcept nogil
cdef void elements_begin(const Entry* entry, Elements* elements) noexcept nogil
cdef bint elements_next(Elements* elements) noexcept nogil
cdef void elements_random(Node* node, const Entry* entry, Elements* elements) noexcept nogil
cdef Dict* dict_new(Node* node) noexcept nogil
cdef Member* dict_add(Dict* dict, const Slice* name, const Slice* payload) noexcept nogil
cdef bint dict_remove(Dict* dict, const Slice* name) noexcept nogil
cdef Member* dict_find(const Dict* dict, const Slice* name, Place* place) noexcept nogil
cdef size_t dict_bytes(Dict* dict) noexcept nogil


cdef inline Slice member_payload(const Member* member) noexcept nogil:
    cdef Slice payload
    payload.data = <const char*> (member + 1) + member.key_length
    payload.length = member.value_length
    return payload
