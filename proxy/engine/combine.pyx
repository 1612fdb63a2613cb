# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Combine: gathering, sending, handing out. See combine.pxd."""

from libc.stdint cimport int64_t, uint32_t, uint64_t

from proxy.engine.choice cimport usable
from proxy.engine.early cimport early_join, early_life, early_may
from proxy.engine.heat cimport FILTER, HotKey, heat_of
from proxy.engine.hot cimport hot_ask, hot_find, hot_look
from proxy.engine.keys cimport keys_find
from proxy.engine.launch cimport LIMIT_BITS, MULTI_BYTES, launch, launch_all
from proxy.engine.lookup cimport lookup, same_word
from proxy.engine.marks cimport key_hash
from proxy.engine.refusals cimport DONE, GO_ON
from proxy.engine.route cimport home
from proxy.engine.shards cimport counter_rule, shard_length, shard_name
from proxy.engine.slots cimport client_unread, slot_push
from proxy.engine.tally cimport (
    FORM_FIELD, FORM_LOG, FORM_SET, FORM_UNIT, WAVE_ADD, WAVE_LIFE, Member, Shards, Tally, Wave, quench_magnitude, quench_same,
)
from proxy.engine.types cimport (
    ADDS_ELEMENTS, ADDS_FIELD, ADDS_LESS_ARGUMENT, ADDS_LESS_ONE, ADDS_LIFE, ADDS_ONE, CLIENT_BARRIER, CLIENT_CLOSING, CLIENT_SILENT,
    CLIENT_SKIP, CLIENT_SPECIAL, CLIENT_TRACKING, MERGE_HOT, MERGE_OFF, ROW_ONE_NODE, ROW_PAUSES, ROW_PUBLISH,
    VARIES_SORT, Block, Client, Conn, Core, CounterRule, Pool, Row, Transaction,
)
from proxy.engine.waves cimport (
    tallies_doubt, tallies_of, tally_bucket, tally_find, tally_gather, tally_key, tally_new, wave_add, wave_expires, wave_new,
)
from proxy.wire.input cimport MOVE_AT
from proxy.wire.resp cimport FRAMED, Frame, FrameLimits, frame_request, frame_reset, read_number

cdef enum:
    MOST_SAME = 1024           # bytes of a request that is compared with others
    LOOK_BACK = 32             # requests that are looked through for one of the same client
    LONGEST_LIFE = 1 << 30     # of an EXPIRE, in its unit: far below what a node would find too long
    # Clients each of whose requests is looked at.
    ONE_BY_ONE = CLIENT_SPECIAL | CLIENT_BARRIER | CLIENT_CLOSING | CLIENT_SILENT | CLIENT_SKIP


cdef struct Increment:         # as one request says it; borrowed
    const char* key
    const char* field
    const char* expiry         # of a transaction; NULL: it has none
    const CounterRule* rule
    size_t length
    size_t field_length
    size_t expiry_length
    uint64_t hash
    int64_t delta
    int form                   # Form
    bint once


# -- gathering --------------------------------------------------------------------------------------------------------

cdef bint delta_of(const Row* row, const Frame* frame, Increment* one) noexcept nogil:
    """What the request adds to what. False: it is none of ours; the node has the words for what is wrong with it."""
    cdef long long number = 1
    cdef uint32_t place = 2
    one.form = 0
    one.field = NULL
    one.field_length = 0
    one.expiry = NULL
    if row.adds == ADDS_FIELD:
        one.form = FORM_FIELD
        one.field = frame.data + frame.args[2].offset
        one.field_length = frame.args[2].length
        place = 3
    if row.adds != ADDS_ONE and row.adds != ADDS_LESS_ONE:
        if not read_number(frame.data + frame.args[place].offset, frame.args[place].length, &number):
            return False
        if quench_magnitude(number) >> LIMIT_BITS:
            return False
    one.delta = -number if row.adds == ADDS_LESS_ONE or row.adds == ADDS_LESS_ARGUMENT else number
    return True


