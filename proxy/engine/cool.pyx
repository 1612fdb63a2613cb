# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Cool: copies, joined reads and the fetches that bring copies. See cool.pxd.

A fetch that is to become a copy is CLIENT CACHING YES, the read itself and PTTL, adjacent on the client's own shared
connection: so it keeps its place among what this client has asked for, and needs no second request. The node's
invalidations go to the ear. Where tracking is not to be had, or the rule says `ttl`, CLIENT CACHING is left out.
"""

from libc.stdint cimport uint32_t, uint64_t
from libc.stdlib cimport malloc
from libc.string cimport memcmp, memcpy, memset, strlen

from proxy.engine.choice cimport usable
from proxy.engine.connection cimport conn_ask, conn_flush, conn_place, conn_untrack, conn_willing
from proxy.engine.copies cimport copies_compare, copy_find, copy_holds, copy_reply
from proxy.engine.ear cimport WANTED_US, ear_hears, ear_pong
from proxy.engine.fanout cimport fan_fill, fan_read, fan_reply, fan_wants, fans_due
from proxy.engine.fence cimport Bound, fence_find, fence_key, fence_lets
from proxy.engine.fetch cimport (
    fetch_drop, fetch_holds, fetch_join, fetch_life, fetch_move, fetch_new, fetch_settle, fetch_shield, fetch_tell,
    fetch_value,
)
from proxy.engine.heat cimport (
    CHECK_EVERY, ROLE_CACHING, ROLE_COPY, ROLE_LEASE, ROLE_LIFE, ROLE_MARK, ROLE_PING, ROLE_SET, ROLE_TRACKING, ROLE_VALUE,
    SEEN, Copy, Fetch, Heat, HotKey, heat_of,
)
from proxy.engine.hot cimport hot_ask, hot_find, hot_rule
from proxy.engine.tenure cimport lease_over
from proxy.engine.lookup cimport lookup, same_word
from proxy.engine.marks cimport marks_quiet, marks_sum, quench_key_hash, quench_load_word
from proxy.engine.reads cimport reads_elsewhere
from proxy.engine.refusals cimport DONE, GO_ON, WAIT
from proxy.engine.route cimport home
from proxy.engine.shield cimport is_nil, shield_early, shield_join, shield_reply, shield_take
from proxy.engine.slots cimport client_unread, slot_local
from proxy.engine.tombstones cimport tombstones_before
from proxy.engine.types cimport (
    CLIENT_BARRIER, CLIENT_CLOSING, CLIENT_RESTRICTED, CLIENT_SILENT, CLIENT_SKIP, CLIENT_SPECIAL, CLIENT_TRACKING,
    CLIENT_WATCHING, CONN_OPEN, COPIES_OFF, COPIES_TRACKED, FLUSH_AT, ROW_CACHEABLE, ROW_GET, Client, Conn,
    Core, HotRule, Node, Pending, Pool, Row,
)
from proxy.wire.input cimport MOVE_AT
from proxy.wire.output cimport Output, output_append, output_bulk, output_clear, output_flatten, output_repeat
from proxy.wire.resp cimport Frame, write_number

cdef enum:
    JOIN_PART = 4              # a fetch is joined while younger than this part of the deadline, which is its starter's
    JOIN_FREELY = 16           # answers that a client may wait for whatever their size
    READS_A_WRITE = 2          # a key that is read less often than that between two writes is not copied
    AGAIN_BYTES = 65536        # of replies that are written at once
    JOINS_A_SET = 4            # a key that is written more often than that between two reads is not worth it
    # Clients each of whose requests is looked at.
    ONE_BY_ONE = (CLIENT_SPECIAL & ~CLIENT_RESTRICTED) | CLIENT_BARRIER | CLIENT_CLOSING | CLIENT_SILENT | CLIENT_SKIP

cdef const char* TRACK = b"*6\r\n$6\r\nCLIENT\r\n$8\r\nTRACKING\r\n$2\r\nON\r\n$5\r\nOPTIN\r\n$8\r\nREDIRECT\r\n"
cdef const char* CACHE = b"*3\r\n$6\r\nCLIENT\r\n$7\r\nCACHING\r\n$3\r\nYES\r\n"


cdef int cool_hot(Core* core, Client* client, Row* row, Frame* frame, uint64_t hash) noexcept nogil:
    """A request that has to be counted, or whose key may be hot."""
    cdef HotKey* key = hot_ask(core, client.pool, row, frame.data + frame.args[row.key].offset,
                               frame.args[row.key].length, hash)
    cdef Bound bound
    if key == NULL:
        return GO_ON
    key.bytes += frame.length
    heat_of(core).asked = key
    fence_find(core, client, hash, &bound)
    if key.fan != NULL:
        if client.fan_reads and client.fan_hash == hash and not row.flags & ROW_CACHEABLE:
            # It may have to be asked at home after all, and then behind nothing that came later.
            return WAIT
        if core.noted:
            tombstones_before(core, client.pool, client.protocol, client.database)
    if row.flags & ROW_CACHEABLE and frame.length < MOVE_AT and cool_may(client):
        return read(core, client, row, frame, key, &bound)
    if bound.doubt:
        return WAIT
    fence_key(core, client, hash)
    return GO_ON


cdef bint cool_may(const Client* client) noexcept nogil:
    """A client that holds a WATCH, or that tracks, is answered by the node itself; and so is everybody while this proxy is
    out of touch with most of the pool: others may have made another node the primary, and an ear at this one hears
    nothing of what is written there."""
    if client.flags & (CLIENT_WATCHING | CLIENT_TRACKING):
        return False
    return not (client.pool.leased and lease_over(client.pool.core, client.pool))


cdef int read(Core* core, Client* client, Row* row, Frame* frame, HotKey* key, const Bound* bound) noexcept nogil:
    cdef Heat* heat = heat_of(core)
    cdef uint64_t marks = marks_sum(core, key.hash)
    cdef Copy* copy = copy_find(key, client.protocol, client.database, frame.data, frame.length)
    cdef Fetch* fetch
    cdef bint exact = False
    cdef bint due = False
    cdef int verdict
    if client.fan_reads and client.fan_hash == key.hash:
        return fan_read(core, client, row, frame, key, marks)
    if copy != NULL and not fence_lets(bound, copy.order):
        copy = NULL
        due = True
    if copy != NULL and copy_holds(core, copy, marks):
        if key.rule.early and row.flags & ROW_GET and shield_early(core, client, row, key, copy):
            return DONE
        if core.now_us < copy.refresh_us:
            serve(core, client, row, key, copy)
            core.served = copy
            return DONE
        # This request fetches it anew, the others are served meanwhile; if nothing comes of it, another one tries.
        copy.refresh_us += (copy.expires_us - copy.refresh_us) // 2 + 1
        core.counters.copy_refreshes += 1
    elif copy == NULL and not due and not on_its_way(client, frame, key) and not asked_before(heat, client, frame):
        if bound.doubt:
            return WAIT
        fence_key(core, client, key.hash)
        return GO_ON
    elif key.fan != NULL and not bound.doubt:
        verdict = fan_read(core, client, row, frame, key, marks)
        if verdict != GO_ON:
            return verdict
    fetch = joinable(core, client, frame, key, marks, bound, &exact)
    if fetch == NULL and bound.doubt:
        return WAIT
    fence_key(core, client, key.hash)
    if fetch == NULL:
        return start(core, client, row, frame, key, copy, marks, True)
    if not bearable(client, key):
        return start(core, client, row, frame, key, copy, marks, False)
    core.row_stats[row.index].calls += 1
    core.counters.reads_joined += 1
    fetch_join(core, fetch, client, exact)
    return DONE


cdef bint bearable(Client* client, const HotKey* key) noexcept nogil:
    """May this client wait for one more answer that comes together with the others it waits for? All of them are
    written in one turn, where a node's replies to as many requests would come in several, with a look at the client's
    limits between them."""
    cdef size_t in_flight = client.tail - client.head
    return in_flight < JOIN_FREELY or in_flight * key.size <= client.pool.limits.output_soft


cdef inline void count_hit(Core* core, HotKey* key, const Copy* copy) noexcept nogil:
    """The copy is served: that is what its node's ear is kept awake for."""
    core.counters.copy_hits += 1
    key.hits += 1
    key.bytes += copy.length
    copy.node.ear_wanted_us = core.now_us + WANTED_US


