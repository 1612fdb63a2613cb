# cython: language_level=3
"""Tenure: does this proxy's lease on the primaries of a pool live? lease.pxd says what it is."""

from libc.stdint cimport uint16_t, uint64_t

from proxy.engine.types cimport Core, Pool
from proxy.wire.system cimport monotonic_us

cdef extern from *:
    """
    #define quench_lease(p) __atomic_load_n((p), __ATOMIC_ACQUIRE)
    """
    uint64_t quench_lease(uint64_t* word) nogil

cdef enum:
    GENERATION_AT = 48         # bits of the word below the generation: nine years of microseconds


cdef inline bint lease_over(Core* core, const Pool* pool) noexcept nogil:
    """Of a pool that needs one. That of the generation before counts, too, while it lives: all that has changed since is
    the seats of others, which nobody gives away before every lease on who was there has run out."""
    cdef uint64_t word = quench_lease(&core.peers.leases[pool.index])
    return (<uint16_t> (pool.generation - (word >> GENERATION_AT)) > 1
            or monotonic_us() >= (word & ((<uint64_t> 1 << GENERATION_AT) - 1)))
