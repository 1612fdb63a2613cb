# cython: language_level=3
"""Lease: may what a node of the pool answers to a write be acknowledged? Step 5c, between a reply and its request.

In a pool whose proxies agree on its primaries (proxy/control/election.py) this one may acknowledge a write only while its
lease on the record that says who is primary lives, at the moment when the reply is read. The control plane renews it in a
word that all engines read: until when, in microseconds of the monotonic clock, and for which generation of the pool's
seats. An engine's own generation comes with the order that changes a seat (seats.pyx), so a lease on new primaries is
worth nothing to an engine that still asks the old ones.

The clock is read once for what was received together, after it was received: never per reply.
"""

from libc.stdint cimport uint16_t, uint64_t

from proxy.engine.marks cimport quench_load_word
from proxy.engine.types cimport Conn, Core, Pool
from proxy.wire.system cimport monotonic_us

cdef enum:
    GENERATION_AT = 48         # bits of the word below the generation: nine years of microseconds

cdef const char* lease_fence(Core* core, Conn* conn, const char* data, size_t* size) noexcept nogil


cdef inline bint lease_over(Core* core, Pool* pool) noexcept nogil:
    """Of a pool that needs one. That of the generation before counts, too, while it lives: all that has changed since is
    the seats of others, which nobody gives away before every lease on who was there has run out."""
    cdef uint64_t word = quench_load_word(&core.peers.leases[pool.index])
    return <uint16_t> (pool.generation - (word >> GENERATION_AT)) > 1 or monotonic_us() >= (word & ((<uint64_t> 1 << GENERATION_AT) - 1))


cdef inline void lease_look(Core* core, Conn* conn) noexcept nogil:
    """Bytes of this connection were just received: are they fenced?"""
    core.fenced = conn.node.pool.leased and conn.node.primary == conn.node.index and lease_over(core, conn.node.pool)
