# cython: language_level=3
"""Sketch: who is asked for most, in bounded memory. Fed with a sample of the requests, see hot.pxd.

A set-associative table of counters. A key has WAYS places; when another key has all of them, each of its requests takes
from the smallest counter what it would have added to its own, until that place is free (the frequent-items algorithm of
Misra and Gries, 1982, set by set). Counts are halved every HALF_US, lazily, so at a steady rate r a counter stands
between r * HALF and 2 * r * HALF. A key that is hot is never missed for long; one that is not may be overrated by no
more than the keys it shares its places with were underrated.
"""

from libc.stdint cimport uint32_t, uint64_t

from proxy.engine.heat cimport Sketch

cdef enum:
    HALF_SHIFT = 17            # counts are halved every 2^17 us, 131 ms

cdef uint32_t sketch_count(Sketch* sketch, uint64_t hash, bint write, uint32_t weight, uint64_t now_us) noexcept nogil
