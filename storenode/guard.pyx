# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Guard. See guard.pxd. The order of the checks is Redis's, which decides what a client hears where several apply."""

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
    if flags & WRITE:
        if call.node.refusal != NULL and not call.node.loading.on:
            return call.node.refusal
        if guard & GUARD_FEW:
            return b"NOREPLICAS Not enough good replicas to write."
        if guard & GUARD_WRITES:
            return b"READONLY You can't write against a read only replica."
    if flags & (READONLY | WRITE | DATASET):
        if guard & GUARD_STALE:
            return b"MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'."
        if guard & GUARD_LOADING or call.node.loading.on:
            return b"LOADING Redis is loading the dataset in memory"
    return NULL
