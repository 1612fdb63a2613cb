# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Orders: carrying them out. See orders.pxd.

An order is whole when it arrives and is freed here; nothing of it is kept.
"""

from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.stdlib cimport free
from libc.string cimport memcpy, memset

from proxy.engine.accept cimport listen_stop
from proxy.engine.answers cimport client_reset
from proxy.engine.audience cimport audience_set
from proxy.engine.blocking cimport unblock_all
from proxy.engine.client cimport client_behind, client_close, client_flush, client_gone
from proxy.engine.clients cimport clients_kill, clients_pause
from proxy.engine.connection cimport conn_connect, conn_fail, conn_for, conn_haunt
from proxy.engine.describe cimport client_describe
from proxy.engine.hot cimport hot_describe, hot_forget_all, hot_promote
from proxy.engine.mail cimport event_post
from proxy.engine.marks cimport key_hash
from proxy.engine.members cimport cluster_member, cluster_slots
from proxy.engine.monitor cimport monitor_switch
from proxy.engine.private cimport privates_fail
from proxy.engine.scripts cimport script_go_on, script_held, script_shared, scripts_forget, scripts_learn
from proxy.engine.seats cimport seat_change, seat_give_up
from proxy.engine.slots cimport client_ready, client_release, client_unread, slot_fill
from proxy.engine.types cimport (
    CLIENT_BLOCKED, CLIENT_CLOSING, CLIENT_KNOWN, CLIENT_PARKED, CLIENT_SILENT, CLIENT_STUCK, CLIENT_SUBSCRIBER,
    CONNS, CONN_CONNECTING, CONN_DOWN, CONN_LOST, CONN_OPEN, DEAD, EVENT_DRAINED, EVENT_LISTED, LIMIT_BULK,
    LIMIT_CLIENTS, LIMIT_IDLE, LIMIT_QUERY_BUFFER, LISTENER, ORDER_ADMIT, ORDER_AUDIENCE, ORDER_AWAY, ORDER_CONNECT, ORDER_DOWN,
    ORDER_DRAIN, ORDER_ECHO, ORDER_EJECT, ORDER_FORGET, ORDER_GHOST, ORDER_COLD, ORDER_GO_ON, ORDER_HEAT, ORDER_HELD, ORDER_HOT, ORDER_KILL, ORDER_LEARN,
    ORDER_LIST, ORDER_LISTEN, ORDER_MONITOR, ORDER_PAUSE, ORDER_PUSH, ORDER_READABLE, ORDER_RELEASE, ORDER_REPLY, ORDER_SEAT, ORDER_SET,
    ORDER_SHARED, ORDER_STOP, ORDER_SUBSCRIBED, REPLY_CLOSE, REPLY_KEEP, REPLY_NO_SUBSCRIBER, REPLY_RESET, REPLY_SUBSCRIBER, Client, Conn, Core,
    ORDER_MEMBER, ORDER_SLOTS, Node, Order, Pool, PoolLimits,
)
from proxy.wire.chunk cimport SHARE_AT, Shared, chunk_share, chunk_view, shared_release
from proxy.wire.mailbox cimport mailbox_take
from proxy.wire.output cimport Output, output_append, output_clear, output_move
from proxy.wire.poll cimport poll_add
from proxy.wire.system cimport EPOLLIN

cdef enum:
    PUSHED_MOST = 262144       # bytes that messages of one turn may gather for a client


cdef void orders_take(Core* core) noexcept nogil:
    """Carry out everything that was posted."""
    cdef Order* order
    while True:
        order = <Order*> mailbox_take(&core.orders)
        if order == NULL:
            return
        if order.kind == ORDER_REPLY:
            deliver(core, order)
        elif order.kind == ORDER_CONNECT:
            reconnect(core, &core.pools[order.pool].nodes[order.node], order)
        elif order.kind == ORDER_DOWN:
            seat_give_up(core, &core.pools[order.pool].nodes[order.node], order.data)
        elif order.kind == ORDER_SEAT:
            seat_change(core, &core.pools[order.pool].nodes[order.node], order)
        elif order.kind == ORDER_EJECT:
            set_ejected(core, &core.pools[order.pool], order.node, True)
        elif order.kind == ORDER_ADMIT:
            set_ejected(core, &core.pools[order.pool], order.node, False)
        elif order.kind == ORDER_READABLE:
            core.pools[order.pool].nodes[order.node].readable = order.flag != 0
            core.pools[order.pool].nodes[order.node].fresh_us = order.tag
        elif order.kind == ORDER_LIST:
            list_clients(core, order.tag, order.client)
        elif order.kind == ORDER_LISTEN:
            listen_start(core)
        elif order.kind == ORDER_PUSH:
            push(core, order)
        elif order.kind == ORDER_KILL:
            clients_kill(core, order)
        elif order.kind == ORDER_PAUSE:
            pause(core, order)
        elif order.kind == ORDER_MONITOR:
            monitor_switch(core, &core.pools[order.pool], order.flag, order.data)
            event_post(core, EVENT_LISTED, 0, 0, 1, NULL, 0, order.tag, NULL, 0)
        elif order.kind == ORDER_SET:
            set_limit(&core.pools[order.pool].limits, order.flag, (<uint64_t*> order.data)[0])
        elif order.kind == ORDER_RELEASE:
            # A request of it may be under way still: if its answer keeps the client, its end is told again.
            order.client.flags &= ~(<uint32_t> CLIENT_KNOWN)
            client_release(core, order.client)
        elif order.kind == ORDER_LEARN:
            scripts_learn(core, order.pool, order.slot, order.data, order.length)
        elif order.kind == ORDER_HELD:
            script_held(core, &core.pools[order.pool].nodes[order.node], order.slot, order.data)
        elif order.kind == ORDER_SHARED:
            script_shared(core, order.slot)
        elif order.kind == ORDER_FORGET:
            scripts_forget(core, order.slot)
        elif order.kind == ORDER_GO_ON:
            script_go_on(core, order.client)
        elif order.kind == ORDER_ECHO:
            event_post(core, EVENT_LISTED, 0, 0, 1, NULL, 0, order.tag, NULL, 0)
        elif order.kind == ORDER_HOT:
            if core.heat != NULL:
                hot_promote(core, &core.pools[order.pool], order.data, order.length,
                            key_hash(core, order.data, order.length), True)
        elif order.kind == ORDER_COLD:
            hot_forget_all(core)
        elif order.kind == ORDER_AWAY:
            set_away(&core.pools[order.pool].nodes[order.node], order.flag)
        elif order.kind == ORDER_HEAT:
            list_heat(core, order.tag)
        elif order.kind == ORDER_GHOST:
            conn_haunt(core, &core.pools[order.pool].nodes[order.node], <int64_t> order.tag, order.data, NULL)
        elif order.kind == ORDER_AUDIENCE:
            audience_set(core, &core.pools[order.pool], order.flag, order.data, order.length, <uint32_t> order.tag)
        elif order.kind == ORDER_MEMBER:
            cluster_member(core, order)
        elif order.kind == ORDER_SLOTS:
            cluster_slots(core, order)
        elif order.kind == ORDER_SUBSCRIBED:
            core.pools[order.pool].nodes[order.node].subscribed = order.flag != 0
        elif order.kind == ORDER_DRAIN:
            core.draining = 1
            core.busy = 1
            listen_stop(core)
        elif order.kind == ORDER_STOP:
            core.stopped = 1
        free(order)


cdef void deliver(Core* core, Order* order) noexcept nogil:
    """The control plane's answer to a request."""
    cdef Client* client = order.client
    cdef uint32_t silent
    if client.handle.kind != DEAD:
        if order.flag & REPLY_RESET:
            client_reset(client)
        # To a client that wants no replies a confirmed subscription is none: it is said, as messages will be.
        silent = client.flags & CLIENT_SILENT if order.flag & REPLY_SUBSCRIBER else 0
        client.flags &= ~silent
        slot_fill(core, client, order.slot, order.data, order.length)
        client.flags |= silent
        if order.flag & REPLY_CLOSE:
            client.flags |= CLIENT_CLOSING
        if order.flag & REPLY_SUBSCRIBER:
            client.flags |= CLIENT_SUBSCRIBER
        if order.flag & REPLY_NO_SUBSCRIBER:
            client.flags &= ~(<uint32_t> CLIENT_SUBSCRIBER)
    if order.flag & REPLY_KEEP and not client.flags & CLIENT_KNOWN:
        # The request's reference becomes the control plane's.
        client.flags |= CLIENT_KNOWN
        if client.handle.kind == DEAD:
            client_gone(core, client)
        return
    client_release(core, client)


