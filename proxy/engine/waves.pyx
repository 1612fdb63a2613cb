# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Waves: finding a tally, adding to a wave, answering its members. See waves.pxd."""

from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.stdlib cimport abort, calloc, free, malloc, realloc
from libc.string cimport memchr, memcpy, memset

from proxy.engine.marks cimport marks_close
from proxy.engine.slots cimport client_release, slot_fill, slots_due, slots_pass
from proxy.engine.tally cimport (
    FORM_SET, FORM_UNIT, TALLIES, TALLY_BUCKETS, WAVE_ADD, WAVE_SAME, WAVE_UNIT, Member, Tallies, Tally, TallyList, Wave,
    quench_same,
)
from proxy.engine.types cimport DEAD, Client, Conn, Core, CounterRule, Pending, Pool
from proxy.wire.output cimport output_append
from proxy.wire.resp cimport read_number, write_number

cdef enum:
    FIRST_MEMBERS = 16
    IDLE_US = 10000000
    TEXT = 1024                # bytes of replies that are written at once
    REPLY_ROOM = 64            # that one of them takes at most


# -- lists ------------------------------------------------------------------------------------------------------------

cdef void join(TallyList* line, Tally* tally) noexcept nogil:
    """To the end of the line."""
    tally.before = line.last
    tally.after = NULL
    if line.last != NULL:
        line.last.after = tally
    else:
        line.first = tally
    line.last = tally


cdef void leave(TallyList* line, Tally* tally) noexcept nogil:
    if tally.before != NULL:
        tally.before.after = tally.after
    else:
        line.first = tally.after
    if tally.after != NULL:
        tally.after.before = tally.before
    else:
        line.last = tally.before


# -- tallies ----------------------------------------------------------------------------------------------------------

cdef bint tallies_open(Core* core) noexcept nogil:
    """Once, before the engine runs."""
    core.tallies = calloc(1, sizeof(Tallies))
    return core.tallies != NULL


cdef void tallies_close(Core* core) noexcept nogil:
    """End of the engine: its clients are gone, and its connections closed."""
    cdef Tallies* tallies = tallies_of(core)
    if tallies == NULL:
        return
    while tallies.gathering.first != NULL:
        wave_free(core, tally_let_go(core, tallies.gathering.first))
    while tallies.idle.first != NULL:
        tally_free(core, tallies.idle.first)
    free(tallies)
    core.tallies = NULL


cdef Tally* tally_find(Core* core, const Conn* conn, uint64_t hash, const char* key, size_t length, int form,
                       const char* field, size_t field_length) noexcept nogil:
    cdef Tally* tally = tally_bucket(core, hash)
    while tally != NULL and not (
            tally.hash == hash and tally.conn == conn and tally.length == length and tally.form == form
            and tally.field_length == field_length and quench_same(tally_key(tally), key, length)
            and quench_same(tally_field(tally), field, field_length)):
        tally = tally.next
    return tally


cdef Tally* tally_new(Core* core, Conn* conn, const CounterRule* rule, uint64_t hash, const char* key, size_t length,
                      int form, const char* field, size_t field_length) noexcept nogil:
    """One that nothing is known of yet; NULL: there are too many that have something to do."""
    cdef Tallies* tallies = tallies_of(core)
    cdef Tally** bucket
    cdef Tally* tally
    if core.tallied >= TALLIES:
        if tallies.idle.first == NULL:
            return NULL
        tally_free(core, tallies.idle.first)
    tally = <Tally*> calloc(1, sizeof(Tally) + length + field_length)
    if tally == NULL:
        abort()
    tally.conn = conn
    tally.rule = rule
    tally.hash = hash
    tally.length = <uint32_t> length
    tally.form = <unsigned char> form
    tally.field_length = <uint32_t> field_length
    memcpy(tally + 1, key, length)
    if field_length:
        memcpy(<char*> (tally + 1) + length, field, field_length)
    bucket = &tallies.buckets[hash >> 20 & (TALLY_BUCKETS - 1)]
    tally.next = bucket[0]
    bucket[0] = tally
    rest(core, tally)
    core.tallied += 1
    return tally


cdef void rest(Core* core, Tally* tally) noexcept nogil:
    """It has nothing to do."""
    tally.idle_us = core.now_us
    join(&tallies_of(core).idle, tally)


cdef void tallies_forget(Core* core) noexcept nogil:
    """Those that had nothing to do for long go: while there is any, all requests are looked at."""
    while tallies_of(core).idle.first != NULL and core.now_us - tallies_of(core).idle.first.idle_us > IDLE_US:
        tally_free(core, tallies_of(core).idle.first)


