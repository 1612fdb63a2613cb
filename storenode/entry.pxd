# cython: language_level=3
"""Entry: reaching the key and the value of the block that types.pxd describes."""

from libc.stdint cimport int64_t
from libc.string cimport memcpy

from storenode.types cimport Entry, Slice


cdef inline char* entry_key(const Entry* entry) noexcept nogil:
    return <char*> (entry + 1)


cdef inline char* entry_value(const Entry* entry) noexcept nogil:
    return <char*> (entry + 1) + entry.key_length


cdef inline Slice entry_name(const Entry* entry) noexcept nogil:
    """The key, borrowed until the entry changes."""
    cdef Slice name
    name.data = entry_key(entry)
    name.length = entry.key_length
    return name


cdef inline Slice entry_slice(const Entry* entry) noexcept nogil:
    """The value of a string, or the bytes of a small collection, borrowed until the entry changes."""
    cdef Slice value
    value.data = entry_value(entry)
    value.length = entry.value_length
    return value


cdef inline void* entry_structure(const Entry* entry) noexcept nogil:
    """What the value of a large collection points to."""
    cdef void* structure
    memcpy(&structure, entry_value(entry), sizeof(void*))
    return structure


cdef inline bint entry_expired(const Entry* entry, int64_t now_ms) noexcept nogil:
    return entry.expire_ms != 0 and entry.expire_ms <= now_ms