cdef int combine(Core* core, Client* client, Row* row, Frame* frame) noexcept nogil:
    """An increment, or what may travel with one. Returns a Verdict: GO_ON, or it is seen to."""
    cdef Pool* pool = client.pool
    cdef Increment one
    cdef int verdict
    if row.adds == ADDS_LIFE and core.tallied == 0:
        return GO_ON
    one.key = frame.data + frame.args[row.key].offset
    one.length = frame.args[row.key].length
    one.hash = key_hash(core, one.key, one.length)
    verdict = GO_ON
    if row.adds == ADDS_LIFE:
        verdict = live(core, client, row, frame, &one)
    elif row.adds >= ADDS_ELEMENTS:
        verdict = same(core, client, row, frame, &one)
    elif frame.length < MOVE_AT and merges(core, client, &one) and delta_of(row, frame, &one):
        verdict = gather(core, client, row, &one, home(core, pool, one.key, one.length), NULL, 0)
    if verdict == GO_ON and core.tallied:
        ahead(core, client, row, one.hash, one.key, one.length, NULL)
    return verdict


cdef inline bint merges(Core* core, Client* client, Increment* one) noexcept nogil:
    """Are increments of this key to be merged, and which rule says so?"""
    cdef Pool* pool = client.pool
    cdef bint warm = pool.cools and heat_of(core).filter[one.hash & (FILTER - 1)] != 0
    if pool.merges == MERGE_HOT and not warm or client.flags & CLIENT_TRACKING:
        return False
    one.rule = counter_rule(pool, one.key, one.length)
    return one.rule.merges != MERGE_OFF and (
        one.rule.merges != MERGE_HOT or warm and hot_find(heat_of(core), pool, one.hash) != NULL)


cdef int combine_shard(Core* core, Client* client, Row* row, const Frame* frame, Shards* shards,
                       int place) noexcept nogil:
    """An increment of one of a counter's shards. Returns a Verdict: GO_ON, or it is seen to."""
    cdef Increment one
    if not delta_of(row, frame, &one):
        return GO_ON
    one.key = shard_name(shards, place)
    one.length = shard_length(shards, place)
    one.hash = shards.hashes[place]
    one.rule = shards.rule
    return gather(core, client, row, &one, shards.nodes[place], shards, place)


cdef int gather(Core* core, Client* client, Row* row, Increment* one, int index, Shards* shards,
                int place) noexcept nogil:
    """`row`: of the request that is answered with the value. `index`: of the key's node."""
    cdef Pool* pool = client.pool
    cdef Conn* conn
    cdef Tally* tally
    cdef Wave* wave
    cdef bint early
    if index < 0:
        return GO_ON
    conn = usable(core, client, row, &pool.nodes[index], 0)
    if conn == NULL:
        return DONE
    tally = tally_find(core, conn, one.hash, one.key, one.length, one.form, one.field, one.field_length)
    if tally == NULL:
        tally = tally_new(core, conn, one.rule, one.hash, one.key, one.length, one.form, one.field, one.field_length)
        if tally == NULL:
            return GO_ON
        if shards != NULL:
            tally.shards = shards
            tally.place = <unsigned char> place
            shards.references += 1
    ahead(core, client, row, one.hash, one.key, one.length, tally)
    wave = tally.gathered
    if wave != NULL and (
            wave.sum < 0 and one.delta > 0 or wave.sum > 0 and one.delta < 0
            or quench_magnitude(wave.sum) + quench_magnitude(one.delta) >> LIMIT_BITS
            or one.form & FORM_UNIT and not same_expiry(wave, one)):
        launch(core, tally)
    early = one.rule.early and early_may(core, tally, one.delta)
    if tally.gathered == NULL:
        tally_gather(core, tally)
        if one.form & FORM_UNIT and one.expiry != NULL:
            wave_expires(tally.gathered, one.expiry, one.expiry_length, one.once)
    wave = tally.gathered
    core.counters.increments += 1
    if early:
        early_join(core, client, row, wave, one.delta)
        if wave.requests >= one.rule.most:
            launch(core, tally)
        return DONE
    join(core, client, wave, row, one.delta)
    if not one.form & FORM_UNIT:
        # EXEC is counted where it is seen to.
        core.row_stats[row.index].calls += 1
    # The first one goes alone, and brings what has to be known of the others.
    if wave.requests >= one.rule.most or tally.flying == 0 and not tally.known and one.form < FORM_SET:
        launch(core, tally)
    else:
        core.joined = wave
    return DONE


