# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Redirect: reading what a node said, and sending the request where it belongs. See redirect.pxd.

A request that cannot go on at once is a Detour, in the order in which they came: one whose slot is at a node that the
control plane has not told of yet goes when it has; one that is to be tried again goes after RETRY_US. None waits longer
than its deadline, and all of a pool take `limits.backlog` bytes at most; beyond that the answer is an error at once.
"""

from libc.stdint cimport int32_t, uint32_t, uint64_t
from libc.stdlib cimport abort, atoi, free, malloc
from libc.string cimport memchr, memcmp, memcpy, memset, strlen

from proxy.engine.again cimport Again, again_leave
from proxy.engine.cluster cimport CLUSTER_SLOTS, NODE_TEXT, NO_NODE, Detour, cluster_find, cluster_of
from proxy.engine.connection cimport conn_expect, conn_for, conn_touch, pending_answer, pending_error, pending_settle
from proxy.engine.heat cimport ROLE_AGAIN, ROLE_LIFE, ROLE_MARK, ROLE_NONE, ROLE_SET, ROLE_VALUE, ROLE_WAVE, Fetch
from proxy.engine.lookup cimport lookup
from proxy.engine.mail cimport event_post
from proxy.engine.private cimport private_take, watch_end
from proxy.engine.retained cimport retained_find
from proxy.engine.scripts cimport script_frame
from proxy.engine.slots cimport client_release
from proxy.engine.sources cimport STANDING_OPEN, standing
from proxy.engine.tracking cimport held_for, tracked_conn
from proxy.engine.types cimport (
    CACHING_YES, CLIENT_BARRIER, CLIENT_WATCHING, DEAD, ERROR_CLUSTER_DOWN, ERROR_NODE_DOWN, ERROR_NOT_REDIRECTED,
    EVENT_REDIRECTED, HOLD_WAIT, ROW_EVALSHA, ROW_EXEC, ROW_READ, ROW_WATCH, TRACKING_OPTIN, Client, Conn, Core, Node, Pending, Pool,
    Row,
)
from proxy.wire.output cimport Output, output_append
from proxy.wire.resp cimport FRAMED, Frame, FrameLimits, frame_request, frame_reset

cdef enum:
    HOPS = 5                   # times that a request is sent on to another node without a pause
    RETRY_US = 20000
    LONGEST_US = 5000000       # that a request waits in a pool without a timeout
    TELL_US = 20000
    ASKING_LENGTH = 16
    NAME_WORD = 8              # bytes that lookup() reads of a name, however short

cdef const char* ASKING = b"*1\r\n$6\r\nASKING\r\n"

cdef enum Word:
    WORD_NONE = 0
    WORD_MOVED = 1
    WORD_ASK = 2
    WORD_TRYAGAIN = 3
    WORD_CLUSTERDOWN = 4
    WORD_REPLICA = 5           # a replica says what only its primary should


cdef int word_of(const char* data) noexcept nogil:
    """What an error reply is about. It ends with CRLF, so a comparison never goes past its end."""
    if memcmp(data, b"-MOVED ", 7) == 0:
        return WORD_MOVED
    if memcmp(data, b"-ASK ", 5) == 0:
        return WORD_ASK
    if memcmp(data, b"-TRYAGAIN ", 10) == 0:
        return WORD_TRYAGAIN
    return WORD_CLUSTERDOWN if memcmp(data, b"-CLUSTERDOWN ", 13) == 0 else WORD_NONE


cdef bint nothing(const char* data, size_t size) noexcept nogil:
    """May a node without the key say this? Errors, nil, zero and less, what is empty, and arrays that begin or end so."""
    cdef const char* end = data + size
    if data[0] == c'*' and data[1] != c'0' and data[1] != c'-':
        if memcmp(end - 4, b"*0\r\n", 4) == 0:
            return True
        data = <const char*> memchr(data, c'\n', size) + 1
    if data[0] == c'-' or data[0] == c'_' or data[0] == c'#':
        return True
    if data[0] == c'+':
        return memcmp(data, b"+none\r", 6) == 0
    return data[1] == c'0' or data[1] == c'-'


cdef inline bint of_replica(const Conn* conn) noexcept nogil:
    return conn.node.primary != conn.node.index


cdef bint kept_open(const Conn* conn, const char* data, size_t size) noexcept nogil:
    """Does this reply leave it to another node to answer?"""
    return data[0] == c'-' and word_of(data) or of_replica(conn) and nothing(data, size)


cdef bint target_of(const Node* node, const char* data, size_t size, char* target) noexcept nogil:
    """The address in `-MOVED slot address` of `node`, as nodes write it; False: there is none.

    Without a host it is the host by which the node itself is reached (Redis: cluster-preferred-endpoint-type); `?` is
    that of a node that has no name, and nobody's address.
    """
    cdef const char* at = <const char*> memchr(data, c' ', size)
    cdef size_t length
    cdef size_t host = 0
    at = <const char*> memchr(at + 1, c' ', size - (at + 1 - data))
    if at == NULL:
        return False
    at += 1
    length = size - (at - data) - 2
    if at[0] == c':':
        host = strlen(node.address)
        while host and node.address[host - 1] != c':':
            host -= 1
        host = host - 1 if host else 0
    if length == 0 or host + length >= NODE_TEXT:
        return False
    memcpy(target, node.address, host)
    memcpy(target + host, at, length)
    target[host + length] = 0
    return True


cdef inline Node* primary_of(const Conn* conn) noexcept nogil:
    return &conn.node.pool.nodes[conn.node.primary]


# -- replies ------------------------------------------------------------------------------------------------------------

cdef bint kept_reply(Core* core, Conn* conn, const char* data, size_t size) noexcept nogil:
    """A reply to the oldest request of a connection that keeps them. True: it was sent on, or answered, and has left
    the ring; else it is the caller's to take."""
    cdef Pending* pending = &conn.pending[conn.head & conn.mask]
    cdef int word = word_of(data) if data[0] == c'-' else WORD_NONE
    cdef bint gone
    if pending.skip:
        if word and conn.told == NULL:
            # To a command that is queued for EXEC, which will say no more than that it did not run.
            conn.told = <char*> malloc(size)
            if conn.told == NULL:
                abort()
            memcpy(conn.told, data, size)
        return False
    if conn.told != NULL:
        if memcmp(data, b"-EXECABORT", 10) == 0:
            data = conn.told
            size = <size_t> (<const char*> memchr(data, c'\n', NODE_TEXT + 64) - data) + 1
            word = word_of(data)
        gone = word and redirect(core, conn, pending, word, data, size)
        free(conn.told)
        conn.told = NULL
    else:
        if of_replica(conn) and (word == WORD_CLUSTERDOWN or word == WORD_NONE and nothing(data, size)) and (
                may_ask_primary(core, conn, pending)):
            word = WORD_REPLICA
        gone = word and redirect(core, conn, pending, word, data, size)
    return gone


