# cython: language_level=3
"""CRC-64 with the Jones polynomial, as Redis ends its dumps with it."""

from libc.stdint cimport uint64_t

cdef uint64_t crc64(uint64_t crc, const char* data, size_t length) noexcept nogil
