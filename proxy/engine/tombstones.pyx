# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Tombstones: setting them, holding replies, letting them go. See tombstones.pxd."""

from libc.stdint cimport uint16_t, uint32_t, uint64_t
from libc.string cimport memset, strlen

from proxy.engine.connection cimport pending_answer
from proxy.engine.fans cimport TOMBSTONE_US, fan_name, fans_first
from proxy.engine.heat cimport ROLE_NONE, ROLE_TOMBSTONE, Fan, Hold, heat_of
from proxy.engine.holds cimport hold_new, hold_reply, hold_settle, hold_unlink
from proxy.engine.marks cimport EVERY, marks_count, marks_stripe, stripe_of
from proxy.engine.places cimport OUT_US, Chosen, place_asked, places_choose
from proxy.engine.tally cimport Wave
from proxy.engine.types cimport Conn, Core, Pending, Pool
from proxy.engine.waves cimport wave_deliver, wave_free
from proxy.wire.output cimport output_append

cdef const char* TOMBSTONE = b"$1\r\n-\r\n$2\r\nPX\r\n$3\r\n500\r\n"


cdef void bury(Core* core, Fan* fan, uint32_t number, Conn* conn, int role, Hold* hold) noexcept nogil:
    """Replace the copy at a place, if there is one, by a tombstone."""
    cdef size_t before = conn.output.length
    output_append(&conn.output, &core.chunks, b"*5\r\n$3\r\nSET\r\n", 13)
    fan_name(core, fan, number, &conn.output)
    output_append(&conn.output, &core.chunks, TOMBSTONE, strlen(TOMBSTONE))
    fan.places[number].until_us = 0
    fan.places[number].retry_us = core.now_us + TOMBSTONE_US
    fan.places[number].buried_us = core.now_us
    core.counters.fan_out_tombstones += 1
    place_asked(core, conn, 0, before, role, hold, 0)


cdef void tombstones_send(Core* core, Pool* pool, int protocol, int database) noexcept nogil:
    """Before a write of what was noted. Nobody waits for these."""
    cdef Fan* fan
    cdef Chosen chosen
    cdef uint32_t index, place
    cdef uint16_t stripe
    for index in range(core.noted):
        stripe = core.notes[index]
        if stripe == EVERY:
            continue
        fan = fans_first(core, stripe)
        while fan != NULL:
            if fan.pool == pool and stripe_of(fan.hash) == stripe:
                places_choose(core, fan, protocol, database, &chosen)
                for place in range(chosen.count):
                    # Of many writes in a row the one before has seen to it.
                    if core.now_us - fan.places[chosen.at[place]].buried_us > TOMBSTONE_US // 4:
                        bury(core, fan, chosen.at[place], chosen.conns[place], ROLE_NONE, NULL)
            fan = fan.next


cdef bint tombstones_hold(Core* core, Conn* conn, Pending* pending, uint64_t marks, Wave* wave, const char* data,
                          size_t size) noexcept nogil:
    """After a write, whose marks are open still: True if the reply is kept until the tombstones are in place."""
    cdef Hold* hold = NULL
    cdef Fan* fan
    cdef Chosen chosen
    cdef uint32_t index, place
    cdef uint32_t count = marks_count(marks)
    cdef uint16_t stripe
    for index in range(count):
        stripe = marks_stripe(marks, index)
        if stripe == EVERY:
            continue
        fan = fans_first(core, stripe)
        while fan != NULL:
            if fan.pool == conn.node.pool and stripe_of(fan.hash) == stripe:
                places_choose(core, fan, conn.protocol, conn.database, &chosen)
                if hold == NULL and (pending.client != NULL or wave != NULL) and (
                        chosen.count or chosen.gone_us > core.now_us):
                    hold = hold_new(core, fan.pool, pending, wave, data, size)
                if hold != NULL:
                    if core.now_us + fan.life_us > hold.deadline_us:
                        hold.deadline_us = core.now_us + fan.life_us
                    if chosen.gone_us > hold.until_us:
                        hold.until_us = chosen.gone_us
                for place in range(chosen.count):
                    # The node that wrote has been home to the key, and a place in this ring must not be taken now.
                    if chosen.conns[place] == conn:
                        continue
                    if hold == NULL:
                        bury(core, fan, chosen.at[place], chosen.conns[place], ROLE_NONE, NULL)
                        continue
                    hold.waiting += 1
                    hold.pendings += 1
                    hold.missing |= 1ULL << (chosen.conns[place].node.index & 63)
                    bury(core, fan, chosen.at[place], chosen.conns[place], ROLE_TOMBSTONE, hold)
            fan = fan.next
    if hold != NULL and hold.waiting == 0 and core.now_us >= hold.until_us:
        hold_unlink(core, hold)
        return False
    return hold != NULL


cdef void tombstone_set(Core* core, Conn* conn, Hold* hold, const char* data) noexcept nogil:
    """A tombstone was set, or could not be: then its node is left out, and the reply waits as long as a copy lives."""
    if data[0] == c'-':
        conn.node.out_until_us = core.now_us + OUT_US
    else:
        hold.waiting -= 1
        hold.missing &= ~(1ULL << (conn.node.index & 63))
        if not hold.over and hold.waiting == 0 and core.now_us >= hold.until_us:
            let_go(core, hold)
    hold_settle(hold)


cdef void let_go(Core* core, Hold* hold) noexcept nogil:
    """The client gets its reply, or every member of the wave."""
    cdef Pending pending
    if hold.wave != NULL:
        wave_deliver(core, hold.wave, hold_reply(hold), hold.length)
        wave_free(core, hold.wave)
        hold_unlink(core, hold)
        return
    memset(&pending, 0, sizeof(pending))
    pending.client = hold.client
    pending.slot = hold.slot
    pending.part = hold.part
    pending_answer(core, &pending, hold_reply(hold), hold.length)
    hold_unlink(core, hold)


cdef void tombstones_due(Core* core) noexcept nogil:
    """Let go of replies that waited long enough; nodes that did not answer in time are left out from here on."""
    cdef Hold* hold = heat_of(core).holds
    cdef Hold* following
    cdef Pool* pool
    cdef int index
    while hold != NULL:
        following = hold.next
        core.busy = 1
        if core.now_us >= hold.deadline_us or (hold.waiting == 0 and core.now_us >= hold.until_us):
            pool = hold.pool
            for index in range(pool.node_count):
                if hold.missing >> (index & 63) & 1:
                    pool.nodes[index].out_until_us = core.now_us + OUT_US
            let_go(core, hold)
        hold = following
