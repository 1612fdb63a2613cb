# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Combine: gathering, sending, handing out. See combine.pxd."""

from libc.stdint cimport int32_t, int64_t, uint16_t, uint32_t, uint64_t

from proxy.engine.choice cimport usable
from proxy.engine.connection cimport conn_expect, conn_flush, conn_touch, pending_error
from proxy.engine.heat cimport FILTER, ROLE_WAVE, heat_of
from proxy.engine.hot cimport hot_find
from proxy.engine.keys cimport keys_find
from proxy.engine.marks cimport key_hash, marks_close, marks_open, stripe_of
from proxy.engine.refusals cimport DONE, GO_ON
from proxy.engine.route cimport home
from proxy.engine.slots cimport slot_push
from proxy.engine.tally cimport Member, Tally, Wave, quench_same
from proxy.engine.tombstones cimport tombstones_after, tombstones_before
from proxy.engine.types cimport (
    ADDS_FIELD, ADDS_LESS_ARGUMENT, ADDS_LESS_ONE, ADDS_ONE, BUCKETS, CLIENT_TRACKING, CONN_OPEN, ERROR_LOST_NOT_SENT,
    ERROR_TIMEOUT_NOT_SENT, ERROR_TIMEOUT_WRITE, FLUSH_AT, MERGE_HOT, MERGE_OFF, ROW_ONE_NODE, ROW_PAUSES, ROW_PUBLISH,
    VARIES_SORT, Client, Conn, Core, CounterRule, Pending, Pool, Row, RowStats,
)
from proxy.engine.waves cimport (
    tallies_of, tally_bucket, tally_field, tally_find, tally_gather, tally_key, tally_let_go, tally_new, wave_add,
    wave_deliver, wave_free, wave_landed, wave_new, wave_next,
)
from proxy.wire.input cimport MOVE_AT
from proxy.wire.output cimport Output, output_append, output_bulk
from proxy.wire.resp cimport Frame, read_number, write_number

cdef extern from *:
    """
    #define quench_magnitude(v) ((v) < 0 ? -(uint64_t) (v) : (uint64_t) (v))
    #define quench_bucket(v) ((v) ? 64 - __builtin_clzll(v) : 0)
    /* Of how many members a wave has: 1, 2, to 4, to 8 and so on. */
    #define quench_wave_bucket(n) ((n) <= 1 ? 0 : (n) > 16384 ? 15 : 32 - __builtin_clz((n) - 1))
    """
    uint64_t quench_magnitude(int64_t value) nogil
    int quench_bucket(uint64_t value) nogil
    int quench_wave_bucket(uint32_t count) nogil

cdef enum:
    DEFER_TURNS = 4            # that a wave waits for more while other work is at hand
    LIMIT_BITS = 62            # a counter and what is added to it together stay below 2^62


# -- gathering --------------------------------------------------------------------------------------------------------

cdef const CounterRule* rule_for(const Pool* pool, const char* key, size_t length) noexcept nogil:
    """The rule with the longest prefix; the first rule has none."""
    cdef const CounterRule* found = &pool.counter_rules[0]
    cdef const CounterRule* rule
    cdef int index
    for index in range(1, pool.counter_rule_count):
        rule = &pool.counter_rules[index]
        if rule.length >= found.length and rule.length <= length and quench_same(rule.prefix, key, rule.length):
            found = rule
    return found


cdef bint delta_of(const Row* row, const Frame* frame, int64_t* delta) noexcept nogil:
    """What the request adds. False: it is none of ours; the node has the words for what is wrong with it."""
    cdef long long number = 1
    cdef uint32_t place = 3 if row.adds == ADDS_FIELD else 2
    if row.adds != ADDS_ONE and row.adds != ADDS_LESS_ONE:
        if not read_number(frame.data + frame.args[place].offset, frame.args[place].length, &number):
            return False
        if quench_magnitude(number) >> LIMIT_BITS:
            return False
    delta[0] = -number if row.adds == ADDS_LESS_ONE or row.adds == ADDS_LESS_ARGUMENT else number
    return True


