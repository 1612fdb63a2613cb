# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Connection: opening, sending, failing, deadlines. See connection.pxd; what comes back is in replies.pyx.

States: IDLE opens on use. CONNECTING and GREETING queue requests. OPEN sends them. A connection that breaks becomes
LOST: requests queue while the control plane looks the name up and orders a new one. If that cannot be opened it is
DOWN and `refusing`: requests are answered with an error at once until it is OPEN again, so that a dead node costs its
clients no waiting.

Nothing is retried but reads, where there are replicas (again.pxd). What had been given to the kernel when a connection
broke has an unknown fate; what had not is withdrawn, and the error says so. The old socket is reset (SO_LINGER 0), and if requests were on their way the
successor first has the node kill it by its id, so that no old write lands after a newer one.
"""

from libc.stdint cimport int32_t, uint32_t, uint64_t
from libc.stdlib cimport abort, calloc, free, malloc
from libc.string cimport memcmp, memcpy, memset, strncpy

from proxy.engine.again cimport Again, again_lost, again_take, again_waiters
from proxy.engine.fetch cimport fetch_settle, fetch_tell
from proxy.engine.greeting cimport greeting_start
from proxy.engine.heat cimport (
    ROLE_AGAIN, ROLE_COPY, ROLE_LEASE, ROLE_LIFE, ROLE_MARK, ROLE_NONE, ROLE_PING, ROLE_SET, ROLE_SHARD, ROLE_TOMBSTONE,
    ROLE_TRACKING, ROLE_VALUE, ROLE_WAVE, Fetch, Hold, Miss,
)
from proxy.engine.holds cimport hold_settle
from proxy.engine.mail cimport event_node
from proxy.engine.marks cimport marks_close
from proxy.engine.merge cimport merge_free, merge_part, merge_result
from proxy.engine.retained cimport retained_restart, retained_sent
from proxy.engine.shards cimport shards_heard
from proxy.engine.slots cimport client_release, slot_fill
from proxy.engine.tally cimport Shards, Wave
from proxy.engine.texts cimport error_field, error_words, error_write
from proxy.engine.types cimport (
    CONN, CONNS, CONN_CONNECTING, CONN_DOWN, CONN_GREETING, CONN_IDLE, CONN_LOST, CONN_OPEN, DEAD, ERROR_LOST_NOT_SENT,
    ERROR_LOST_READ, ERROR_LOST_WRITE, ERROR_TIMEOUT_NOT_SENT, ERROR_TIMEOUT_READ, ERROR_TIMEOUT_WRITE, EVENT_NODE,
    FIELD_ADDRESS, FIELD_COMMAND, FIELD_ELAPSED, FIELD_NODE, FIELD_POOL, FIELD_REASON, GHOSTS, ROW_WRITE, SLOT_ADDING,
    SLOT_WAITING, Client, Conn, Core, ErrorArgs, Merge, Node, Pending, Slot,
)
from proxy.engine.voices cimport AWAY_GONE, ROLE_QUORUM, quorum_failed, quorum_settle
from proxy.engine.waves cimport wave_next, wave_settle
from proxy.wire.input cimport input_clear
from proxy.wire.output cimport (
    WRITE_FAILED, WROTE_SOME, Output, output_append, output_bulk, output_clear, output_cut, output_flatten,
    output_write, output_write_keeping,
)
from proxy.wire.poll cimport poll_add, poll_want
from proxy.wire.reply cimport reply_reset
from proxy.wire.resp cimport read_number, write_number
from proxy.wire.system cimport (
    EINPROGRESS, EPOLLIN, EPOLLOUT, IPPROTO_TCP, SO_ERROR, SO_KEEPALIVE, SO_LINGER, SOCK_CLOEXEC, SOCK_NONBLOCK,
    SOCK_STREAM, SOL_SOCKET, TCP_NODELAY, close, connect, errno, getsockopt, linger_t, setsockopt, sockaddr, socket,
    socklen_t, strerror_r,
)

cdef const char* LOST = b"-ERR the reply was lost\r\n"

cdef enum:
    LOST_LENGTH = 25
    FIRST_PENDING = 64
    IDLE_CLOSE_US = 60000000   # connections other than a node's first close after a minute without use


# -- opening ------------------------------------------------------------------------------------------------------

cdef Conn* conn_for(Core* core, Node* node, int protocol, int database, int bulk) noexcept nogil:
    """The connection for this protocol and database, opened if need be. Check `refusing` before using it."""
    cdef int place = conn_place(protocol, database, bulk)
    cdef Conn* conn = node.conns[place]
    if conn == NULL:
        conn = <Conn*> calloc(1, sizeof(Conn))
        if conn == NULL:
            abort()
        conn.handle.kind = CONN
        conn.handle.fd = -1
        conn.node = node
        conn.protocol = <unsigned char> protocol
        conn.database = <unsigned char> database
        conn.bulk = <unsigned char> bulk
        conn.keeps = node.pool.cluster != NULL
        conn.retains = node.pool.retains or conn.keeps
        node.conns[place] = conn
    if conn.state == CONN_IDLE:
        conn_connect(core, conn)
    return conn


cdef void conn_connect(Core* core, Conn* conn) noexcept nogil:
    """Open a socket to the node's address as last resolved; completion is reported by EPOLLOUT."""
    cdef Node* node = conn.node
    cdef sockaddr* address = <sockaddr*> node.socket_address
    cdef int yes = 1
    cdef char words[128]
    conn.state = CONN_CONNECTING
    conn.since_us = core.now_us
    if node.socket_length == 0:
        conn_fail(core, conn, b"its address is not known")
        return
    conn.handle.fd = socket(address.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)
    if conn.handle.fd < 0:
        conn_fail(core, conn, strerror_r(errno, words, sizeof(words)))
        return
    setsockopt(conn.handle.fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes))
    setsockopt(conn.handle.fd, SOL_SOCKET, SO_KEEPALIVE, &yes, sizeof(yes))
    if connect(conn.handle.fd, address, node.socket_length) < 0 and errno != EINPROGRESS:
        conn_fail(core, conn, strerror_r(errno, words, sizeof(words)))
        return
    if poll_add(&core.poll, &conn.handle, EPOLLIN | EPOLLOUT) < 0:
        conn_fail(core, conn, strerror_r(errno, words, sizeof(words)))


