# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Copying: choosing the nodes, asking them all. See copying.pxd.

Nothing is flushed before the end of the turn, so that no connection fails while a request is only half handed out.
"""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t
from libc.string cimport memcmp, memcpy

from proxy.engine.connection cimport conn_ask
from proxy.engine.effects cimport EFFECT_NONE, EFFECT_REFUSED, EFFECT_SPOP, effect_write
from proxy.engine.hints cimport hidden_name
from proxy.engine.keys cimport keys_find
from proxy.engine.merge cimport merge_new
from proxy.engine.quorum cimport copy_conn, hint_send
from proxy.engine.refusals cimport DONE, GO_ON, WAIT, refuse
from proxy.engine.ring cimport ring_candidates
from proxy.engine.slots cimport slot_push
from proxy.engine.types cimport (
    CLIENT_BARRIER, ERROR_ARITY, ERROR_CROSSSLOT, ERROR_COPIES_HIDDEN, ERROR_COPIES_REFUSED, ERROR_QUORUM_NOT_SENT,
    ERROR_QUORUM_READ, LANE_FAST, LANE_MGET, LANE_MSET, LANE_SUM, ROW_BLOCKS, ROW_CACHEABLE, ROW_PUBLISH,
    ROW_TRACKING, ROW_WAIT, ROW_WATCH, SLOT_MERGING, Client, Conn, Core,
    KeyRef, Merge, Node, Pool, Row,
)
from proxy.engine.voices cimport (
    AWAY_LOST, AWAY_NOT, COPIES, LEVEL_ALL, LEVEL_ONE, ROLE_QUORUM, Quorum, quorum_keys, quorum_new,
)
from proxy.wire.output cimport Output, output_bulk, output_number
from proxy.wire.resp cimport Frame, args_next
from proxy.wire.system cimport realtime_us

cdef enum:
    MOST_PARTS = 65535         # of a Merge whose parts are told apart


cdef int copying(Core* core, Client* client, Row* row, Frame* frame) noexcept nogil:
    """Ask all nodes that have the keys; GO_ON: one is enough, and it is found on the usual way."""
    cdef int count, need
    cdef bint writes = row.effect != EFFECT_NONE
    if row.flags & (ROW_WATCH | ROW_TRACKING | ROW_BLOCKS | ROW_WAIT) or row.effect == EFFECT_REFUSED:
        return refuse(core, client, row, ERROR_COPIES_REFUSED, NULL, NULL)
    if row.lane > LANE_SUM or row.flags & ROW_PUBLISH:
        return GO_ON
    count = keys_find(core, row, frame)
    if keys_hidden(core, count):
        return refuse(core, client, row, ERROR_COPIES_HIDDEN, NULL, NULL)
    if count <= 0:
        # Malformed: whichever node gets it says what is wrong in the right words.
        return GO_ON
    need = needed(client, writes)
    if not writes and need == 1:
        return GO_ON
    if row.lane == LANE_MSET and frame.argc % 2 == 0:
        return refuse(core, client, row, ERROR_ARITY, NULL, NULL)
    if together(client.pool, count):
        return ask(core, client, row, frame, count, need)
    if row.lane == LANE_FAST or (row.lane == LANE_MGET and count > MOST_PARTS):
        return refuse(core, client, row, ERROR_CROSSSLOT, NULL, NULL)
    return ask_each(core, client, row, frame, count, need)


cdef bint keys_hidden(Core* core, int count) noexcept nogil:
    """Is one of core.keys of a name of our own?"""
    cdef int index
    for index in range(count):
        if hidden_name(core.keys[index].data, core.keys[index].length):
            return True
    return False


cdef int needed(Client* client, bint writes) noexcept nogil:
    """How many nodes have to confirm what this client asks."""
    cdef Pool* pool = client.pool
    cdef int level = client.write_level if writes else client.read_level
    if client.once and client.once == client.commands:
        level = client.once_write if writes else client.once_read
    if level == 0:
        level = pool.write_level if writes else pool.read_level
    return 1 if level == LEVEL_ONE else pool.copies if level == LEVEL_ALL else pool.copies // 2 + 1


cdef bint together(Pool* pool, int count) noexcept nogil:
    """Are core.keys at the same nodes, in the same order?"""
    cdef int first[COPIES]
    cdef int other[COPIES]
    cdef int index
    cdef KeyRef* keys = pool.core.keys
    cdef int length
    if count == 1:
        return True
    length = ring_candidates(pool.ring, keys[0].data, keys[0].length, first, pool.copies)
    for index in range(1, count):
        ring_candidates(pool.ring, keys[index].data, keys[index].length, other, pool.copies)
        if memcmp(first, other, length * sizeof(int)) != 0:
            return False
    return True


cdef void places_find(Core* core, Client* client, KeyRef* key, Places* places) noexcept nogil:
    """Where a key is, and who of these can be asked now."""
    places.count = ring_candidates(client.pool.ring, key.data, key.length, places.nodes, client.pool.copies)
    places_judge(core, client, places)


cdef void places_judge(Core* core, Client* client, Places* places) noexcept nogil:
    """Who of places.nodes can be asked now?"""
    cdef Node* node
    cdef Conn* conn
    cdef int index, wanted
    places.asked = 0
    places.serving = 0
    places.missing = 0
    for wanted in range(2):
        for index in range(places.count):
            node = &client.pool.nodes[places.nodes[index]]
            if (node.away == AWAY_NOT) == (wanted == 1):
                continue
            conn = copy_conn(core, node, client.protocol, client.database)
            if conn == NULL:
                places.gone[places.missing] = node
                places.missing += 1
                continue
            places.there[places.asked] = node
            places.conns[places.asked] = conn
            places.asked += 1
            if wanted == 0:
                places.serving += 1


cdef int too_few(Core* core, Client* client, Row* row, bint writes) noexcept nogil:
    return refuse(core, client, row, ERROR_QUORUM_NOT_SENT if writes else ERROR_QUORUM_READ, NULL, NULL)


cdef int ask(Core* core, Client* client, Row* row, Frame* frame, int count, int need) noexcept nogil:
    """One request, whose keys are all at the same nodes."""
    cdef Places places
    cdef Quorum* quorum
    cdef uint32_t slot
    cdef bint writes = row.effect != EFFECT_NONE
    cdef int64_t wall_ms
    cdef int index
    cdef size_t before
    cdef Conn* conn
    if row.effect == EFFECT_SPOP and client.head != client.tail:
        return WAIT
    places_find(core, client, core.keys, &places)
    if places.serving < need:
        return too_few(core, client, row, writes)
    slot = slot_push(core, client, row.index)
    core.row_stats[row.index].calls += 1
    wall_ms = <int64_t> (realtime_us() // 1000)
    quorum = begin(client, row, &places, slot, 0, keys_size(core.keys, count), need, not writes)
    keys_keep(quorum, core.keys, count)
    if row.effect == EFFECT_SPOP:
        # Nothing of this client may come between the leader and the others.
        quorum.takes = 1
        client.flags |= CLIENT_BARRIER
        places.asked = 1
    for index in range(places.asked):
        conn = places.conns[index]
        if writes:
            hint_gone(core, conn, &places, quorum, wall_ms)
        before = conn.output.length
        effect_write(core, row, frame, wall_ms, &conn.output)
        expect(core, conn, quorum, index, before)
    return DONE


cdef int ask_each(Core* core, Client* client, Row* row, Frame* frame, int count, int need) noexcept nogil:
    """MGET, MSET, DEL and their kin over keys of different nodes: a request for each key, merged into one reply."""
    cdef Places places
    cdef Quorum* quorum
    cdef Merge* merge
    cdef uint32_t slot
    cdef bint writes = row.effect != EFFECT_NONE
    cdef int64_t wall_ms = <int64_t> (realtime_us() // 1000)
    cdef int index, voice
    cdef size_t before
    cdef Conn* conn
    for index in range(count):
        # All or nothing: what can be known beforehand is known before anything is sent.
        places_find(core, client, &core.keys[index], &places)
        if places.serving < need:
            return too_few(core, client, row, writes)
    merge = merge_new(core, row.lane, client.pool.nil_on_error, count)
    merge.parts = count
    merge.waiting = count
    slot = slot_push(core, client, row.index)
    client.slots[slot & client.mask].state = SLOT_MERGING
    client.slots[slot & client.mask].at = <size_t> merge
    core.row_stats[row.index].calls += 1
    core.counters.split += 1
    for index in range(count):
        merge.part_of[index] = <uint16_t> index
        places_find(core, client, &core.keys[index], &places)
        quorum = begin(client, row, &places, slot, index, keys_size(&core.keys[index], 1), need, not writes)
        keys_keep(quorum, &core.keys[index], 1)
        for voice in range(places.asked):
            conn = places.conns[voice]
            if writes:
                hint_gone(core, conn, &places, quorum, wall_ms)
            before = conn.output.length
            write_part(core, row, frame, &core.keys[index], &conn.output)
            expect(core, conn, quorum, voice, before)
    return DONE


cdef void write_part(Core* core, Row* row, Frame* frame, KeyRef* key, Output* output) noexcept nogil:
    """The request for one key of several."""
    cdef const char* value
    cdef size_t length
    output_number(output, &core.chunks, c'*', 3 if row.lane == LANE_MSET else 2)
    output_bulk(output, &core.chunks, frame.data + frame.args[0].offset, frame.args[0].length)
    output_bulk(output, &core.chunks, key.data, key.length)
    if row.lane == LANE_MSET:
        # The value is the next argument: behind the key's CRLF.
        args_next(key.data + key.length + 2, &value, &length)
        output_bulk(output, &core.chunks, value, length)


cdef size_t keys_size(const KeyRef* keys, int count) noexcept nogil:
    cdef size_t bytes = 0
    cdef int index
    for index in range(count):
        bytes += sizeof(uint32_t) + keys[index].length
    return bytes


cdef void keys_keep(Quorum* quorum, const KeyRef* keys, int count) noexcept nogil:
    """Copy the keys to where hints will find them."""
    cdef char* at = quorum_keys(quorum)
    cdef uint32_t length
    cdef int index
    for index in range(count):
        length = <uint32_t> keys[index].length
        memcpy(at, &length, sizeof(length))
        memcpy(at + sizeof(length), keys[index].data, length)
        at += sizeof(length) + length
    quorum.key_count = count


cdef Quorum* begin(Client* client, Row* row, Places* places, uint32_t slot, uint32_t part, size_t key_bytes,
                   int need, bint reads) noexcept nogil:
    """A request whose keys, of so many bytes, the caller fills in."""
    cdef Quorum* quorum = quorum_new(client, places.asked, key_bytes)
    cdef int index
    quorum.slot = slot
    quorum.part = part
    quorum.row = row.index
    quorum.protocol = client.protocol
    quorum.database = client.database
    quorum.need = <uint8_t> need
    quorum.reads = reads
    quorum.compares = not quorum.reads or row.flags & ROW_CACHEABLE != 0
    for index in range(places.asked):
        quorum.voices[index].node = places.there[index]
        quorum.voices[index].counts = index < places.serving
    return quorum


cdef void hint_gone(Core* core, Conn* conn, Places* places, Quorum* quorum, int64_t wall_ms) noexcept nogil:
    """Ahead of the write: who will miss it."""
    cdef int index
    for index in range(places.missing):
        if places.gone[index].away != AWAY_LOST:
            hint_send(core, conn, places.gone[index], False, quorum, False, wall_ms)


cdef void expect(Core* core, Conn* conn, Quorum* quorum, int voice, size_t before) noexcept nogil:
    conn.node.requests += 1
    quorum.pendings += 1
    conn_ask(core, conn, voice, quorum.row, conn.output.length - before, ROLE_QUORUM, quorum)