cdef int combine(Core* core, Client* client, Row* row, Frame* frame) noexcept nogil:
    """An increment. Returns a Verdict: GO_ON, or it is seen to."""
    cdef Pool* pool = client.pool
    cdef const char* key = frame.data + frame.args[row.key].offset
    cdef size_t length = frame.args[row.key].length
    cdef uint64_t hash = key_hash(core, key, length)
    cdef const CounterRule* rule
    cdef int64_t delta
    if pool.merges == MERGE_HOT and (not pool.cools or heat_of(core).filter[hash & (FILTER - 1)] == 0):
        if core.tallied:
            ahead(core, client, row, hash, key, length, NULL)
        return GO_ON
    rule = rule_for(pool, key, length)
    if (rule.merges == MERGE_OFF or client.flags & CLIENT_TRACKING or frame.length >= MOVE_AT
            or rule.merges == MERGE_HOT and (not pool.cools or hot_find(heat_of(core), pool, hash) == NULL)
            or not delta_of(row, frame, &delta)):
        ahead(core, client, row, hash, key, length, NULL)
        return GO_ON
    return gather(core, client, row, frame, rule, hash, delta)


cdef int gather(Core* core, Client* client, Row* row, Frame* frame, const CounterRule* rule, uint64_t hash,
                int64_t delta) noexcept nogil:
    cdef Pool* pool = client.pool
    cdef const char* key = frame.data + frame.args[row.key].offset
    cdef size_t length = frame.args[row.key].length
    cdef bint is_field = row.adds == ADDS_FIELD
    cdef const char* field = frame.data + frame.args[2].offset if is_field else NULL
    cdef size_t field_length = frame.args[2].length if is_field else 0
    cdef int index = home(core, pool, key, length)
    cdef Conn* conn
    cdef Tally* tally
    cdef Wave* wave
    if index < 0:
        return GO_ON
    conn = usable(core, client, row, &pool.nodes[index], 0)
    if conn == NULL:
        return DONE
    tally = tally_find(core, conn, hash, key, length, is_field, field, field_length)
    if tally == NULL:
        tally = tally_new(core, conn, rule, hash, key, length, is_field, field, field_length)
        if tally == NULL:
            ahead(core, client, row, hash, key, length, NULL)
            return GO_ON
    # To INCR and HINCRBY of one key together, one of them is the wrong type: they keep their order.
    ahead(core, client, row, hash, key, length, tally)
    wave = tally.gathered
    if wave != NULL and (
            wave.sum < 0 and delta > 0 or wave.sum > 0 and delta < 0
            or quench_magnitude(wave.sum) + quench_magnitude(delta) >> LIMIT_BITS):
        send(core, tally)
    if tally.gathered == NULL:
        tally_gather(core, tally)
    wave = tally.gathered
    client.references += 1
    client.wrote |= 1ULL << (index & 63)
    wave_add(wave, client, slot_push(core, client, row.index), row.index, <uint32_t> core.now_us, delta)
    core.row_stats[row.index].calls += 1
    core.counters.increments += 1
    conn.used_us = core.now_us
    core.busy = 1
    # The first one goes alone, and brings what has to be known of the others.
    if wave.count >= rule.most or tally.flying == 0 and not tally.known:
        send(core, tally)
    return DONE


cdef void ahead(Core* core, Client* client, Row* row, uint64_t hash, const char* key, size_t length,
                const Tally* of) noexcept nogil:
    """The request at hand names this key: what gathers for it on the same connection leaves first. `of`: it is to be
    gathered itself, by this tally; then other fields stay."""
    cdef Tally* tally = tally_bucket(core, hash)
    while tally != NULL:
        if (tally.hash == hash and tally.conn.node.pool == client.pool and tally.length == length
                and tally != of and (of == NULL or tally.field != of.field)
                and quench_same(tally_key(tally), key, length)):
            if (tally.gathered != NULL and tally.conn.protocol == client.protocol
                    and tally.conn.database == client.database):
                send(core, tally)
            if row.flags & ROW_PAUSES:
                tally.known = 0
                tally.writes += 1
        tally = tally.next