cdef void conn_established(Core* core, Conn* conn) noexcept nogil:
    """EPOLLOUT while connecting: it worked, or it did not."""
    cdef int error = 0
    cdef socklen_t size = sizeof(error)
    cdef char words[128]
    getsockopt(conn.handle.fd, SOL_SOCKET, SO_ERROR, &error, &size)
    if error:
        conn_fail(core, conn, strerror_r(error, words, sizeof(words)))
        return
    conn.state = CONN_GREETING
    conn.since_us = core.now_us
    greeting_start(core, conn)
    conn_flush(core, conn)


# -- sending ------------------------------------------------------------------------------------------------------

cdef void conn_grow(Conn* conn) noexcept nogil:
    cdef uint32_t old = 0 if conn.pending == NULL else conn.mask + 1
    cdef uint32_t size = old * 2 if old else FIRST_PENDING
    cdef Pending* pending = <Pending*> malloc(size * sizeof(Pending))
    cdef uint32_t number = conn.head
    if pending == NULL:
        abort()
    while number != conn.tail:
        pending[number & (size - 1)] = conn.pending[number & conn.mask]
        number += 1
    free(conn.pending)
    conn.pending = pending
    conn.mask = size - 1


cdef void conn_flush(Core* core, Conn* conn) noexcept nogil:
    """Give the kernel what is queued: the greeting first, requests only once it was answered."""
    cdef Output* output = &conn.output if conn.state == CONN_OPEN else &conn.greeting
    cdef size_t before = output.length
    cdef size_t kept = conn.trail.bytes
    cdef int status
    cdef char words[128]
    if conn.state != CONN_OPEN and conn.state != CONN_GREETING:
        return
    if before == 0:
        if conn.stuck:
            conn.stuck = 0
        poll_want(&core.poll, &conn.handle, EPOLLIN)
        return
    conn.flushes += 1
    if conn.retains and output == &conn.output:
        status = output_write_keeping(output, &core.chunks, conn.handle.fd, &conn.trail)
        retained_sent(core, conn, kept)
    else:
        status = output_write(output, &core.chunks, conn.handle.fd)
    if status == WRITE_FAILED:
        conn_fail(core, conn, strerror_r(errno, words, sizeof(words)))
        return
    if output.length != before:
        conn.progress_us = core.now_us
        conn.node.bytes_out += before - output.length
    conn.stuck = status == WROTE_SOME
    poll_want(&core.poll, &conn.handle, EPOLLIN | EPOLLOUT if conn.stuck else EPOLLIN)


# -- answering what will not be answered by the node ----------------------------------------------------------------