cdef int same(Core* core, Client* client, Row* row, const Frame* frame, Increment* one) noexcept nogil:
    """SADD or PFADD: those with the same elements are as good as the first of them, and all others add nothing."""
    if frame.length > MOST_SAME or not merges(core, client, one):
        return GO_ON
    one.form = FORM_SET if row.adds == ADDS_ELEMENTS else FORM_LOG
    one.field = frame.data
    one.field_length = frame.length
    one.expiry = NULL
    one.delta = 0
    return gather(core, client, row, one, home(core, client.pool, one.key, one.length), NULL, 0)


cdef void join(Core* core, Client* client, Wave* wave, Row* row, int64_t delta) noexcept nogil:
    """The client has its place in the wave, and a slot for what it brings."""
    cdef Conn* conn = wave.tally.conn
    client.references += 1
    client.wrote |= 1ULL << (conn.node.index & 63)
    wave_add(wave, client, slot_push(core, client, row.index), row.index, <uint32_t> core.now_us, delta)
    conn.used_us = core.now_us
    core.busy = 1


cdef uint32_t combine_again(Core* core, Client* client, const char* request, size_t size, size_t behind) noexcept nogil:
    """The increment of these `size` bytes has joined core.joined; `behind` bytes follow it. Those that are the very same
    join at once; returns how many. What a pipeline costs is framing, looking up and looking around for each request."""
    cdef Wave* wave = <Wave*> core.joined
    cdef Member* member = &wave.members[wave.count - 1]
    cdef Row* row = &core.rows[member.row]
    cdef HotKey* key
    cdef size_t most = behind // size
    cdef size_t room = client.pool.limits.window
    cdef uint64_t magnitude = quench_magnitude(member.delta)
    cdef uint32_t count = 0
    core.joined = NULL
    if client.flags & ONE_BY_ONE or wave.kind != WAVE_ADD or client.reply_mean == 0 or core.chunks.total > core.output_limit:
        return 0
    # Less than a client may have on its way in any case.
    if client_unread(client) + room * client.reply_mean > client.pool.limits.output_soft:
        room = client.pool.limits.output_soft // client.reply_mean // 2
    room = room - (client.tail - client.head) if room > client.tail - client.head else 0
    most = min(most, room, <size_t> (wave.tally.rule.most - wave.requests))
    while count < most and quench_same(request + (count + 1) * size, request, size) and (
            quench_magnitude(wave.sum) + (count + 1) * magnitude >> LIMIT_BITS) == 0:
        slot_push(core, client, row.index)
        count += 1
    if count == 0:
        return 0
    member.times += count
    wave.requests += count
    wave.sum += member.delta * count
    client.references += count
    core.row_stats[row.index].calls += count
    core.counters.increments += count
    if client.pool.cools:
        key = hot_find(heat_of(core), client.pool, wave.tally.hash)
        if key != NULL:
            key.writes += count
    if wave.requests >= wave.tally.rule.most:
        launch(core, wave.tally)
    return count


# -- EXPIRE behind an increment ---------------------------------------------------------------------------------------

cdef int expiry_of(const Frame* frame) noexcept nogil:
    """Of EXPIRE or PEXPIRE: 0: many in a row are not as good as one, or it is malformed; 1: they are; 2: they are, but only
    the first has an effect."""
    cdef long long life = 0
    if not 3 <= frame.argc <= 4 or not read_number(frame.data + frame.args[2].offset, frame.args[2].length, &life):
        return 0
    if not 0 < life < LONGEST_LIFE:
        return 0
    if frame.argc == 3 or same_word(frame.data + frame.args[3].offset, frame.args[3].length, b"xx"):
        return 1
    return 2 if same_word(frame.data + frame.args[3].offset, frame.args[3].length, b"nx") else 0


