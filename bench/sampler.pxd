# cython: language_level=3
"""Key sampler: one 64-bit random number a draw, uniform or by Walker's alias table, O(1) whatever the distribution."""
from libc.stdint cimport uint32_t, uint64_t

cdef struct Cell:                  # one column of the alias table
    uint32_t keep                  # the low half of a draw at or above this goes to `other`
    uint32_t other

cdef struct Sampler:
    uint64_t state                 # splitmix64
    uint32_t keys
    Cell* cells                    # owned; NULL: uniform

cdef inline uint64_t random64(Sampler* sampler) noexcept nogil:
    """splitmix64 (Steele, Lea, Flood 2014): passes BigCrush, and the state is one word."""
    cdef uint64_t z
    sampler.state += <uint64_t>0x9E3779B97F4A7C15
    z = sampler.state
    z = (z ^ (z >> 30)) * <uint64_t>0xBF58476D1CE4E5B9
    z = (z ^ (z >> 27)) * <uint64_t>0x94D049BB133111EB
    return z ^ (z >> 31)

cdef inline uint32_t draw(Sampler* sampler) noexcept nogil:
    """A key in 0..keys-1: the high half of the random number picks a column, the low half decides keep or alias."""
    cdef uint64_t random = random64(sampler)
    cdef uint32_t column = <uint32_t>(((random >> 32) * sampler.keys) >> 32)
    if sampler.cells != NULL and <uint32_t>random >= sampler.cells[column].keep:
        return sampler.cells[column].other
    return column

cdef class KeySampler:
    cdef Sampler sampler

    cdef void _build(self, double zipf) except *
