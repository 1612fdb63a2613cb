# cython: language_level=3
"""Tombstones: what a write does to the copies of its key on other nodes, and how long its client waits for that.

A tombstone takes the place of a copy for half a second. Those before the write keep readers of other processes from
seeing a copy older than what they have seen at home; those after it, which the client's reply waits for, keep them from
seeing one that is older than the reply. See fanout.pxd for what they are worth.
"""

from libc.stdint cimport uint64_t

from proxy.engine.heat cimport Hold
from proxy.engine.tally cimport Wave
from proxy.engine.types cimport Conn, Core, Pending, Pool

cdef void tombstones_send(Core* core, Pool* pool, int protocol, int database) noexcept nogil
cdef bint tombstones_hold(Core* core, Conn* conn, Pending* pending, uint64_t marks, Wave* wave, const char* data,
                          size_t size) noexcept nogil
cdef void tombstone_set(Core* core, Conn* conn, Hold* hold, const char* data) noexcept nogil
cdef void tombstones_due(Core* core) noexcept nogil


cdef inline void tombstones_before(Core* core, Pool* pool, int protocol, int database) noexcept nogil:
    """The request at hand may write what was noted."""
    if core.peers.fans != NULL:
        tombstones_send(core, pool, protocol, database)


cdef inline bint tombstones_after(Core* core, Conn* conn, Pending* pending, uint64_t marks, Wave* wave,
                                  const char* data, size_t size) noexcept nogil:
    """A write was answered, and its marks are open still. True: its reply is kept back, and so is the wave that it is
    for, unless that is NULL."""
    return core.peers.fans != NULL and tombstones_hold(core, conn, pending, marks, wave, data, size)
