# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Replies: framing them, pairing each with the oldest Pending, counting. See replies.pxd.

A node is never trusted: bytes that are not RESP, or a reply that nobody asked for, end the connection.
"""

from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memcmp, memcpy

from proxy.engine.again cimport Again, again_answered, again_take, again_waiters
from proxy.engine.connection cimport conn_fail, conn_flush, pending_answer
from proxy.engine.cool cimport cool_reply, cool_was_set
from proxy.engine.ear cimport ear_heard
from proxy.engine.greeting cimport greeting_reply
from proxy.engine.heat cimport ROLE_AGAIN, ROLE_MARK, ROLE_NONE, ROLE_SET, ROLE_SHARD, ROLE_VALUE, ROLE_WAVE, Fetch
from proxy.engine.launch cimport launch_reply
from proxy.engine.lease cimport lease_fence, lease_look
from proxy.engine.mail cimport event_node
from proxy.engine.marks cimport marks_close
from proxy.engine.members cimport cluster_role
from proxy.engine.quorum cimport quorum_reply
from proxy.engine.redirect cimport kept_open, kept_reply
from proxy.engine.retained cimport retained_release
from proxy.engine.scripts cimport script_answered
from proxy.engine.shards cimport shards_heard
from proxy.engine.slots cimport slot_fill_chunk, slot_local
from proxy.engine.tally cimport Shards
from proxy.engine.tombstones cimport tombstones_after
from proxy.engine.types cimport (
    BUCKETS, CONN_OPEN, DEAD, ERROR_NODE_DOWN, EVENT_OPEN, EVENT_SICK, ROW_EVALSHA, SLOT_MERGING, Client, Conn, Core, Node, Pending, Row,
)
from proxy.engine.voices cimport ROLE_QUORUM
from proxy.wire.chunk cimport Chunk, chunk_free
from proxy.wire.input cimport (
    MOVE_AT, READ_END, READ_NOTHING, READ_SOME, SCRATCH, input_detach, input_keep, input_read,
)
from proxy.wire.reply cimport frame_reply, reply_reset
from proxy.wire.resp cimport BROKEN, MORE
from proxy.wire.system cimport errno, strerror_r

cdef extern from *:
    """
    #define quench_bucket(v) ((v) ? 64 - __builtin_clzll(v) : 0)
    """
    int quench_bucket(uint64_t value) nogil

cdef const char* SICK = b"it answers, but with an error that it cannot serve"

cdef enum:
    READS = 4                  # receives of one connection in a turn
    MOST_REPLY = 0x7FFFFFFF    # bytes of one string in a reply; a node may hold more than clients may send


cdef void conn_readable(Core* core, Conn* conn) noexcept nogil:
    """Read and hand out replies until the socket is empty or has had its share of the turn."""
    cdef const char* data
    cdef size_t length
    cdef size_t before
    cdef int status
    cdef int reads = 0
    cdef char words[128]
    while reads < READS and conn.handle.fd >= 0:
        reads += 1
        before = 0 if conn.input.chunk == NULL else conn.input.chunk.tail - conn.input.chunk.head
        status = input_read(&conn.input, &core.chunks, core.scratch, conn.handle.fd, NULL, &data, &length)
        if status == READ_NOTHING:
            return
        if status == READ_END:
            conn_fail(core, conn, b"the node closed the connection")
            return
        if status != READ_SOME:
            conn_fail(core, conn, strerror_r(errno, words, sizeof(words)))
            return
        conn.node.bytes_in += length - before
        conn.progress_us = core.now_us
        conn_take(core, conn, data, length)
        if length - before < SCRATCH:
            return


cdef void conn_take(Core* core, Conn* conn, const char* data, size_t length) noexcept nogil:
    """Use `length` bytes at `data`, which input_read() returned, and keep what is left over."""
    cdef size_t used = 0
    cdef size_t size
    cdef size_t need = 0
    cdef int status
    cdef Chunk* chunk
    if conn.head != conn.tail:
        conn.proved_us = core.now_us - <uint32_t> (<uint32_t> core.now_us - conn.pending[conn.head & conn.mask].start)
    lease_look(core, conn)
    while used < length:
        status = frame_reply(&conn.frame, data + used, length - used, MOST_REPLY)
        if status == MORE:
            need = conn.frame.need
            # A large reply gets room of its own at once and is handed on without a copy.
            if need < MOVE_AT or need <= length - used:
                need = 0
            break
        if status == BROKEN:
            conn_fail(core, conn, b"it sent bytes that are not RESP")
            return
        size = conn.frame.scanned
        reply_reset(&conn.frame)
        if size >= MOVE_AT and conn.input.chunk != NULL:
            input_keep(&conn.input, &core.chunks, data, length, used, 0, NULL)
            chunk = input_detach(&conn.input, &core.chunks, size, NULL)
            if chunk != NULL:
                reply_large(core, conn, chunk)
                if conn.handle.fd < 0:
                    return
                length = 0 if conn.input.chunk == NULL else conn.input.chunk.tail - conn.input.chunk.head
                data = NULL if conn.input.chunk == NULL else conn.input.chunk.data + conn.input.chunk.head
                used = 0
                continue
            length -= used
            data += used
            used = 0
        reply(core, conn, data + used, size)
        if conn.handle.fd < 0:
            return
        used += size
    input_keep(&conn.input, &core.chunks, data, length, used, need, NULL)
    if conn.retains:
        retained_release(core, conn)


cdef inline void measure(Node* node, uint32_t latency) noexcept nogil:
    """Estimates of a node's latency: a mean that follows an eighth of each change, and what 95 of 100 replies do not
    exceed: up by 19 parts where one does, down by one part where it does not (after Ma, Muthukrishnan and Sandler,
    Frugal Streaming for Estimating Quantiles, 2013)."""
    cdef uint32_t step = (node.slow_us >> 9) + 1
    node.smooth_us = 8 * latency if node.smooth_us == 0 else node.smooth_us + latency - (node.smooth_us >> 3)
    if latency > node.slow_us:
        node.slow_us += 19 * step
    elif node.slow_us > step:
        node.slow_us -= step


cdef inline void count(Core* core, Conn* conn, const Pending* pending, const char* data) noexcept nogil:
    """What a node's answer to a client says of the node and of the command."""
    cdef Row* row = &core.rows[pending.row]
    cdef uint32_t latency = <uint32_t> core.now_us - pending.start
    core.row_stats[pending.row].usec += latency
    core.counters.replies += 1
    conn.node.latency_us += latency
    core.counters.replica_reads += conn.node.primary != conn.node.index
    core.row_stats[pending.row].latency[quench_bucket(latency) & (BUCKETS - 1)] += 1
    if row.flags & ROW_EVALSHA:
        script_answered(core, conn, pending.part, data)
    if data[0] == c'-':
        core.row_stats[pending.row].failed += 1
        core.counters.error_replies += 1
        conn.node.errors += 1
        if sick(data):
            conn.failures += 1
            event_node(core, EVENT_SICK, conn, SICK)
    else:
        conn.failures = 0