cdef void push(Core* core, Order* order) noexcept nogil:
    """Messages for subscribers: the pointers come first, then the bytes.

    A push type, `>`, is an array, `*`, to a client of RESP2, and nothing else differs, so the bytes serve all. A message
    never splits a reply: outputs hold whole ones. Each client is flushed at the end of the turn, so messages that came
    together leave together, but for those that have grown to PUSHED_MOST: what many clients are owed has to leave before
    more is added. A large message is held once for all, whoever reads it when.
    """
    cdef Client** clients = <Client**> order.data
    cdef Client* client
    cdef char* data = order.data + order.tag * sizeof(Client*)
    cdef size_t length = order.length - order.tag * sizeof(Client*)
    cdef Shared* shared[2]     # by protocol
    cdef bint array = data[0] == c'>'
    cdef int form
    cdef uint64_t index
    shared[0] = NULL
    shared[1] = NULL
    for index in range(order.tag):
        client = clients[index]
        if client.handle.kind == DEAD:
            continue
        form = 1 if client.protocol == 3 else 0
        if array:
            data[0] = c'>' if form else c'*'
        if length < SHARE_AT:
            output_append(&client.output, &core.chunks, data, length)
        else:
            if shared[form] == NULL:
                shared[form] = chunk_share(&core.chunks, data, length)
            output_move(&client.output, &core.chunks, chunk_view(shared[form]))
        core.counters.pushes += 1
        if client.flags & CLIENT_STUCK:
            if client_behind(core, client):
                client_close(core, client)
        elif client.output.length < PUSHED_MOST:
            client_ready(core, client)
        else:
            client_flush(core, client)
    for form in range(2):
        if shared[form] != NULL:
            shared_release(&core.chunks, shared[form])
    core.counters.push_bytes += order.length


