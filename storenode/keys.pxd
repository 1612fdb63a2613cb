# cython: language_level=3
"""Key commands: whatever does not look at the value. DEL, EXPIRE and its family, RENAME, COPY,
MOVE, FLUSHALL …"""

from storenode.types cimport Call

cdef void command_del(Call* call) noexcept nogil
cdef void command_unlink(Call* call) noexcept nogil
cdef void command_move(Call* call) noexcept nogil
cdef void command_swapdb(Call* call) noexcept nogil
cdef void command_exists(Call* call) noexcept nogil
cdef void command_touch(Call* call) noexcept nogil
cdef void command_expire(Call* call) noexcept nogil
cdef void command_pexpire(Call* call) noexcept nogil
cdef void command_expireat(Call* call) noexcept nogil
cdef void command_pexpireat(Call* call) noexcept nogil
cdef void command_ttl(Call* call) noexcept nogil
cdef void command_pttl(Call* call) noexcept nogil
cdef void command_expiretime(Call* call) noexcept nogil
cdef void command_pexpiretime(Call* call) noexcept nogil
cdef void command_persist(Call* call) noexcept nogil
cdef void command_rename(Call* call) noexcept nogil
cdef void command_renamenx(Call* call) noexcept nogil
cdef void command_copy(Call* call) noexcept nogil
cdef void command_dbsize(Call* call) noexcept nogil
cdef void command_flushdb(Call* call) noexcept nogil
cdef void command_flushall(Call* call) noexcept nogil
