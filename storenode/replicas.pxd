# cython: language_level=3
"""Replicas: those that repeat this node. PSYNC and REPLCONF, and at the end of every turn the stream.

    PSYNC ─┬─ goes on ────────────────────────────────────────► online: sent the history from its position
           └─ waiting ─► snapshot (fullsync.pyx) ─► sent ─ACK─┘

A replica is written to from the history, once a turn and as much as the kernel takes; it owns no output but its place
there. One that is further behind than client-output-buffer-limit allows is closed, and comes back for a snapshot.
"""

from libc.stdint cimport uint64_t

from storenode.types cimport Call, Client, Node

cdef void command_psync(Call* call) noexcept nogil
cdef void command_sync(Call* call) noexcept nogil
cdef void command_replconf(Call* call) noexcept nogil
cdef void replication_turn(Node* node) noexcept nogil
cdef int replicas_at(const Node* node, uint64_t position, bint synced) noexcept nogil