cdef void combine_ahead(Core* core, Client* client, Row* row, Frame* frame) noexcept nogil:
    """A request that is no increment to be merged: what gathers for its keys leaves first."""
    cdef int count, index
    if tallies_of(core).gathering.first == NULL and not row.flags & ROW_PAUSES or row.flags & ROW_PUBLISH:
        return
    if row.key:
        ahead(core, client, row,
              key_hash(core, frame.data + frame.args[row.key].offset, frame.args[row.key].length),
              frame.data + frame.args[row.key].offset, frame.args[row.key].length, NULL)
        return
    if row.spec_count == 0:
        if row.flags & ROW_ONE_NODE:
            combine_send_all(core, client.pool)
        return
    count = keys_find(core, row, frame)
    for index in range(count):
        ahead(core, client, row, key_hash(core, core.keys[index].data, core.keys[index].length),
              core.keys[index].data, core.keys[index].length, NULL)
    if count <= 0 or row.varies == VARIES_SORT:
        # A script that names no keys, a SORT by others: it may read any.
        combine_send_all(core, client.pool)


cdef void combine_send_all(Core* core, const Pool* pool) noexcept nogil:
    """Everything that gathers for this pool leaves."""
    cdef Tally* tally = NULL if core.tallies == NULL else tallies_of(core).gathering.first
    cdef Tally* following
    while tally != NULL:
        following = tally.after
        if tally.conn.node.pool == pool:
            send(core, tally)
        tally = following


# -- sending ----------------------------------------------------------------------------------------------------------

cdef inline bint fits(const Tally* tally, int64_t sum) noexcept nogil:
    """Is the counter known to be so far from either end that all of this can be added, one by one or at once?"""
    return tally.known and (quench_magnitude(tally.value) >> LIMIT_BITS) == 0 and (
        quench_magnitude(tally.value) + quench_magnitude(sum) >> LIMIT_BITS) == 0


cdef void send(Core* core, Tally* tally) noexcept nogil:
    """What has gathered leaves: as one, or one by one where that would not be exact."""
    cdef Wave* wave = tally_let_go(core, tally)
    cdef Wave* single
    cdef Member* member
    if wave.count - wave.gone == 1 or fits(tally, wave.sum):
        launch(core, tally, wave)
        return
    while wave.told < wave.count:
        member = &wave.members[wave.told]
        wave.told += 1
        single = wave_new(core, tally)
        tally.flying += 1
        # The reference to the client goes along.
        wave_add(single, member.client, member.slot, member.row, member.start, member.delta)
        launch(core, tally, single)
    wave_free(core, wave)


cdef void launch(Core* core, Tally* tally, Wave* wave) noexcept nogil:
    """Queue a wave for the node. It may be gone afterwards, if the connection is."""
    cdef Conn* conn = tally.conn
    cdef Pending* pending
    cdef Output* output = &conn.output
    cdef char number[32]
    cdef size_t before
    cdef uint32_t noted = core.noted
    cdef uint16_t stripe
    if conn.node.pool.cools:
        # The request at hand, whatever it is, has notes of its own.
        stripe = core.notes[0]
        core.notes[0] = stripe_of(tally.hash)
        core.noted = 1
        tombstones_before(core, conn.node.pool, conn.protocol, conn.database)
        wave.marks = marks_open(core, False)
        core.notes[0] = stripe
        core.noted = noted
    before = output.length
    if tally.field:
        output_append(output, &core.chunks, b"*4\r\n$7\r\nHINCRBY\r\n", 17)
        output_bulk(output, &core.chunks, tally_key(tally), tally.length)
        output_bulk(output, &core.chunks, tally_field(tally), tally.field_length)
    else:
        output_append(output, &core.chunks, b"*3\r\n$6\r\nINCRBY\r\n", 16)
        output_bulk(output, &core.chunks, tally_key(tally), tally.length)
    output_bulk(output, &core.chunks, number, write_number(number, wave.sum) - 2)
    conn_expect(core, conn, NULL, 0, 0, wave.members[wave.gone].row, output.length - before)
    pending = &conn.pending[(conn.tail - 1) & conn.mask]
    pending.role = ROLE_WAVE
    pending.cool = <uint64_t> wave
    wave.writes = tally.writes
    tally.known = fits(tally, wave.sum)
    if tally.known:
        tally.value += wave.sum
    conn.node.requests += 1
    core.counters.waves[quench_wave_bucket(wave.count - wave.gone)] += 1
    conn_touch(core, conn)
    if output.length >= FLUSH_AT and not conn.stuck:
        conn_flush(core, conn)


