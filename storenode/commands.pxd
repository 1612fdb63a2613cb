# cython: language_level=3
"""Commands: the table of what the node understands."""

from storenode.types cimport Call, Node, Row, Slice

cdef bint command_deny(Node* node, const Slice* name) noexcept nogil
cdef void commands_open(Node* node) noexcept nogil
cdef Row* command_find(Node* node, const Slice* name) noexcept nogil
cdef Row* command_find_under(Node* node, const Row* container, const Slice* name) noexcept nogil