cdef bint redirect(Core* core, Conn* conn, Pending* pending, int word, const char* data, size_t size) noexcept nogil:
    """Deal with one that was not run; False: nobody waits for it, or it is no request of a client's."""
    cdef Pool* pool = conn.node.pool
    cdef Client* client = pending.client
    cdef Detour* detour
    cdef char reason[NODE_TEXT + 64]
    cdef size_t length = size - 3 if size - 3 < sizeof(reason) else sizeof(reason) - 1
    if word == WORD_MOVED or word == WORD_CLUSTERDOWN:
        tell(core, conn, data, size)
    if conn.expired or not awaited(pending):
        return False
    memcpy(reason, data + 1, length)
    reason[length] = 0
    if pending.role == ROLE_AGAIN:
        again_leave(pending)
        client = pending.client
    detour = detour_new(core, conn, pending)
    conn.head += 1
    conn.head_offset += pending.size
    if pending.role == ROLE_LIFE:
        # How long its key lives is of no use: the read goes elsewhere, and its reply is not kept.
        pending_settle(core, &detour.pending)
        free(detour)
    elif word == WORD_CLUSTERDOWN:
        give_up(core, detour, ERROR_CLUSTER_DOWN, reason)
    elif word == WORD_REPLICA:
        memcpy(detour.target, primary_of(conn).address, NODE_TEXT)
        if not goes(core, pool, detour):
            append(pool, detour)
    elif detour.length == 0 or cluster_of(pool).waiting + detour.length > pool.limits.backlog:
        give_up(core, detour, ERROR_NOT_REDIRECTED, reason)
    elif conn.private and core.rows[pending.row].flags & ROW_WATCH:
        unwatched(core, detour)
    elif conn.private and not conn.tracking and core.rows[pending.row].flags & ROW_EXEC:
        # What it watched is on its way to another node: as if it had been changed.
        if conn.protocol == 3:
            answer(core, detour, b"_\r\n")
        else:
            answer(core, detour, b"*-1\r\n")
    elif word != WORD_TRYAGAIN and not directed(detour, word, data, size):
        give_up(core, detour, ERROR_NOT_REDIRECTED, reason)
    elif word == WORD_TRYAGAIN or detour.pending.hops >= HOPS:
        # Nodes that send it to and fro agree in a moment.
        if client == NULL or client.tail != pending.slot + 1:
            give_up(core, detour, ERROR_NOT_REDIRECTED, reason)
        else:
            client.flags |= CLIENT_BARRIER
            detour.due_us = core.now_us + RETRY_US
            append(pool, detour)
    else:
        if cluster_of(pool).first != NULL:
            # Those that came before, whose node may be known by now.
            detours_go(core, pool)
        if not goes(core, pool, detour):
            append(pool, detour)
            tell(core, conn, data, size)
    return True


