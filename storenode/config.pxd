# cython: language_level=3
"""Config: CONFIG GET, SET and RESETSTAT."""

from storenode.types cimport Call, Node

cdef void config_open(Node* node) noexcept nogil
cdef const char* policy_name(int policy) noexcept nogil
cdef void command_config_get(Call* call) noexcept nogil
cdef void command_config_set(Call* call) noexcept nogil
cdef void command_config_resetstat(Call* call) noexcept nogil