cdef void added(Core* core, Client* client, Slot* slot, uint32_t number, const char* data, size_t length) noexcept nogil:
    """An integer and what is to be added to it; an error as it is."""
    cdef char text[32]
    cdef long long value = 0
    cdef long long extra = <long long> slot.at
    slot.state = SLOT_WAITING
    if data[0] == c':' and read_number(data + 1, length - 3, &value):
        text[0] = c':'
        slot_fill(core, client, number, text, 1 + write_number(text + 1, value + extra))
    else:
        slot_fill(core, client, number, data, length)


cdef void pending_answer(Core* core, Pending* pending, const char* data, size_t length) noexcept nogil:
    """Hand a reply, or an error of our own, to the slot that waits for it; nobody gets it when the client is gone."""
    cdef Client* client = pending.client
    cdef Slot* slot
    cdef Merge* merge
    cdef Output merged
    if client.handle.kind == DEAD:
        client_release(core, client)
        return
    client.references -= 1
    slot = &client.slots[pending.slot & client.mask]
    if slot.state == SLOT_WAITING:
        slot_fill(core, client, pending.slot, data, length)
        return
    if slot.state == SLOT_ADDING:
        added(core, client, slot, pending.slot, data, length)
        return
    merge = <Merge*> slot.at
    client.held_bytes += length
    if merge_part(core, merge, pending.part, data, length):
        client.held_bytes -= merge.bytes
        memset(&merged, 0, sizeof(merged))
        merge_result(core, merge, client.protocol, &merged)
        slot.state = SLOT_WAITING
        merge_free(core, merge)
        output_flatten(&merged, &core.chunks)
        slot_fill(core, client, pending.slot, merged.first.data, merged.length)
        output_clear(&merged, &core.chunks)


cdef void pending_error(Core* core, Conn* conn, Pending* pending, int kind, const char* reason) noexcept nogil:
    """Answer one request with an error that names pool, node and what is known of its fate."""
    cdef ErrorArgs args
    cdef Output text
    cdef char elapsed[32]
    cdef int length
    cdef Fetch* fetch = NULL
    cdef Pending one
    if pending.role >= ROLE_QUORUM:
        quorum_failed(core, pending, kind == ERROR_TIMEOUT_WRITE or kind == ERROR_LOST_WRITE)
        return
    if pending.role == ROLE_WAVE:
        while wave_next(<Wave*> pending.cool, &one):
            pending_error(core, conn, &one, kind, reason)
        return
    if pending.role == ROLE_COPY:
        # Who waits is not told: his key has a home.
        (<Fetch*> pending.cool).lost = 1
    if pending.role == ROLE_SET:
        joined_error(core, conn, pending, kind, reason)
    if pending.role == ROLE_VALUE or pending.role == ROLE_LIFE:
        fetch = <Fetch*> pending.cool
        again_waiters(core, conn, fetch, kind, reason)
    if pending.client == NULL and pending.role != ROLE_SHARD and (fetch == NULL or pending.role == ROLE_LIFE and fetch.waiters.count == 0):
        return
    memset(&args, 0, sizeof(args))
    memset(&text, 0, sizeof(text))
    length = write_number(elapsed, <uint32_t> (<uint32_t> core.now_us - pending.start) // 1000)
    error_field(&args, FIELD_ELAPSED, elapsed, length - 2)
    error_words(&args, FIELD_POOL, conn.node.pool.name)
    error_words(&args, FIELD_NODE, conn.node.name)
    error_words(&args, FIELD_ADDRESS, conn.node.address)
    error_words(&args, FIELD_COMMAND, core.rows[pending.row].full_name)
    if reason != NULL:
        error_words(&args, FIELD_REASON, reason)
    error_write(core, kind, &args, &text)
    core.row_stats[pending.row].failed += 1
    if pending.role == ROLE_SHARD:
        pending.role = ROLE_NONE
        shards_heard(core, <Shards*> pending.cool, <int> pending.part, text.first.data, text.length)
    elif fetch != NULL:
        fetch_tell(core, fetch, text.first.data, text.length)
    else:
        pending_answer(core, pending, text.first.data, text.length)
    output_clear(&text, &core.chunks)
    pending.client = NULL


cdef void joined_error(Core* core, Conn* conn, const Pending* pending, int kind, const char* reason) noexcept nogil:
    """What became of the reads that joined a SET which gets this error."""
    cdef Fetch* fetch = <Fetch*> pending.cool
    cdef Pending reads = pending[0]
    if fetch.over or fetch.waiters.count == 0:
        fetch.over = 1
        return
    reads.client = NULL
    reads.role = ROLE_VALUE
    reads.row = fetch.row
    if kind == ERROR_LOST_WRITE:
        kind = ERROR_LOST_READ
    elif kind == ERROR_TIMEOUT_WRITE:
        kind = ERROR_TIMEOUT_READ
    pending_error(core, conn, &reads, kind, reason)


cdef void pending_settle(Core* core, Pending* pending) noexcept nogil:
    """It leaves the ring: what else hung on its reply hangs on nothing more."""
    if pending.role >= ROLE_QUORUM:
        quorum_settle(core, pending)
    elif pending.role == ROLE_MARK:
        marks_close(core, pending.cool)
    elif pending.role == ROLE_SET:
        marks_close(core, (<Fetch*> pending.cool).opened)
        fetch_settle(core, <Fetch*> pending.cool)
    elif pending.role == ROLE_TOMBSTONE:
        hold_settle(<Hold*> pending.cool)
    elif pending.role == ROLE_SHARD:
        shards_heard(core, <Shards*> pending.cool, <int> pending.part, LOST, LOST_LENGTH)
    elif pending.role == ROLE_WAVE:
        wave_settle(core, <Wave*> pending.cool)
    elif ROLE_LEASE <= pending.role < ROLE_COPY:
        # The next tick sees that it waits for nothing.
        (<Miss*> pending.cool).pendings -= 1
    elif pending.role == ROLE_AGAIN:
        again_lost(core, <Again*> pending.cool)
    elif pending.role != ROLE_NONE and pending.role != ROLE_PING:
        fetch_settle(core, <Fetch*> pending.cool)
    pending.role = ROLE_NONE


cdef void conn_untrack(Conn* conn) noexcept nogil:
    """What was read here is tracked no more, and neither will be what is queued: copies of it are void."""
    if conn.tracked:
        conn.tracked = 0
        conn.node.forgets += 1


cdef void conn_close(Core* core, Conn* conn) noexcept nogil:
    """Reset the socket: what the kernel still holds of old requests must not reach the node."""
    cdef linger_t now
    conn_untrack(conn)
    if conn.handle.fd >= 0:
        now.l_onoff = 1
        now.l_linger = 0
        setsockopt(conn.handle.fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now))
        close(conn.handle.fd)
        conn.handle.fd = -1
    conn.handle.interest = 0
    conn.stuck = 0
    input_clear(&conn.input, &core.chunks)
    output_clear(&conn.greeting, &core.chunks)
    free(conn.told)
    conn.told = NULL
    reply_reset(&conn.frame)