cdef bint directed(Detour* detour, int word, const char* data, size_t size) noexcept nogil:
    """Note where `-MOVED slot address` or `-ASK slot address` sends it; False: nowhere."""
    cdef int slot
    detour.asking = word == WORD_ASK
    if word == WORD_MOVED:
        slot = atoi(data + 7)
        detour.slot = slot if 0 <= slot < CLUSTER_SLOTS else -1
    return target_of(detour.node, data, size, detour.target)


cdef bint may_ask_primary(Core* core, Conn* conn, const Pending* pending) noexcept nogil:
    """Can what a replica said be made better? If not it is the answer."""
    return (core.rows[pending.row].flags & ROW_READ and pending.hops < HOPS
            and standing(core, primary_of(conn), conn.protocol, conn.database) == STANDING_OPEN
            and retained_find(core, conn, conn.head_offset, pending.size) != NULL)


cdef bint awaited(const Pending* pending) noexcept nogil:
    """Is there anybody who waits for the reply, and is it more than a help to something else?"""
    if pending.role == ROLE_NONE or pending.role == ROLE_MARK or pending.role == ROLE_SET:
        return pending.client != NULL
    if pending.role == ROLE_AGAIN:
        return (<Again*> pending.cool).client != NULL and (<Again*> pending.cool).pendings == 1
    if pending.role == ROLE_LIFE:
        return not (<Fetch*> pending.cool).over
    return pending.role == ROLE_VALUE or pending.role == ROLE_WAVE


cdef void tell(Core* core, Conn* conn, const char* data, size_t size) noexcept nogil:
    """Have the control plane look at the cluster; it is not told of every request."""
    cdef Pool* pool = conn.node.pool
    if core.now_us - cluster_of(pool).told_us >= TELL_US and event_post(
            core, EVENT_REDIRECTED, pool.index, conn.node.index, 0, NULL, 0, 0, data + 1, size - 3):
        cluster_of(pool).told_us = core.now_us


cdef Detour* detour_new(Core* core, Conn* conn, const Pending* pending) noexcept nogil:
    """The request, without an ASKING that was sent in front of it; without anything, if it is kept no longer."""
    cdef const char* data = retained_find(core, conn, conn.head_offset, pending.size)
    cdef size_t length = 0 if data == NULL else pending.size
    cdef bint asked = length > ASKING_LENGTH and memcmp(data, ASKING, ASKING_LENGTH) == 0
    cdef Detour* detour
    if asked:
        data += ASKING_LENGTH
        length -= ASKING_LENGTH
    detour = <Detour*> malloc(sizeof(Detour) + length + NAME_WORD)
    if detour == NULL:
        abort()
    memset(detour, 0, sizeof(Detour))
    if length:
        memcpy(detour + 1, data, length)
    detour.length = length
    detour.slot = -1
    detour.asking = asked
    detour.pending = pending[0]
    detour.node = conn.node
    detour.protocol = conn.protocol
    detour.database = conn.database
    detour.private = conn.private
    detour.tracking = conn.tracking
    return detour


