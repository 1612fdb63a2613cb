# cython: language_level=3
"""Connection: one pipelined connection to a node. Step 5 of a request's life: it is queued, sent, and answered.

    head ──── head+expired ────────────── tail          ring of Pending, in the order of the bytes
    │ tombstones │ on their way or unsent  │
                    stream of request bytes: head_offset … queued − output.length (given to the kernel) … queued

Replies come in the order of the requests, so the oldest Pending names the client and slot of the next reply.
All requests of a pool have the same deadline, so deadlines expire from the head on and no timer is needed.
"""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memmove

from proxy.engine.heat cimport ROLE_MARK, ROLE_NONE
from proxy.engine.marks cimport marks_open
from proxy.engine.types cimport CONN_OPEN, DATABASES, FLUSH_AT, Client, Conn, Core, Node, Pending
from proxy.wire.chunk cimport Chunk
from proxy.wire.output cimport output_append, output_move

cdef void conn_fail(Core* core, Conn* conn, const char* reason) noexcept nogil
cdef void conn_close(Core* core, Conn* conn) noexcept nogil
cdef void conn_untrack(Conn* conn) noexcept nogil
cdef void conn_flush(Core* core, Conn* conn) noexcept nogil
cdef void conn_haunt(Core* core, Node* node, int64_t ghost, const char* run, const Conn* lost) noexcept nogil
cdef void conn_tick(Core* core, Conn* conn) noexcept nogil
cdef Conn* conn_for(Core* core, Node* node, int protocol, int database, int bulk) noexcept nogil
cdef void conn_connect(Core* core, Conn* conn) noexcept nogil
cdef void conn_established(Core* core, Conn* conn) noexcept nogil
cdef void conn_grow(Conn* conn) noexcept nogil
cdef void conn_retire(Core* core, Conn* conn) noexcept nogil
cdef void conn_free(Core* core, Conn* conn) noexcept nogil
cdef void pending_error(Core* core, Conn* conn, Pending* pending, int kind, const char* reason) noexcept nogil
cdef void pending_settle(Core* core, Pending* pending) noexcept nogil
cdef void pending_answer(Core* core, Pending* pending, const char* data, size_t length) noexcept nogil


cdef inline int conn_place(int protocol, int database, int bulk) noexcept nogil:
    """Where a node keeps the connection of this protocol, database and kind, in `Node.conns`."""
    return ((protocol - 2) * DATABASES + database) * 2 + bulk


cdef inline void conn_touch(Core* core, Conn* conn) noexcept nogil:
    if not conn.touched:
        conn.touched = 1
        conn.next_touched = core.touched
        core.touched = conn


cdef inline void conn_expect(Core* core, Conn* conn, Client* client, uint32_t slot, uint32_t part, uint16_t row,
                             size_t size) noexcept nogil:
    """A request of `size` bytes is in the output, to be answered to this client's slot (NULL: its reply is dropped)."""
    cdef Pending* pending
    if conn.pending == NULL or conn.tail - conn.head > conn.mask:
        conn_grow(conn)
    pending = &conn.pending[conn.tail & conn.mask]
    conn.tail += 1
    pending.client = client
    pending.slot = slot
    pending.part = part
    pending.start = <uint32_t> core.now_us
    pending.size = <uint32_t> size
    pending.skip = 0
    pending.row = row
    pending.role = ROLE_NONE
    pending.hops = 0
    if client != NULL:
        client.references += 1
        if core.noted:
            pending.role = ROLE_MARK
            pending.cool = marks_open(core, conn.blocking)
    conn.queued += size
    conn.used_us = core.now_us


cdef inline void conn_ask(Core* core, Conn* conn, uint32_t part, uint16_t row, size_t size, int role,
                          void* what) noexcept nogil:
    """A request of our own is in the output: what its reply does is its role's business."""
    cdef Pending* pending
    conn_expect(core, conn, NULL, 0, part, row, size)
    pending = &conn.pending[(conn.tail - 1) & conn.mask]
    pending.role = <uint8_t> role
    pending.cool = <uint64_t> what
    conn_touch(core, conn)


cdef inline Conn* conn_willing(Node* node, int protocol, int database) noexcept nogil:
    """The shared connection, if it takes a request of our own, which nobody would miss; else NULL."""
    cdef Conn* conn = node.conns[conn_place(protocol, database, 0)]
    if conn == NULL or conn.state != CONN_OPEN or conn.output.length > node.pool.limits.backlog:
        return NULL
    return conn


cdef inline void conn_send(Core* core, Conn* conn, Client* client, uint32_t slot, uint32_t part, uint16_t row,
                           const char* data, size_t size) noexcept nogil:
    """Queue a whole request; it leaves at the end of the turn, or as soon as FLUSH_AT bytes are queued."""
    conn_expect(core, conn, client, slot, part, row, size)
    output_append(&conn.output, &core.chunks, data, size)
    conn_touch(core, conn)
    if conn.output.length >= FLUSH_AT and not conn.stuck:
        conn_flush(core, conn)


cdef inline void conn_send_chunk(Core* core, Conn* conn, Client* client, uint32_t slot, uint16_t row,
                                 Chunk* chunk) noexcept nogil:
    """Queue a large request by taking its chunk over."""
    if conn.retains and chunk.head:
        # A Trail counts from the first byte of a chunk.
        memmove(chunk.data, chunk.data + chunk.head, chunk.tail - chunk.head)
        chunk.tail -= chunk.head
        chunk.head = 0
    conn_expect(core, conn, client, slot, 0, row, chunk.tail - chunk.head)
    output_move(&conn.output, &core.chunks, chunk)
    conn_touch(core, conn)
