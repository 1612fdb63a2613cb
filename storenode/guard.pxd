# cython: language_level=3
"""Guard: what a node refuses as it is now, whoever asks: writes that cannot be made durable or are a primary's business,
and whatever needs a keyspace that is not complete. Node.guard and Node.refusal say whether any of this can happen."""

from storenode.types cimport Call, Row

cdef const char* guard_refuses(const Call* call, const Row* row) noexcept nogil
