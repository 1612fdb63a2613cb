# cython: language_level=3
"""Range commands of sorted sets: ZRANGE and all its sisters, counting and removing ranges."""

from storenode.types cimport Call

cdef void command_zrange(Call* call) noexcept nogil
cdef void command_zrevrange(Call* call) noexcept nogil
cdef void command_zrangebyscore(Call* call) noexcept nogil
cdef void command_zrevrangebyscore(Call* call) noexcept nogil
cdef void command_zrangebylex(Call* call) noexcept nogil
cdef void command_zrevrangebylex(Call* call) noexcept nogil
cdef void command_zrangestore(Call* call) noexcept nogil
cdef void command_zcount(Call* call) noexcept nogil
cdef void command_zlexcount(Call* call) noexcept nogil
cdef void command_zremrangebyrank(Call* call) noexcept nogil
cdef void command_zremrangebyscore(Call* call) noexcept nogil
cdef void command_zremrangebylex(Call* call) noexcept nogil
