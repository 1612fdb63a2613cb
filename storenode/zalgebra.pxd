# cython: language_level=3
"""Algebra of sorted sets: union, intersection and difference, of sorted sets and plain sets, answered or stored."""

from storenode.types cimport Call

cdef void command_zunion(Call* call) noexcept nogil
cdef void command_zunionstore(Call* call) noexcept nogil
cdef void command_zinter(Call* call) noexcept nogil
cdef void command_zinterstore(Call* call) noexcept nogil
cdef void command_zintercard(Call* call) noexcept nogil
cdef void command_zdiff(Call* call) noexcept nogil
cdef void command_zdiffstore(Call* call) noexcept nogil
