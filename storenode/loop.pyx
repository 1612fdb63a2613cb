# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Loop: accept, read, execute, write; housekeeping ten times a second. See loop.pxd.

A turn takes what epoll reports. A client is read once, its complete requests are executed, and what they answered is
written in one call before the next client's turn. Nothing here waits but epoll.
"""

from libc.stdint cimport SIZE_MAX, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy, memset, strdup

from proxy.wire.chunk cimport pool_trim
from proxy.wire.input cimport READ_END, READ_NOTHING, READ_SOME, SCRATCH, input_keep, input_length, input_read
from proxy.wire.output cimport WRITE_FAILED, output_write
from proxy.wire.poll cimport Handle, poll_add, poll_close, poll_open, poll_wait, poll_want, wake, wake_clear, wake_open
from proxy.wire.system cimport (
    ECONNABORTED, EINTR, EMFILE, ENFILE, ENOBUFS, ENOMEM, EPOLLERR, EPOLLHUP, EPOLLIN, EPOLLOUT, MSG_DONTWAIT,
    MSG_NOSIGNAL, SOCK_CLOEXEC, SOCK_NONBLOCK, accept4, close, errno, monotonic_us, realtime_us, send,
)
from storenode.acks cimport acks_turn
from storenode.blocked cimport wait_expire
from storenode.broadcast cimport broadcast_send
from storenode.acl cimport acl_close
from storenode.aclfile cimport FILE_PROBLEM_ROOM, aclfile_load
from storenode.channels cimport channels_open
from storenode.clock cimport clock_learn, cycles
from storenode.commands cimport commands_open
from storenode.config cimport PROBLEM_ROOM, config_apply, config_open, config_password
from storenode.connection cimport client_close, client_open, clients_bury
from storenode.delivery cimport client_touch
from storenode.effects cimport effects_flush
from storenode.evict cimport evict_policy
from storenode.execute cimport OUTPUT_SOFT, QUERY_BUFFER, execute_requests
from storenode.expire cimport expire_sweep
from storenode.interest cimport interests_open
from storenode.invalidation cimport invalidation_close, invalidation_open, tracked_sweep
from storenode.keeping cimport keeping_open
from storenode.keyspace cimport database_clear
from storenode.latency cimport LATENCY_EXPIRE, latency_begin, latency_end, latency_reset
from storenode.limits cimport clients_check, limits_open, output_check
from storenode.names cimport command_rename, names_close
from storenode.pages cimport pages_close, pages_turn
from storenode.pause cimport pause_end
from storenode.log cimport log_turn
from storenode.reaper cimport reap
from storenode.restart cimport restart
from storenode.rewrites cimport rewrites_open
from storenode.saving cimport saving_end, saving_tick
from storenode.slowlog cimport slow_limit, slow_update
from storenode.table cimport table_fit, table_move, table_moving
from storenode.link cimport link_offered, link_synced, link_tick, serve_link
from storenode.replicas cimport replication_turn
from storenode.replication cimport (
    ID_LENGTH, Offer, Replica, Replication, Wish, pthread_mutex_lock, pthread_mutex_unlock, replication_close, replication_of,
    replication_open,
)
from storenode.types cimport (
    ALLKEYS_LRU, CLIENT, DATABASES, LINK, LINK_WAKER, LISTENER, WAKER, Client, Database, Entry, Node, Slice,
)
from storenode.usage cimport usage_clock
from storenode.users cimport users_open

cdef extern from "<malloc.h>" nogil:
    int M_MXFAST
    int mallopt(int parameter, int value)

cdef enum:
    ACCEPT_MOST = 64           # connections taken in one turn
    ROUNDS_MOST = 8            # times a parked client goes on within one turn
    TICK_US = 100000           # between two housekeepings
    TICK_BUSY_US = 10000       # the same while there is work left: at most a tenth of the time is spent on it
    MOVE_US = 1000             # of one housekeeping spent on moving tables
    SWEEP_US = 1000            # and on expiry
    REAP_US = 1000             # and on freeing large values
    FOLD_US = 2000             # between two looks whether pages are folded, so that a fork can begin
    REAPED_A_CHECK = 256       # elements freed between two looks at the clock
    LEARN_US = 300             # of the start, until the rate of the processor's counter is known
    MOVED_A_CHECK = 64         # buckets moved between two looks at the clock


cdef void accept_clients(Node* node) noexcept nogil:
    """Take waiting connections. Out of descriptors: stop listening until the next tick instead of spinning."""
    cdef int left = ACCEPT_MOST
    cdef int fd
    while left:
        left -= 1
        fd = accept4(node.listener.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)
        if fd < 0:
            if errno == EINTR or errno == ECONNABORTED:
                continue
            if errno == EMFILE or errno == ENFILE or errno == ENOBUFS or errno == ENOMEM:
                node.accept_paused = True
                poll_want(&node.poll, &node.listener, 0)
            return
        if node.client_count >= <uint64_t> node.maxclients:
            send(fd, b"-ERR max number of clients reached\r\n", 36, MSG_DONTWAIT | MSG_NOSIGNAL)
            close(fd)
            node.stats.rejected_connections += 1
        elif client_open(node, fd) != NULL:
            node.stats.connections += 1


cdef bint flush(Node* node, Client* client) noexcept nogil:
    """Write what the kernel takes. False: the peer is gone and the client closed."""
    cdef size_t before = client.output.length
    if client.overrun:
        client_close(node, client)
        return False
    if before == 0:
        return True
    node.stats.writes += 1
    if output_write(&client.output, &node.chunks, client.handle.fd) == WRITE_FAILED:
        client_close(node, client)
        return False
    node.stats.output_bytes += before - client.output.length
    return True


cdef void proceed(Node* node, Client* client, const char* data, size_t length) noexcept nogil:
    """Execute, write, keep the rest; a client whose replies were taken goes on with the requests that were parked."""
    cdef size_t used = 0
    cdef size_t need = 0
    cdef int rounds = ROUNDS_MOST
    cdef bint whole = client.output.length == 0
    while True:
        used += execute_requests(node, client, data + used, length - used, &need)
        if node.log.open:
            # What it was told is true once the log has it: it is written at the end of the turn.
            if not client.touched:
                client.held_whole = whole
                client_touch(node, client)
            break
        if not flush(node, client):
            return
        rounds -= 1
        if not client.parked or client.output.length > OUTPUT_SOFT or rounds == 0:
            break
    if need > QUERY_BUFFER:
        client_close(node, client)
        return
    input_keep(&client.input, &node.chunks, data, length, used, need, &node.input_memory)


cdef void settle(Node* node, Client* client) noexcept nogil:
    """Close a client that is finished, else tell epoll what it waits for."""
    cdef uint32_t interest = 0
    if client.output.length or client.parked:
        output_check(node, client)
        interest |= EPOLLOUT
    elif client.closing or client.ended:
        client_close(node, client)
        return
    if not client.closing and not client.ended and input_length(&client.input) < QUERY_BUFFER:
        interest |= EPOLLIN
    poll_want(&node.poll, &client.handle, interest)


cdef void serve_client(Node* node, Client* client, uint32_t events) noexcept nogil:
    cdef const char* data = NULL
    cdef size_t length = 0
    cdef size_t before
    cdef int status
    if events & EPOLLERR or (events & EPOLLHUP and not events & EPOLLIN):
        client_close(node, client)
        return
    if events & EPOLLOUT and not (client.touched and node.log.open):
        if not flush(node, client):
            return
        if client.replica != NULL:
            (<Replica*> client.replica).blocked = False
        if client.parked and client.output.length <= OUTPUT_SOFT:
            proceed(node, client, client.input.chunk.data + client.input.chunk.head, input_length(&client.input))
            if client.handle.kind != CLIENT:
                return
    if events & EPOLLIN and not client.closing and not client.ended:
        before = input_length(&client.input)
        status = input_read(&client.input, &node.chunks, node.scratch, client.handle.fd, &node.input_memory, &data,
                            &length)
        if status == READ_SOME:
            node.stats.reads += 1
            node.stats.input_bytes += length - before
            client.used_us = node.now_us
            proceed(node, client, data, length)
            if client.handle.kind != CLIENT:
                return
        elif status == READ_END:
            client.ended = True
            if client.wait != NULL:
                client_close(node, client)
                return
        elif status != READ_NOTHING:
            client_close(node, client)
            return
    if not client.touched:
        settle(node, client)


cdef void deliver(Node* node) noexcept nogil:
    """Write to the clients whose output waited for the end of the turn; what that lets go on may touch further ones.

    Where a log is kept nothing goes on here: that would be answered before it is in the log.
    """
    cdef Client* client
    while node.touched != NULL:
        client = node.touched
        node.touched = client.next_touched
        client.touched = False
        client.held_whole = False
        if client.handle.kind == CLIENT and flush(node, client):
            if (client.parked and not node.log.open and client.input.chunk != NULL
                    and client.output.length <= OUTPUT_SOFT):
                proceed(node, client, client.input.chunk.data + client.input.chunk.head, input_length(&client.input))
            if client.handle.kind == CLIENT:
                settle(node, client)


cdef uint64_t housekeep(Node* node) noexcept nogil:
    """What no request pays for; returns the microseconds until it wants to be called again."""
    cdef uint64_t deadline = node.now_us + MOVE_US
    cdef uint64_t elapsed = node.now_us - node.rate_us
    cdef uint64_t begun
    cdef Database* database
    cdef bint busy = False
    cdef int number
    node.now_ms = <long long> (realtime_us() // 1000)
    clock_learn(node, monotonic_us())
    slow_update(node)
    if elapsed >= 1000000:
        clients_check(node)
        node.rate = (node.stats.commands - node.rate_commands) * 1000000 // elapsed
        if node.stats.commands == node.rate_commands:
            pool_trim(&node.chunks)
        node.rate_commands = node.stats.commands
        node.rate_us = node.now_us
    if node.memory > node.memory_peak:
        node.memory_peak = node.memory
    if node.accept_paused:
        node.accept_paused = False
        poll_want(&node.poll, &node.listener, EPOLLIN)
    for number in range(DATABASES):
        database = &node.databases[number]
        table_fit(&database.keys)
        while table_moving(&database.keys) and not busy:
            table_move(&database.keys, MOVED_A_CHECK)
            busy = monotonic_us() > deadline
    if not node.expiry_off and not node.paused_until_us and not node.loading.on and node.primary == NULL:
        begun = latency_begin(node)
        busy = expire_sweep(node, SWEEP_US) or busy
        latency_end(node, LATENCY_EXPIRE, begun)
    deadline = monotonic_us() + REAP_US
    while node.doomed != NULL and monotonic_us() < deadline:
        busy = reap(node, REAPED_A_CHECK) or busy
    link_tick(node)
    if tracked_sweep(node, monotonic_us() + SWEEP_US):
        busy = True
    if not node.loading.on:
        saving_tick(node)
    return TICK_BUSY_US if busy else TICK_US


cdef void turn(Node* node, uint64_t* tick_at) noexcept nogil:
    cdef uint64_t now = monotonic_us()
    cdef uint64_t until = tick_at[0]
    cdef int timeout
    cdef Handle* handle
    cdef int index
    if node.deadline_count and node.deadlines[0].deadline_us < until:
        until = node.deadlines[0].deadline_us
    if node.paused_until_us and node.paused_until_us < until:
        until = node.paused_until_us
    if node.fold != NULL and now + FOLD_US < until:
        until = now + FOLD_US
    timeout = <int> ((until - now + 999) // 1000) if until > now else 0
    poll_wait(&node.poll, timeout)
    node.now_us = monotonic_us()
    usage_clock(node)
    for index in range(node.poll.count):
        handle = <Handle*> node.poll.ready[index].data.ptr
        if handle.kind == CLIENT:
            serve_client(node, <Client*> handle, node.poll.ready[index].events)
        elif handle.kind == LISTENER:
            accept_clients(node)
        elif handle.kind == WAKER:
            wake_clear(handle.fd)
            node.stop_asked = True
        elif handle.kind == LINK:
            serve_link(node, handle, node.poll.ready[index].events)
        elif handle.kind == LINK_WAKER:
            wake_clear(handle.fd)
            link_offered(node)
    if node.deadline_count:
        wait_expire(node)
    if node.paused_until_us and node.now_us >= node.paused_until_us:
        pause_end(node)
    if node.fold != NULL and pages_turn(node):
        node.tick_soon = True
    if node.now_us >= tick_at[0] or node.tick_soon:
        node.tick_soon = False
        tick_at[0] = node.now_us + housekeep(node)
    if node.log.open:
        log_turn(node)
    if replication_of(node).acked:
        acks_turn(node)
        link_synced(node)
    while node.broadcasts or node.touched != NULL:
        broadcast_send(node)
        deliver(node)
    if node.dead != NULL:
        clients_bury(node)
    if node.effects.length:
        effects_flush(node)
    replication_turn(node)
    if node.stop_asked and not node.loading.on:
        node.stop_asked = False
        node.stopping = saving_end(node, node.snapshots.point_count > 0, False)


cdef bint breathe(Node* node) noexcept nogil:
    """Serve for a turn while the keyspace is being loaded: most requests are told to wait. False: give up."""
    cdef uint64_t tick_at = 0
    turn(node, &tick_at)
    return not node.stop_asked and not node.stopping


cdef class Loop:
    """A node and its thread's work.

    listener: a bound, listening, non-blocking socket's descriptor; stays the caller's. seed, run_id: random, 64 bits
    and 40 hexadecimal digits. maxmemory: bytes of keyspace, 0 for no limit. Raises OSError if epoll cannot be had.
    """

    def __cinit__(self, int listener, *, bytes bind, int port, size_t maxmemory, bytes password, bytes run_id,
                  uint64_t seed, int maxclients, bytes aclfile=None, list renamed=None):
        cdef Node* node = <Node*> calloc(1, sizeof(Node))
        cdef Slice secret, called
        cdef const char* why
        cdef char problem[FILE_PROBLEM_ROOM]
        cdef int number
        if node == NULL:
            raise MemoryError
        # Without this, freed keys gather in malloc's fast bins until some large free merges them all at once:
        # 75 ms for 400,000 keys (measured). Merged one by one they also leave fewer holes.
        mallopt(M_MXFAST, 0)
        self.node = node
        node.poll.epoll = -1
        node.waker.fd = -1
        self.bind = bind
        node.bind = self.bind
        if len(run_id) != 40:
            raise ValueError("run_id: 40 hexadecimal digits are needed")
        memcpy(node.run_id, <char*> run_id, 40)
        node.port = port
        node.maxmemory = maxmemory
        node.maxclients = maxclients
        evict_policy(node, ALLKEYS_LRU)
        node.clock_cycles = cycles()
        node.clock_us = monotonic_us()
        while monotonic_us() < node.clock_us + LEARN_US:
            pass
        clock_learn(node, monotonic_us())
        config_open(node)
        keeping_open(node)
        node.seed = seed
        node.random = seed | 1
        node.call.node = node
        node.call.pool = &node.chunks
        node.scratch = <char*> malloc(SCRATCH + 64)
        for number in range(DATABASES):
            node.databases[number].number = number
            node.databases[number].node = node
            node.databases[number].keys.node = node
            node.databases[number].keys.head = sizeof(Entry)
            interests_open(node, &node.databases[number].watched)
            interests_open(node, &node.databases[number].awaited)
        invalidation_open(node)
        channels_open(node)
        limits_open(node)
        commands_open(node)
        users_open(node)
        if password is not None:
            secret.data = <char*> password
            secret.length = len(password)
            config_password(node, &secret)
        for name, other in renamed or []:
            secret.data = <char*> name
            secret.length = len(name)
            called.data = <char*> other
            called.length = len(other)
            why = command_rename(node, &secret, &called)
            if why != NULL:
                what = f"rename {name.decode(errors='replace')!r} to {other.decode(errors='replace')!r}"
                if not other:
                    what = f"deny {name.decode(errors='replace')!r}"
                raise ValueError(f"cannot {what}: {why.decode()}")
        if aclfile is not None:
            node.aclfile = strdup(<char*> aclfile)
            if not aclfile_load(node, problem):
                raise ValueError((<bytes> problem).decode(errors="replace").strip())
        rewrites_open(node)
        node.now_us = monotonic_us()
        usage_clock(node)
        node.start_us = node.now_us
        node.rate_us = node.now_us
        node.listener.kind = LISTENER
        node.listener.fd = listener
        node.waker.kind = WAKER
        node.waker.fd = wake_open()
        if node.scratch == NULL or node.waker.fd < 0 or poll_open(&node.poll) < 0 \
                or poll_add(&node.poll, &node.listener, EPOLLIN) < 0 \
                or poll_add(&node.poll, &node.waker, EPOLLIN) < 0 or not replication_open(node):
            raise OSError(errno, "cannot set up the node's event loop")

    def __dealloc__(self):
        cdef Node* node = self.node
        cdef int number
        if node == NULL:
            return
        saving_end(node, False, True)
        pages_close(node)
        while node.clients != NULL:
            client_close(node, node.clients)
        clients_bury(node)
        replication_close(node)
        invalidation_close(node)
        for number in range(DATABASES):
            database_clear(&node.databases[number], False)
        while reap(node, SIZE_MAX):
            pass
        pool_trim(&node.chunks)
        poll_close(&node.poll)
        if node.waker.fd >= 0:
            close(node.waker.fd)
        free(node.scratch)
        free(node.argv)
        free(node.deadlines)
        free(node.ids)
        acl_close(node)
        slow_limit(node, 0)
        for number in range(node.row_count):
            latency_reset(&node.rows[number])
        names_close(node)
        free(node.password)
        free(node.aclfile)
        free(node)

    def configure(self, bytes name, bytes value) -> None:
        """Set a parameter as CONFIG SET does, before load() and run(). Raises ValueError."""
        cdef char[PROBLEM_ROOM] room
        cdef Slice key, text
        cdef const char* problem
        key.data = name
        key.length = len(name)
        text.data = value
        text.length = len(value)
        problem = config_apply(self.node, &key, &text, room)
        if problem != NULL:
            raise ValueError((<bytes> problem).decode("ascii", "replace"))

    def load(self) -> bool:
        """Load what an earlier run kept, and begin to keep a log if one is wanted; in the thread of run(), before it.

        Clients are served meanwhile, most of them with -LOADING. False: stop() was called. Raises OSError, with a
        sentence about what cannot be loaded and what to do.
        """
        cdef bint good
        with nogil:
            good = restart(self.node, breathe)
        if self.node.stop_asked or self.node.stopping:
            return False
        if not good:
            raise OSError(self.node.problem.decode("utf-8", "replace"))
        return True

    def run(self) -> None:
        """Serve until stop() is called. Call it in a thread of its own: it holds no GIL."""
        cdef uint64_t tick_at = 0
        self.node.started = True
        with nogil:
            while not self.node.stopping:
                turn(self.node, &tick_at)

    def stop(self) -> None:
        """Make run() return at the end of its turn; may be called from any thread, any number of times.

        If what should be saved cannot be, run() goes on and says so on the standard error.
        """
        wake(self.node.waker.fd)

    # -- replication: what the control plane is asked for and what it gives -------------------------------------------

    def link_orders(self) -> int:
        """A descriptor that becomes readable, as an eventfd does, whenever link_wish() has changed."""
        return replication_of(self.node).ordered

    def link_wish(self) -> dict | None:
        """The link to a primary that is wanted now; None: none. The number makes one wish differ from the next."""
        cdef Replication* replication = replication_of(self.node)
        cdef Wish wish
        with nogil:
            pthread_mutex_lock(&replication.lock)
            wish = replication.wish
            pthread_mutex_unlock(&replication.lock)
        if not wish.wanted:
            return None
        return {
            "number": wish.number, "host": wish.host.decode(), "port": wish.port, "stream": wish.id.decode(),
            "offset": wish.offset, "user": <bytes> wish.user, "password": <bytes> wish.password,
            "announce_host": wish.announce_host.decode(), "announce_port": wish.announce_port,
            "timeout": wish.timeout,
        }

    def link_offer(self, *, uint64_t number, int fd, bint whole, bytes stream, uint64_t offset, bytes rest) -> None:
        """Hand over a link: a connected, non-blocking socket whose descriptor now belongs to the loop.

        number: of the wish. whole: a snapshot follows, of the keyspace at `offset` of the stream; else the stream goes
        on, under the name `stream` if that is not empty. rest: what was received behind the primary's answer.
        """
        cdef Replication* replication = replication_of(self.node)
        cdef Offer offer
        cdef Offer old
        offer.number = number
        offer.fd = fd
        offer.whole = whole
        offer.offset = offset
        memset(offer.id, 0, sizeof(offer.id))
        if stream:
            if len(stream) != ID_LENGTH:
                raise ValueError("stream: 40 hexadecimal digits are needed")
            memcpy(offer.id, <char*> stream, ID_LENGTH)
        offer.rest_length = len(rest)
        offer.rest = <char*> malloc(len(rest) + 1)
        if offer.rest == NULL:
            raise MemoryError
        memcpy(offer.rest, <char*> rest, len(rest))
        with nogil:
            pthread_mutex_lock(&replication.lock)
            old = replication.offer
            replication.offer = offer
            pthread_mutex_unlock(&replication.lock)
        if old.fd >= 0:
            close(old.fd)
            free(old.rest)
        wake(replication.waker.fd)
