# cython: language_level=3
"""Scan: the commands that walk. SCAN and its sisters for the elements of a value, KEYS, RANDOMKEY."""

from storenode.types cimport Call

cdef void command_scan(Call* call) noexcept nogil
cdef void command_hscan(Call* call) noexcept nogil
cdef void command_sscan(Call* call) noexcept nogil
cdef void command_zscan(Call* call) noexcept nogil
cdef void command_keys(Call* call) noexcept nogil
cdef void command_randomkey(Call* call) noexcept nogil
