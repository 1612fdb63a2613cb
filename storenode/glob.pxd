# cython: language_level=3
"""Glob: the patterns of KEYS, SCAN MATCH and CONFIG GET."""

from storenode.types cimport Slice

cdef bint glob_match(const Slice* pattern, const Slice* text, bint any_case) noexcept nogil
