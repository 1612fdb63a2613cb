# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Turn: wait, take what is ready, do all of it, flush every touched socket once. See turn.pxd.

Batching is what one turn collected, and while other work is at hand what the next few collect: there is no flush timer.
A turn is bounded by READY_MOST events and a few receives each, so its length is too.
"""

from libc.stdint cimport int32_t

from proxy.engine.accept cimport accept_clients, inbox_take
from proxy.engine.client cimport client_close, client_flush, client_gone, client_readable, client_resume, clients_admit
from proxy.engine.clients cimport clients_close_idle, clients_unpause_due
from proxy.engine.cluster cimport cluster_of
from proxy.engine.connection cimport conn_established, conn_flush, conn_tick
from proxy.engine.cool cimport cool_tick
from proxy.engine.ear cimport ears_tick
from proxy.engine.hot cimport hot_tick
from proxy.engine.launch cimport launch_due, launch_tick
from proxy.engine.monitor cimport monitor_send
from proxy.engine.orders cimport drain_step, orders_take
from proxy.engine.private cimport private_settle, privates_bury, privates_tick
from proxy.engine.quorum cimport quorums_decide
from proxy.engine.redirect cimport detours_go
from proxy.engine.reads cimport reads_late, reads_resend, reads_tick
from proxy.engine.replies cimport conn_readable
from proxy.engine.shield cimport shields_tick
from proxy.engine.shards cimport shards_tick, table_of
from proxy.engine.slots cimport client_ready, client_release
from proxy.engine.spread cimport spread_due
from proxy.engine.types cimport (
    CLIENT, CLIENT_BURIED, CLIENT_PARKED, CLIENT_READY, CLIENT_STUCK, CLIENT_UNTOLD, CONN, CONNS, CONN_CONNECTING,
    DEAD, INBOX, LISTENER, WAKE, Client, Conn, Core, Pool,
)
from proxy.wire.chunk cimport pool_trim
from proxy.wire.poll cimport Handle, poll_wait, wake, wake_clear
from proxy.wire.system cimport EPOLLERR, EPOLLHUP, EPOLLIN, EPOLLOUT, monotonic_us

cdef extern from "<malloc.h>" nogil:
    int malloc_trim(size_t pad)

cdef enum:
    LATE_US = 1000             # where pools hedge, reads that take too long are looked for this often
    TICK_US = 10000            # deadlines are looked at this often while anything is under way
    IDLE_MS = 500              # and otherwise the engine sleeps this long
    DEFER_TURNS = 16           # that replies, and requests for a busy node, wait for more of them at most
    DEFER_IDLE = 4             # that requests wait for a node with nothing to do
    DEFER_BYTES = 8192         # of replies to a client that leave at once
    DEFER_REQUESTS = 16384     # bytes queued for a node that leave at once
    BUSY_BYTES = 256           # of unanswered requests: a node that has these is busy
    ROUNDS = 4                 # of flushing and resuming clients in one turn
    TRIM_US = 1000000
    TRIM_BYTES = 4194304       # freed since the last look: worth giving back to the kernel


cdef void turn(Core* core, int timeout_ms) noexcept nogil:
    """One turn. `timeout_ms` < 0: as long as nothing is due."""
    cdef int index
    cdef Handle* handle
    cdef unsigned int events
    if core.ready != NULL or core.touched != NULL:
        timeout_ms = 0
    elif timeout_ms < 0:
        timeout_ms = (LATE_US if core.hedges else TICK_US) // 1000 if core.busy else IDLE_MS
        if core.gather_due_us and core.gather_due_us < core.now_us + timeout_ms * 1000:
            timeout_ms = 0 if core.gather_due_us <= core.now_us else <int> (core.gather_due_us - core.now_us + 999) // 1000
    poll_wait(&core.poll, timeout_ms)
    core.now_us = monotonic_us()
    core.counters.turns += 1
    if core.poll.count:
        core.busy = 1
    # Before any socket: what the control plane told one client through another engine holds for this one's requests.
    orders_take(core)
    for index in range(core.poll.count):
        handle = <Handle*> core.poll.ready[index].data.ptr
        events = core.poll.ready[index].events
        if handle.kind == CLIENT:
            client_event(core, <Client*> handle, events)
        elif handle.kind == CONN:
            conn_event(core, <Conn*> handle, events)
        elif handle.kind == LISTENER:
            accept_clients(core, <Pool*> handle)
        elif handle.kind == INBOX:
            inbox_take(core)
        elif handle.kind == WAKE:
            wake_clear(handle.fd)
            orders_take(core)
    turn_end(core)


cdef inline void client_event(Core* core, Client* client, unsigned int events) noexcept nogil:
    if events & EPOLLIN:
        client_readable(core, client)
    elif events & (EPOLLERR | EPOLLHUP):
        client_close(core, client)
        return
    if events & EPOLLOUT:
        client_ready(core, client)


cdef inline void conn_event(Core* core, Conn* conn, unsigned int events) noexcept nogil:
    if conn.state == CONN_CONNECTING:
        if events & (EPOLLOUT | EPOLLERR | EPOLLHUP):
            conn_established(core, conn)
        return
    if events & (EPOLLIN | EPOLLERR | EPOLLHUP):
        conn_readable(core, conn)
        if conn.private:
            private_settle(core, conn)
    if events & EPOLLOUT and conn.handle.fd >= 0:
        conn_flush(core, conn)


cdef inline bint gathers(Core* core, Conn* conn) noexcept nogil:
    """Is it better to send this node's requests together with the next ones?

    As for replies (waits()): only while other work is at hand. To a node that is busy, sooner is not answered sooner; an
    idle one is woken for several requests at the price of one.
    """
    if core.poll.count == 0 or conn.output.length >= DEFER_REQUESTS:
        return False
    if conn.queued - conn.output.length - conn.head_offset > BUSY_BYTES:
        return conn.deferred < DEFER_TURNS
    return conn.deferred < DEFER_IDLE


cdef void flush_conns(Core* core) noexcept nogil:
    """Send what is queued for nodes."""
    cdef Conn* conn = core.touched
    cdef Conn* following
    core.touched = NULL
    while conn != NULL:
        following = conn.next_touched
        if gathers(core, conn):
            conn.deferred += 1
            conn.next_touched = core.touched
            core.touched = conn
        else:
            conn.touched = 0
            conn.deferred = 0
            if not conn.stuck:
                conn_flush(core, conn)
        conn = following


cdef inline bint waits(Core* core, Client* client) noexcept nogil:
    """Is it better to send this client's replies with those it is still owed?

    Replies to one pipeline come from several nodes in different turns; each send costs as much as ten requests. They
    wait for one another only while other work is at hand (a turn without events sends everything), for at most
    DEFER_TURNS turns, and while they are few.
    """
    return (client.head != client.tail and client.deferred < DEFER_TURNS and core.poll.count > 0
            and client.output.length < DEFER_BYTES and client.handle.kind != DEAD)


cdef inline bint awaits_exec(Client* client) noexcept nogil:
    """Is all that there is to send the beginning of a transaction whose EXEC is at the nodes? Its reply will call."""
    if <int32_t> (client.together - client.head) > 0 and client.head != client.tail:
        return client.output.length < DEFER_BYTES and not client.flags & CLIENT_STUCK
    client.together = client.head
    return False


cdef void turn_end(Core* core) noexcept nogil:
    """Everything but waiting: send requests, send replies, let parked clients go on, tick, free."""
    cdef Client* client
    cdef Client* following
    cdef Client* waiting = NULL
    cdef int rounds = 0
    if core.agains_due:
        reads_resend(core)
    if core.hedges and core.now_us - core.late_us >= LATE_US:
        reads_late(core)
    if core.shards != NULL and table_of(core).due:
        spread_due(core)
    if core.tallied:
        launch_due(core)
    flush_conns(core)
    if core.starved_first != NULL:
        clients_admit(core)
    while core.ready != NULL and rounds < ROUNDS:
        rounds += 1
        client = core.ready
        core.ready = NULL
        while client != NULL:
            following = client.next_ready
            client.flags &= ~(<unsigned int> CLIENT_READY)
            if waits(core, client):
                client.deferred += 1
                client.flags |= CLIENT_READY
                client.next_ready = waiting
                waiting = client
            elif client.handle.kind != DEAD:
                client.deferred = 0
                if not awaits_exec(client):
                    client_flush(core, client)
                if client.handle.kind != DEAD and client.flags & CLIENT_PARKED:
                    client_resume(core, client)
            client = following
    while waiting != NULL:
        client = waiting
        waiting = client.next_ready
        client.next_ready = core.ready
        core.ready = client
    if core.now_us - core.tick_us >= TICK_US:
        tick(core)
    if core.undecided != NULL:
        quorums_decide(core)
    bury(core)
    if core.lost_privates != NULL:
        privates_bury(core)
    if core.monitored_pools:
        monitor_send(core)
    if core.posted:
        core.posted = 0
        wake(core.event_fd)


cdef void bury(Core* core) noexcept nogil:
    """Free the clients that closed in this turn. One that is still in the ready list, or of whose end the control plane
    could not be told, stays for another turn."""
    cdef Client* client = core.graveyard
    cdef Client* following
    core.graveyard = NULL
    while client != NULL:
        following = client.next_grave
        if client.flags & CLIENT_UNTOLD:
            client_gone(core, client)
        if client.flags & (CLIENT_READY | CLIENT_UNTOLD):
            client.next_grave = core.graveyard
            core.graveyard = client
        else:
            client.flags &= ~(<unsigned int> CLIENT_BURIED)
            client_release(core, client)
        client = following


cdef void tick(Core* core) noexcept nogil:
    """Deadlines, idle connections, memory to give back."""
    cdef Pool* pool
    cdef Conn* conn
    cdef int pool_index, node_index, index
    core.busy = core.poll.count > 0
    core.tick_us = core.now_us
    for pool_index in range(core.pool_count):
        pool = &core.pools[pool_index]
        if pool.cluster != NULL and cluster_of(pool).first != NULL:
            detours_go(core, pool)
        for node_index in range(pool.node_total):
            for index in range(CONNS):
                conn = pool.nodes[node_index].conns[index]
                if conn == NULL:
                    continue
                conn_tick(core, conn)
                if conn.head != conn.tail or conn.state == CONN_CONNECTING:
                    core.busy = 1
            if pool.nodes[node_index].privates != NULL:
                privates_tick(core, &pool.nodes[node_index])
    if core.asks_again:
        reads_late(core)
        reads_tick(core)
    if core.chunks.total > core.peak:
        core.peak = core.chunks.total
    if core.now_us - core.trim_us >= TRIM_US:
        core.trim_us = core.now_us
        clients_close_idle(core)
        if core.peak - core.chunks.total > TRIM_BYTES:
            pool_trim(&core.chunks)
            malloc_trim(0)
            core.peak = core.chunks.total
    clients_unpause_due(core)
    if core.tallied:
        launch_tick(core)
    if core.shards != NULL:
        shards_tick(core)
    if core.heat != NULL:
        hot_tick(core)
        ears_tick(core)
        shields_tick(core)
        if core.peers.fans != NULL:
            cool_tick(core)
    if core.draining:
        drain_step(core)
        core.busy = 1


cdef void engine_loop(Core* core) noexcept nogil:
    while not core.stopped:
        turn(core, -1)
