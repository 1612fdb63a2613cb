# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Launch: sending waves, handing out what they bring, deadlines. See launch.pxd."""

from libc.stdint cimport int32_t, int64_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcmp

from proxy.engine.connection cimport conn_expect, conn_flush, conn_touch, pending_error
from proxy.engine.heat cimport ROLE_WAVE
from proxy.engine.marks cimport marks_close, marks_open, stripe_of
from proxy.engine.tally cimport FORM_FIELD, WAVE_ADD, WAVE_LIFE, WAVE_SAME, WAVE_UNIT, Member, Shards, Tally, Wave, quench_magnitude
from proxy.engine.tombstones cimport tombstones_after, tombstones_before
from proxy.engine.types cimport (
    BUCKETS, CONN_OPEN, ERROR_LOST_NOT_SENT, ERROR_TIMEOUT_NOT_SENT, ERROR_TIMEOUT_WRITE, FLUSH_AT, Conn, Core, Pending,
    Pool, RowStats,
)
from proxy.engine.waves cimport (
    tallies_forget, tallies_of, tally_field, tally_key, tally_let_go, wave_add, wave_adds, wave_confirmed, wave_deliver,
    wave_expires, wave_free, wave_landed, wave_lose, wave_new, wave_next, wave_value,
)
from proxy.wire.output cimport Output, output_append, output_bulk
from proxy.wire.resp cimport write_number

cdef extern from *:
    """
    #define quench_bucket(v) ((v) ? 64 - __builtin_clzll(v) : 0)
    /* Of how many members a wave has: 1, 2, to 4, to 8 and so on. */
    #define quench_wave_bucket(n) ((n) <= 1 ? 0 : (n) > 16384 ? 15 : 32 - __builtin_clz((n) - 1))
    """
    int quench_bucket(uint64_t value) nogil
    int quench_wave_bucket(uint32_t count) nogil

cdef const char* OVERFLOW = b"-ERR increment or decrement would overflow\r\n"

cdef enum:
    OVERFLOW_LENGTH = 44
    MOST_AGAIN = 256           # members of a wave that are sent one by one after all: who is last is a square of it
    DEFER_TURNS = 4            # that a wave waits for more while other work is at hand


cdef void launch_all(Core* core, const Pool* pool) noexcept nogil:
    """Everything that gathers for this pool leaves."""
    cdef Tally* tally = NULL if core.tallies == NULL else tallies_of(core).gathering.first
    cdef Tally* following
    while tally != NULL:
        following = tally.after
        if tally.conn.node.pool == pool:
            launch(core, tally)
        tally = following


# -- sending ----------------------------------------------------------------------------------------------------------

cdef bint fits(const Tally* tally, int64_t sum) noexcept nogil:
    """Is the counter known to be so far from either end that all of this can be added, one by one or at once?"""
    return tally.known and (quench_magnitude(tally.value) >> LIMIT_BITS) == 0 and (
        quench_magnitude(tally.value) + quench_magnitude(sum) >> LIMIT_BITS) == 0


cdef void launch(Core* core, Tally* tally) noexcept nogil:
    """What has gathered leaves: as one, or one by one where that would not be exact."""
    cdef Wave* wave
    cdef Wave* life
    if tally.conn.refusing:
        # What was answered is kept for a node that may come back: until its deadline.
        if tally.early == 0:
            give_up(core, tally)
        return
    wave = tally_let_go(core, tally)
    life = wave.life
    wave.life = NULL
    if wave.requests == 1 or wave.kind == WAVE_SAME or fits(tally, wave.sum):
        if wave.requests:
            queue(core, tally, wave)
        else:
            wave_free(core, wave)
    else:
        send_singly(core, tally, wave)
    if life != NULL:
        if life.requests:
            queue(core, tally, life)
        else:
            wave_free(core, life)


cdef void send_singly(Core* core, Tally* tally, Wave* wave) noexcept nogil:
    cdef Wave* single
    cdef Pending one
    cdef int64_t delta
    while wave.told < wave.count:
        delta = wave.members[wave.told].delta
        wave_next(wave, &one)
        single = wave_new(core, tally, wave.kind)
        tally.flying += 1
        if wave.expiry != NULL:
            wave_expires(single, wave.expiry, wave.expiry_length, wave.once)
        # The reference to the client goes along.
        wave_add(single, one.client, one.slot, one.row, one.start, delta)
        if one.client == NULL:
            single.early = one.slot
            wave.early -= one.slot
        queue(core, tally, single)
    wave_free(core, wave)


