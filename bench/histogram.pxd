# cython: language_level=3
"""Log-linear histogram of nanoseconds: 64 buckets to an octave, so any 64-bit value is known to 1 part in 64.

Buckets 0..63 hold one value each; from 64 on, octave k (values 2^k..2^(k+1)-1, k >= 6) is cut into 64 equal buckets.
"""
from libc.stdint cimport uint64_t

cdef enum:
    SUB_BITS = 6
    SUB = 64                       # buckets to an octave
    BUCKETS = SUB * (65 - SUB_BITS)

cdef extern from *:
    int __builtin_clzll(unsigned long long) nogil

cdef struct Counts:
    uint64_t total                 # values recorded
    uint64_t sum                   # ns
    uint64_t highest               # ns, exact
    uint64_t bucket[BUCKETS]

cdef inline int bucket_of(uint64_t value) noexcept nogil:
    cdef int shift
    if value < SUB:
        return <int>value
    shift = 63 - __builtin_clzll(value) - SUB_BITS
    return (shift << SUB_BITS) + <int>(value >> shift)

cdef inline void record(Counts* counts, uint64_t value) noexcept nogil:
    counts.bucket[bucket_of(value)] += 1
    counts.total += 1
    counts.sum += value
    if value > counts.highest:
        counts.highest = value

cdef class Histogram:
    cdef Counts counts
