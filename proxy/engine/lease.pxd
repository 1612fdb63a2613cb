# cython: language_level=3
"""Lease: may what a node of the pool answers to a write be acknowledged? Step 5c, between a reply and its request.

In a pool whose proxies agree on its primaries (proxy/control/election.py) this one may acknowledge a write only while its
lease on the record that says who is primary lives, at the moment when the reply is read. The control plane renews it in a
word that all engines read: until when, in microseconds of the monotonic clock, and for which generation of the pool's
seats. An engine's own generation comes with the order that changes a seat (seats.pyx), so a lease on new primaries is
worth nothing to an engine that still asks the old ones.

The clock is read once for what was received together, after it was received: never per reply. A reply that has to wait
for earlier ones of its client is looked at again when it leaves (slots.pyx): it may have waited for a deadline.
"""

from proxy.engine.tenure cimport lease_over
from proxy.engine.types cimport Conn, Core

cdef const char* lease_fence(Core* core, Conn* conn, const char* data, size_t* size) noexcept nogil


cdef inline void lease_look(Core* core, Conn* conn) noexcept nogil:
    """Bytes of this connection were just received: are they fenced?"""
    core.fenced = conn.node.pool.leased and conn.node.primary == conn.node.index and lease_over(core, conn.node.pool)