# -- sending on -----------------------------------------------------------------------------------------------------------

cdef bint goes(Core* core, Pool* pool, Detour* detour) noexcept nogil:
    """Send it where it belongs, or answer it, and free it; False: it has to wait for that node to be known."""
    cdef Node* node = cluster_find(pool, detour.target) if detour.target[0] else detour.node
    cdef Pending* pending = &detour.pending
    cdef Client* client = pending.client
    cdef Conn* conn
    cdef size_t before
    cdef uint32_t serial
    cdef uint32_t requests = 0
    if node == NULL and detour.slot >= 0:
        node = moved_to(pool, detour)
    if node == NULL or node.socket_length == 0:
        return False
    if detour.private:
        conn = way_of_its_own(core, detour, node)
        if conn == NULL:
            return True
    else:
        conn = conn_for(core, node, detour.protocol, detour.database, 0)
        if (node.ejected or conn.refusing) and not node.member:
            # As it was when it left; the control plane will hear that it is back.
            return False
        if node.ejected or conn.refusing:
            detour.node = node
            if node.ejected:
                give_up(core, detour, ERROR_NODE_DOWN, b"it was ejected")
            else:
                give_up(core, detour, ERROR_NODE_DOWN, conn.why)
            return True
    before = conn.output.length
    if detour.asking:
        output_append(&conn.output, &core.chunks, ASKING, ASKING_LENGTH)
        requests = 1
    if core.rows[pending.row].flags & (ROW_EVALSHA | ROW_EXEC):
        # Of a transaction it is the last reply that answers.
        requests += append_each(core, node, NULL if detour.private else conn, &conn.output, detour, &serial) - 1
        if core.rows[pending.row].flags & ROW_EVALSHA:
            pending.part = serial
    else:
        output_append(&conn.output, &core.chunks, <const char*> (detour + 1), detour.length)
    # Its marks are open already; the keys of whatever is dispatched now are none of its own.
    core.noted = 0
    conn_expect(core, conn, client, pending.slot, pending.part, pending.row, conn.output.length - before)
    copy_onto(&conn.pending[(conn.tail - 1) & conn.mask], pending, requests, 0 if detour.due_us else 1)
    if client != NULL:
        client.references -= 1
    if pending.role == ROLE_VALUE or pending.role == ROLE_SET:
        (<Fetch*> pending.cool).conn = conn
        (<Fetch*> pending.cool).flushes = conn.flushes
        (<Fetch*> pending.cool).storing = 0
        (<Fetch*> pending.cool).filling = 0
    node.requests += 1
    core.counters.redirects += 1
    conn_touch(core, conn)
    free(detour)
    return True


cdef Node* moved_to(Pool* pool, const Detour* detour) noexcept nogil:
    """Who has the slot by now, for a target that is known by another name; NULL: the table has not moved on yet."""
    cdef int index = cluster_of(pool).slots[detour.slot]
    return NULL if index == NO_NODE or index == detour.node.index else &pool.nodes[index]


cdef uint32_t append_each(Core* core, Node* node, const Conn* conn, Output* output, const Detour* detour,
                          uint32_t* serial) noexcept nogil:
    """The requests of a transaction, or the only one; scripts as the other node needs them. Returns how many; `serial`
    is the last script's: see scripts.pxd."""
    cdef const char* data = <const char*> (detour + 1)
    cdef size_t length = detour.length
    cdef uint32_t count = 0
    cdef FrameLimits limits
    cdef Frame frame
    cdef Frame* whole
    cdef Row* row
    serial[0] = 0
    limits.max_bulk = length
    limits.trusted = True
    while length:
        frame_reset(&frame)
        if frame_request(&frame, data, length, &limits) != FRAMED:
            break
        whole = &frame
        row = lookup(core, data + frame.args[0].offset, frame.args[0].length)
        if row != NULL and row.flags & ROW_EVALSHA:
            whole = script_frame(core, node, conn, &frame, serial)
        output_append(output, &core.chunks, whole.data, whole.length)
        count += 1
        data += frame.length
        length -= frame.length
    return count