cdef void tallies_doubt(Core* core, const Pool* pool) noexcept nogil:
    """Any counter of the pool may be written now."""
    cdef Tally* tally
    cdef int index
    for index in range(TALLY_BUCKETS):
        tally = tallies_of(core).buckets[index]
        while tally != NULL:
            if tally.conn.node.pool == pool:
                tally.known = 0
                tally.writes += 1
            tally = tally.next


cdef void tally_free(Core* core, Tally* tally) noexcept nogil:
    """One that is idle."""
    cdef Tally** place = &tallies_of(core).buckets[tally.hash >> 20 & (TALLY_BUCKETS - 1)]
    while place[0] != tally:
        place = &place[0].next
    place[0] = tally.next
    leave(&tallies_of(core).idle, tally)
    if tally.shards != NULL:
        tally.shards.references -= 1
    core.tallied -= 1
    free(tally)


cdef void tally_gather(Core* core, Tally* tally) noexcept nogil:
    """From here on a wave of it gathers; nobody is in yet."""
    if tally.flying == 0:
        leave(&tallies_of(core).idle, tally)
    tally.gathered = wave_new(core, tally, WAVE_UNIT if tally.form & FORM_UNIT
                              else WAVE_SAME if tally.form >= FORM_SET else WAVE_ADD)
    tally.gathered.once = tally.form >= FORM_SET
    join(&tallies_of(core).gathering, tally)


cdef Wave* tally_let_go(Core* core, Tally* tally) noexcept nogil:
    """What has gathered is on its way."""
    cdef Wave* wave = tally.gathered
    leave(&tallies_of(core).gathering, tally)
    tally.gathered = NULL
    tally.flying += 1 if wave.life == NULL else 2
    return wave


# -- waves ------------------------------------------------------------------------------------------------------------

cdef Wave* wave_new(Core* core, Tally* tally, int kind) noexcept nogil:
    """One with nobody in it, which its tally does not know of."""
    cdef Tallies* tallies = tallies_of(core)
    cdef Wave* wave = <Wave*> calloc(1, sizeof(Wave))
    if wave == NULL:
        abort()
    wave.tally = tally
    wave.kind = <unsigned char> kind
    wave.since_us = core.now_us
    wave.after = tallies.waves
    if tallies.waves != NULL:
        tallies.waves.before = wave
    tallies.waves = wave
    return wave


cdef void wave_expires(Wave* wave, const char* expiry, size_t length, bint once) noexcept nogil:
    """Its EXPIRE is this one."""
    wave.expiry = <char*> malloc(length)
    if wave.expiry == NULL:
        abort()
    memcpy(wave.expiry, expiry, length)
    wave.expiry_length = <uint32_t> length
    wave.once = once


cdef void wave_add(Wave* wave, Client* client, uint32_t slot, uint32_t row, uint32_t start, int64_t delta) noexcept nogil:
    """One more increment; the reference to its client is the caller's, who gives it away."""
    cdef Member* member
    if wave.count == wave.room:
        wave.room = 2 * wave.room if wave.room else FIRST_MEMBERS
        wave.members = <Member*> realloc(wave.members, wave.room * sizeof(Member))
        if wave.members == NULL:
            abort()
    member = &wave.members[wave.count]
    member.client = client
    member.delta = delta
    member.slot = slot
    member.times = 1
    member.done = 0
    member.start = start
    member.row = <unsigned short> row
    wave.count += 1
    wave.requests += 1
    wave.sum += delta


cdef bint wave_next(Wave* wave, Pending* one) noexcept nogil:
    """The next member that was not answered, as the Pending that it would have been alone; False: all were."""
    cdef Member* member = &wave.members[wave.told]
    if wave.told == wave.count:
        return False
    memset(one, 0, sizeof(Pending))
    one.client = member.client
    one.slot = member.slot + member.done  # of early ones how many they are
    one.start = member.start
    one.row = member.row
    member.done += 1
    if member.done == member.times:
        wave.told += 1
    return True


cdef bint wave_value(const Wave* wave, const char* data, size_t length, long long* value, long long* life) noexcept nogil:
    """What the counter is according to the node's reply, and what its EXPIRE answered, if it has one. False: an error."""
    cdef const char* end
    cdef size_t head = 4 if wave.kind == WAVE_UNIT else 0
    if not wave_adds(wave) or length < head + 4 or data[head] != c':':
        return False
    if head and (data[0] != c'*' or data[1] != (c'1' if wave.expiry == NULL else c'2')):
        return False
    end = <const char*> memchr(data + head, c'\r', length - head)
    if end == NULL or not read_number(data + head + 1, end - data - head - 1, value):
        return False
    if wave.kind == WAVE_UNIT and wave.expiry != NULL:
        return end + 6 == data + length and end[2] == c':' and read_number(end + 3, 1, life)
    return end + 2 == data + length


