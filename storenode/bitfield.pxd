# cython: language_level=3
"""Bitfield: a string as an array of integers of any width up to 64 bits. BITFIELD, BITFIELD_RO."""

from storenode.types cimport Call

cdef void command_bitfield(Call* call) noexcept nogil
cdef void command_bitfield_ro(Call* call) noexcept nogil