cdef inline void copy_onto(Pending* target, const Pending* source, uint32_t skip, int hops) noexcept nogil:
    """What is known of a request goes with it: its deadline, what hangs on its reply, how often it was sent on."""
    target.start = source.start
    target.role = source.role
    target.cool = source.cool
    target.hops = <unsigned char> (source.hops + hops)
    target.skip = skip


cdef Conn* way_of_its_own(Core* core, Detour* detour, Node* node) noexcept nogil:
    """A private connection of the client's to the other node; NULL after it was answered.

    Whoever refuses one answers in the next slot: for the last request that a client has sent that is its own.
    """
    cdef Pending* pending = &detour.pending
    cdef Client* client = pending.client
    cdef Conn* conn
    if client.handle.kind == DEAD:
        answer(core, detour, b"")
        return NULL
    if client.tail != pending.slot + 1 or detour.asking and client.caching & CACHING_YES:
        conn = held_for(client, node) if detour.tracking and not client.tracking_mode & TRACKING_OPTIN else NULL
        if conn == NULL:
            give_up(core, detour, ERROR_NOT_REDIRECTED, b"it belongs to another node")
        return conn
    client.tail -= 1
    if detour.tracking:
        conn = tracked_conn(core, client, &core.rows[pending.row], node)
    else:
        conn = private_take(core, client, &core.rows[pending.row], node, HOLD_WAIT)
    if conn != NULL:
        client.tail += 1
        return conn
    client.references -= 1
    pending_settle(core, pending)
    free(detour)
    return NULL


cdef void unwatched(Core* core, Detour* detour) noexcept nogil:
    """The keys to be watched are elsewhere, and those watched before may not be: this client's EXEC will run nothing."""
    cdef Client* client = detour.pending.client
    if client.handle.kind != DEAD:
        watch_end(core, client, True)
        client.flags |= CLIENT_WATCHING
    answer(core, detour, b"+OK\r\n")


cdef void answer(Core* core, Detour* detour, const char* text) noexcept nogil:
    """A reply of our own, and the end of it."""
    pending_answer(core, &detour.pending, text, strlen(text))
    detour.pending.client = NULL
    pending_settle(core, &detour.pending)
    free(detour)


cdef void give_up(Core* core, Detour* detour, int kind, const char* reason) noexcept nogil:
    """An error, and the end of it. A pool's requests all had a shared connection, whatever else they had."""
    cdef Conn* conn = conn_for(core, detour.node, detour.protocol, detour.database, 0)
    pending_error(core, conn, &detour.pending, kind, reason)
    pending_settle(core, &detour.pending)
    free(detour)


# -- waiting --------------------------------------------------------------------------------------------------------------

cdef void append(Pool* pool, Detour* detour) noexcept nogil:
    if cluster_of(pool).last == NULL:
        cluster_of(pool).first = detour
    else:
        cluster_of(pool).last.next = detour
    cluster_of(pool).last = detour
    cluster_of(pool).waiting += detour.length


cdef void detours_go(Core* core, Pool* pool) noexcept nogil:
    """Whatever can go now goes, in its order: once a tick, and when the control plane told of nodes."""
    cdef Detour* detour = cluster_of(pool).first
    cdef Detour* following
    cdef uint32_t limit = pool.limits.timeout_us if pool.limits.timeout_us else LONGEST_US
    cluster_of(pool).first = NULL
    cluster_of(pool).last = NULL
    cluster_of(pool).waiting = 0
    while detour != NULL:
        core.busy = 1
        following = detour.next
        detour.next = NULL
        if <int32_t> (<uint32_t> core.now_us - detour.pending.start - limit) >= 0:
            if detour.due_us:
                give_up(core, detour, ERROR_NOT_REDIRECTED, b"some of its keys are elsewhere")
            else:
                give_up(core, detour, ERROR_NOT_REDIRECTED, b"its slot is at a node that is not known")
        elif detour.due_us > core.now_us or not goes(core, pool, detour):
            append(pool, detour)
        detour = following


cdef void detours_free(Core* core, Pool* pool) noexcept nogil:
    """End of the engine."""
    cdef Detour* detour
    while cluster_of(pool).first != NULL:
        detour = cluster_of(pool).first
        cluster_of(pool).first = detour.next
        if detour.pending.client != NULL:
            client_release(core, detour.pending.client)
        pending_settle(core, &detour.pending)
        free(detour)
