# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Spread: choosing the shard of an increment, asking all of them. See spread.pxd."""

from libc.stdint cimport uint32_t
from libc.string cimport memset

from proxy.engine.combine cimport combine_shard
from proxy.engine.connection cimport conn_ask, conn_for
from proxy.engine.heat cimport ROLE_SHARD
from proxy.engine.keys cimport keys_find
from proxy.engine.lookup cimport lookup
from proxy.engine.refusals cimport DONE, GO_ON, WAIT, refuse
from proxy.engine.shards cimport (
    shard_length, shard_name, shards_forget, shards_heard, shards_keep, shards_named, shards_of, table_of,
)
from proxy.engine.slots cimport slot_push
from proxy.engine.tally cimport SHARD_BUCKETS, Shards, ShardWaiters
from proxy.engine.texts cimport error_words, error_write
from proxy.engine.types cimport (
    ADDS_LESS_ARGUMENT, ADDS_ONE, CLIENT_BARRIER, CLIENT_TRACKING, ERROR_BUSY, ERROR_NODE_DOWN, ERROR_SHARDED,
    FIELD_ADDRESS, FIELD_COMMAND, FIELD_NODE, FIELD_POOL, FIELD_REASON, ROW_PAUSES, TELLS_KEY, Client, Conn, Core,
    ErrorArgs, Node, Row,
)
from proxy.wire.output cimport Output, output_append, output_bulk, output_clear
from proxy.wire.resp cimport Frame

cdef enum:
    FRESH_US = 1000000         # from when on the other shards are asked again


cdef int spread(Core* core, Client* client, Row* row, Frame* frame) noexcept nogil:
    """Returns a Verdict: GO_ON, or it names such a counter and is seen to, or ASK_CONTROL."""
    cdef const char* key
    cdef Shards* shards
    cdef size_t length
    cdef int index, count
    if not shards_named(core, client, row, frame):
        return GO_ON
    if client.flags & CLIENT_TRACKING:
        return refuse(core, client, row, ERROR_SHARDED, NULL, NULL)
    if row.key and (ADDS_ONE <= row.adds <= ADDS_LESS_ARGUMENT or row.tells == TELLS_KEY):
        key = frame.data + frame.args[row.key].offset
        length = frame.args[row.key].length
        shards = shards_of(core, client, key, length)
        if shards == NULL:
            return refuse(core, client, row, ERROR_BUSY, NULL, NULL)
        if row.tells:
            return get(core, client, row, shards)
        if waits(core, client, shards):
            return WAIT
        # Malformed ones go to the key's own node, which has the words for it.
        return combine_shard(core, client, row, frame, shards, <int> (client.id % <uint32_t> shards.count))
    if not row.shardable:
        return refuse(core, client, row, ERROR_SHARDED, NULL, NULL)
    if client.head != client.tail:
        return WAIT
    if row.flags & ROW_PAUSES:
        count = keys_find(core, row, frame)
        for index in range(count):
            shards_forget(core, client, core.keys[index].data, core.keys[index].length)
    core.row_stats[row.index].calls += 1
    return ASK_CONTROL


cdef int get(Core* core, Client* client, Row* row, Shards* shards) noexcept nogil:
    """GET. Returns a Verdict."""
    if client.head != client.tail:
        return WAIT
    core.row_stats[row.index].calls += 1
    shards_keep(&shards.soon, client, slot_push(core, client, row.index))
    client.flags |= CLIENT_BARRIER
    if shards.left == 0:
        ask(core, shards)
    return DONE


cdef bint waits(Core* core, Client* client, Shards* shards) noexcept nogil:
    """Before an increment: is it to wait until the shards were asked for the first time?"""
    cdef uint32_t index
    if shards.left == 0 and (not shards.known or core.now_us - shards.asked_us > FRESH_US):
        ask(core, shards)
    if shards.known:
        return False
    for index in range(shards.parked.count):
        if shards.parked.list[index].client == client:
            return True
    shards_keep(&shards.parked, client, 0)
    return True


cdef void ask(Core* core, Shards* shards) noexcept nogil:
    """GET of every shard, for all who wait."""
    cdef ShardWaiters idle = shards.now
    cdef Row* row = lookup(core, b"GET     ", 3)
    cdef Conn* conn
    cdef Node* node
    cdef size_t before
    cdef int place
    shards.now = shards.soon
    shards.soon = idle
    shards.asked_us = core.now_us
    shards.error_length = 0
    shards.left = shards.count
    for place in range(shards.count):
        node = &shards.pool.nodes[shards.nodes[place]]
        conn = conn_for(core, node, 2, shards.database, 0)
        if node.ejected or conn.refusing or conn.output.length > node.pool.limits.backlog:
            down(core, shards, node, row, conn.why)
            continue
        before = conn.output.length
        output_append(&conn.output, &core.chunks, b"*2\r\n$3\r\nGET\r\n", 13)
        output_bulk(&conn.output, &core.chunks, shard_name(shards, place), shard_length(shards, place))
        conn_ask(core, conn, <uint32_t> place, row.index, conn.output.length - before, ROLE_SHARD, shards)
        node.requests += 1


cdef void down(Core* core, Shards* shards, Node* node, Row* row, const char* why) noexcept nogil:
    cdef ErrorArgs args
    cdef Output text
    memset(&args, 0, sizeof(args))
    memset(&text, 0, sizeof(text))
    error_words(&args, FIELD_POOL, shards.pool.name)
    error_words(&args, FIELD_NODE, node.name)
    error_words(&args, FIELD_ADDRESS, node.address)
    error_words(&args, FIELD_COMMAND, row.full_name)
    if why != NULL:
        error_words(&args, FIELD_REASON, why)
    error_write(core, ERROR_NODE_DOWN, &args, &text)
    shards_heard(core, shards, -1, text.first.data + text.first.head, text.length)
    output_clear(&text, &core.chunks)


cdef void spread_due(Core* core) noexcept nogil:
    """The end of a turn: GETs that came while their shards were asked have them asked again."""
    cdef Shards* shards
    cdef int index
    table_of(core).due = 0
    for index in range(SHARD_BUCKETS):
        shards = table_of(core).buckets[index]
        while shards != NULL:
            if shards.soon.count and shards.left == 0:
                ask(core, shards)
            shards = shards.next