cdef void queue(Core* core, Tally* tally, Wave* wave) noexcept nogil:
    """Queue a wave for the node. It may be gone afterwards, if the connection is."""
    cdef Conn* conn = tally.conn
    cdef Pending* pending
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
    before = conn.output.length
    write(core, tally, wave, &conn.output)
    conn_expect(core, conn, NULL, 0, 0, wave.members[wave.gone].row, conn.output.length - before)
    pending = &conn.pending[(conn.tail - 1) & conn.mask]
    pending.role = ROLE_WAVE
    pending.cool = <uint64_t> wave
    conn.node.requests += 1
    if wave.kind == WAVE_UNIT:
        pending.skip = 2 if wave.expiry == NULL else 3
    if wave_adds(wave):
        tally.adding += 1
        wave.writes = tally.writes
        tally.known = fits(tally, wave.sum)
        if tally.known:
            tally.value += wave.sum
    if wave.kind != WAVE_LIFE:
        core.counters.waves[quench_wave_bucket(wave.requests)] += 1
    conn_touch(core, conn)
    if conn.output.length >= FLUSH_AT and not conn.stuck:
        conn_flush(core, conn)


cdef void write(Core* core, const Tally* tally, const Wave* wave, Output* output) noexcept nogil:
    """What a wave is to the node."""
    cdef char number[32]
    if wave.kind == WAVE_UNIT:
        output_append(output, &core.chunks, b"*1\r\n$5\r\nMULTI\r\n", MULTI_BYTES)
    if wave.kind == WAVE_SAME:
        output_append(output, &core.chunks, tally_field(tally), tally.field_length)
    elif wave_adds(wave):
        if tally.form & FORM_FIELD:
            output_append(output, &core.chunks, b"*4\r\n$7\r\nHINCRBY\r\n", 17)
        else:
            output_append(output, &core.chunks, b"*3\r\n$6\r\nINCRBY\r\n", 16)
        output_bulk(output, &core.chunks, tally_key(tally), tally.length)
        if tally.form & FORM_FIELD:
            output_bulk(output, &core.chunks, tally_field(tally), tally.field_length)
        output_bulk(output, &core.chunks, number, write_number(number, wave.sum) - 2)
    if wave.expiry != NULL:
        output_append(output, &core.chunks, wave.expiry, wave.expiry_length)
    if wave.kind == WAVE_UNIT:
        output_append(output, &core.chunks, b"*1\r\n$4\r\nEXEC\r\n", 14)


cdef void launch_due(Core* core) noexcept nogil:
    """The end of a turn: what has gathered long enough leaves, unless the last one is on its way still."""
    cdef Tally* tally = tallies_of(core).gathering.first
    cdef Tally* following
    cdef uint64_t due
    core.gather_due_us = 0
    while tally != NULL:
        following = tally.after
        if tally.conn.refusing:
            launch(core, tally)
        elif tally.flying == 0 and tally.conn.state == CONN_OPEN:
            due = tally.gathered.since_us
            # Whoever waits where others are answered early was only to bring what is not known.
            if not tally.rule.early or tally.gathered.early == tally.gathered.requests:
                due += tally.rule.window_us
            if due <= core.now_us:
                if core.poll.count == 0 or tally.gathered.deferred >= DEFER_TURNS:
                    launch(core, tally)
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
    while wave.life != NULL and wave_next(wave.life, &one):
        pending_error(core, tally.conn, &one, ERROR_LOST_NOT_SENT, tally.conn.why)
    wave_free(core, wave)


# -- replies ----------------------------------------------------------------------------------------------------------

