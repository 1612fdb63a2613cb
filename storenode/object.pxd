# cython: language_level=3
"""Object: what a key's value is. TYPE, OBJECT, MEMORY USAGE and the part of DEBUG that tests and tools use."""

from storenode.types cimport Call

cdef void command_type(Call* call) noexcept nogil
cdef void command_object_encoding(Call* call) noexcept nogil
cdef void command_object_idletime(Call* call) noexcept nogil
cdef void command_object_refcount(Call* call) noexcept nogil
cdef void command_object_freq(Call* call) noexcept nogil
cdef void command_memory_usage(Call* call) noexcept nogil
cdef void command_debug_sleep(Call* call) noexcept nogil
cdef void command_debug_object(Call* call) noexcept nogil
cdef void command_debug_set_active_expire(Call* call) noexcept nogil
cdef const char* type_name(int type) noexcept nogil