cdef void conn_haunt(Core* core, Node* node, int64_t ghost, const char* run, const Conn* lost) noexcept nogil:
    """The node may still execute what a lost connection sent: have it killed there before any newer request.

    `ghost` is its id at the process `run`, a run_id of 41 bytes; `lost` its own struct, where it was one of ours.
    Connections that are open are told at once, in their stream; those that open later say it in their greeting.
    """
    cdef Conn* other
    cdef char number[32]
    cdef size_t start
    cdef int digits, index
    if memcmp(node.ghost_run, run, sizeof(node.ghost_run)) != 0 or node.ghost_count == GHOSTS:
        node.ghost_count = 0
    memcpy(node.ghost_run, run, sizeof(node.ghost_run))
    node.ghosts[node.ghost_count] = ghost
    node.ghost_count += 1
    digits = write_number(number, ghost) - 2
    for index in range(CONNS):
        other = node.conns[index]
        if other == NULL or other == lost or other.state != CONN_OPEN:
            continue
        if memcmp(other.run, run, sizeof(other.run)) != 0:
            continue  # a younger process: the id may be somebody else's there
        start = other.output.length
        output_append(&other.output, &core.chunks, b"*4\r\n$6\r\nCLIENT\r\n$4\r\nKILL\r\n$2\r\nID\r\n", 34)
        output_bulk(&other.output, &core.chunks, number, digits)
        conn_expect(core, other, NULL, 0, 0, 0, other.output.length - start)
        conn_touch(core, other)


cdef void node_away(Node* node) noexcept nogil:
    """With `replication: ring`: it misses writes from here on, until the control plane says that it was mended."""
    if node.away < AWAY_GONE:
        node.away = AWAY_GONE
    node.pool.live[node.index] = 0


