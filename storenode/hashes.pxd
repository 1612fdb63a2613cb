# cython: language_level=3
"""Hash commands: HSET, HGET and their family. Replies are those of redis-server 7.0."""

from storenode.types cimport Call

cdef void command_hset(Call* call) noexcept nogil
cdef void command_hmset(Call* call) noexcept nogil
cdef void command_hsetnx(Call* call) noexcept nogil
cdef void command_hget(Call* call) noexcept nogil
cdef void command_hmget(Call* call) noexcept nogil
cdef void command_hdel(Call* call) noexcept nogil
cdef void command_hlen(Call* call) noexcept nogil
cdef void command_hstrlen(Call* call) noexcept nogil
cdef void command_hincrby(Call* call) noexcept nogil
cdef void command_hincrbyfloat(Call* call) noexcept nogil
cdef void command_hkeys(Call* call) noexcept nogil
cdef void command_hvals(Call* call) noexcept nogil
cdef void command_hgetall(Call* call) noexcept nogil
cdef void command_hexists(Call* call) noexcept nogil
cdef void command_hrandfield(Call* call) noexcept nogil
