# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Places: choosing them, asking there, deleting the copies of keys that are hot no longer. See places.pxd."""

from libc.stdint cimport uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free

from proxy.engine.connection cimport conn_ask, conn_flush, conn_for, conn_place
from proxy.engine.fans cimport TOMBSTONE_US, fan_name
from proxy.engine.heat cimport FAN_BUCKETS, Fan, Heat, Place, heat_of
from proxy.engine.marks cimport quench_load_word, quench_store_word, stripe_of
from proxy.engine.route cimport home
from proxy.engine.types cimport CONN_IDLE, FLUSH_AT, Conn, Core, Node, Pending
from proxy.wire.output cimport output_append


cdef Conn* copy_conn(Core* core, Node* node, int protocol, int database) noexcept nogil:
    """The connection for copies at this node; NULL while it is not to have any."""
    cdef Conn* conn
    if node.ejected or core.now_us < node.out_until_us:
        return NULL
    conn = node.conns[conn_place(protocol, database, 0)]
    if conn == NULL or conn.state == CONN_IDLE:
        conn = conn_for(core, node, protocol, database, 0)
    return NULL if conn.refusing or conn.output.length > node.pool.limits.backlog else conn


cdef void places_choose(Core* core, Fan* fan, int protocol, int database, Chosen* chosen) noexcept nogil:
    """The next nodes of the walk that can be had, the home left out."""
    cdef int house = home(core, fan.pool, <const char*> (fan + 1), fan.length)
    cdef uint32_t index
    cdef uint64_t copied
    cdef Conn* conn
    chosen.count = 0
    chosen.gone_us = 0
    for index in range(fan.count):
        if chosen.count == fan.wanted or house < 0:
            return
        if fan.places[index].node.index == house:
            continue
        conn = copy_conn(core, fan.places[index].node, protocol, database)
        if conn != NULL:
            chosen.at[chosen.count] = index
            chosen.conns[chosen.count] = conn
            chosen.count += 1
            continue
        copied = quench_load_word(fan.places[index].node.copied)
        if copied > chosen.gone_us:
            chosen.gone_us = copied


cdef void place_used(Core* core, Fan* fan, Place* place) noexcept nogil:
    """There may be a copy here for as long as one lives: every engine of the process is to know."""
    cdef uint64_t until = core.now_us + fan.life_us + TOMBSTONE_US
    quench_store_word(&core.peers.fans[stripe_of(fan.hash)], until)
    quench_store_word(place.node.copied, until)


cdef void place_asked(Core* core, Conn* conn, uint32_t row, size_t before, int role, void* what,
                      uint32_t part) noexcept nogil:
    """What was appended since the output had `before` bytes is a request of our own."""
    conn_ask(core, conn, part, <uint16_t> row, conn.output.length - before, role, what)
    conn.node.requests += 1
    if conn.output.length >= FLUSH_AT and not conn.stuck:
        conn_flush(core, conn)


cdef void places_retire(Core* core) noexcept nogil:
    """Delete the copies of keys that are hot no longer, and of all when the proxy drains."""
    cdef Heat* heat = heat_of(core)
    cdef Fan* fan
    cdef int index
    if core.draining:
        for index in range(FAN_BUCKETS):
            fan = heat.fans[index]
            while fan != NULL:
                delete(core, fan)
                fan = fan.next
    while heat.retired != NULL:
        fan = heat.retired
        heat.retired = fan.next
        delete(core, fan)
        free(fan)


cdef void delete(Core* core, Fan* fan) noexcept nogil:
    """DEL every copy that this engine knows of."""
    cdef Place* place
    cdef Conn* conn
    cdef size_t before
    cdef uint32_t index
    for index in range(fan.count):
        place = &fan.places[index]
        if place.until_us <= core.now_us:
            continue
        place.until_us = 0
        conn = copy_conn(core, place.node, fan.protocol, fan.database)
        if conn == NULL:
            continue
        before = conn.output.length
        output_append(&conn.output, &core.chunks, b"*2\r\n$3\r\nDEL\r\n", 13)
        fan_name(core, fan, index, &conn.output)
        place_asked(core, conn, 0, before, 0, NULL, 0)
        if not conn.stuck:
            # At once: the proxy may be about to end.
            conn_flush(core, conn)
