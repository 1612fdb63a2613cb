# cython: language_level=3
"""Set commands on one set: SADD, SISMEMBER, SPOP … Those on several are in setalgebra.pyx."""

from storenode.types cimport Call

cdef void command_sadd(Call* call) noexcept nogil
cdef void command_srem(Call* call) noexcept nogil
cdef void command_sismember(Call* call) noexcept nogil
cdef void command_smismember(Call* call) noexcept nogil
cdef void command_scard(Call* call) noexcept nogil
cdef void command_smembers(Call* call) noexcept nogil
cdef void command_smove(Call* call) noexcept nogil
cdef void command_spop(Call* call) noexcept nogil
cdef void command_srandmember(Call* call) noexcept nogil
