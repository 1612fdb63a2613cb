# cython: language_level=3
"""Guard: what a node refuses for the sake of replication: writes to a replica, reads of what is not complete."""

from storenode.types cimport Call, Row

cdef const char* guard_refuses(const Call* call, const Row* row) noexcept nogil