cdef void launch_reply(Core* core, Conn* conn, Pending* pending, const char* data, size_t size) noexcept nogil:
    """The reply to a wave, of which one member is counted already."""
    cdef Wave* wave = <Wave*> pending.cool
    cdef Tally* tally = wave.tally
    cdef long long value = 0
    cdef long long life = 0
    cdef bint held = False
    if size == OVERFLOW_LENGTH and memcmp(data, OVERFLOW, OVERFLOW_LENGTH) == 0 and is_last(wave):
        # Somebody else has moved the counter to an end, and nothing was added: the first ones may fit all the same.
        tally.adding = 0
        tally.known = 0
        send_singly(core, tally, wave)
        return
    count(core, wave, data)
    if wave.early:
        if data[0] == c'-':
            wave_lose(core, wave, wave.early)
        else:
            wave_confirmed(core, wave)
    wave_landed(core, wave)
    if wave_adds(wave):
        tally.adding -= 1
        if not wave_value(wave, data, size, &value, &life):
            tally.known = 0
        elif tally.adding == 0 and tally.writes == wave.writes:
            tally.known = 1
            tally.value = value
        if tally.shards != NULL:
            wave.others = others(tally, value)
    if wave.marks:
        held = tombstones_after(core, conn, pending, wave.marks, wave, data, size)
        marks_close(core, wave.marks)
        wave.marks = 0
    if not held:
        wave_deliver(core, wave, data, size)
        wave_free(core, wave)


cdef int64_t others(Tally* tally, int64_t value) noexcept nogil:
    """What the other shards have; `value` is what this one has now."""
    cdef Shards* shards = tally.shards
    cdef uint64_t sum = 0
    cdef int place
    shards.values[tally.place] = value
    for place in range(shards.count):
        if place != tally.place:
            sum += <uint64_t> shards.values[place]
    return <int64_t> sum


cdef bint is_last(const Wave* wave) noexcept nogil:
    """Has nobody asked for anything behind his increments? Then they may come later."""
    cdef const Member* member
    cdef uint32_t index, other, behind
    if wave.kind != WAVE_ADD or wave.requests < 2 or wave.tally.adding > 1 or wave.count > MOST_AGAIN:
        return False
    for index in range(wave.told, wave.count):
        member = &wave.members[index]
        behind = 0
        for other in range(index, wave.count):
            if wave.members[other].client == member.client:
                behind += wave.members[other].times
        if member.client != NULL and member.client.tail != member.slot + behind:
            return False
    return True


cdef void count(Core* core, const Wave* wave, const char* data) noexcept nogil:
    cdef uint32_t index, latency, times
    cdef uint32_t counted = 1
    cdef Member* member
    cdef RowStats* stats
    for index in range(wave.told, wave.count):
        member = &wave.members[index]
        times = member.times - member.done - counted
        counted = 0
        stats = &core.row_stats[member.row]
        latency = <uint32_t> core.now_us - member.start
        stats.usec += <uint64_t> latency * times
        stats.latency[quench_bucket(latency) & (BUCKETS - 1)] += times
        core.counters.replies += times
        if data[0] == c'-':
            stats.failed += times
            core.counters.error_replies += times


# -- deadlines --------------------------------------------------------------------------------------------------------

cdef void launch_tick(Core* core) noexcept nogil:
    """Requests whose deadline passed are told: what gathers leaves the sum, what is on its way may happen yet."""
    cdef Wave* wave = tallies_of(core).waves
    cdef Tally* tally
    tallies_forget(core)
    while wave != NULL:
        core.busy = 1
        expire(core, wave)
        wave = wave.after
    tally = tallies_of(core).gathering.first
    while tally != NULL:
        wave = tally.gathered
        tally = tally.after
        if wave.requests == 0 and (wave.life == NULL or wave.life.requests == 0):
            wave_free(core, tally_let_go(core, wave.tally))


cdef void expire(Core* core, Wave* wave) noexcept nogil:
    cdef Tally* tally = wave.tally
    cdef bint gathers = tally.gathered != NULL and (tally.gathered == wave or tally.gathered.life == wave)
    cdef uint32_t limit = tally.conn.node.pool.limits.timeout_us
    cdef Pending one
    while limit and wave.told < wave.count and <int32_t> (
            <uint32_t> core.now_us - wave.members[wave.told].start - limit) >= 0:
        if wave.members[wave.told].client == NULL:
            if not gathers:
                wave.told += 1
                continue
            wave_lose(core, wave, wave.members[wave.told].slot)
        else:
            tally.conn.node.timeouts += 1
            core.counters.timeouts += 1
        if gathers:
            wave.sum -= wave.members[wave.told].delta
            wave.requests -= 1
            core.counters.withdrawn += 1
        wave_next(wave, &one)
        pending_error(core, tally.conn, &one, ERROR_TIMEOUT_NOT_SENT if gathers else ERROR_TIMEOUT_WRITE, NULL)
    if gathers:
        # All of a run have the same deadline, so none of it stays.
        wave.gone = wave.told