cdef void pause(Core* core, Order* order) noexcept nogil:
    """CLIENT PAUSE and UNPAUSE; the answer says that from here on it holds."""
    clients_pause(core, &core.pools[order.pool], order.flag, core.now_us + <uint64_t> order.slot * 1000)
    event_post(core, EVENT_LISTED, 0, 0, 1, NULL, 0, order.tag, NULL, 0)


cdef void set_limit(PoolLimits* limits, int limit, uint64_t value) noexcept nogil:
    """CONFIG SET. Whoever keeps a limit reads it each time, so it holds from the next request on."""
    if limit == LIMIT_CLIENTS:
        limits.most_clients = <uint32_t> value
    elif limit == LIMIT_BULK:
        limits.max_bulk = value
    elif limit == LIMIT_QUERY_BUFFER:
        limits.query_buffer = value
    elif limit == LIMIT_IDLE:
        limits.idle_us = value


cdef void listen_start(Core* core) noexcept nogil:
    cdef int index
    for index in range(core.pool_count):
        if core.pools[index].listener.fd >= 0:
            core.pools[index].listener.kind = LISTENER
            poll_add(&core.poll, &core.pools[index].listener, EPOLLIN)


cdef void reconnect(Core* core, Node* node, Order* order) noexcept nogil:
    """Open what is lost or down, at the address looked up just now; `flag`: open a first connection too."""
    cdef int index
    cdef Conn* conn
    memcpy(node.socket_address, order.data, order.length)
    node.socket_length = order.length
    for index in range(CONNS):
        conn = node.conns[index]
        if conn != NULL and (conn.state == CONN_LOST or conn.state == CONN_DOWN):
            conn_connect(core, conn)
    if order.flag:
        conn_for(core, node, 2, 0, 0)


