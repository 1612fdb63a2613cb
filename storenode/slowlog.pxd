# cython: language_level=3
"""Slowlog: the commands that took longer than slowlog-log-slower-than, the newest slowlog-max-len of them."""

from libc.stdint cimport uint64_t

from storenode.types cimport Call, Node, Row

cdef void slow_update(Node* node) noexcept nogil
cdef void slow_seen(Call* call, const Row* row, uint64_t spent) noexcept nogil
cdef void slow_limit(Node* node, long long most) noexcept nogil
cdef void command_slowlog_get(Call* call) noexcept nogil
cdef void command_slowlog_len(Call* call) noexcept nogil
cdef void command_slowlog_reset(Call* call) noexcept nogil
