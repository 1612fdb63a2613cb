# cython: language_level=3
"""Errors: how many error replies of each code there were, for INFO errorstats."""

from storenode.types cimport Node

cdef void error_count(Node* node, const char* text) noexcept nogil