cdef void combine_due(Core* core) noexcept nogil:
    """The end of a turn: what has gathered long enough leaves, unless the last one is on its way still."""
    cdef Tally* tally = tallies_of(core).gathering.first
    cdef Tally* following
    cdef uint64_t due
    core.gather_due_us = 0
    while tally != NULL:
        following = tally.after
        if tally.conn.refusing:
            give_up(core, tally)
        elif tally.flying == 0 and tally.conn.state == CONN_OPEN:
            due = tally.gathered.since_us + tally.rule.window_us
            if due <= core.now_us:
                if core.poll.count == 0 or tally.gathered.deferred >= DEFER_TURNS:
                    send(core, tally)
                    tally = following
                    continue
                # As what a connection has to send: while other work is at hand the next turn may bring more.
                tally.gathered.deferred += 1
                due = core.now_us
            if core.gather_due_us == 0 or due < core.gather_due_us:
                core.gather_due_us = due
        tally = following


cdef void give_up(Core* core, Tally* tally) noexcept nogil:
    """The node cannot be reached: what has gathered was not sent."""
    cdef Wave* wave = tally_let_go(core, tally)
    cdef Pending one
    while wave_next(wave, &one):
        pending_error(core, tally.conn, &one, ERROR_LOST_NOT_SENT, tally.conn.why)
    wave_free(core, wave)


# -- replies ----------------------------------------------------------------------------------------------------------

cdef void combine_reply(Core* core, Conn* conn, Pending* pending, const char* data, size_t size) noexcept nogil:
    """The reply to a wave, of which one member is counted already."""
    cdef Wave* wave = <Wave*> pending.cool
    cdef Tally* tally = wave.tally
    cdef long long value = 0
    cdef bint held = False
    count(core, wave, data)
    wave_landed(core, wave)
    if data[0] != c':' or not read_number(data + 1, size - 3, &value):
        tally.known = 0
    elif tally.flying == 0 and tally.writes == wave.writes:
        tally.known = 1
        tally.value = value
    if wave.marks:
        held = tombstones_after(core, conn, pending, wave.marks, wave, data, size)
        marks_close(core, wave.marks)
        wave.marks = 0
    if not held:
        wave_deliver(core, wave, data, size)
        wave_free(core, wave)


cdef void count(Core* core, const Wave* wave, const char* data) noexcept nogil:
    cdef uint32_t index, latency
    cdef RowStats* stats
    for index in range(wave.told + 1, wave.count):
        stats = &core.row_stats[wave.members[index].row]
        latency = <uint32_t> core.now_us - wave.members[index].start
        stats.usec += latency
        stats.latency[quench_bucket(latency) & (BUCKETS - 1)] += 1
        core.counters.replies += 1
        if data[0] == c'-':
            stats.failed += 1
            core.counters.error_replies += 1


# -- deadlines --------------------------------------------------------------------------------------------------------

cdef void combine_tick(Core* core) noexcept nogil:
    """Members whose deadline passed are told: one that gathers leaves the sum, one that is on its way may happen yet."""
    cdef Wave* wave = tallies_of(core).waves
    cdef Wave* following
    cdef Tally* tally
    cdef Pending one
    cdef uint32_t limit
    cdef bint gathers
    while wave != NULL:
        following = wave.after
        core.busy = 1
        tally = wave.tally
        gathers = tally.gathered == wave
        limit = tally.conn.node.pool.limits.timeout_us
        while limit and wave.told < wave.count and <int32_t> (
                <uint32_t> core.now_us - wave.members[wave.told].start - limit) >= 0:
            tally.conn.node.timeouts += 1
            core.counters.timeouts += 1
            if gathers:
                wave.sum -= wave.members[wave.told].delta
                wave.gone += 1
                core.counters.withdrawn += 1
            wave_next(wave, &one)
            pending_error(core, tally.conn, &one, ERROR_TIMEOUT_NOT_SENT if gathers else ERROR_TIMEOUT_WRITE, NULL)
        if gathers and wave.gone == wave.count:
            wave_free(core, tally_let_go(core, tally))
        wave = following
