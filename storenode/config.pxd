# cython: language_level=3
"""Config: CONFIG GET, SET and RESETSTAT."""

from storenode.types cimport Call, Node, Slice

cdef enum:
    PROBLEM_ROOM = 128         # bytes of a sentence on what is wrong with a value

cdef void config_open(Node* node) noexcept nogil
cdef void config_password(Node* node, const Slice* password) noexcept nogil
cdef const char* policy_name(int policy) noexcept nogil
cdef const char* config_apply(Node* node, const Slice* name, const Slice* value, char* room) noexcept nogil
cdef void command_config_get(Call* call) noexcept nogil
cdef void command_config_set(Call* call) noexcept nogil
cdef void command_config_resetstat(Call* call) noexcept nogil
cdef void command_config_rewrite(Call* call) noexcept nogil
