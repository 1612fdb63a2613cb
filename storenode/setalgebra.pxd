# cython: language_level=3
"""Set algebra: intersection, union and difference of sets, answered or stored."""

from storenode.types cimport Call

cdef void command_sinter(Call* call) noexcept nogil
cdef void command_sinterstore(Call* call) noexcept nogil
cdef void command_sintercard(Call* call) noexcept nogil
cdef void command_sunion(Call* call) noexcept nogil
cdef void command_sunionstore(Call* call) noexcept nogil
cdef void command_sdiff(Call* call) noexcept nogil
cdef void command_sdiffstore(Call* call) noexcept nogil