cdef void serve(Core* core, Client* client, Row* row, HotKey* key, Copy* copy) noexcept nogil:
    core.row_stats[row.index].calls += 1
    count_hit(core, key, copy)
    slot_local(core, client, copy_reply(copy), copy.length)
    if heat_of(core).unchecked == 0:
        check(core, row, copy)
    heat_of(core).unchecked -= 1


cdef uint32_t cool_again(Core* core, Client* client, const char* request, size_t size, size_t behind) noexcept nogil:
    """The request of these `size` bytes was answered from core.served; `behind` bytes follow it. Answer those that are
    the very same request, all at once; returns how many. Nothing can have changed between one and the next.

    They are not counted in the sketch: it looks for keys that are not hot yet.
    """
    cdef Heat* heat = heat_of(core)
    cdef Copy* copy = <Copy*> core.served
    cdef HotKey* key = heat.asked
    cdef size_t unread = client_unread(client)
    cdef size_t soft = client.pool.limits.output_soft
    cdef size_t most = behind // size
    cdef size_t room = 0
    cdef size_t count = 0
    core.served = NULL
    if most == 0 or memcmp(request + size, request, size) != 0:
        return 0
    if client.head != client.tail or client.flags & ONE_BY_ONE or key.rule.early:
        return 0
    if unread <= soft and core.chunks.total <= core.output_limit:
        room = (soft - unread if soft - unread < AGAIN_BYTES else AGAIN_BYTES) // copy.length + 1
    most = min(most, room, <size_t> heat.unchecked)
    if memcmp(request + size, request, most * size) == 0:
        count = most
    else:
        while memcmp(request + (count + 1) * size, request, size) == 0:
            count += 1
    if count == 0:
        return 0
    output_repeat(&client.output, &core.chunks, copy_reply(copy), copy.length, count)
    core.row_stats[client.last_row].calls += count
    core.counters.copy_hits += count
    heat.unchecked -= <uint32_t> count
    key.reads += <uint32_t> count
    key.hits += count
    key.bytes += count * (size + copy.length)
    return <uint32_t> count


