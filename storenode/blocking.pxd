# cython: language_level=3
"""Blocking commands: pops that wait for a list or a sorted set to have something; CLIENT UNBLOCK.

With something there they answer at once; inside a transaction they answer at once too, with nil. Else the client is
blocked (blocked.pxd).
"""

from storenode.types cimport Call

cdef void command_blpop(Call* call) noexcept nogil
cdef void command_brpop(Call* call) noexcept nogil
cdef void command_blmove(Call* call) noexcept nogil
cdef void command_brpoplpush(Call* call) noexcept nogil
cdef void command_blmpop(Call* call) noexcept nogil
cdef void command_bzpopmin(Call* call) noexcept nogil
cdef void command_bzpopmax(Call* call) noexcept nogil
cdef void command_bzmpop(Call* call) noexcept nogil
cdef void command_client_unblock(Call* call) noexcept nogil
