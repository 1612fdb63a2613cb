# cython: language_level=3
"""Sample: random elements of a collection, for HRANDFIELD, SRANDMEMBER and ZRANDMEMBER."""

from storenode.collection cimport Elements
from storenode.types cimport Call, Entry

ctypedef void (*Taker)(Call* call, Elements* element) noexcept nogil

cdef bint take_count(Call* call, bint payloads, long long* count) noexcept nogil
cdef void sample_distinct(Call* call, const Entry* entry, size_t count, Taker take) noexcept nogil
cdef void sample_any(Call* call, const Entry* entry, size_t count, Taker take) noexcept nogil
