# cython: language_level=3
"""Again: a read that is asked of a second node, because the first one is late, lost, or in no state to answer.

A retry is a reorder. So only reads are asked again, never for a client that holds a WATCH or tracks keys, and only while
no request of the same client that may write the same key is unanswered, or answered out of its turn; and such a request
waits while a read of its key may be answered by another node than the one that it was sent to (Client.apart_end).

    Pending ──► Again ◄── Pending     the first reply answers, the other one is dropped
                 │
               client, slot

Stands below the connection, which finds that a request failed; of those that sources.pxd names reads.pyx chooses who is
asked next, and when.
"""

from libc.stdint cimport int32_t, uint8_t, uint16_t, uint32_t, uint64_t

from proxy.engine.marks cimport key_hash
from proxy.engine.heat cimport Fetch
from proxy.engine.sources cimport Sources
from proxy.engine.types cimport (
    ROW_EXEC, ROW_PAUSES, ROW_READ, ROW_WRITE, Client, Conn, Core, Pending, Row,
)
from proxy.wire.resp cimport Frame

cdef enum:
    TRIES = 4                  # nodes that are asked, one after the other
    ROW_CHANGES = ROW_PAUSES | ROW_EXEC | ROW_WRITE

cdef struct Again:             # followed by the bytes of the request
    Again* next                # in core.agains
    Client* client             # NULL: it was answered
    Conn* conn                 # where it was asked first
    Conn* last                 # and last
    uint32_t slot
    uint32_t part
    uint32_t start
    uint32_t length
    uint16_t row
    uint8_t pendings           # that name it; 0: it is to be asked
    uint8_t tries
    uint8_t hedge              # asked again although nothing had gone wrong yet
    uint8_t kind               # ErrorKind: what is said when nobody can answer
    Sources sources            # who may be asked
    char why[64]

cdef bint again_wrote(Core* core, Client* client, uint32_t key, uint32_t before) noexcept nogil
cdef bint again_reads(Core* core, Client* client) noexcept nogil
cdef Again* again_new(Core* core, Conn* conn, Client* client, uint32_t slot, uint32_t part, uint16_t row, uint32_t start,
                      const char* data, size_t length) noexcept nogil
cdef Again* again_pending(Core* core, Conn* conn, Pending* pending, uint64_t place) noexcept nogil
cdef bint again_take(Core* core, Conn* conn, Pending* pending, uint64_t place, int kind, const char* why) noexcept nogil
cdef void again_waiters(Core* core, Conn* conn, Fetch* fetch, int kind, const char* why) noexcept nogil
cdef void again_lost(Core* core, Again* again) noexcept nogil
cdef Client* again_told(Again* again) noexcept nogil
cdef bint again_answered(Core* core, Conn* conn, Pending* pending, bint sick) noexcept nogil
cdef void again_leave(Pending* pending) noexcept nogil
cdef void again_free(Core* core, Again* again) noexcept nogil
cdef void agains_close(Core* core) noexcept nogil


cdef inline bint again_before(const Client* client, uint32_t end) noexcept nogil:
    """Is a slot before `end` unanswered? (After two thousand million requests perhaps yes when it is not.)"""
    return client.head != client.tail and <int32_t> (end - client.head) > 0


cdef inline bint again_waits(Core* core, Client* client, Row* row, Frame* frame) noexcept nogil:
    """Every request of a pool whose reads may be asked again: note its key. Has it to wait, because it may write what an
    unanswered read of the same client may find at another node?"""
    core.key = 0
    core.spread = 0
    if row.key:
        core.key = <uint32_t> key_hash(core, frame.data + frame.args[row.key].offset, frame.args[row.key].length) | 1
    if not row.flags & ROW_CHANGES:
        return False
    if again_before(client, client.apart_end) and again_reads(core, client):
        return True
    client.write_end = client.tail + 1
    return False