cdef void set_ejected(Core* core, Pool* pool, int index, bint ejected) noexcept nogil:
    """An ejected node keeps its points; its keys go to the next node (auto_eject) or are refused at once.

    A connection that owes late replies is given up now: were it kept, a node that serves again would be reached
    through the one connection that may hang. Keys change their home, and the old one no longer tells of changes; those
    of a replica have another home.

    One that is admitted has answered a PING just now: requests wait for its connections, which are opened next, rather
    than being refused because of what was. With `replication: ring` nothing waits for a node, as others have its keys.
    """
    cdef Node* node = &pool.nodes[index]
    cdef Conn* conn
    cdef int place
    node.ejected = ejected
    pool.live[index] = not ejected and node.away == 0
    if index < pool.node_count:
        for place in range(pool.node_count):
            pool.nodes[place].forgets += 1
    for place in range(CONNS):
        conn = node.conns[place]
        if conn == NULL:
            continue
        if ejected and conn.state == CONN_OPEN and conn.expired:
            conn_fail(core, conn, b"the node was ejected")
        elif not ejected and conn.state == CONN_DOWN and not pool.copies:
            conn.state = CONN_LOST
            conn.refusing = 0
    if ejected:
        privates_fail(core, node, b"the node was ejected")


cdef void set_away(Node* node, int away) noexcept nogil:
    """With `replication: ring`: whether the node is asked for reads, takes writes, and is hinted what it misses."""
    node.away = <unsigned char> away
    node.pool.live[node.index] = away == 0 and not node.ejected


cdef void drain_step(Core* core) noexcept nogil:
    """Let go of every client that is owed nothing, and end the waiting of others; when none is left, say so."""
    cdef Client* client = core.clients
    cdef Client* following
    while client != NULL:
        following = client.after
        if client.head == client.tail and client_unread(client) == 0 and not client.flags & CLIENT_PARKED:
            client_close(core, client)
        elif client.flags & CLIENT_BLOCKED:
            unblock_all(core, client)
        client = following
    if core.clients == NULL and core.early_owed == 0 and core.draining == 1:
        core.draining = 2
        event_post(core, EVENT_DRAINED, 0, 0, 0, NULL, 0, 0, NULL, 0)


# -- CLIENT LIST --------------------------------------------------------------------------------------------------------

cdef void list_clients(Core* core, uint64_t tag, Client* only) noexcept nogil:
    """Describe every client, or one that a waiting request keeps from being freed."""
    cdef Output text
    cdef Client* client = core.clients
    memset(&text, 0, sizeof(text))
    if only != NULL:
        if only.handle.kind != DEAD:
            client_describe(core, only, &text)
    else:
        while client != NULL:
            client_describe(core, client, &text)
            client = client.after
    event_chunks(core, tag, &text)
    output_clear(&text, &core.chunks)


cdef void list_heat(Core* core, uint64_t tag) noexcept nogil:
    """Every hot key: a HotKey's numbers, then its bytes. See proxy.control.hot.read_heat."""
    cdef Output text
    memset(&text, 0, sizeof(text))
    hot_describe(core, &text)
    event_chunks(core, tag, &text)
    output_clear(&text, &core.chunks)


cdef void event_chunks(Core* core, uint64_t tag, Output* text) noexcept nogil:
    """One event per chunk, the last one marked: an event's data is contiguous, a long list is not."""
    chunk = text.first
    while chunk != NULL:
        event_post(core, EVENT_LISTED, 0, 0, 1 if chunk.next == NULL else 0, NULL, 0, tag,
                   chunk.data + chunk.head, chunk.tail - chunk.head)
        chunk = chunk.next
    if text.first == NULL:
        event_post(core, EVENT_LISTED, 0, 0, 1, NULL, 0, tag, NULL, 0)
