# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Ints: searching, adding, removing. See ints.pxd."""

from libc.stdint cimport int16_t, int32_t, int64_t, uint32_t
from libc.string cimport memcpy

from storenode.entry cimport entry_value
from storenode.keyspace cimport value_splice
from storenode.types cimport Entry, Node, Place


cdef inline size_t width_of(const Entry* entry) noexcept nogil:
    return entry.value_length // entry.count if entry.count else sizeof(int16_t)


cdef inline size_t width_for(int64_t number) noexcept nogil:
    if -32768 <= number <= 32767:
        return sizeof(int16_t)
    return sizeof(int32_t) if -2147483648 <= number <= 2147483647 else sizeof(int64_t)


cdef inline int64_t load(const char* at, size_t width) noexcept nogil:
    cdef int16_t short_one
    cdef int32_t middle
    cdef int64_t long_one
    if width == sizeof(int16_t):
        memcpy(&short_one, at, sizeof(int16_t))
        return short_one
    if width == sizeof(int32_t):
        memcpy(&middle, at, sizeof(int32_t))
        return middle
    memcpy(&long_one, at, sizeof(int64_t))
    return long_one


cdef inline void store(char* at, size_t width, int64_t number) noexcept nogil:
    cdef int16_t short_one = <int16_t> number
    cdef int32_t middle = <int32_t> number
    if width == sizeof(int16_t):
        memcpy(at, &short_one, sizeof(int16_t))
    elif width == sizeof(int32_t):
        memcpy(at, &middle, sizeof(int32_t))
    else:
        memcpy(at, &number, sizeof(int64_t))


cdef int64_t ints_at(const Entry* entry, uint32_t index) noexcept nogil:
    cdef size_t width = width_of(entry)
    return load(entry_value(entry) + index * width, width)


cdef bint ints_find(const Entry* entry, int64_t number, uint32_t* index) noexcept nogil:
    """Binary search; `index` is where the number is or would be."""
    cdef size_t width = width_of(entry)
    cdef const char* value = entry_value(entry)
    cdef uint32_t low = 0
    cdef uint32_t high = entry.count
    cdef uint32_t middle
    cdef int64_t found
    while low < high:
        middle = (low + high) >> 1
        found = load(value + middle * width, width)
        if found == number:
            index[0] = middle
            return True
        if found < number:
            low = middle + 1
        else:
            high = middle
    index[0] = low
    return False


cdef void widen(Node* node, Place* place, size_t width) noexcept nogil:
    """Rewrite all numbers in `width` bytes each, from the last to the first, in place."""
    cdef Entry* entry = place.entry
    cdef size_t old = width_of(entry)
    cdef uint32_t left = entry.count
    cdef char* value
    value_splice(node, place, entry.value_length, 0, left * (width - old))
    value = entry_value(place.entry)
    while left:
        left -= 1
        store(value + left * width, width, load(value + left * old, old))


cdef bint ints_add(Node* node, Place* place, int64_t number) noexcept nogil:
    """False: it was there."""
    cdef size_t width = width_for(number)
    cdef uint32_t index
    if ints_find(place.entry, number, &index):
        return False
    if place.entry.count and width > width_of(place.entry):
        widen(node, place, width)
    elif place.entry.count:
        width = width_of(place.entry)
    store(value_splice(node, place, index * width, 0, width), width, number)
    place.entry.count += 1
    return True


cdef bint ints_remove(Node* node, Place* place, int64_t number) noexcept nogil:
    """False: it was not there. The width stays."""
    cdef size_t width = width_of(place.entry)
    cdef uint32_t index
    if not ints_find(place.entry, number, &index):
        return False
    value_splice(node, place, index * width, width, 0)
    place.entry.count -= 1
    return True
