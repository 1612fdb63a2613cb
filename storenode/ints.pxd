# cython: language_level=3
"""Ints: a set of integers as a sorted array behind the key, of 2, 4 or 8 bytes each: as many as its widest one takes.

The width is not stored: it is the value's length divided by the entry's count. Larger sets and other members make it a
pack or a table (collection.pyx).
"""

from libc.stdint cimport int64_t, uint32_t

from storenode.types cimport Entry, Node, Place

cdef bint ints_find(const Entry* entry, int64_t number, uint32_t* index) noexcept nogil
cdef bint ints_add(Node* node, Place* place, int64_t number) noexcept nogil
cdef bint ints_remove(Node* node, Place* place, int64_t number) noexcept nogil
cdef int64_t ints_at(const Entry* entry, uint32_t index) noexcept nogil
