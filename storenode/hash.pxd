# cython: language_level=3
"""The hash of a key: 64 bits, seeded per process, from folded 64x64 -> 128 bit products (the wyhash and xxh3 family).

Fast for short keys (one or two products up to 16 bytes) and, with a secret seed, good enough that nobody can aim keys
at one bucket. It is never stored on disk or sent anywhere, so it may change at any time.
"""

from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memcpy

cdef extern from *:
    """
    static inline uint64_t store_fold(uint64_t a, uint64_t b) {
        __uint128_t product = (__uint128_t) a * b;
        return (uint64_t) product ^ (uint64_t) (product >> 64);
    }
    """
    uint64_t store_fold(uint64_t a, uint64_t b) noexcept nogil

cdef enum:                     # odd, half of the bits set, no pattern: fractional digits of sqrt(2), sqrt(3), sqrt(5)
    SALT_A = 0x6A09E667F3BCC909
    SALT_B = 0x3B67AE8584CAA73B
    SALT_C = 0x3C6EF372FE94F82B


cdef inline uint64_t word8(const char* at) noexcept nogil:
    cdef uint64_t value
    memcpy(&value, at, 8)
    return value


cdef inline uint64_t word4(const char* at) noexcept nogil:
    cdef uint32_t value
    memcpy(&value, at, 4)
    return value


cdef inline uint64_t hash_bytes(const char* data, size_t length, uint64_t seed) noexcept nogil:
    """Every byte enters: the last words overlap those before them instead of a byte-wise tail."""
    cdef uint64_t a = 0
    cdef uint64_t b = 0
    cdef size_t left = length
    seed ^= store_fold(seed ^ <uint64_t> SALT_A, <uint64_t> length ^ <uint64_t> SALT_B)
    while left > 16:
        seed = store_fold(word8(data) ^ <uint64_t> SALT_B, word8(data + 8) ^ seed)
        data += 16
        left -= 16
    if left >= 8:
        a = word8(data)
        b = word8(data + left - 8)
    elif left >= 4:
        a = word4(data)
        b = word4(data + left - 4)
    elif left:
        a = <uint64_t> (<unsigned char> data[0]) << 16 | <uint64_t> (<unsigned char> data[left >> 1]) << 8
        a |= <uint64_t> (<unsigned char> data[left - 1])
    return store_fold(<uint64_t> SALT_C ^ length, store_fold(a ^ <uint64_t> SALT_B, b ^ seed))
