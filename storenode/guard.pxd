# cython: language_level=3
"""Guard: what a node refuses for the sake of replication: writes to a replica, reads of what is not complete."""

from storenode.types cimport Call

cdef bint guard_refuses(Call* call) noexcept nogil
