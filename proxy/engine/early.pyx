# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Early: answering from the running value. See early.pxd."""

from libc.stdint cimport int64_t, uint32_t
from libc.string cimport memcpy

from proxy.engine.connection cimport conn_place
from proxy.engine.launch cimport fits
from proxy.engine.marks cimport key_hash
from proxy.engine.refusals cimport DONE, GO_ON
from proxy.engine.route cimport home
from proxy.engine.slots cimport slot_fill, slot_push
from proxy.engine.tally cimport FORM_FIELD, Member, Tally, Wave
from proxy.engine.types cimport CLIENT_SPECIAL, TELLS_FIELD, Client, Conn, Core, Pool, Row
from proxy.engine.waves cimport tally_find, wave_add
from proxy.wire.resp cimport Frame, write_number


cdef inline int64_t running(const Tally* tally) noexcept nogil:
    return tally.value + (tally.gathered.sum if tally.gathered != NULL else 0)


cdef bint early_may(Core* core, const Tally* tally, int64_t delta) noexcept nogil:
    """Is the counter known well enough to answer now? An idle one may have been changed by others meanwhile."""
    if not tally.known or tally.form & ~FORM_FIELD:
        return False
    if tally.flying == 0 and tally.gathered == NULL and core.now_us - tally.idle_us > tally.rule.window_us:
        return False
    return fits(tally, delta + (tally.gathered.sum if tally.gathered != NULL else 0))


cdef bint owe(Core* core, Wave* wave, uint32_t row, int64_t delta) noexcept nogil:
    """The wave carries one more that is answered. True: in a Member of its own, as which the node's reply counts it."""
    cdef Member* member = &wave.members[wave.count - 1] if wave.count else NULL
    cdef bint fresh = member == NULL or member.client != NULL
    if fresh:
        wave_add(wave, NULL, 1, row, <uint32_t> core.now_us, delta)
    else:
        member.slot += 1
        member.delta += delta
        wave.requests += 1
        wave.sum += delta
    wave.early += 1
    wave.tally.early += 1
    core.early_owed += 1
    core.counters.early += 1
    core.busy = 1
    return fresh


cdef void tell(Core* core, Client* client, Row* row, bint counted, int64_t value) noexcept nogil:
    cdef char text[32]
    text[0] = c':'
    core.row_stats[row.index].calls += 1
    if not counted:
        core.counters.replies += 1
        core.row_stats[row.index].latency[0] += 1
    slot_push(core, client, row.index)
    slot_fill(core, client, client.tail - 1, text, 1 + write_number(text + 1, value))


cdef void early_join(Core* core, Client* client, Row* row, Wave* wave, int64_t delta) noexcept nogil:
    """An increment, after early_may()."""
    cdef bint counted = owe(core, wave, row.index, delta)
    client.wrote |= 1ULL << (wave.tally.conn.node.index & 63)
    tell(core, client, row, counted, running(wave.tally))


cdef void early_life(Core* core, Client* client, Row* row, Wave* wave) noexcept nogil:
    """An EXPIRE that goes with a wave: the key will be there."""
    tell(core, client, row, owe(core, wave, row.index, 0), 1)


cdef int early_read(Core* core, Client* client, Row* row, const Frame* frame) noexcept nogil:
    """GET or HGET of a counter that the node does not have all of. Returns a Verdict: GO_ON, or it was answered."""
    cdef Pool* pool = client.pool
    cdef const char* key = frame.data + frame.args[1].offset
    cdef size_t length = frame.args[1].length
    cdef bint field = row.tells == TELLS_FIELD
    cdef char number[32]
    cdef char text[64]
    cdef int index = home(core, pool, key, length)
    cdef size_t digits, head
    cdef Conn* conn
    cdef Tally* tally
    if index < 0 or client.flags & CLIENT_SPECIAL:
        return GO_ON
    conn = pool.nodes[index].conns[conn_place(client.protocol, client.database, 0)]
    tally = tally_find(
        core, conn, key_hash(core, key, length), key, length, FORM_FIELD if field else 0,
        frame.data + frame.args[2].offset if field else NULL, frame.args[2].length if field else 0)
    if tally == NULL or tally.early == 0 or not tally.known:
        return GO_ON
    digits = write_number(number, running(tally)) - 2
    text[0] = c'$'
    head = 1 + write_number(text + 1, <int64_t> digits)
    memcpy(text + head, number, digits + 2)
    core.row_stats[row.index].calls += 1
    core.row_stats[row.index].latency[0] += 1
    slot_push(core, client, row.index)
    slot_fill(core, client, client.tail - 1, text, head + digits + 2)
    return DONE
