# cython: language_level=3
"""Names: which row of the command table a word means. It stands between a framed request and its execution.

A command has one name of its own, by which logs, the primary and the rules of users go, and one by which clients call
it: the same, another, or none.
"""

from storenode.types cimport Node, Row, Slice

cdef Row* command_find(Node* node, const Slice* name) noexcept nogil
cdef Row* command_named(Node* node, const Slice* name) noexcept nogil
cdef Row* command_find_under(Node* node, const Row* container, const Slice* name) noexcept nogil
cdef const char* command_rename(Node* node, const Slice* name, const Slice* called) noexcept nogil
cdef void names_index(Node* node) noexcept nogil
cdef void names_close(Node* node) noexcept nogil