cdef Pending* next_pending(Core* core, Conn* conn, const char* data, size_t size) noexcept nogil:
    """The request that this reply answers, taken off the ring; NULL if there is none to answer.

    Counts it, and deals with what answers nobody, or several, or not yet: tombstones, fetches, replies too many.
    """
    cdef Pending* pending
    cdef bint late = conn.expired != 0
    cdef bint held
    if conn.head == conn.tail or conn.head_offset >= conn.queued - conn.output.length:
        conn_fail(core, conn, b"it sent a reply that nobody asked for")
        return NULL
    pending = &conn.pending[conn.head & conn.mask]
    if conn.keeps and kept_reply(core, conn, data, size):
        return NULL
    if pending.skip:
        pending.skip -= 1
        return NULL
    conn.head += 1
    conn.head_offset += pending.size
    if late:
        conn.expired -= 1
        core.counters.late_replies += 1
    if pending.role == ROLE_SET:
        was_set(core, conn, pending[0], late, data, size)
        return NULL
    if pending.role == ROLE_MARK:
        held = tombstones_after(core, conn, pending, pending.cool, NULL, data, size)
        marks_close(core, pending.cool)
        if held:
            count(core, conn, pending, data)
            return NULL
    elif pending.role == ROLE_AGAIN:
        if not again_answered(core, conn, pending, (data[0] == c'-' and sick(data)) or (
                conn.keeps and (<Again*> pending.cool).pendings > 1 and kept_open(conn, data, size))):
            return NULL
        count(core, conn, pending, data)
        return pending
    elif pending.role == ROLE_SHARD:
        pending.role = ROLE_NONE
        shards_heard(core, <Shards*> pending.cool, <int> pending.part, data, size)
        return NULL
    elif pending.role == ROLE_WAVE:
        if not late:
            count(core, conn, pending, data)
        launch_reply(core, conn, pending, data, size)
        return NULL
    elif pending.role and (late or pending.role != ROLE_VALUE):
        if pending.role >= ROLE_QUORUM:
            count(core, conn, pending, data)
            quorum_reply(core, conn, pending, data, size)
            return NULL
        cool_reply(core, conn, pending, data, size)
        return NULL
    if late or pending.client == NULL and pending.role != ROLE_VALUE:
        return NULL
    count(core, conn, pending, data)
    if conn.retains and conn.node.pool.retains:
        measure(conn.node, <uint32_t> core.now_us - pending.start)
        if data[0] == c'-' and sick(data):
            if pending.role == ROLE_VALUE:
                again_waiters(core, conn, <Fetch*> pending.cool, ERROR_NODE_DOWN, SICK)
            elif again_take(core, conn, pending, conn.head_offset - pending.size, ERROR_NODE_DOWN, SICK):
                return NULL
    if pending.role == ROLE_VALUE:
        cool_reply(core, conn, pending, data, size)
        return NULL
    return pending


