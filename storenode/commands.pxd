# cython: language_level=3
"""Commands: the table of what the node understands."""

from storenode.types cimport Node

cdef void commands_open(Node* node) noexcept nogil
