# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The Python face of the histogram that the generator fills without the GIL."""
from libc.math cimport ceil
from libc.string cimport memset


cdef uint64_t top_of(int bucket) noexcept nogil:
    """The highest value that falls into a bucket: what a quantile reports, so that it never flatters."""
    cdef int shift = (bucket >> SUB_BITS) - 1
    if shift <= 0:
        return bucket
    return ((<uint64_t>(bucket - (shift << SUB_BITS)) + 1) << shift) - 1


cdef class Histogram:
    """Counts of nanosecond values. Quantiles err upwards by at most 1/64; `highest` and `mean` are exact."""

    def __cinit__(self):
        memset(&self.counts, 0, sizeof(Counts))

    def record(self, uint64_t value):
        record(&self.counts, value)

    def clear(self):
        memset(&self.counts, 0, sizeof(Counts))

    def __len__(self):
        return self.counts.total

    @property
    def highest(self) -> int:
        return self.counts.highest

    @property
    def mean(self) -> float:
        return self.counts.sum / <double>self.counts.total if self.counts.total else 0.0

    def quantile(self, double share):
        """The value (ns) that `share` (0..1) of the recorded values do not exceed; 0 when there are none."""
        cdef uint64_t rank = <uint64_t>ceil(share * self.counts.total)
        cdef uint64_t seen = 0
        cdef int bucket
        rank = max(rank, <uint64_t>1)
        for bucket in range(BUCKETS):
            seen += self.counts.bucket[bucket]
            if seen >= rank:
                return min(top_of(bucket), self.counts.highest)
        return self.counts.highest
