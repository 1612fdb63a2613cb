# cython: language_level=3
"""Sorted set commands on members: ZADD, ZSCORE, ZRANK, ZPOPMIN … Ranges are in zranges.pyx, unions in zalgebra.pyx."""

from storenode.types cimport Call, Place, Slice

cdef void command_zadd(Call* call) noexcept nogil
cdef void command_zincrby(Call* call) noexcept nogil
cdef void command_zrem(Call* call) noexcept nogil
cdef void command_zscore(Call* call) noexcept nogil
cdef void command_zmscore(Call* call) noexcept nogil
cdef void command_zcard(Call* call) noexcept nogil
cdef void command_zrank(Call* call) noexcept nogil
cdef void command_zrevrank(Call* call) noexcept nogil
cdef void command_zpopmin(Call* call) noexcept nogil
cdef void command_zpopmax(Call* call) noexcept nogil
cdef void command_zmpop(Call* call) noexcept nogil
cdef void command_zrandmember(Call* call) noexcept nogil
