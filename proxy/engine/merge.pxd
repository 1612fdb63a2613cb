# cython: language_level=3
"""Merge: one command split over several nodes, its parts put together again in the order of its keys.

Owns the parts' replies until the last one is here. Knows nothing of clients or nodes: whoever brings the last part
appends the result to an Output and fills the slot.
"""

from libc.stdint cimport uint16_t, uint32_t

from proxy.engine.types cimport Core, Merge
from proxy.wire.chunk cimport Chunk
from proxy.wire.output cimport Output

cdef Merge* merge_new(Core* core, int lane, bint nil_on_error, uint32_t keys) noexcept nogil
cdef void merge_free(Core* core, Merge* merge) noexcept nogil
cdef void merges_free(Core* core, Merge* merge) noexcept nogil
cdef void merge_take(Core* core, Merge* merge, uint32_t left, Chunk* taken) noexcept nogil
cdef bint merge_part(Core* core, Merge* merge, uint32_t part, const char* data, size_t length) noexcept nogil
cdef void merge_result(Core* core, Merge* merge, int protocol, Output* target) noexcept nogil
