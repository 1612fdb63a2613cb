# cython: language_level=3
"""ACL file: users kept in a file, a line each, as ACL LIST shows them."""

from storenode.types cimport Call, Node

cdef enum:
    FILE_PROBLEM_ROOM = 768         # bytes of a sentence on what is wrong with a file

cdef bint aclfile_load(Node* node, char* problem) noexcept nogil
cdef void command_acl_load(Call* call) noexcept nogil
cdef void command_acl_save(Call* call) noexcept nogil
