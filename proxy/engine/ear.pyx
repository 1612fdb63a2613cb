# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Ear: opening it, keeping it awake, hearing. See ear.pxd."""

from libc.stdint cimport uint64_t
from libc.string cimport memchr

from proxy.engine.connection cimport conn_ask
from proxy.engine.heat cimport ROLE_PING
from proxy.engine.marks cimport key_hash, marks_bump
from proxy.engine.private cimport private_open
from proxy.engine.types cimport CONNS, CONN_DOWN, CONN_OPEN, Conn, Core, Node, Pool
from proxy.wire.output cimport output_append
from proxy.wire.resp cimport read_number

cdef enum:
    PING_US = 100000
    RETRY_US = 1000000         # between two attempts to open one


cdef bint ear_hears(Core* core, Node* node) noexcept nogil:
    """Would a change of this node's keys be heard of? Opens the ear, so that the answer may be another one soon."""
    node.ear_wanted_us = core.now_us + WANTED_US
    if node.ear == NULL and core.now_us >= node.ear_retry_us:
        node.ear_retry_us = core.now_us + RETRY_US
        node.ping_us = 0
        node.ear = private_open(core, node, 3, 0)
        node.ear.ear = 1
        if node.ear.state == CONN_DOWN:
            node.ear = NULL
    return core.now_us < node.live_until_us


cdef const char* bulk(const char* at, const char* end, const char** text, size_t* length) noexcept nogil:
    """Read one bulk string; returns what is behind it, NULL if there is none. The reply is known to be whole."""
    cdef const char* line
    cdef long long size = 0
    if at >= end or at[0] != c'$':
        return NULL
    line = <const char*> memchr(at, c'\r', end - at)
    if line == NULL or not read_number(at + 1, line - at - 1, &size) or size < 0:
        return NULL
    text[0] = line + 2
    length[0] = <size_t> size
    return line + 2 + size + 2


cdef void ear_heard(Core* core, Conn* conn, const char* data, size_t size) noexcept nogil:
    """A push: `>2 invalidate *n key …`, with null for the keys where all of them are meant."""
    cdef const char* end = data + size
    cdef const char* at = <const char*> memchr(data, c'\n', size)
    cdef const char* text
    cdef size_t length
    at = bulk(at + 1, end, &text, &length)
    if at == NULL or length != 10 or text[0] != c'i':
        core.counters.pushes_dropped += 1
        return
    if at[0] != c'*' or at[1] == c'-':
        conn.node.forgets += 1
        core.counters.invalidations += 1
        return
    at = <const char*> memchr(at, c'\n', end - at) + 1
    while True:
        at = bulk(at, end, &text, &length)
        if at == NULL:
            return
        marks_bump(core, key_hash(core, text, length))
        core.counters.invalidations += 1


cdef void ear_pong(Core* core, Conn* conn, const char* data) noexcept nogil:
    """The PING was answered."""
    cdef Node* node = conn.node
    if node.ear != conn:
        return
    if data[0] == c'+':
        node.live_until_us = proved(node) + LIVE_US
    node.ping_us = 0


cdef uint64_t proved(const Node* node) noexcept nogil:
    """Until when nothing that was copied was changed without being told: the ear heard, and every connection that reads
    for copies was there, so the node knew of them. One that is cut off unnoticed is forgotten there, and with it what it read."""
    cdef uint64_t since = node.ping_us
    cdef const Conn* conn
    cdef int index
    for index in range(CONNS):
        conn = node.conns[index]
        if conn != NULL and conn.tracked and conn.proved_us < since:
            since = conn.proved_us
    return since


cdef void ears_tick(Core* core) noexcept nogil:
    """Send the PINGs that are due."""
    cdef Pool* pool
    cdef Node* node
    cdef Conn* conn
    cdef int pool_index, node_index, index
    for pool_index in range(core.pool_count):
        pool = &core.pools[pool_index]
        if not pool.cools:
            continue
        for node_index in range(pool.node_count):
            node = &pool.nodes[node_index]
            conn = node.ear
            if conn == NULL or core.now_us > node.ear_wanted_us:
                continue
            core.busy = 1
            if conn.state != CONN_OPEN or node.ping_us or core.now_us - node.pinged_us < PING_US:
                continue
            node.ping_us = core.now_us
            node.pinged_us = core.now_us
            ping(core, conn)
            for index in range(CONNS):
                conn = node.conns[index]
                # One that waits for a reply is proved by that.
                if conn != NULL and conn.tracked and conn.state == CONN_OPEN and conn.head == conn.tail:
                    ping(core, conn)


cdef inline void ping(Core* core, Conn* conn) noexcept nogil:
    """That does not keep a shared connection open: one that is not used for anything else closes as it would have."""
    cdef uint64_t used = conn.used_us
    output_append(&conn.output, &core.chunks, b"*1\r\n$4\r\nPING\r\n", 14)
    conn_ask(core, conn, 0, 0, 14, ROLE_PING, NULL)
    if not conn.ear:
        conn.used_us = used
