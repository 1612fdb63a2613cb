# cython: language_level=3
"""Bytes that have to wait: the tail of a batch that the kernel did not take, or the first part of a reply."""
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

cdef struct Spill:
    char* data                     # owned
    size_t start
    size_t size                    # bytes from start
    size_t room

cdef inline bint spill_room(Spill* spill, size_t size) noexcept nogil:
    """Room for `size` bytes from start on, twice that where it has to grow; False when memory is short."""
    cdef char* larger
    if spill.start + size <= spill.room:
        return True
    larger = <char*>malloc(size * 2)
    if larger == NULL:
        return False
    memcpy(larger, spill.data + spill.start, spill.size)
    free(spill.data)
    spill.data = larger
    spill.room = size * 2
    spill.start = 0
    return True

cdef inline bint spill_append(Spill* spill, const char* data, size_t size) noexcept nogil:
    if not spill_room(spill, spill.size + size):
        return False
    memcpy(spill.data + spill.start + spill.size, data, size)
    spill.size += size
    return True

cdef inline bint spill_set(Spill* spill, const char* data, size_t size) noexcept nogil:
    """Make data the whole content. It may be a tail of the content, which then stays where it is."""
    if spill.size and spill.data + spill.start <= data <= spill.data + spill.start + spill.size:
        spill.start = data - spill.data
        spill.size = size
        return True
    spill.start = spill.size = 0
    return spill_append(spill, data, size)
