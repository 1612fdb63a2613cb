# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Shards: finding them, hearing of them, telling who waits. See shards.pxd."""

from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.stdlib cimport abort, calloc, free, realloc
from libc.string cimport memcpy, memset

from proxy.engine.keys cimport keys_find
from proxy.engine.marks cimport key_hash
from proxy.engine.ring cimport ring_candidates
from proxy.engine.slots cimport client_ready, client_release, slot_fill
from proxy.engine.tally cimport (
    SHARD_BUCKETS, SHARD_ERROR, Shards, ShardTable, ShardWaiter, ShardWaiters, quench_same,
)
from proxy.engine.types cimport DEAD, Client, Core, CounterRule, Pool, Row
from proxy.wire.resp cimport Frame, read_number, write_number

cdef enum:
    MOST = 4096                # counters of one engine
    IDLE_US = 60000000

cdef const char* NO_NUMBER = b"-ERR value is not an integer or out of range\r\n"


cdef bint shards_open(Core* core) noexcept nogil:
    """Once, before the engine runs."""
    core.shards = calloc(1, sizeof(ShardTable))
    return core.shards != NULL


cdef void shards_close(Core* core) noexcept nogil:
    """End of the engine: its connections are closed, and its tallies gone."""
    cdef Shards* shards
    cdef int index
    if core.shards == NULL:
        return
    for index in range(SHARD_BUCKETS):
        while table_of(core).buckets[index] != NULL:
            shards = table_of(core).buckets[index]
            table_of(core).buckets[index] = shards.next
            dismiss(core, &shards.now)
            dismiss(core, &shards.soon)
            dismiss(core, &shards.parked)
            free(shards)
    free(core.shards)
    core.shards = NULL


cdef void shards_tick(Core* core) noexcept nogil:
    """Once a tick: those that were of no use for a minute go."""
    cdef Shards** place
    cdef Shards* shards
    cdef int index
    for index in range(SHARD_BUCKETS):
        place = &table_of(core).buckets[index]
        while place[0] != NULL:
            shards = place[0]
            if core.now_us - shards.used_us < IDLE_US or shards.references or shards.left or shards.parked.count:
                place = &shards.next
                continue
            place[0] = shards.next
            table_of(core).count -= 1
            free(shards.now.list)
            free(shards.soon.list)
            free(shards.parked.list)
            free(shards)


# -- which counter ----------------------------------------------------------------------------------------------------

cdef const CounterRule* counter_rule(const Pool* pool, const char* key, size_t length) noexcept nogil:
    """The rule with the longest prefix; the first rule has none."""
    cdef const CounterRule* found = &pool.counter_rules[0]
    cdef const CounterRule* rule
    cdef int index
    for index in range(1, pool.counter_rule_count):
        rule = &pool.counter_rules[index]
        if rule.length >= found.length and rule.length <= length and quench_same(rule.prefix, key, rule.length):
            found = rule
    return found


cdef bint shards_named(Core* core, Client* client, Row* row, Frame* frame) noexcept nogil:
    """Is a key of this request such a counter?"""
    cdef int index, count
    if row.key:
        return counter_rule(
            client.pool, frame.data + frame.args[row.key].offset, frame.args[row.key].length).shards > 1
    if row.spec_count == 0:
        return False
    count = keys_find(core, row, frame)
    for index in range(count):
        if counter_rule(client.pool, core.keys[index].data, core.keys[index].length).shards > 1:
            return True
    return False


cdef Shards* find(Core* core, const Client* client, uint64_t hash, const char* key, size_t length) noexcept nogil:
    cdef Shards* shards = table_of(core).buckets[hash >> 20 & (SHARD_BUCKETS - 1)]
    while shards != NULL and not (
            shards.hash == hash and shards.pool == client.pool and shards.database == client.database
            and shards.length == length and quench_same(shard_name(shards, 0), key, length)):
        shards = shards.next
    return shards


cdef Shards* shards_of(Core* core, Client* client, const char* key, size_t length) noexcept nogil:
    """The shards of a key of which shards_named() holds; NULL: there are too many such counters."""
    cdef uint64_t hash = key_hash(core, key, length)
    cdef Shards* shards = find(core, client, hash, key, length)
    cdef Shards** bucket = &table_of(core).buckets[hash >> 20 & (SHARD_BUCKETS - 1)]
    cdef const CounterRule* rule
    cdef char* name
    cdef int place
    if shards == NULL:
        if table_of(core).count >= MOST:
            return NULL
        rule = counter_rule(client.pool, key, length)
        shards = <Shards*> calloc(1, sizeof(Shards) + rule.shards * (length + SUFFIX))
        if shards == NULL:
            abort()
        shards.pool = client.pool
        shards.database = client.database
        shards.rule = rule
        shards.hash = hash
        shards.length = <uint32_t> length
        shards.count = ring_candidates(client.pool.ring, key, length, shards.nodes, rule.shards)
        for place in range(shards.count):
            name = <char*> shard_name(shards, place)
            memcpy(name, key, length)
            name[length + 1] = c'#'
            name[length + 2] = <char> (c'0' + place if place < 10 else c'1')
            name[length + 3] = <char> (c'0' + place % 10)
            shards.hashes[place] = key_hash(core, name, shard_length(shards, place))
        shards.next = bucket[0]
        bucket[0] = shards
        table_of(core).count += 1
    shards.used_us = core.now_us
    return shards


