# cython: language_level=3
"""String commands: everything from GET to INCRBYFLOAT. Replies are those of redis-server 7.0."""

from storenode.types cimport Call

cdef void command_get(Call* call) noexcept nogil
cdef void command_set(Call* call) noexcept nogil
cdef void command_setnx(Call* call) noexcept nogil
cdef void command_setex(Call* call) noexcept nogil
cdef void command_psetex(Call* call) noexcept nogil
cdef void command_getset(Call* call) noexcept nogil
cdef void command_getdel(Call* call) noexcept nogil
cdef void command_getex(Call* call) noexcept nogil
cdef void command_mget(Call* call) noexcept nogil
cdef void command_mset(Call* call) noexcept nogil
cdef void command_msetnx(Call* call) noexcept nogil
cdef void command_append(Call* call) noexcept nogil
cdef void command_strlen(Call* call) noexcept nogil
cdef void command_getrange(Call* call) noexcept nogil
cdef void command_setrange(Call* call) noexcept nogil
cdef void command_incr(Call* call) noexcept nogil
cdef void command_decr(Call* call) noexcept nogil
cdef void command_incrby(Call* call) noexcept nogil
cdef void command_decrby(Call* call) noexcept nogil
cdef void command_incrbyfloat(Call* call) noexcept nogil
