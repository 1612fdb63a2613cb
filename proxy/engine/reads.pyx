# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Reads: choosing, asking again, hedging. See reads.pxd.

Hedges are paid for: each read that is sent earns a few thousandths of one, so that in the long run no more than the
budget is sent on top; what is not used is kept for BURST_S seconds' worth, so that one stall of a connection, which
holds up all that is behind it, can be hedged whole. Of that reserve the upper half is for reads that are merely slow, all
of it for those that are slower by far.
"""

from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t
from libc.string cimport memset

from proxy.engine.again cimport (
    TRIES, Again, again_before, again_free, again_new, again_pending, again_wrote,
)
from proxy.engine.choice cimport usable
from proxy.engine.connection cimport conn_ask, conn_flush, conn_for, pending_error
from proxy.engine.heat cimport ROLE_AGAIN, ROLE_NONE, ROLE_VALUE, Fetch, Waiter
from proxy.engine.slots cimport client_release
from proxy.engine.sources cimport (
    STANDING_NOT, STANDING_OPEN, STANDING_SOON, Sources, anybody, home_or_replica, source, source_count, sources_of,
    standing,
)
from proxy.engine.types cimport (
    CLIENT_TRACKING, CLIENT_WATCHING, CONN_OPEN, CONNS, DEAD, ERROR_TIMEOUT_READ, FLUSH_AT, READ_ANY, READ_NEAREST,
    READ_PREFER_PRIMARY, READ_PREFER_REPLICA, READ_PRIMARY, ROW_READ, Client, Conn, Core, Node, Pending, Pool, ReadRules, Row,
)
from proxy.wire.output cimport output_append

cdef enum:
    TRY_ANOTHER = 64           # nearest: of so many reads one goes to whoever has its turn, to see whether it is nearer
    SECOND_US = 1000000
    BURST_S = 5                # seconds in which a whole budget is gathered
    FEW = 16                   # hedges that may be gathered however few reads there are
    FAR = 4                    # times what most replies take, from where a read is slower by far,
    FAR_US = 8000              # or this much slower


# -- choosing -----------------------------------------------------------------------------------------------------------

cdef inline void open_for(Core* core, Node* node, int protocol, int database) noexcept nogil:
    """Let a replica be ready to be asked next time, if it is not."""
    if node.primary != node.index and standing(core, node, protocol, database) == STANDING_SOON:
        conn_for(core, node, protocol, database, 0)


cdef Node* chosen(Core* core, Node* home, int mode, int protocol, int database) noexcept nogil:
    """The node to ask for a read, of those that can be asked at once; NULL: there is none."""
    cdef Pool* pool = home.pool
    cdef Node* node
    cdef Node* found = NULL
    cdef int first = mode == READ_PREFER_REPLICA
    cdef uint32_t count = home.replica_count + 1 - first
    cdef uint32_t index
    cdef uint32_t turn = pool.reads.turn
    pool.reads.turn = turn + 1
    for index in range(count):
        # From a different one each time, so that equals take turns.
        node = home_or_replica(home, first + (index + turn) % count)
        if standing(core, node, protocol, database) != STANDING_OPEN:
            open_for(core, node, protocol, database)
            continue
        if mode != READ_NEAREST or turn % TRY_ANOTHER == 0:
            return node
        if found == NULL or node.smooth_us < found.smooth_us:
            found = node
    return found


cdef bint reads_elsewhere(Core* core, Client* client, Node* home) noexcept nogil:
    """Is a read better asked of a replica than of its own node, which is down, or lost?"""
    cdef int number
    if standing(core, home, client.protocol, client.database) >= STANDING_SOON:
        return False
    for number in range(home.replica_count):
        if standing(core, home_or_replica(home, number + 1), client.protocol, client.database) >= STANDING_SOON:
            return True
    return False


cdef Conn* reads_conn(Core* core, Client* client, Row* row, Node* home) noexcept nogil:
    """The connection that takes a read of keys of this member of the ring; NULL after the client was told why not."""
    cdef Pool* pool = client.pool
    cdef int mode = pool.reads.from_
    cdef Node* node = home
    cdef int index
    pool.reads.earned += 1
    if mode == READ_PRIMARY or home.replica_count == 0 or client.flags & (CLIENT_WATCHING | CLIENT_TRACKING):
        return usable(core, client, row, home, 0)
    if again_before(client, client.write_end) and again_wrote(core, client, core.key, client.tail):
        return usable(core, client, row, home, 0)
    if core.spread:
        mode = READ_ANY
    if pool.cluster != NULL and core.key == 0:
        # Of keys that are partly moved a replica knows nothing but that they are gone: see redirect.pxd.
        mode = READ_PREFER_PRIMARY
    if mode >= READ_PREFER_REPLICA:
        node = chosen(core, home, mode, client.protocol, client.database)
        if node == NULL:
            node = home
    if node == home and standing(core, home, client.protocol, client.database) < STANDING_SOON:
        node = chosen(core, home, READ_PREFER_REPLICA, client.protocol, client.database)
        for index in range(home.replica_count if node == NULL else 0):
            # Better one that is being connected than none.
            if standing(core, home_or_replica(home, index + 1), client.protocol, client.database) == STANDING_SOON:
                node = home_or_replica(home, index + 1)
        if node == NULL:
            node = home
    if node != home:
        client.apart_end = client.tail + 1
    return usable(core, client, row, node, 0)


# -- asking again -------------------------------------------------------------------------------------------------------

cdef Conn* other(Core* core, const Sources* sources, Conn* last, int least) noexcept nogil:
    """The connection to ask next, whose node has this Standing at least, and is another one than that of `last`. NULL:
    there is none.

    Replicas take turns. Copies on the ring are asked in the order of the walk, from the one asked last on, so that one
    that hangs is not asked twice while there is another.
    """
    cdef Node* best = NULL
    cdef Node* node
    cdef int index, here, best_standing = least - 1
    cdef int count = source_count(sources)
    cdef uint32_t turn = last.node.pool.reads.turn
    last.node.pool.reads.turn = turn + 1
    if sources.copied:
        turn = 0
        for index in range(sources.count):
            if source(sources, index) == last.node:
                turn = index + 1
    for index in range(count):
        node = source(sources, (index + turn) % count)
        here = STANDING_NOT if node == last.node else standing(core, node, last.protocol, last.database)
        if here > best_standing:
            best = node
            best_standing = here
    return NULL if best == NULL else conn_for(core, best, last.protocol, last.database, 0)


cdef Conn* other_or_same(Core* core, Again* again) noexcept nogil:
    """The connection for a read that is under way nowhere: to the node that was asked last only if there is no other."""
    cdef Conn* last = again.last
    cdef Conn* conn = other(core, &again.sources, last, STANDING_SOON)
    if conn == NULL and standing(core, last.node, last.protocol, last.database) == STANDING_OPEN:
        conn = conn_for(core, last.node, last.protocol, last.database, 0)
    return conn


cdef void ask(Core* core, Again* again, Conn* conn) noexcept nogil:
    """Send it once more."""
    output_append(&conn.output, &core.chunks, <const char*> (again + 1), again.length)
    conn_ask(core, conn, 0, again.row, again.length, ROLE_AGAIN, again)
    again.pendings += 1
    again.tries += 1
    again.last = conn
    conn.node.requests += 1
    if conn.output.length >= FLUSH_AT and not conn.stuck:
        conn_flush(core, conn)


cdef void fail(Core* core, Again* again, int kind, const char* why) noexcept nogil:
    """Nobody will answer it: say so."""
    cdef Pending pending
    memset(&pending, 0, sizeof(pending))
    pending.client = again.client
    pending.slot = again.slot
    pending.part = again.part
    pending.start = again.start
    pending.row = again.row
    again.client = NULL
    pending_error(core, again.conn, &pending, kind, why)


cdef void reads_resend(Core* core) noexcept nogil:
    """Ask again what is to be asked, in the order in which it failed; a read that nobody can take now waits for the next
    tick, as long as there is hope."""
    cdef Again* again = <Again*> core.agains
    cdef Conn* conn
    core.agains_due = 0
    while again != NULL:
        if again.pendings == 0 and again.client != NULL:
            if again.client.handle.kind == DEAD:
                client_release(core, again.client)
                again.client = NULL
            elif again.tries >= TRIES:
                fail(core, again, again.kind, again.why)
            else:
                conn = other_or_same(core, again)
                if conn != NULL and not conn.refusing:
                    core.counters.retries += 1
                    conn.node.retries += 1
                    ask(core, again, conn)
                elif not anybody(core, &again.sources, again.last.protocol, again.last.database):
                    fail(core, again, again.kind, again.why)
        again = again.next


cdef void reads_tick(Core* core) noexcept nogil:
    """Deadlines; what is over is freed."""
    cdef Again** place = <Again**> &core.agains
    cdef Again* again
    cdef Again* last = NULL
    cdef uint32_t limit
    if core.agains != NULL:
        reads_resend(core)
    while place[0] != NULL:
        again = place[0]
        limit = again.conn.node.pool.limits.timeout_us
        if again.client != NULL and limit and <int32_t> (<uint32_t> core.now_us - again.start - limit) >= 0:
            core.counters.timeouts += 1
            fail(core, again, ERROR_TIMEOUT_READ, NULL)
        if again.client == NULL and again.pendings == 0:
            place[0] = again.next
            again_free(core, again)
        else:
            last = again
            place = &again.next
    core.last_again = last
    if last != NULL:
        core.busy = 1


# -- being late ---------------------------------------------------------------------------------------------------------

cdef inline int64_t price(bint far) noexcept nogil:
    """Who is merely slow pays double: some always are, and half of the budget is to be left for stalls."""
    return 1000 if far else 2000


cdef bint paid(Core* core, ReadRules* rules, bint far) noexcept nogil:
    """Take one hedge from the reserve, if there is enough."""
    if rules.tokens < price(far) + (0 if far else rules.most_tokens // 2):
        core.counters.hedges_denied += 1
        return False
    rules.tokens -= price(far)
    return True


cdef void earn(ReadRules* rules, bint second) noexcept nogil:
    """What was sent since last time has earned its part; once a second the reserve is measured by the reads there are."""
    cdef int64_t most
    rules.tokens += <int64_t> rules.earned * rules.budget
    rules.counted += rules.earned
    rules.earned = 0
    if second:
        most = <int64_t> rules.counted * rules.budget * BURST_S
        # It shrinks slowly: a pause is no reason to forget.
        rules.most_tokens = most if most > rules.most_tokens else rules.most_tokens - (rules.most_tokens - most) // 16
        if rules.most_tokens < FEW * 1000:
            rules.most_tokens = FEW * 1000
        rules.counted = 0
    if rules.tokens > rules.most_tokens:
        rules.tokens = rules.most_tokens


cdef inline int least_of(const Conn* conn) noexcept nogil:
    """The Standing of a second node that is worth asking while the first may yet answer. A replica's connection is opened
    beforehand (see look()); which copies on the ring will be wanted is not known then."""
    return STANDING_SOON if conn.node.pool.copies else STANDING_OPEN


cdef bint again_to(Core* core, Again* again, bint hedge) noexcept nogil:
    """Ask a second node, while the first may yet answer."""
    cdef Conn* conn = other(core, &again.sources, again.last, least_of(again.last))
    if conn == NULL or conn.refusing:
        return False
    again.hedge = hedge
    if hedge:
        core.counters.hedges += 1
        conn.node.hedges += 1
    else:
        core.counters.retries += 1
        conn.node.retries += 1
    ask(core, again, conn)
    return True


cdef bint double_fetch(Core* core, Conn* conn, Fetch* fetch, bint hedge, bint far) noexcept nogil:
    """Whoever waits for a fetch that is late asks for himself, too. False: nothing is left to pay with."""
    cdef ReadRules* rules = &conn.node.pool.reads
    cdef uint32_t index
    cdef Waiter* waiter
    cdef Again* again
    # Who asks from here on does not join.
    fetch.lost = 1
    for index in range(fetch.waiters.count):
        waiter = &fetch.waiters.list[index]
        if waiter.again != NULL:
            continue
        if hedge and not paid(core, rules, far):
            return False
        again = again_new(core, conn, waiter.client, waiter.slot, 0, fetch.row, <uint32_t> fetch.sent_us,
                          <const char*> (fetch + 1), fetch.asked)
        if again != NULL:
            again.pendings = 1
            waiter.again = again
            again_to(core, again, hedge)
        elif hedge:
            rules.tokens += price(far)
    return True


cdef bint double(Core* core, Conn* conn, uint32_t number, uint64_t offset, bint hedge, bint far) noexcept nogil:
    """A request is late: ask another node, too, if it may be. False: nothing is left to pay with."""
    cdef Pending* pending = &conn.pending[number & conn.mask]
    cdef ReadRules* rules = &conn.node.pool.reads
    cdef Again* again
    if pending.role == ROLE_VALUE:
        return double_fetch(core, conn, <Fetch*> pending.cool, hedge, far)
    if pending.role != ROLE_NONE or pending.client == NULL or not core.rows[pending.row].flags & ROW_READ:
        return True
    if hedge and not paid(core, rules, far):
        return False
    again = again_pending(core, conn, pending, offset)
    if again == NULL:
        if hedge:
            rules.tokens += price(far)
        return True
    pending.role = ROLE_AGAIN
    pending.cool = <uint64_t> again
    again.pendings = 1
    again_to(core, again, hedge)
    return True


cdef bint ready(Core* core, Conn* conn) noexcept nogil:
    """With replicas: can another one than the node of `conn` be asked at once?"""
    cdef Sources sources
    sources_of(core, conn.node, 0, NULL, 0, &sources)
    return other(core, &sources, conn, STANDING_OPEN) != NULL


cdef void look(Core* core, Conn* conn, int which, uint32_t after, uint32_t far) noexcept nogil:
    """Everything that was sent longer ago than `after` us. `which`: 0 hedges, 1 it is half of the deadline."""
    cdef uint32_t number = conn.seen[which]
    cdef uint64_t offset = conn.seen_offset[which]
    cdef uint32_t age
    cdef Node* home
    cdef int index
    if <int32_t> (number - conn.head) <= 0:
        number = conn.head
        offset = conn.head_offset
    if number == conn.tail:
        return
    if conn.node.pool.copies == 0 and not ready(core, conn):
        # Perhaps next time.
        home = &conn.node.pool.nodes[conn.node.primary]
        for index in range(home.replica_count):
            open_for(core, home_or_replica(home, index + 1), conn.protocol, conn.database)
        return
    while number != conn.tail:
        age = <uint32_t> core.now_us - conn.pending[number & conn.mask].start
        if <int32_t> age < <int32_t> after or not double(core, conn, number, offset, which == 0, age >= far):
            break
        offset += conn.pending[number & conn.mask].size
        number += 1
    conn.seen[which] = number
    conn.seen_offset[which] = offset


cdef void reads_late(Core* core) noexcept nogil:
    """Look for what is late, in all pools whose reads may be asked again."""
    cdef Pool* pool
    cdef Node* node
    cdef Conn* conn
    cdef int pool_index, node_index, index
    cdef uint32_t after, far
    cdef bint second = core.now_us - core.late_second_us >= SECOND_US
    core.late_us = core.now_us
    if second:
        core.late_second_us = core.now_us
    for pool_index in range(core.pool_count):
        pool = &core.pools[pool_index]
        if not pool.retains:
            continue
        if pool.reads.budget:
            earn(&pool.reads, second)
        for node_index in range(pool.node_total):
            node = &pool.nodes[node_index]
            after = <uint32_t> pool.reads.after_us
            far = after
            if pool.reads.quantile:
                after = node.slow_us
                far = FAR * after if FAR * after < after + FAR_US else after + FAR_US
            for index in range(CONNS):
                conn = node.conns[index]
                if conn == NULL or conn.head == conn.tail or conn.bulk:
                    continue
                if pool.reads.budget:
                    look(core, conn, 0, after, far)
                if pool.limits.timeout_us:
                    look(core, conn, 1, pool.limits.timeout_us // 2, 0)