cdef void shards_forget(Core* core, Client* client, const char* key, size_t length) noexcept nogil:
    """The control plane writes it: what is known of it is over."""
    cdef Shards* shards = find(core, client, key_hash(core, key, length), key, length)
    if shards != NULL:
        shards.known = 0


# -- who waits ---------------------------------------------------------------------------------------------------------

cdef void shards_keep(ShardWaiters* waiters, Client* client, uint32_t slot) noexcept nogil:
    """The client waits there."""
    if waiters.count == waiters.room:
        waiters.room = 2 * waiters.room if waiters.room else 4
        waiters.list = <ShardWaiter*> realloc(waiters.list, waiters.room * sizeof(ShardWaiter))
        if waiters.list == NULL:
            abort()
    client.references += 1
    waiters.list[waiters.count].client = client
    waiters.list[waiters.count].slot = slot
    waiters.count += 1


cdef void dismiss(Core* core, ShardWaiters* waiters) noexcept nogil:
    """Nobody will be told any more."""
    while waiters.count:
        waiters.count -= 1
        client_release(core, waiters.list[waiters.count].client)
    free(waiters.list)
    waiters.list = NULL
    waiters.room = 0


cdef void shards_heard(Core* core, Shards* shards, int place, const char* data, size_t length) noexcept nogil:
    """What a shard has, or an error, of the proxy's own or the node's; when it is the last, tell who waits."""
    cdef long long value = 0
    if data[0] == c'$' and data[1] == c'-':
        shards.there[place] = 0
        shards.values[place] = 0
    elif data[0] == c'$' and number_of(data, length, &value):
        shards.there[place] = 1
        shards.values[place] = value
    else:
        if data[0] != c'-':
            data = NO_NUMBER
            length = 46
        if shards.error_length == 0 and length <= SHARD_ERROR:
            memcpy(shards.error, data, length)
            shards.error_length = <uint32_t> length
    shards.left -= 1
    if shards.left == 0:
        finish(core, shards)


cdef bint number_of(const char* data, size_t length, long long* value) noexcept nogil:
    """The number that a bulk string says."""
    cdef size_t at = 1
    while data[at] != c'\r':
        at += 1
    return read_number(data + at + 2, length - at - 4, value)


cdef void finish(Core* core, Shards* shards) noexcept nogil:
    """All were heard of."""
    cdef ShardWaiters told = shards.now
    cdef ShardWaiters parked = shards.parked
    cdef char[64] text
    cdef char[32] number
    cdef const char* reply = text
    cdef size_t digits, length
    cdef uint64_t sum = 0
    cdef bint there = False
    cdef uint32_t index
    cdef int place
    cdef Client* client
    memset(&shards.now, 0, sizeof(ShardWaiters))
    memset(&shards.parked, 0, sizeof(ShardWaiters))
    shards.known = 1
    for place in range(shards.count):
        sum += <uint64_t> shards.values[place]
        there = there or shards.there[place]
    digits = write_number(number, <int64_t> sum) - 2
    text[0] = c'$'
    length = 1 + write_number(text + 1, <int64_t> digits)
    memcpy(text + length, number, digits + 2)
    length += digits + 2
    if shards.error_length:
        reply = shards.error
        length = shards.error_length
    for index in range(told.count):
        client = told.list[index].client
        if client.handle.kind == DEAD:
            client_release(core, client)
            continue
        client.references -= 1
        core.counters.replies += 1
        if shards.error_length or there:
            slot_fill(core, client, told.list[index].slot, reply, length)
        elif client.protocol == 3:
            slot_fill(core, client, told.list[index].slot, b"_\r\n", 3)
        else:
            slot_fill(core, client, told.list[index].slot, b"$-1\r\n", 5)
    free(told.list)
    for index in range(parked.count):
        client = parked.list[index].client
        if client.handle.kind != DEAD:
            client_ready(core, client)
        client_release(core, client)
    free(parked.list)
    if shards.soon.count:
        table_of(core).due = 1
