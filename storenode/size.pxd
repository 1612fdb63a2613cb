# cython: language_level=3
"""Size: bytes as redis.conf writes them."""

from storenode.types cimport Slice

cdef bint read_size(const Slice* text, unsigned long long* size) noexcept nogil
