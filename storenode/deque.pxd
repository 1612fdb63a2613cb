# cython: language_level=3
"""Deque: a list's items in linked runs ("pieces") of up to 8 KiB (list-max-listpack-size), so that both ends are cheap and the middle is near.

An item is its length, its bytes and its length once more, readable from behind:

    head ─┐                                                          ┌─ tail
    (gap) │ length │ bytes │ htgnel │ length │ bytes │ htgnel │ …… │ (gap)

A length is a varint of 7 bits a byte, the mirrored one with its bytes in reverse order. The gap lies where the list
grows: LPUSH and RPUSH write into it, LPOP and RPOP widen it, and no byte is moved for either. A piece begins small and
is copied to a larger one until it has node.piece_most bytes; an item that is larger than that has a piece to itself.
"""

from libc.stdint cimport int64_t, uint32_t
from libc.string cimport memcpy

from storenode.types cimport Deque, Entry, Node, Piece, Slice

cdef enum:
    PIECE_COST = 48            # of a piece's size: its header and malloc's word

cdef struct Item:              # a place in a deque, valid until the deque changes
    Piece* piece               # NULL: past the end
    uint32_t at                # where the item begins
    uint32_t size              # bytes with both lengths
    Slice value                # borrowed

cdef Deque* deque_new(Node* node) noexcept nogil
cdef void deque_limit(Node* node, int64_t size) noexcept nogil
cdef bint deque_drain(Deque* deque, size_t* budget) noexcept nogil
cdef void deque_push(Deque* deque, const Slice* value, bint front) noexcept nogil
cdef void deque_insert(Deque* deque, const Item* item, const Slice* value, bint behind) noexcept nogil
cdef void deque_replace(Deque* deque, Item* item, const Slice* value) noexcept nogil
cdef void deque_remove(Deque* deque, Item* item, bint backwards) noexcept nogil
cdef void deque_cut(Deque* deque, size_t count, bint front) noexcept nogil
cdef bint deque_end(Deque* deque, bint front, Item* item) noexcept nogil
cdef bint deque_step(Item* item, bint backwards) noexcept nogil
cdef bint deque_index(Deque* deque, long long index, Item* item) noexcept nogil
cdef size_t deque_bytes(const Deque* deque) noexcept nogil


cdef inline Deque* deque_of(const Entry* entry) noexcept nogil:
    cdef void* structure
    memcpy(&structure, <char*> (entry + 1) + entry.key_length, sizeof(void*))
    return <Deque*> structure
