# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""CRC-64. See crc64.pxd. Eight tables, eight bytes at a time: about 0.6 ns a byte, for dumps and whole snapshots."""

from libc.stdint cimport uint64_t
from libc.string cimport memcpy

cdef uint64_t[8][256] tables   # [n][byte]: what a byte with n zero bytes behind it does


cdef void build() noexcept nogil:
    cdef uint64_t value
    cdef int byte, bit, behind
    for byte in range(256):
        value = byte
        for bit in range(8):
            value = value >> 1 ^ (<uint64_t> 0x95AC9329AC4BC9B5 if value & 1 else 0)
        tables[0][byte] = value
    for byte in range(256):
        for behind in range(1, 8):
            value = tables[behind - 1][byte]
            tables[behind][byte] = value >> 8 ^ tables[0][value & 255]


build()


cdef uint64_t crc64(uint64_t crc, const char* data, size_t length) noexcept nogil:
    """Go on from `crc`, 0 at the start, over more bytes."""
    cdef uint64_t word
    while length >= 8:
        memcpy(&word, data, 8)
        word ^= crc
        crc = (tables[7][word & 255] ^ tables[6][word >> 8 & 255] ^ tables[5][word >> 16 & 255]
               ^ tables[4][word >> 24 & 255] ^ tables[3][word >> 32 & 255] ^ tables[2][word >> 40 & 255]
               ^ tables[1][word >> 48 & 255] ^ tables[0][word >> 56])
        data += 8
        length -= 8
    while length:
        crc = tables[0][(crc ^ <unsigned char> data[0]) & 255] ^ crc >> 8
        data += 1
        length -= 1
    return crc
