# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Guard. See guard.pxd. Node.guard says which of these can happen at all; it is 0 for a node that stands alone."""

from storenode.answer cimport answer_error
from storenode.types cimport (
    DATASET, GUARD_FEW, GUARD_LOADING, GUARD_STALE, GUARD_WRITES, READONLY, WRITE, Call,
)


cdef bint guard_refuses(Call* call) noexcept nogil:
    """Refuse a command that may not run now, in Redis's words. Those of the primary always may."""
    cdef int guard = call.node.guard
    cdef int flags = call.row.flags
    if call.client == call.node.primary:
        return False
    if guard & GUARD_LOADING and flags & (READONLY | WRITE | DATASET):
        answer_error(call, b"LOADING Redis is loading the dataset in memory")
    elif guard & GUARD_STALE and flags & (READONLY | WRITE | DATASET):
        answer_error(call, b"MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.")
    elif guard & GUARD_WRITES and flags & WRITE:
        answer_error(call, b"READONLY You can't write against a read only replica.")
    elif guard & GUARD_FEW and flags & WRITE:
        answer_error(call, b"NOREPLICAS Not enough good replicas to write.")
    else:
        return False
    return True