cdef int live(Core* core, Client* client, Row* row, const Frame* frame, const Increment* one) noexcept nogil:
    """EXPIRE or PEXPIRE: right behind an increment of the same key by the same client it goes with the wave.

    All increments of the wave come before all of its EXPIREs. That is as good: an EXPIRE finds the key that the client's
    own increment left, and an increment behind it changes nothing of what it did.
    """
    cdef Tally* tally = tally_bucket(core, one.hash)
    cdef Wave* wave
    cdef int kind = expiry_of(frame) if frame.length < MOVE_AT else 0
    while kind and tally != NULL:
        wave = tally.gathered
        if (wave != NULL and tally.hash == one.hash and not tally.form & FORM_UNIT and wave.requests
                and (wave.members[wave.count - 1].client == client or wave.early == wave.requests and frame.argc == 3)
                and tally.conn.protocol == client.protocol
                and tally.conn.database == client.database and tally.length == one.length
                and quench_same(tally_key(tally), one.key, one.length)):
            if wave.life == NULL:
                wave.life = wave_new(core, tally, WAVE_LIFE)
                wave_expires(wave.life, frame.data, frame.length, kind == 2)
            elif (wave.life.expiry_length != frame.length
                    or not quench_same(wave.life.expiry, frame.data, frame.length)):
                return GO_ON
            if wave.early == wave.requests:
                early_life(core, client, row, wave.life)
                return DONE
            join(core, client, wave.life, row, 0)
            core.row_stats[row.index].calls += 1
            return DONE
        tally = tally.next
    return GO_ON


cdef bint same_expiry(const Wave* wave, const Increment* one) noexcept nogil:
    if wave.expiry == NULL or one.expiry == NULL:
        return wave.expiry == NULL and one.expiry == NULL
    return wave.expiry_length == one.expiry_length and quench_same(wave.expiry, one.expiry, one.expiry_length)


cdef int combine_unit(Core* core, Client* client, Row* row) noexcept nogil:
    """EXEC. Returns a Verdict: GO_ON, or it is seen to, being one increment, perhaps with an EXPIRE of its key."""
    cdef int verdict = unit(core, client, row)
    if verdict == GO_ON and core.tallied:
        ahead_of_transaction(core, client)
    return verdict


cdef void ahead_of_transaction(Core* core, Client* client) noexcept nogil:
    """What gathers for the keys of its first two commands, which might have been a unit, leaves first. For those behind
    them it left when they were queued."""
    cdef Block* block
    cdef Row* row
    cdef Frame frame
    cdef FrameLimits limits
    cdef const char* data
    cdef size_t length
    cdef uint32_t place, number
    limits.trusted = True
    for place in range(client.transaction.block_count):
        block = &client.transaction.blocks[place]
        data = block.bytes.first.data + block.bytes.first.head + MULTI_BYTES
        length = block.bytes.first.tail - block.bytes.first.head - MULTI_BYTES
        for number in range(min(block.commands, 2)):
            limits.max_bulk = length
            frame_reset(&frame)
            if length == 0 or frame_request(&frame, data, length, &limits) != FRAMED:
                launch_all(core, client.pool)
                return
            row = lookup(core, frame.data + frame.args[0].offset, frame.args[0].length)
            if row != NULL and row.adds:
                combine_ahead(core, client, row, &frame)
            data += frame.length
            length -= frame.length


