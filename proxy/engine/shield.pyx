# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Shield: leases, waiting, asking again. See shield.pxd.

A waiter has asked the node itself and was told that the key is missing, or it came while others were waiting for just
that; so nil, when its time is over or the node is lost, is no lie. A client that was told to load is never made to
wait for itself.
"""

from libc.math cimport log
from libc.stdint cimport uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy

from proxy.engine.connection cimport conn_ask, conn_willing
from proxy.engine.fetch cimport fetch_leave, waiters_add, waiters_tell
from proxy.engine.heat cimport (
    MISSES, ROLE_LEASE, ROLE_POLL, ROLE_RELEASE, Copy, Fetch, Heat, HotKey, Miss, heat_of, random_next,
)
from proxy.engine.marks cimport marks_quiet, marks_sum, quench_load_word
from proxy.engine.route cimport home
from proxy.engine.slots cimport slot_push
from proxy.engine.types cimport Client, Conn, Core, HotRule, Pending, Pool, Row
from proxy.wire.output cimport Output, output_append, output_bulk
from proxy.wire.resp cimport write_number

cdef enum:
    MISSES_MOST = 4096         # keys that are waited for; more are told nil
    POLL_US = 10000            # between two questions for one key
    FIRST_LOAD_US = 10000      # what loading is taken to last until one was seen


cdef inline Miss** bucket_of(Heat* heat, uint64_t hash) noexcept nogil:
    return &heat.misses[hash >> 30 & (MISSES - 1)]


cdef Miss* find(Core* core, Pool* pool, int protocol, int database, uint64_t hash) noexcept nogil:
    cdef Miss* miss = bucket_of(heat_of(core), hash)[0]
    while miss != NULL and (miss.hash != hash or miss.pool != pool or miss.protocol != protocol
                            or miss.database != database or miss.over):
        miss = miss.next
    return miss


cdef inline uint64_t written(Core* core, uint64_t hash) noexcept nogil:
    """Grows with every write of the key, or of all keys, by way of this process."""
    return marks_sum(core, hash) + quench_load_word(&core.peers.forgets)


cdef Miss* begin(Core* core, Client* client, const HotRule* rule, const char* key, size_t length,
                 uint64_t hash) noexcept nogil:
    """Somebody misses this key: ask for the lease. NULL: too many keys are missed, or the node is not there."""
    cdef Heat* heat = heat_of(core)
    cdef Miss* miss
    if heat.miss_count >= MISSES_MOST:
        return NULL
    miss = <Miss*> calloc(1, sizeof(Miss) + length + 3)
    if miss == NULL:
        return NULL
    miss.pool = client.pool
    miss.rule = rule
    miss.hash = hash
    miss.protocol = client.protocol
    miss.database = client.database
    miss.length = <uint32_t> length
    memcpy(miss + 1, key, length)
    memcpy(<char*> (miss + 1) + length, b"\0#0", 3)
    miss.until_us = core.now_us + rule.shield_us
    miss.began = written(core, hash)
    if not say(core, miss, ROLE_LEASE):
        free(miss)
        return NULL
    miss.next = bucket_of(heat, hash)[0]
    bucket_of(heat, hash)[0] = miss
    heat.miss_count += 1
    core.counters.shield_misses += 1
    return miss


cdef bint say(Core* core, Miss* miss, int role) noexcept nogil:
    """Ask the key's node for the lease, for the value, or to drop the lease. False: it is not there."""
    cdef const char* key = <const char*> (miss + 1)
    cdef int index = home(core, miss.pool, key, miss.length)
    cdef Conn* conn
    cdef Output* output
    cdef char number[32]
    cdef size_t before
    if index < 0:
        return False
    conn = conn_willing(&miss.pool.nodes[index], miss.protocol, miss.database)
    if conn == NULL:
        return False
    output = &conn.output
    before = output.length
    if role == ROLE_POLL:
        output_append(output, &core.chunks, b"*2\r\n$3\r\nGET\r\n", 13)
        output_bulk(output, &core.chunks, key, miss.length)
    elif role == ROLE_RELEASE:
        output_append(output, &core.chunks, b"*2\r\n$3\r\nDEL\r\n", 13)
        output_bulk(output, &core.chunks, key, miss.length + 3)
    else:
        output_append(output, &core.chunks, b"*6\r\n$3\r\nSET\r\n", 13)
        output_bulk(output, &core.chunks, key, miss.length + 3)
        output_append(output, &core.chunks, b"$1\r\n1\r\n$2\r\nNX\r\n$2\r\nPX\r\n", 23)
        output_bulk(output, &core.chunks, number, write_number(number, miss.rule.shield_us // 1000) - 2)
    conn_ask(core, conn, 0, 0, output.length - before, role, miss)
    miss.pendings += 1
    miss.asked_us = core.now_us
    return True


cdef void tell(Core* core, Miss* miss, const char* data, size_t length) noexcept nogil:
    """Answer everybody who waits; NULL: nil, in each one's protocol."""
    if data == NULL:
        core.counters.shield_nils += miss.waiters.count
    waiters_tell(core, &miss.waiters, 0, miss.waiters.count, data, length)
    miss.waiters.count = 0
    miss.over = 1


cdef void settle(Core* core, Miss* miss) noexcept nogil:
    """Free it when it is over and nothing names it."""
    cdef Miss** place
    if not miss.over or miss.pendings:
        return
    place = bucket_of(heat_of(core), miss.hash)
    while place[0] != miss:
        place = &place[0].next
    place[0] = miss.next
    heat_of(core).miss_count -= 1
    free(miss.waiters.list)
    free(miss)


# -- who waits ----------------------------------------------------------------------------------------------------------

cdef bint shield_join(Core* core, Client* client, Row* row, uint64_t hash) noexcept nogil:
    """Let a GET wait with those who miss its key already. False: it has to ask by itself."""
    cdef Miss* miss = find(core, client.pool, client.protocol, client.database, hash)
    if miss == NULL or client.id == miss.loader:
        return False
    if miss.began != written(core, hash):
        # Written since, by way of this process: neither nil nor what is on its way is the answer to this one.
        return False
    core.row_stats[row.index].calls += 1
    waiters_add(&miss.waiters, client, slot_push(core, client, row.index), True)
    return True


cdef void shield_take(Core* core, Fetch* fetch) noexcept nogil:
    """The node has no such key: those who fetched it wait for it, but for the one that is loading it."""
    cdef const char* key = <const char*> (fetch + 1) + fetch.key_at
    cdef Client* client
    cdef Miss* miss
    cdef uint32_t index
    fetch_leave(core, fetch)
    if fetch.waiters.count == 0:
        return
    client = fetch.waiters.list[0].client
    miss = find(core, client.pool, fetch.protocol, fetch.database, fetch.hash)
    if miss == NULL:
        miss = begin(core, client, fetch.shield, key, fetch.key_length, fetch.hash)
    else:
        # Loaded before it expired, but not soon enough.
        miss.early = 0
    for index in range(fetch.waiters.count):
        client = fetch.waiters.list[index].client
        if miss == NULL or client.id == miss.loader:
            waiters_tell(core, &fetch.waiters, index, index + 1, NULL, 0)
        else:
            # The reference that the fetch held goes along.
            client.references -= 1
            waiters_add(&miss.waiters, client, fetch.waiters.list[index].slot, True)
    fetch.waiters.count = 0
    fetch.exact = 0
    fetch.storing = 0
    fetch.over = 1


cdef bint shield_early(Core* core, Client* client, Row* row, HotKey* key, Copy* copy) noexcept nogil:
    """Is this reader of a copy to load the value anew, before it expires? Then it waits for the lease."""
    cdef uint64_t load_us = heat_of(core).load_us if heat_of(core).load_us else FIRST_LOAD_US
    cdef double chance
    cdef Miss* miss
    if copy.ends_us == 0 or core.now_us < key.early_us:
        return False
    chance = <double> ((random_next(heat_of(core)) >> 11) + 1) / 9007199254740993.0
    if <double> core.now_us - <double> load_us * log(chance) < <double> copy.ends_us:
        return False
    key.early_us = core.now_us + load_us
    if find(core, client.pool, client.protocol, client.database, key.hash) != NULL:
        return False
    miss = begin(core, client, key.rule, <const char*> (key + 1), key.length, key.hash)
    if miss == NULL:
        return False
    miss.early = 1
    core.counters.shield_early += 1
    core.row_stats[row.index].calls += 1
    waiters_add(&miss.waiters, client, slot_push(core, client, row.index), True)
    return True


# -- what comes of it ---------------------------------------------------------------------------------------------------

cdef void leased(Core* core, Miss* miss, bint ours) noexcept nogil:
    """The lease is ours, and the first client loads; or it is somebody else's."""
    if ours:
        miss.leased_us = core.now_us
        if miss.waiters.count:
            miss.loader = miss.waiters.list[0].client.id
            waiters_tell(core, &miss.waiters, 0, 1, NULL, 0)
            miss.waiters.count -= 1
            miss.waiters.list[0] = miss.waiters.list[miss.waiters.count]
            core.counters.shield_loads += 1
    miss.marks = marks_sum(core, miss.hash)
    if miss.early and not ours:
        # The one who wanted to load it gets what everybody gets.
        miss.early = 0
        if not say(core, miss, ROLE_POLL):
            tell(core, miss, NULL, 0)


cdef void shield_reply(Core* core, Pending* pending, const char* data, size_t size) noexcept nogil:
    """The node's reply."""
    cdef Miss* miss = <Miss*> pending.cool
    miss.pendings -= 1
    if pending.role == ROLE_LEASE and not miss.over:
        leased(core, miss, data[0] == c'+')
    elif pending.role == ROLE_POLL and not miss.over and not is_nil(data):
        loaded(core, miss)
        tell(core, miss, data, size)
    settle(core, miss)


cdef void loaded(Core* core, Miss* miss) noexcept nogil:
    """The value is there: the lease, if it is ours, is given back, and we know how long that took."""
    cdef Heat* heat = heat_of(core)
    cdef uint64_t took = core.now_us - miss.leased_us
    if miss.leased_us and core.now_us < miss.until_us:
        heat.load_us = (3 * heat.load_us + took) // 4 if heat.load_us else took
        say(core, miss, ROLE_RELEASE)


cdef void early_tick(Core* core, Miss* miss) noexcept nogil:
    """Somebody loads what is still there: a write of the key, or of one that shares its marks, says that it is done."""
    cdef uint64_t marks = marks_sum(core, miss.hash)
    if miss.pendings == 0 and marks != miss.marks and marks_quiet(marks):
        loaded(core, miss)
        miss.over = 1


cdef void shields_tick(Core* core) noexcept nogil:
    """Ask again for what is missed; end the waiting of those whose time is over."""
    cdef Heat* heat = heat_of(core)
    cdef Miss* miss
    cdef Miss* following
    cdef int index
    if heat.miss_count == 0:
        return
    core.busy = 1
    for index in range(MISSES):
        miss = heat.misses[index]
        while miss != NULL:
            following = miss.next
            if not miss.over:
                if core.now_us >= miss.until_us:
                    tell(core, miss, NULL, 0)
                elif miss.early:
                    early_tick(core, miss)
                elif miss.pendings == 0 and core.now_us - miss.asked_us >= POLL_US and not say(core, miss, ROLE_POLL):
                    tell(core, miss, NULL, 0)
            settle(core, miss)
            miss = following


cdef void shields_close(Core* core) noexcept nogil:
    """End of the engine: its clients and connections are gone already."""
    cdef Heat* heat = heat_of(core)
    cdef int index
    if heat == NULL:
        return
    for index in range(MISSES):
        while heat.misses[index] != NULL:
            heat.misses[index].pendings = 0
            tell(core, heat.misses[index], NULL, 0)
            settle(core, heat.misses[index])
