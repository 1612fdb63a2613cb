# cython: language_level=3
"""List commands: LPUSH to LMPOP. Replies are those of redis-server 7.0."""

from storenode.types cimport Call, Place, Slice

cdef void command_lpush(Call* call) noexcept nogil
cdef void command_rpush(Call* call) noexcept nogil
cdef void command_lpushx(Call* call) noexcept nogil
cdef void command_rpushx(Call* call) noexcept nogil
cdef void command_lpop(Call* call) noexcept nogil
cdef void command_rpop(Call* call) noexcept nogil
cdef void command_llen(Call* call) noexcept nogil
cdef void command_lindex(Call* call) noexcept nogil
cdef void command_lset(Call* call) noexcept nogil
cdef void command_linsert(Call* call) noexcept nogil
cdef void command_lrange(Call* call) noexcept nogil
cdef void command_ltrim(Call* call) noexcept nogil
cdef void command_lrem(Call* call) noexcept nogil
cdef void command_lpos(Call* call) noexcept nogil
cdef void command_lmove(Call* call) noexcept nogil
cdef void command_rpoplpush(Call* call) noexcept nogil
cdef void command_lmpop(Call* call) noexcept nogil

cdef void pop_items(Call* call, const Slice* key, Place* place, bint front, size_t count, bint many) noexcept nogil
cdef bint take_end(Call* call, const Slice* argument, bint* front) noexcept nogil
cdef bint read_lmpop(Call* call, int at, int* keys, bint* front, long long* count) noexcept nogil