cdef void was_set(Core* core, Conn* conn, Pending pending, bint late, const char* data, size_t size) noexcept nogil:
    """A SET that others joined. The ring's Pending is copied: what they ask for may take its place."""
    cdef Fetch* fetch = <Fetch*> pending.cool
    marks_close(core, fetch.opened)
    if not late and pending.client != NULL:
        count(core, conn, &pending, data)
        pending_answer(core, &pending, data, size)
    cool_was_set(core, fetch, data, size)


cdef bint sick(const char* data) noexcept nogil:
    """An error that says that the node serves nobody now. -OOM and -READONLY are not: they leave reads alone."""
    return (memcmp(data, b"-LOADING ", 9) == 0 or memcmp(data, b"-MASTERDOWN ", 12) == 0
            or memcmp(data, b"-BUSY ", 6) == 0)


cdef void pushed(Core* core, Conn* conn, const char* data, size_t size) noexcept nogil:
    """A push is no answer. One of tracking is for the connection's client, behind all that it is owed; see tracking.pxd."""
    if conn.ear:
        ear_heard(core, conn, data, size)
    elif conn.tracking and conn.owner.protocol == 3:
        slot_local(core, conn.owner, data, size)
    else:
        core.counters.pushes_dropped += 1


cdef void reply(Core* core, Conn* conn, const char* data, size_t size) noexcept nogil:
    """One whole reply, to be copied to where it belongs."""
    cdef Pending* pending
    if conn.state != CONN_OPEN:
        greeted(core, conn, data, size)
        return
    if data[0] == c'>':
        pushed(core, conn, data, size)
        return
    if core.fenced:
        data = lease_fence(core, conn, data, &size)
    pending = next_pending(core, conn, data, size)
    if pending == NULL:
        return
    pending_answer(core, pending, data, size)


cdef void reply_large(Core* core, Conn* conn, Chunk* chunk) noexcept nogil:
    """One whole reply in a chunk of its own, to be handed on without a copy."""
    cdef Pending* pending
    cdef Client* client
    if conn.state != CONN_OPEN:
        greeted(core, conn, chunk.data + chunk.head, chunk.tail - chunk.head)
        chunk_free(&core.chunks, chunk)
        return
    if chunk.data[chunk.head] == c'>':
        pushed(core, conn, chunk.data + chunk.head, chunk.tail - chunk.head)
        chunk_free(&core.chunks, chunk)
        return
    if core.fenced:
        # It may be an error now, which is short.
        reply(core, conn, chunk.data + chunk.head, chunk.tail - chunk.head)
        chunk_free(&core.chunks, chunk)
        return
    pending = next_pending(core, conn, chunk.data + chunk.head, chunk.tail - chunk.head)
    client = NULL if pending == NULL else pending.client
    if client == NULL or client.handle.kind == DEAD or (
            client.slots[pending.slot & client.mask].state == SLOT_MERGING):
        if client != NULL:
            pending_answer(core, pending, chunk.data + chunk.head, chunk.tail - chunk.head)
        chunk_free(&core.chunks, chunk)
        return
    client.references -= 1
    slot_fill_chunk(core, client, pending.slot, chunk)


cdef void greeted(Core* core, Conn* conn, const char* data, size_t size) noexcept nogil:
    """An answer to the greeting; the last one opens the connection for requests."""
    cdef int status
    cdef char words[160]
    cdef size_t length
    if data[0] == c'>':
        return
    status = greeting_reply(core, conn, data, size)
    if status == -2:
        conn_fail(core, conn, b"another process is at its address")
        return
    if status < 0:
        length = size - 3 if size - 3 < 150 else 150
        memcpy(words, data + 1, length)
        words[length] = 0
        conn_fail(core, conn, words)
        return
    if status == 1:
        conn.state = CONN_OPEN
        conn.refusing = 0
        conn.failures = 0
        conn.why[0] = 0
        conn.since_us = core.now_us
        conn.used_us = core.now_us
        core.counters.reconnects += 1
        if conn.keeps and not conn.private:
            cluster_role(core, conn)
        event_node(core, EVENT_OPEN, conn, conn.run)
    conn_flush(core, conn)
