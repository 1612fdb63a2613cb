# cython: language_level=3
"""Sort: the elements of a list, set or sorted set in order, by themselves or by what other keys say. SORT, SORT_RO."""

from storenode.types cimport Call

cdef void command_sort(Call* call) noexcept nogil
cdef void command_sort_ro(Call* call) noexcept nogil
