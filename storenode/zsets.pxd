# cython: language_level=3
"""Sorted set commands on members: ZADD, ZSCORE, ZRANK, ZPOPMIN … Ranges are in zranges.pyx, unions in zalgebra.pyx."""

from storenode.types cimport Call, Place, Slice

cdef enum PopShape:            # how popped members and their scores are answered
    ALTERNATING = 0            # in one array
    PAIRS = 1                  # in an array of arrays of two
    PLAIN = 2                  # one after the other; the caller has begun an array for them

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

cdef void pop_members(Call* call, const Slice* key, Place* place, bint highest, long long count, int form) noexcept nogil
cdef bint read_zmpop(Call* call, int at, int* keys, bint* lowest, long long* count) noexcept nogil
