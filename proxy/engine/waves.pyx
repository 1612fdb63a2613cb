# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Waves: finding a tally, adding to a wave, answering its members. See waves.pxd."""

from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.stdlib cimport abort, calloc, free, realloc
from libc.string cimport memcpy, memset

from proxy.engine.marks cimport marks_close
from proxy.engine.slots cimport client_release, slot_fill
from proxy.engine.tally cimport TALLIES, TALLY_BUCKETS, Member, Tallies, Tally, TallyList, Wave, quench_same
from proxy.engine.types cimport DEAD, Client, Conn, Core, CounterRule, Pending
from proxy.wire.resp cimport read_number, write_number

cdef enum:
    FIRST_MEMBERS = 16


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


cdef Tally* tally_find(Core* core, const Conn* conn, uint64_t hash, const char* key, size_t length, bint is_field,
                       const char* field, size_t field_length) noexcept nogil:
    cdef Tally* tally = tally_bucket(core, hash)
    while tally != NULL and not (
            tally.hash == hash and tally.conn == conn and tally.length == length and tally.field == is_field
            and tally.field_length == field_length and quench_same(tally_key(tally), key, length)
            and quench_same(tally_field(tally), field, field_length)):
        tally = tally.next
    return tally


cdef Tally* tally_new(Core* core, Conn* conn, const CounterRule* rule, uint64_t hash, const char* key, size_t length,
                      bint is_field, const char* field, size_t field_length) noexcept nogil:
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
    tally.field = is_field
    tally.field_length = <uint32_t> field_length
    memcpy(tally + 1, key, length)
    if is_field:
        memcpy(<char*> (tally + 1) + length, field, field_length)
    bucket = &tallies.buckets[hash >> 20 & (TALLY_BUCKETS - 1)]
    tally.next = bucket[0]
    bucket[0] = tally
    join(&tallies.idle, tally)
    core.tallied += 1
    return tally


cdef void tally_free(Core* core, Tally* tally) noexcept nogil:
    """One that is idle."""
    cdef Tally** place = &tallies_of(core).buckets[tally.hash >> 20 & (TALLY_BUCKETS - 1)]
    while place[0] != tally:
        place = &place[0].next
    place[0] = tally.next
    leave(&tallies_of(core).idle, tally)
    core.tallied -= 1
    free(tally)


cdef void tally_gather(Core* core, Tally* tally) noexcept nogil:
    """From here on a wave of it gathers; nobody is in yet."""
    if tally.flying == 0:
        leave(&tallies_of(core).idle, tally)
    tally.gathered = wave_new(core, tally)
    join(&tallies_of(core).gathering, tally)


cdef Wave* tally_let_go(Core* core, Tally* tally) noexcept nogil:
    """What has gathered is on its way."""
    cdef Wave* wave = tally.gathered
    leave(&tallies_of(core).gathering, tally)
    tally.gathered = NULL
    tally.flying += 1
    return wave


# -- waves ------------------------------------------------------------------------------------------------------------

cdef Wave* wave_new(Core* core, Tally* tally) noexcept nogil:
    """One with nobody in it, which its tally does not know of."""
    cdef Tallies* tallies = tallies_of(core)
    cdef Wave* wave = <Wave*> calloc(1, sizeof(Wave))
    if wave == NULL:
        abort()
    wave.tally = tally
    wave.since_us = core.now_us
    wave.after = tallies.waves
    if tallies.waves != NULL:
        tallies.waves.before = wave
    tallies.waves = wave
    return wave


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
    member.start = start
    member.row = <unsigned short> row
    wave.count += 1
    wave.sum += delta


cdef bint wave_next(Wave* wave, Pending* one) noexcept nogil:
    """The next member that was not answered, as the Pending that it would have been alone; False: all were."""
    cdef Member* member = &wave.members[wave.told]
    if wave.told == wave.count:
        return False
    memset(one, 0, sizeof(Pending))
    one.client = member.client
    one.slot = member.slot
    one.start = member.start
    one.row = member.row
    wave.told += 1
    return True


cdef void wave_answer(Core* core, Wave* wave, int64_t value) noexcept nogil:
    """The counter is at `value` after all of them: each is told what it was after his own."""
    cdef Member* member
    cdef Client* client
    cdef uint32_t index
    # Wraps as the node's own arithmetic would never: a sum that overflows there is an error, and comes as one.
    cdef uint64_t running = <uint64_t> value - <uint64_t> wave.sum
    cdef char text[32]
    text[0] = c':'
    for index in range(wave.gone, wave.count):
        member = &wave.members[index]
        running += <uint64_t> member.delta
        if index < wave.told:
            continue
        client = member.client
        if client.handle.kind == DEAD:
            client_release(core, client)
            continue
        client.references -= 1
        slot_fill(core, client, member.slot, text, 1 + write_number(text + 1, <int64_t> running))
    wave.told = wave.count


cdef void wave_deliver(Core* core, Wave* wave, const char* data, size_t length) noexcept nogil:
    """The node's reply: everybody's own value, or the error that is everybody's."""
    cdef long long value = 0
    cdef Pending one
    if data[0] == c':' and read_number(data + 1, length - 3, &value):
        wave_answer(core, wave, value)
        return
    while wave_next(wave, &one):
        if one.client.handle.kind == DEAD:
            client_release(core, one.client)
            continue
        one.client.references -= 1
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
        join(&tallies.idle, tally)


cdef void wave_free(Core* core, Wave* wave) noexcept nogil:
    """Nobody waits for it any more but clients that are gone."""
    if wave.tally != NULL:
        wave_landed(core, wave)
    if wave.marks:
        marks_close(core, wave.marks)
    while wave.told < wave.count:
        client_release(core, wave.members[wave.told].client)
        wave.told += 1
    free(wave.members)
    free(wave)


cdef void wave_settle(Core* core, Wave* wave) noexcept nogil:
    """Its request left the connection without an answer."""
    wave.tally.known = 0
    wave_free(core, wave)
