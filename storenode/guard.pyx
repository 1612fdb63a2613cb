# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Guard. See guard.pxd. Node.guard says which of these can happen at all; it is 0 for a node that stands alone."""

from storenode.transaction cimport command_exec
from storenode.types cimport (
    DATASET, GUARD_FEW, GUARD_LOADING, GUARD_STALE, GUARD_WRITES, READONLY, WRITE, Call, Row,
)


cdef const char* guard_refuses(const Call* call, const Row* row) noexcept nogil:
    """Why a command may not run now, in Redis's words; NULL: it may. Those of the primary always may."""
    cdef int guard = call.node.guard
    cdef int flags = row.flags
    if call.client == call.node.primary:
        return NULL
    if row.handler == command_exec:
        # Much may have changed since the block was queued.
        flags |= call.client.transaction.flags
    if guard & GUARD_LOADING and flags & (READONLY | WRITE | DATASET):
        return b"LOADING Redis is loading the dataset in memory"
    if guard & GUARD_STALE and flags & (READONLY | WRITE | DATASET):
        return b"MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'."
    if guard & GUARD_WRITES and flags & WRITE:
        return b"READONLY You can't write against a read only replica."
    if guard & GUARD_FEW and flags & WRITE:
        return b"NOREPLICAS Not enough good replicas to write."
    return NULL