cdef int unit(Core* core, Client* client, Row* row) noexcept nogil:
    cdef Transaction* transaction = client.transaction
    cdef Pool* pool = client.pool
    cdef FrameLimits limits
    cdef Frame frame, expiry
    cdef Row* adds
    cdef Row* expires
    cdef Increment one
    cdef const char* data
    cdef size_t length
    cdef int kind
    if (not pool.merges or transaction.block_count != 1 or transaction.locals or transaction.splits != NULL
            or not 1 <= transaction.queued <= 2 or transaction.blocks[0].bytes.first.next != NULL):
        return GO_ON
    data = transaction.blocks[0].bytes.first.data + transaction.blocks[0].bytes.first.head + MULTI_BYTES
    length = transaction.blocks[0].bytes.length - MULTI_BYTES
    limits.max_bulk = length
    limits.trusted = True
    frame_reset(&frame)
    if frame_request(&frame, data, length, &limits) != FRAMED:
        return GO_ON
    adds = lookup(core, frame.data + frame.args[0].offset, frame.args[0].length)
    if adds == NULL or not ADDS_ONE <= adds.adds <= ADDS_FIELD:
        return GO_ON
    one.key = frame.data + frame.args[adds.key].offset
    one.length = frame.args[adds.key].length
    one.hash = key_hash(core, one.key, one.length)
    if pool.cools and hot_look(heat_of(core), one.hash):
        hot_ask(core, pool, adds, one.key, one.length, one.hash)
    if not merges(core, client, &one) or not delta_of(adds, &frame, &one):
        return GO_ON
    if transaction.queued == 2:
        frame_reset(&expiry)
        if frame_request(&expiry, data + frame.length, length - frame.length, &limits) != FRAMED:
            return GO_ON
        expires = lookup(core, expiry.data + expiry.args[0].offset, expiry.args[0].length)
        if expires == NULL or expires.adds != ADDS_LIFE or expiry.args[1].length != one.length or not quench_same(
                expiry.data + expiry.args[1].offset, one.key, one.length):
            return GO_ON
        kind = expiry_of(&expiry)
        if kind == 0:
            return GO_ON
        one.expiry = expiry.data
        one.expiry_length = expiry.length
        one.once = kind == 2
    one.form |= FORM_UNIT
    kind = gather(core, client, row, &one, home(core, pool, one.key, one.length), NULL, 0)
    core.joined = NULL
    # Whoever has sent EXEC reads none of the QUEUEDs before its reply.
    client.together = client.tail
    return kind


cdef bint owes(const Client* client, const Tally* tally) noexcept nogil:
    """May a request of this client be among those that gather? Nobody's who waits for his replies one by one."""
    cdef const Wave* wave = tally.gathered
    cdef uint32_t index
    if client.head == client.tail or wave == NULL:
        return False
    for index in range(1, LOOK_BACK + 1):
        if index > wave.count:
            return False
        if wave.members[wave.count - index].client == client:
            return True
    return wave.count > LOOK_BACK


cdef void ahead(Core* core, Client* client, Row* row, uint64_t hash, const char* key, size_t length,
                const Tally* of) noexcept nogil:
    """The request at hand names this key: what gathers for it on the same connection leaves first. `of`: it is to be
    gathered itself, by this tally; then other fields stay. To INCR and HINCRBY of one key one of them is the wrong type:
    they keep their order, and so do
    increments of several fields by one client."""
    cdef Tally* tally = tally_bucket(core, hash)
    while tally != NULL:
        if (tally.hash == hash and tally.conn.node.pool == client.pool and tally.length == length
                and tally != of and (of == NULL or tally.form != of.form or owes(client, tally))
                and quench_same(tally_key(tally), key, length)):
            if (tally.gathered != NULL and tally.conn.protocol == client.protocol
                    and tally.conn.database == client.database):
                launch(core, tally)
            if row.flags & ROW_PAUSES and row.adds != ADDS_LIFE and of == NULL:
                tally.known = 0
                tally.writes += 1
        tally = tally.next


cdef void every(Core* core, const Pool* pool, const Row* row) noexcept nogil:
    """The request at hand may name any key."""
    launch_all(core, pool)
    if pool.alone and row.flags & ROW_PAUSES:
        tallies_doubt(core, pool)


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
        if row.flags & ROW_ONE_NODE or client.pool.alone and row.flags & ROW_PAUSES:
            every(core, client.pool, row)
        return
    count = keys_find(core, row, frame)
    for index in range(count):
        ahead(core, client, row, key_hash(core, core.keys[index].data, core.keys[index].length),
              core.keys[index].data, core.keys[index].length, NULL)
    if count <= 0 or row.varies == VARIES_SORT:
        # A script that names no keys, a SORT by others: it may read any.
        every(core, client.pool, row)
