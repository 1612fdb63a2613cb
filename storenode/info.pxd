# cython: language_level=3
"""Info: the report of INFO, in Redis's sections and words."""

from storenode.types cimport Call

cdef void command_info(Call* call) noexcept nogil
