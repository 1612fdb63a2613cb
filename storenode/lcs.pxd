# cython: language_level=3
"""LCS: the longest common subsequence of two strings."""

from storenode.types cimport Call

cdef void command_lcs(Call* call) noexcept nogil