cdef void conn_fail(Core* core, Conn* conn, const char* reason) noexcept nogil:
    """The connection is of no use any more. Answer what was on it, tell the control plane, refuse or wait.

    `reason` is copied into errors and the event; it may point into a local buffer of the caller.
    """
    cdef bint was_open = conn.state == CONN_OPEN
    cdef uint64_t offset, sent
    cdef Pending* pending
    cdef bint write
    cdef bint on_its_way
    cdef int kind
    if conn.state == CONN_IDLE or conn.state == CONN_LOST or conn.state == CONN_DOWN:
        return
    sent = conn.queued - conn.output.length
    on_its_way = sent > conn.head_offset
    conn_close(core, conn)
    if conn.node.pool.copies and not conn.private:
        # Others have the keys: nothing waits for it to come back, and it will not be asked before it was mended.
        node_away(conn.node)
    conn.state = CONN_DOWN
    if (was_open or conn.node.patient) and not conn.node.ejected and not conn.private and not conn.node.pool.copies:
        conn.state = CONN_LOST
    conn.since_us = core.now_us
    conn.refusing = conn.state == CONN_DOWN
    conn.failures += 1
    conn.node.losses += 1
    # A wait that is cut off is over at the node, too; what it may have popped is said to be of unknown fate.
    if was_open and on_its_way and conn.id and not conn.blocking:
        conn_haunt(core, conn.node, conn.id, conn.run, conn)
    conn.id = 0
    # Requests that the kernel never got stay queued while LOST: nothing was promised and nothing happened.
    offset = conn.head_offset
    while conn.head != conn.tail:
        pending = &conn.pending[conn.head & conn.mask]
        if offset >= sent and conn.state == CONN_LOST:
            break
        write = (core.rows[pending.row].flags & ROW_WRITE) != 0
        kind = ERROR_LOST_NOT_SENT if offset >= sent else ERROR_LOST_WRITE if write else ERROR_LOST_READ
        if not again_take(core, conn, pending, offset, kind, reason):
            pending_error(core, conn, pending, kind, reason)
        pending_settle(core, pending)
        offset += pending.size
        conn.head += 1
    # A request that was sent in part is answered above; its rest must not open the next connection's stream.
    if offset > sent:
        output_cut(&conn.output, &core.chunks, 0, <size_t> (offset - sent))
    conn.head_offset = offset
    conn.expired = 0
    retained_restart(core, conn)
    conn_overlooked(conn)
    strncpy(conn.why, reason, sizeof(conn.why) - 1)
    if conn.private:
        conn_retire(core, conn)
    else:
        event_node(core, EVENT_NODE, conn, reason)


cdef void conn_retire(Core* core, Conn* conn) noexcept nogil:
    """A private connection is of no use any more: privates_bury() frees it. Its shared sibling tells of the node."""
    conn_close(core, conn)
    conn.state = CONN_DOWN
    if conn.ear:
        # What it would have told is lost.
        conn.node.ear = NULL
        conn.node.live_until_us = 0
        conn.node.forgets += 1
    conn.next_lost = core.lost_privates
    core.lost_privates = conn


cdef void conn_free(Core* core, Conn* conn) noexcept nogil:
    """End of the engine: release everything; clients are gone already."""
    conn_close(core, conn)
    output_clear(&conn.output, &core.chunks)
    retained_restart(core, conn)
    while conn.head != conn.tail:
        if conn.pending[conn.head & conn.mask].client != NULL:
            client_release(core, conn.pending[conn.head & conn.mask].client)
        elif conn.pending[conn.head & conn.mask].role == ROLE_VALUE:
            fetch_tell(core, <Fetch*> conn.pending[conn.head & conn.mask].cool, b"", 0)
        pending_settle(core, &conn.pending[conn.head & conn.mask])
        conn.head += 1
    free(conn.pending)
    free(conn)


# -- deadlines ----------------------------------------------------------------------------------------------------

cdef inline void conn_overlooked(Conn* conn) noexcept nogil:
    """The ring has changed: look at all of it for what is late."""
    conn.seen[0] = conn.head
    conn.seen[1] = conn.head


cdef inline bint overdue(Core* core, uint32_t start, uint32_t limit) noexcept nogil:
    """Has `limit` us passed since `start`, both on the low 32 bits of the clock (71 minutes)?"""
    return <int32_t> (<uint32_t> core.now_us - start - limit) >= 0