cdef size_t write_reply(const Wave* wave, bint first, int64_t value, int64_t life, char* at) noexcept nogil:
    """The reply to one request of a wave, as the node would have written it."""
    cdef size_t length = 0
    if wave.kind == WAVE_UNIT:
        memcpy(at, b"*1\r\n" if wave.expiry == NULL else b"*2\r\n", 4)
        length = 4
    at[length] = c':'
    length += 1 + write_number(at + length + 1, value)
    if wave.kind == WAVE_UNIT and wave.expiry != NULL:
        at[length] = c':'
        length += 1 + write_number(at + length + 1, 0 if wave.once and not first else life)
    return length


cdef void wave_answer(Core* core, Wave* wave, int64_t value, int64_t life) noexcept nogil:
    """The counter is at `value` after all of them: each is told what it was after his own."""
    cdef Member* member
    cdef Client* client
    cdef uint32_t index, number
    # Unsigned, to be defined whatever a node says.
    cdef uint64_t running = <uint64_t> value - <uint64_t> wave.sum + <uint64_t> wave.others
    cdef char text[TEXT]
    cdef size_t used, length
    cdef bint due
    for index in range(wave.gone, wave.count):
        member = &wave.members[index]
        client = member.client
        if client == NULL:
            running += <uint64_t> member.delta
            continue
        if index < wave.told or client.handle.kind == DEAD:
            running += <uint64_t> member.delta * member.times
            while index >= wave.told and member.done < member.times:
                member.done += 1
                client_release(core, client)
            continue
        due = slots_due(client, member.slot + member.done)
        running += <uint64_t> member.delta * member.done
        used = 0
        for number in range(member.done, member.times):
            running += <uint64_t> member.delta
            client.references -= 1
            length = write_reply(wave, index == wave.gone and number == 0, <int64_t> running, life, text + used)
            if not due:
                slot_fill(core, client, member.slot + number, text, length)
                continue
            used += length
            if used > TEXT - REPLY_ROOM:
                output_append(&client.output, &core.chunks, text, used)
                used = 0
        if due:
            output_append(&client.output, &core.chunks, text, used)
            slots_pass(core, client, member.times - member.done, length)
    wave.told = wave.count


cdef void wave_deliver(Core* core, Wave* wave, const char* data, size_t length) noexcept nogil:
    """The node's reply: everybody's own value, or what is everybody's."""
    cdef long long value = 0
    cdef long long life = 0
    cdef Pending one
    cdef bint first
    if wave_value(wave, data, length, &value, &life):
        wave_answer(core, wave, value, life)
        return
    while True:
        first = wave.told < wave.count and wave.told == wave.gone and wave.members[wave.told].done == 0
        if not wave_next(wave, &one):
            return
        if one.client == NULL:
            continue
        if one.client.handle.kind == DEAD:
            client_release(core, one.client)
            continue
        one.client.references -= 1
        if wave.once and not first and data[0] == c':':
            slot_fill(core, one.client, one.slot, b":0\r\n", 4)
        else:
            slot_fill(core, one.client, one.slot, data, length)


cdef void wave_landed(Core* core, Wave* wave) noexcept nogil:
    """The node has answered, or never will: its tally waits for it no longer."""
    cdef Tallies* tallies = tallies_of(core)
    cdef Tally* tally = wave.tally
    if wave.before != NULL:
        wave.before.after = wave.after
    else:
        tallies.waves = wave.after
    if wave.after != NULL:
        wave.after.before = wave.before
    wave.tally = NULL
    tally.flying -= 1
    if tally.flying == 0 and tally.gathered == NULL:
        rest(core, tally)


cdef void wave_confirmed(Core* core, Wave* wave) noexcept nogil:
    """The node has what was answered early."""
    wave.tally.early -= wave.early
    core.early_owed -= wave.early
    wave.early = 0


cdef void wave_lose(Core* core, Wave* wave, uint32_t count) noexcept nogil:
    """So many were answered early, and the node may not have them."""
    wave.early -= count
    wave.tally.early -= count
    core.early_owed -= count
    core.counters.early_lost += count


cdef void wave_free(Core* core, Wave* wave) noexcept nogil:
    """Nobody waits for it any more but clients that are gone."""
    cdef Pending one
    if wave.early:
        wave_lose(core, wave, wave.early)
    if wave.tally != NULL:
        wave_landed(core, wave)
    if wave.marks:
        marks_close(core, wave.marks)
    while wave_next(wave, &one):
        if one.client != NULL:
            client_release(core, one.client)
    if wave.life != NULL:
        wave_free(core, wave.life)
    free(wave.expiry)
    free(wave.members)
    free(wave)


cdef void wave_settle(Core* core, Wave* wave) noexcept nogil:
    """Its request left the connection without an answer."""
    if wave_adds(wave):
        wave.tally.known = 0
        wave.tally.adding -= 1
    wave_free(core, wave)
