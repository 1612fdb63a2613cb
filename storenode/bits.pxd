# cython: language_level=3
"""Bit commands on strings: SETBIT, GETBIT, BITCOUNT."""

from storenode.types cimport Call

cdef void command_setbit(Call* call) noexcept nogil
cdef void command_getbit(Call* call) noexcept nogil
cdef void command_bitcount(Call* call) noexcept nogil
cdef void command_bitpos(Call* call) noexcept nogil
cdef void command_bitop(Call* call) noexcept nogil