cdef void expire(Core* core, Conn* conn, uint32_t limit) noexcept nogil:
    """Answer every request whose deadline passed: a sent one leaves a tombstone, an unsent one is withdrawn."""
    cdef uint64_t sent = conn.queued - conn.output.length
    cdef uint64_t offset = conn.head_offset
    cdef uint32_t number = conn.head
    cdef uint32_t withdrawn = 0
    cdef bint late = False
    cdef uint64_t from_offset = 0
    cdef size_t bytes = 0
    cdef uint32_t index
    cdef Pending* pending
    cdef int kind
    if conn.node.pool.copies and not conn.private:
        node_away(conn.node)
    while number != conn.tail:
        pending = &conn.pending[number & conn.mask]
        if number - conn.head >= conn.expired:
            if not overdue(core, pending.start, limit):
                break
            conn.node.timeouts += 1
            if pending.role != ROLE_AGAIN:
                core.counters.timeouts += 1
            if offset >= sent:
                if withdrawn == 0:
                    from_offset = offset
                withdrawn += 1
                bytes += pending.size
                kind = ERROR_TIMEOUT_NOT_SENT
            else:
                conn.expired += 1
                late = True
                kind = ERROR_TIMEOUT_READ
                if core.rows[pending.row].flags & ROW_WRITE:
                    kind = ERROR_TIMEOUT_WRITE
            pending_error(core, conn, pending, kind, NULL)
            if kind == ERROR_TIMEOUT_NOT_SENT:
                if pending.role == ROLE_TRACKING:
                    conn_untrack(conn)
                pending_settle(core, pending)
            elif pending.role == ROLE_AGAIN:
                # Its reply is nobody's any more.
                pending_settle(core, pending)
        offset += pending.size
        number += 1
    if late and core.now_us - conn.failed_us >= limit:
        # One hang is one failure, however many requests it held up.
        conn.failures += 1
        conn.failed_us = core.now_us
    if withdrawn:
        core.counters.withdrawn += withdrawn
        output_cut(&conn.output, &core.chunks, <size_t> (from_offset - sent), bytes)
        conn.queued -= bytes
        # What was sent before them moves up to close the gap in the ring.
        index = number - withdrawn
        while index != conn.head:
            index -= 1
            conn.pending[(index + withdrawn) & conn.mask] = conn.pending[index & conn.mask]
        conn.head += withdrawn
        conn_overlooked(conn)
    event_node(core, EVENT_NODE, conn, b"requests time out")


cdef void conn_tick(Core* core, Conn* conn) noexcept nogil:
    """Once a tick: deadlines, a connection attempt that hangs, too many or too old tombstones, idleness."""
    cdef uint32_t limit = conn.node.pool.limits.timeout_us
    cdef uint32_t first
    if conn.untold and conn.handle.fd < 0:
        event_node(core, EVENT_NODE, conn, conn.why)
    if conn.state == CONN_CONNECTING or conn.state == CONN_GREETING:
        if core.now_us - conn.since_us > conn.node.pool.limits.connect_timeout_us:
            conn_fail(core, conn, b"connecting took too long")
            return
    if conn.head == conn.tail:
        if conn.retains and conn.output.length == 0 and conn.output.first != NULL:
            output_clear(&conn.output, &core.chunks)
            retained_restart(core, conn)
        if conn.state == CONN_OPEN and core.now_us - conn.used_us > IDLE_CLOSE_US and (
                conn.database or conn.bulk or conn.protocol == 3 or conn.private) and conn.output.length == 0:
            if conn.private:
                if conn.owner == NULL:
                    conn_retire(core, conn)
            else:
                conn_close(core, conn)
                conn.state = CONN_IDLE
        return
    if limit == 0:
        return
    # While a large transfer makes progress, the requests behind it wait without their deadline running out.
    first = conn.head + conn.expired
    if first != conn.tail and overdue(core, conn.pending[first & conn.mask].start, limit):
        if not conn.bulk or core.now_us - conn.progress_us > limit:
            expire(core, conn, limit)
            if (conn.bulk or conn.private or conn.node.pool.copies) and conn.expired:
                # Newer requests go by another connection: this one must not be executed behind their back.
                conn_fail(core, conn, b"a large request took too long" if conn.bulk else b"it took too long")
                return
    if conn.expired and conn.state == CONN_OPEN and (
            conn.expired > conn.node.pool.limits.most_tombstones
            or overdue(core, conn.pending[conn.head & conn.mask].start, conn.node.pool.limits.tombstone_us)):
        conn_fail(core, conn, b"its replies are too late")