cdef bint asked_before(Heat* heat, Client* client, Frame* frame) noexcept nogil:
    """Was this very request asked before? What is asked once is not worth a copy, however hot its key is."""
    cdef uint64_t hash = quench_key_hash(client.protocol | client.database << 8, frame.data, frame.length) | 1
    cdef uint64_t* place = &heat.seen[hash >> 40 & (SEEN - 1)]
    if place[0] == hash:
        return True
    place[0] = hash
    return False


cdef inline bint same(const Fetch* fetch, const Client* client, const Frame* frame) noexcept nogil:
    """Does it ask for the very same, and is its reply out?"""
    return (not fetch.over and not fetch.lost and fetch.asked == frame.length and fetch.protocol == client.protocol
            and fetch.database == client.database and memcmp(fetch + 1, frame.data, frame.length) == 0)


cdef bint on_its_way(const Client* client, const Frame* frame, const HotKey* key) noexcept nogil:
    """Is somebody fetching it? Then it was asked before, and must not be asked in a way that says nothing to a copy."""
    cdef const Fetch* fetch = key.fetches
    while fetch != NULL:
        if same(fetch, client, frame):
            return True
        fetch = fetch.next
    return False


cdef Fetch* joinable(Core* core, Client* client, Frame* frame, HotKey* key, uint64_t marks, const Bound* bound,
                     bint* exact) noexcept nogil:
    """A fetch on its way that answers this request, too; `exact`: it was not given to the kernel yet."""
    cdef Fetch* fetch = key.fetches
    cdef uint32_t limit = client.pool.limits.timeout_us
    cdef uint64_t forgets = quench_load_word(&core.peers.forgets)
    # The latest is the first, and marks only grow.
    while fetch != NULL and fetch.marks == marks:
        # What this client has written before may be queued behind the fetch: then one of these has moved.
        if (fetch.forgets == forgets and not (limit and core.now_us - fetch.sent_us > limit // JOIN_PART)
                and (fetch.order == bound.order if bound.doubt else fence_lets(bound, fetch.order))
                and same(fetch, client, frame)):
            exact[0] = fetch.flushes == fetch.conn.flushes and not bound.doubt
            if exact[0] or (fetch.storing and core.now_us - fetch.sent_us < key.rule.life_us
                            and fetch_holds(core, fetch)):
                return fetch
        fetch = fetch.next
    return NULL


cdef Copy* cool_copy(Core* core, Client* client, HotKey* key, const char* name, size_t length) noexcept nogil:
    """The copy of GET for this key that may be served now, or NULL. Counts it as served."""
    cdef uint64_t marks = marks_sum(core, key.hash)
    cdef Copy* copy = key.copies
    cdef const char* request
    cdef Bound bound
    if key.length != length or memcmp(key + 1, name, length) != 0:
        return NULL
    while copy != NULL:
        request = <const char*> (copy + 1)
        if (copy.protocol == client.protocol and copy.database == client.database
                and memcmp(request, b"*2\r\n$3\r\n", 8) == 0 and same_word(request + 8, 3, b"get")):
            fence_find(core, client, key.hash, &bound)
            if not fence_lets(&bound, copy.order) or not copy_holds(core, copy, marks) or core.now_us >= copy.refresh_us:
                return NULL
            count_hit(core, key, copy)
            return copy
        copy = copy.next
    return NULL


# -- fetching -----------------------------------------------------------------------------------------------------------

cdef inline bint spreads(const Pool* pool, const HotKey* key) noexcept nogil:
    """Are reads of this key spread over its node and the replicas, because no copy will answer them?"""
    return pool.reads.hot and (key.rule.copies == COPIES_OFF
                               or <uint64_t> key.write_rate * READS_A_WRITE > key.read_rate)


cdef int start(Core* core, Client* client, Row* row, Frame* frame, HotKey* key, Copy* copy,
               uint64_t marks, bint keeps) noexcept nogil:
    """Send the request, as a fetch that others may join and that, if it `keeps`, may bring a copy."""
    cdef int index = home(core, client.pool, <const char*> (key + 1), key.length)
    cdef Node* node
    cdef Conn* conn
    cdef Fetch* fetch
    if index < 0:
        return GO_ON
    node = &client.pool.nodes[index]
    if node.replica_count and (spreads(client.pool, key) or reads_elsewhere(core, client, node)):
        # What a replica says becomes no copy, and nobody joins it.
        core.spread = client.pool.reads.hot
        return GO_ON
    conn = node.conns[conn_place(client.protocol, client.database, 0)]
    if (copy != NULL and copy.marks == marks and copy.forgets == quench_load_word(&core.peers.forgets)
            and core.now_us < copy.stale_us and (node.ejected or conn != NULL and conn.refusing)):
        core.counters.copies_stale += 1
        serve(core, client, row, key, copy)
        return DONE
    conn = usable(core, client, row, node, 0)
    if conn == NULL:
        return DONE
    fetch = fetch_new(core, key, conn, row.index, client.protocol, client.database, frame.data, frame.length)
    fetch_shield(fetch, key.rule, row, frame, key.hash)
    fetch_join(core, fetch, client, True)
    core.row_stats[row.index].calls += 1
    if keeps:
        may_store(core, key, fetch)
        fan_wants(core, key, fetch)
    send(core, fetch, frame.data, frame.length)
    return DONE


cdef void cool_fetch(Core* core, Client* client, Row* get, HotKey* key) noexcept nogil:
    """Fetch a copy of GET for whoever asks next; nobody waits for it, and if it cannot be had that is all."""
    cdef Fetch* fetch = key.fetches
    cdef int index = home(core, client.pool, <const char*> (key + 1), key.length)
    cdef Conn* conn
    cdef Output request
    if index < 0:
        return
    while fetch != NULL:
        # One at a time; the copy that it brings may be another command's, and then it is this one's turn next.
        if not fetch.over and not fetch.opened:
            return
        fetch = fetch.next
    conn = conn_willing(&client.pool.nodes[index], client.protocol, client.database)
    if conn == NULL:
        return
    memset(&request, 0, sizeof(request))
    output_append(&request, &core.chunks, b"*2\r\n$3\r\nGET\r\n", 13)
    output_bulk(&request, &core.chunks, <const char*> (key + 1), key.length)
    output_flatten(&request, &core.chunks)
    fetch = fetch_new(core, key, conn, get.index, client.protocol, client.database, request.first.data + request.first.head,
                      request.length)
    may_store(core, key, fetch)
    if fetch.storing:
        send(core, fetch, <const char*> (fetch + 1), fetch.asked)
    else:
        fetch_drop(fetch)
    output_clear(&request, &core.chunks)


cdef void cool_set(Core* core, Client* client, Row* row, Frame* frame, Node* node) noexcept nogil:
    """A write of the hot key heat.asked was queued for this node. If it is a SET that the kernel has not got yet, GETs of
    the key join it: if the node says OK, then at that moment, which is after they were asked, the value is that of the SET.

    Without this every SET of a key that is written much would have a GET behind it.
    """
    cdef HotKey* key = heat_of(core).asked
    cdef Row* get = lookup(core, b"GET     ", 3)
    cdef Conn* conn = node.conns[conn_place(client.protocol, client.database, 0)]
    cdef Pending* pending
    cdef Fetch* fetch
    cdef Output request
    cdef char* value
    cdef size_t length = frame.args[2].length
    if row != lookup(core, b"SET     ", 3) or client.pool.fans or key.read_rate < key.write_rate // JOINS_A_SET:
        return
    # EX and PX leave the value in place for a while at least; what other options do depends.
    if frame.argc != 3 and (frame.argc != 5 or not (same_word(frame.data + frame.args[3].offset, frame.args[3].length, b"ex")
                            or same_word(frame.data + frame.args[3].offset, frame.args[3].length, b"px"))):
        return
    if frame.length >= MOVE_AT or get == NULL or conn == NULL or conn.head == conn.tail:
        return
    pending = &conn.pending[(conn.tail - 1) & conn.mask]
    # All of it is still here, and nothing else hangs on its reply.
    if (pending.client != client or pending.slot != client.tail - 1 or pending.role != ROLE_MARK
            or conn.output.length < pending.size):
        return
    value = <char*> malloc(length + 32)
    if value == NULL:
        return
    memset(&request, 0, sizeof(request))
    output_append(&request, &core.chunks, b"*2\r\n$3\r\nGET\r\n", 13)
    output_bulk(&request, &core.chunks, <const char*> (key + 1), key.length)
    output_flatten(&request, &core.chunks)
    fetch = fetch_new(core, key, conn, get.index, client.protocol, client.database, request.first.data + request.first.head,
                      request.length)
    output_clear(&request, &core.chunks)
    value[0] = c'$'
    fetch.length = <uint32_t> (1 + write_number(value + 1, <long long> length))
    memcpy(value + fetch.length, frame.data + frame.args[2].offset, length)
    memcpy(value + fetch.length + length, b"\r\n", 2)
    fetch.length += <uint32_t> length + 2
    fetch.value = value
    fetch.opened = pending.cool
    fetch.pendings = 1
    pending.role = ROLE_SET
    pending.cool = <uint64_t> fetch


cdef void cool_was_set(Core* core, Fetch* fetch, const char* data, size_t size) noexcept nogil:
    """The reply to a SET that GETs may have joined; its own client has it."""
    cdef Fetch* again = NULL
    if not fetch.over and size == 5 and memcmp(data, b"+OK\r\n", 5) == 0:
        if fetch.key != NULL:
            fetch.key.joined += fetch.waiters.count
        fetch_tell(core, fetch, fetch.value, fetch.length)
    elif not fetch.over and fetch.waiters.count:
        again = fetch_move(core, fetch, NULL, fetch.conn)
        send(core, again, <const char*> (again + 1), again.asked)
    fetch.over = 1
    fetch_settle(core, fetch)


cdef int cool_shield(Core* core, Client* client, Row* row, Frame* frame, uint64_t hash) noexcept nogil:
    """GET of a key that is not hot, in a pool with shields. While a write of it is open it takes the ordinary way: the
    client may have written it itself."""
    cdef const char* key = frame.data + frame.args[row.key].offset
    cdef const HotRule* rule = hot_rule(client.pool, key, frame.args[row.key].length)
    cdef Conn* conn
    cdef Fetch* fetch
    cdef int index
    if rule.shield_us == 0 or not cool_may(client) or not marks_quiet(marks_sum(core, hash)):
        return GO_ON
    if shield_join(core, client, row, hash):
        return DONE
    index = home(core, client.pool, key, frame.args[row.key].length)
    if index < 0 or frame.length >= MOVE_AT or reads_elsewhere(core, client, &client.pool.nodes[index]):
        return GO_ON
    conn = usable(core, client, row, &client.pool.nodes[index], 0)
    if conn == NULL:
        return DONE
    fetch = fetch_new(core, NULL, conn, row.index, client.protocol, client.database, frame.data, frame.length)
    fetch_shield(fetch, rule, row, frame, hash)
    fetch_join(core, fetch, client, True)
    core.row_stats[row.index].calls += 1
    send(core, fetch, frame.data, frame.length)
    return DONE


cdef void may_store(Core* core, HotKey* key, Fetch* fetch) noexcept nogil:
    """Decide whether its reply may become a copy: whether whoever changes the key would be noticed."""
    cdef Conn* conn = fetch.conn
    if key.rule.copies == COPIES_OFF or conn.state != CONN_OPEN or not marks_quiet(fetch.marks):
        return
    if <uint64_t> key.write_rate * READS_A_WRITE > key.read_rate:
        return
    if key.rule.copies == COPIES_TRACKED:
        # It has to be the process that the ear listens to: ids of connections mean nothing to another one.
        if not ear_hears(core, conn.node) or memcmp(conn.node.ear.run, conn.run, sizeof(conn.run)) != 0:
            return
        fetch.tracked = 1
    fetch.storing = 1


cdef void expect(Core* core, Fetch* fetch, int role, size_t size) noexcept nogil:
    conn_ask(core, fetch.conn, 0, fetch.row, size, role, fetch)
    fetch.pendings += 1


cdef void send(Core* core, Fetch* fetch, const char* request, size_t length) noexcept nogil:
    """Queue a fetch with what has to surround it."""
    cdef Conn* conn = fetch.conn
    cdef char number[32]
    cdef size_t before = conn.output.length
    if fetch.storing and fetch.tracked:
        if conn.tracked != conn.node.ear.id:
            conn.tracked = conn.node.ear.id
            conn.proved_us = core.now_us
            output_append(&conn.output, &core.chunks, TRACK, strlen(TRACK))
            output_bulk(&conn.output, &core.chunks, number, write_number(number, conn.tracked) - 2)
            expect(core, fetch, ROLE_TRACKING, conn.output.length - before)
        output_append(&conn.output, &core.chunks, CACHE, strlen(CACHE))
        expect(core, fetch, ROLE_CACHING, strlen(CACHE))
    output_append(&conn.output, &core.chunks, request, length)
    expect(core, fetch, ROLE_VALUE, length)
    conn.node.requests += 1
    if fetch.storing or fetch.filling:
        before = conn.output.length
        output_append(&conn.output, &core.chunks, b"*2\r\n$4\r\nPTTL\r\n", 14)
        output_bulk(&conn.output, &core.chunks, <const char*> (fetch.key + 1), fetch.key.length)
        expect(core, fetch, ROLE_LIFE, conn.output.length - before)
    if conn.output.length >= FLUSH_AT and not conn.stuck:
        conn_flush(core, conn)


cdef void check(Core* core, Row* row, Copy* copy) noexcept nogil:
    """Ask the node, too, and compare: what was promised of copies is watched while it is kept."""
    cdef Conn* conn = conn_willing(copy.node, copy.protocol, copy.database)
    cdef Fetch* fetch
    heat_of(core).unchecked = CHECK_EVERY
    if conn == NULL:
        return
    fetch = fetch_new(core, NULL, conn, row.index, copy.protocol, copy.database, b"", 0)
    fetch.value = <char*> malloc(copy.length)
    if fetch.value != NULL:
        memcpy(fetch.value, copy_reply(copy), copy.length)
        fetch.length = copy.length
    fetch.checking = 1
    fetch.sent_us = copy.since_us
    send(core, fetch, <const char*> (copy + 1), copy.asked)


# -- replies ------------------------------------------------------------------------------------------------------------

cdef void cool_reply(Core* core, Conn* conn, Pending* pending, const char* data, size_t size) noexcept nogil:
    """The reply to one request of a fetch, or to an ear's PING. The fetch may be gone afterwards."""
    cdef Fetch* fetch = <Fetch*> pending.cool
    cdef Fetch* again = NULL
    cdef int role = pending.role
    if role == ROLE_PING:
        ear_pong(core, conn, data)
        return
    if role >= ROLE_COPY:
        go_home(core, fan_reply(core, conn, pending, data, size))
        return
    if role >= ROLE_LEASE:
        shield_reply(core, pending, data, size)
        return
    if role == ROLE_VALUE and fetch.hash:
        copies_compare(core, fetch.key if fetch.key != NULL else hot_find(heat_of(core), conn.node.pool, fetch.hash), fetch,
                       data, size)
    if role == ROLE_VALUE and fetch.checking:
        compare(core, fetch, data, size)
    elif role == ROLE_VALUE and fetch.shield != NULL and not fetch.over and is_nil(data):
        shield_take(core, fetch)
    elif role == ROLE_VALUE and not fetch.over:
        again = fetch_value(core, fetch, data, size)
    elif role == ROLE_LIFE:
        fan_fill(core, fetch, data)
        again = fetch_life(core, fetch, data)
    elif data[0] == c'-':
        # The node does not track, or the ear that it should tell is gone.
        fetch.storing = 0
        conn_untrack(conn)
    # The place of `pending` in the ring may be taken by what this sends.
    if again != NULL:
        send(core, again, <const char*> (again + 1), again.asked)
    fetch_settle(core, fetch)


cdef void go_home(Core* core, Fetch* fetch) noexcept nogil:
    """What a copy on another node did not answer, if it is not NULL."""
    if fetch == NULL:
        return
    if fetch.key != NULL:
        may_store(core, fetch.key, fetch)
        fan_wants(core, fetch.key, fetch)
    send(core, fetch, <const char*> (fetch + 1), fetch.asked)


cdef void cool_tick(Core* core) noexcept nogil:
    """What waited too long for other nodes."""
    cdef Fetch* fetch = fans_due(core)
    while fetch != NULL:
        go_home(core, fetch)
        fetch = fans_due(core)


cdef void compare(Core* core, Fetch* fetch, const char* data, size_t size) noexcept nogil:
    core.counters.copies_checked += 1
    if fetch.value != NULL and (fetch.length != size or memcmp(fetch.value, data, size) != 0):
        core.counters.copies_wrong += 1
        core.counters.copies_wrong_us += core.now_us - fetch.sent_us
