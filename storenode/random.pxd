# cython: language_level=3
"""Random: for sampling and for the commands that answer a random element; not for secrets."""

from libc.stdint cimport uint64_t

from storenode.types cimport Node


cdef inline uint64_t random_next(Node* node) noexcept nogil:
    """xorshift64*; the upper bits are the better ones."""
    cdef uint64_t x = node.random
    x ^= x >> 12
    x ^= x << 25
    x ^= x >> 27
    node.random = x
    return x * <uint64_t> 0x2545F4914F6CDD1D


cdef inline uint64_t random_below(Node* node, uint64_t limit) noexcept nogil:
    """0 … limit - 1; the bias of the modulus is below 2^-20 for fewer than 2^28 elements."""
    return (random_next(node) >> 16) % limit
