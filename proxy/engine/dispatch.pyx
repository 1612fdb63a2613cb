# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Dispatch: row, rights, keys, node; then send, split, answer or refuse. See dispatch.pxd.

The straight road is the command with one key: look the row up, hash the key, append the request to that node's
connection. Everything else leaves that road early.
"""

from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t
from libc.stdlib cimport free
from libc.string cimport memset

from proxy.engine.again cimport again_waits
from proxy.engine.answers cimport answer
from proxy.engine.audience cimport audience_extra
from proxy.engine.blocking cimport block, wait
from proxy.engine.choice cimport usable
from proxy.engine.cluster cimport node_at
from proxy.engine.combine cimport combine, combine_ahead
from proxy.engine.connection cimport conn_expect, conn_place, conn_send, conn_send_chunk, conn_touch
from proxy.engine.cool cimport cool, cool_set
from proxy.engine.copied cimport copied_queue, copied_run
from proxy.engine.copying cimport copying
from proxy.engine.early cimport early_read
from proxy.engine.elements cimport elements_take
from proxy.engine.fence cimport fence_many
from proxy.engine.fans cimport names_copy
from proxy.engine.keys cimport blocks, keys_find
from proxy.engine.lookup cimport lookup, lookup_child
from proxy.engine.mail cimport event_post
from proxy.engine.marks cimport marks_note_every, marks_note_keys
from proxy.engine.merge cimport merge_new, merge_take
from proxy.engine.monitor cimport monitor_show
from proxy.engine.parts cimport Part, parts_find, parts_write
from proxy.engine.private cimport unwatch, watch, watch_end
from proxy.engine.reads cimport reads_conn
from proxy.engine.refusals cimport DONE, GO_ON, WAIT, refuse, unknown, unknown_child
from proxy.engine.rights cimport permitted
from proxy.engine.route cimport home, key_place
from proxy.engine.scripts cimport script_frame, script_taught
from proxy.engine.shards cimport shards_named
from proxy.engine.slots cimport slot_local, slot_push
from proxy.engine.spread cimport ASK_CONTROL, spread
from proxy.engine.tombstones cimport tombstones_before
from proxy.engine.tracking cimport track, track_end
from proxy.engine.transaction cimport (
    transaction_begin, transaction_discard, transaction_drop, transaction_misspelt, transaction_queue, transaction_run,
)
from proxy.engine.types cimport (
    ANSWER_RESET, AUDIENCE_CHANNEL, AUDIENCE_SHARD, CACHING_FRESH, CLIENT_BARRIER, CLIENT_COPIED, CLIENT_KNOWN, CLIENT_MONITORED,
    CLIENT_MULTI, CLIENT_PAUSED, CLIENT_REROUTED, CLIENT_RESTRICTED, CLIENT_SPECIAL, CLIENT_SUBSCRIBER, CLIENT_TRACKING, CLIENT_TRUSTED,
    ERROR_ARITY, ERROR_BUSY, ERROR_COPIES_REFUSED, ERROR_CROSSSLOT, ERROR_NOAUTH, ERROR_NO_NODE, ERROR_RESERVED_KEY, ERROR_SHARDED,
    ERROR_SUBSCRIBED, EVENT_REQUEST,
    LANE_CONTROL, LANE_ENGINE, LANE_FAST, LANE_MGET, LANE_MSET, LANE_SUM, PAUSE_ALL, ROW_BARRIER, ROW_BEFORE_AUTH, ROW_BLOCKS,
    ROW_CONTAINER, ROW_DISCARD, ROW_EVAL, ROW_EVALSHA, ROW_EXEC, ROW_MULTI, ROW_ONE_NODE, ROW_PAUSES, ROW_PUBLISH, ROW_QUIT, ROW_READ,
    ROW_RESET, ROW_SHARD, ROW_SPECIAL, ROW_SUBSCRIBED, ROW_TRACKING, ROW_UNWATCH, ROW_WAIT, ROW_WATCH, ROW_WRITE,
    SLOT_ADDING, SLOT_MERGING, SLOT_WAITING, Client, Conn, Core, Merge, Node, Pool, Row, Slot,
)
from proxy.wire.chunk cimport Chunk, chunk_free
from proxy.wire.input cimport MOVE_AT, input_detach
from proxy.wire.output cimport Output, output_array, output_clear
from proxy.wire.resp cimport Frame


cdef int dispatch(Core* core, Client* client, Frame* frame) noexcept nogil:
    """Start one canonical request. Returns a Verdict."""
    cdef Row* row = lookup(core, frame.data + frame.args[0].offset, frame.args[0].length)
    cdef int verdict
    if row == NULL:
        return unknown(core, client, frame)
    if row.flags & ROW_CONTAINER and frame.argc > 1:
        row = lookup_child(core, row, frame.data + frame.args[1].offset, frame.args[1].length)
        if row == NULL:
            return unknown_child(core, client, frame)
    if (<int> frame.argc != row.arity) if row.arity >= 0 else (<int> frame.argc < -row.arity):
        if row.flags & ROW_EXEC:
            return transaction_misspelt(core, client, row)
        return refuse(core, client, row, ERROR_ARITY, NULL, NULL)
    if not client.flags & CLIENT_TRUSTED and not row.flags & ROW_BEFORE_AUTH:
        return refuse(core, client, row, ERROR_NOAUTH, NULL, NULL)
    client.last_row = row.index
    core.noted = 0
    if client.pool.retains and again_waits(core, client, row, frame):
        return WAIT
    core.asked = 0
    if (client.pool.fans or client.pool.leased or client.pool.sharded) and names_copy(core, row, frame):
        return refuse(core, client, row, ERROR_RESERVED_KEY, NULL, NULL)
    if client.flags & CLIENT_SPECIAL or row.flags & ROW_SPECIAL:
        verdict = special(core, client, row, frame)
        if verdict != GO_ON:
            return verdict
    if client.pool.sharded:
        verdict = spread(core, client, row, frame)
        if verdict == ASK_CONTROL:
            ask_control(core, client, row, frame)
            return DONE
        if verdict != GO_ON:
            return verdict
    if core.tallied and not (row.adds and client.pool.merges):
        if core.early_owed and row.tells and early_read(core, client, row, frame) == DONE:
            return DONE
        combine_ahead(core, client, row, frame)
    if row.key:
        if client.pool.cools:
            verdict = cool(core, client, row, frame)
            if verdict != GO_ON:
                return verdict
        if row.adds and client.pool.merges:
            verdict = combine(core, client, row, frame)
            if verdict != GO_ON:
                return verdict
        if core.asked and row.flags & ROW_WRITE:
            return send_hot(core, client, row, frame)
        return send_to(core, client, row, frame, client.pool,
                       home(core, client.pool, frame.data + frame.args[row.key].offset, frame.args[row.key].length))
    if row.lane <= LANE_SUM:
        return with_keys(core, client, row, frame)
    if row.flags & ROW_ONE_NODE and client.pool.node_count == 1 and not client.pool.leased:
        if row.flags & ROW_PAUSES and client.pool.cools:
            marks_note_every(core)
        return send_to(core, client, row, frame, client.pool, home(core, client.pool, b"", 0))
    if row.flags & ROW_BARRIER and client.head != client.tail:
        return WAIT
    core.row_stats[row.index].calls += 1
    if row.lane == LANE_ENGINE and not (client.flags & CLIENT_KNOWN and row.answer == ANSWER_RESET):
        answer(core, client, row, frame)
    elif row.lane == LANE_CONTROL or row.lane == LANE_ENGINE:
        ask_control(core, client, row, frame)
    else:
        core.row_stats[row.index].rejected += 1
        slot_local(core, client, row.refusal, row.refusal_length)
    return DONE


cdef int special(Core* core, Client* client, Row* row, Frame* frame) noexcept nogil:
    """Clients in a state of their own, and commands that change it or need a connection for themselves."""
    if client.flags & CLIENT_REROUTED:
        # What it is owed may yet come by way of nodes that had its keys before.
        if client.head != client.tail:
            return WAIT
        client.flags &= ~(<uint32_t> CLIENT_REROUTED)
    if client.flags & CLIENT_RESTRICTED and not permitted(core, client, row, frame):
        return DONE
    if client.flags & CLIENT_SUBSCRIBER and client.protocol == 2 and not row.flags & ROW_SUBSCRIBED:
        return refuse(core, client, row, ERROR_SUBSCRIBED, NULL, NULL)
    if client.flags & CLIENT_PAUSED and held_back(client, row):
        return WAIT
    if row.flags & ROW_EVAL and not script_taught(core, client, frame):
        return WAIT
    if client.flags & CLIENT_MONITORED:
        monitor_show(core, client, row, frame)
    if row.flags & ROW_RESET:
        transaction_drop(core, client)
        watch_end(core, client, True)
        track_end(core, client)
        return GO_ON
    if row.flags & ROW_QUIT:
        return GO_ON
    if client.flags & CLIENT_COPIED:
        if row.flags & (ROW_WATCH | ROW_TRACKING | ROW_BLOCKS):
            return refuse(core, client, row, ERROR_COPIES_REFUSED, NULL, NULL)
        if row.flags & ROW_EXEC:
            return copied_run(core, client, row)
        if client.once and client.once == client.commands and (client.flags & CLIENT_MULTI or row.flags & ROW_MULTI):
            # Levels for one request are those of the transaction that it begins.
            client.once += 1
        if client.flags & CLIENT_MULTI and not row.flags & (ROW_MULTI | ROW_DISCARD):
            return copied_queue(core, client, row, frame)
    if client.pool.sharded and (client.flags & CLIENT_MULTI or row.flags & (ROW_WATCH | ROW_BLOCKS)) and (
            shards_named(core, client, row, frame)):
        return refuse(core, client, row, ERROR_SHARDED, NULL, NULL)
    if row.flags & ROW_MULTI:
        return transaction_begin(core, client, row)
    if row.flags & ROW_EXEC:
        return transaction_run(core, client, row)
    if row.flags & ROW_DISCARD:
        return transaction_discard(core, client, row)
    if row.flags & ROW_WATCH:
        return watch(core, client, row, frame)
    if client.flags & CLIENT_MULTI:
        if core.tallied and not (row.adds and client.pool.merges and client.transaction.queued < 2):
            combine_ahead(core, client, row, frame)
        return transaction_queue(core, client, row, frame)
    if row.flags & ROW_TRACKING:
        return track(core, client, row, frame)
    if client.caching and not row.flags & ROW_MULTI:
        # A wish is for one request; behind a MULTI, for the transaction.
        client.caching = client.caching & ~CACHING_FRESH if client.caching & CACHING_FRESH else 0
    if row.flags & ROW_UNWATCH:
        return unwatch(core, client, row)
    if row.flags & ROW_BLOCKS:
        return block(core, client, row, frame)
    if client.flags & CLIENT_COPIED:
        return copying(core, client, row, frame)
    if row.flags & ROW_WAIT:
        return wait(core, client, row, frame)
    return GO_ON


cdef bint held_back(Client* client, Row* row) noexcept nogil:
    """Does a pause of the client's pool hold this request back? Until clients.pyx ends it."""
    if client.pool.paused == PAUSE_ALL or row.flags & ROW_PAUSES:
        return True
    return row.flags & ROW_EXEC and client.transaction != NULL and client.transaction.pauses


# -- to one node --------------------------------------------------------------------------------------------------------

cdef inline int send_to(Core* core, Client* client, Row* row, Frame* frame, Pool* pool, int index) noexcept nogil:
    """Queue a whole request for one node."""
    cdef Node* node
    cdef Conn* conn
    cdef uint32_t slot
    if index < 0:
        return refuse(core, client, row, ERROR_NO_NODE, NULL, NULL)
    node = &pool.nodes[index]
    if frame.length >= MOVE_AT:
        return send_large(core, client, row, frame, node)
    if pool.retains and row.flags & ROW_READ:
        conn = reads_conn(core, client, row, node)
    else:
        conn = usable(core, client, row, node, 0)
    if conn == NULL:
        return DONE
    slot = slot_push(core, client, row.index)
    core.row_stats[row.index].calls += 1
    conn.node.requests += 1
    # For WAIT: the nodes that were written to. ROW_WRITE is 1.
    client.wrote |= <uint64_t> (row.flags & ROW_WRITE) << (index & 63)
    conn_send(core, conn, client, slot, 0, row.index, frame.data, frame.length)
    return DONE


cdef int send_hot(Core* core, Client* client, Row* row, Frame* frame) noexcept nogil:
    """A write of a hot key: others may ask for what it writes before it leaves."""
    cdef int index = home(core, client.pool, frame.data + frame.args[row.key].offset, frame.args[row.key].length)
    cdef int verdict = send_to(core, client, row, frame, client.pool, index)
    if index >= 0 and not core.moved:
        cool_set(core, client, row, frame, &client.pool.nodes[index])
    return verdict


cdef int send_large(Core* core, Client* client, Row* row, Frame* frame, Node* node) noexcept nogil:
    """A large request is moved, not copied; a very large one takes the bulk connection, behind a barrier.

    The barrier keeps the order of this client's commands although two connections are involved. While the shared
    connection owes late replies it takes large requests, too: none may overtake a write whose fate is unknown.
    """
    cdef Conn* shared = node.conns[conn_place(client.protocol, client.database, 0)]
    cdef bint bulk = frame.length >= client.pool.limits.bulk and (shared == NULL or shared.expired == 0)
    cdef Conn* conn
    cdef Chunk* chunk
    cdef uint32_t slot
    cdef size_t length = frame.length
    if bulk and client.head != client.tail:
        return WAIT
    conn = usable(core, client, row, node, bulk)
    if conn == NULL:
        return DONE
    slot = slot_push(core, client, row.index)
    core.row_stats[row.index].calls += 1
    node.requests += 1
    client.wrote |= <uint64_t> (row.flags & ROW_WRITE) << (node.index & 63)
    if bulk:
        client.flags |= CLIENT_BARRIER
    # client.pyx made the request the first bytes of the input's chunk; rewritten ones live elsewhere.
    if client.input.chunk != NULL and frame.data == client.input.chunk.data + client.input.chunk.head:
        chunk = input_detach(&client.input, &core.chunks, length, &core.input_reserved)
        if chunk != NULL:
            core.moved = 1
            conn_send_chunk(core, conn, client, slot, row.index, chunk)
            return DONE
    conn_send(core, conn, client, slot, 0, row.index, frame.data, length)
    return DONE


cdef int publish(Core* core, Client* client, Row* row, Frame* frame) noexcept nogil:
    """To the channel's node; what its count leaves out is remembered in the slot, to be added to the reply."""
    cdef const char* channel = frame.data + frame.args[1].offset
    cdef size_t length = frame.args[1].length
    cdef int index = home(core, client.pool, channel, length)
    cdef int kind = AUDIENCE_SHARD if row.flags & ROW_SHARD else AUDIENCE_CHANNEL
    cdef int64_t extra = 0
    cdef uint32_t number = client.tail
    cdef Slot* slot
    cdef int verdict
    if index >= 0:
        extra = audience_extra(core, &client.pool.nodes[index], kind, channel, length)
    verdict = send_to(core, client, row, frame, client.pool, index)
    # Unless it was answered at once, with an error.
    if extra and client.tail != number and <int32_t> (number - client.head) >= 0:
        slot = &client.slots[number & client.mask]
        if slot.state == SLOT_WAITING:
            slot.state = SLOT_ADDING
            slot.at = <size_t> extra
    return verdict


# -- to the nodes of several keys -----------------------------------------------------------------------------------------

cdef int with_keys(Core* core, Client* client, Row* row, Frame* frame) noexcept nogil:
    """A command whose keys have to be looked for: to one node, or split."""
    cdef Pool* pool = client.pool
    cdef int count
    cdef bint together
    if row.flags & ROW_PUBLISH:
        return publish(core, client, row, frame)
    if client.fan_reads or client.doubts:
        return WAIT
    # What may write needs no fence: it voids the copies. MGET names those of its keys that are hot.
    fence_many(core, client, not row.flags & ROW_PAUSES and row.lane != LANE_MGET)
    if row.blocks_with[0] and blocks(core, row, frame):
        return block(core, client, row, frame)
    count = keys_find(core, row, frame)
    if count > 0 and client.pool.cools:
        if row.flags & ROW_PAUSES:
            marks_note_keys(core, count)
            tombstones_before(core, pool, client.protocol, client.database)
        elif row.lane == LANE_MGET:
            return mget(core, client, row, frame, count)
    if count <= 0:
        # Malformed, or no key at all: whichever node gets it says what is wrong in the right words.
        return send_found(core, client, row, frame, pool, home(core, pool, b"", 0))
    if not place_keys(core, pool, count, &together):
        return refuse(core, client, row, ERROR_NO_NODE, NULL, NULL)
    if row.lane == LANE_MSET and frame.argc % 2 == 0:
        return refuse(core, client, row, ERROR_ARITY, NULL, NULL)
    if together:
        return send_found(core, client, row, frame, pool, node_at(pool, core.keys[0].node))
    if row.lane == LANE_FAST:
        return refuse(core, client, row, ERROR_CROSSSLOT, NULL, NULL)
    return split(core, client, row, frame, count, NULL, 0)


cdef bint place_keys(Core* core, Pool* pool, int count, bint* together) noexcept nogil:
    """Find the place of each key, and whether it is one for all. False: there is no node for one of them."""
    cdef int index
    together[0] = True
    for index in range(count):
        core.keys[index].node = key_place(core, pool, core.keys[index].data, core.keys[index].length)
        if node_at(pool, core.keys[index].node) < 0:
            return False
        if core.keys[index].node != core.keys[0].node:
            together[0] = False
    return True


cdef int mget(Core* core, Client* client, Row* row, Frame* frame, int count) noexcept nogil:
    """MGET in a pool that cools its hot keys: the nodes are asked for what is not copied here."""
    cdef Output taken
    cdef bint together
    cdef Chunk* chunk
    cdef int left
    memset(&taken, 0, sizeof(taken))
    left = elements_take(core, client, row, count, &taken)
    # It is behind the fetches that were begun for whoever comes next.
    core.order += 1
    if not place_keys(core, client.pool, left, &together):
        output_clear(&taken, &core.chunks)
        return refuse(core, client, row, ERROR_NO_NODE, NULL, NULL)
    if left == count:
        if together:
            return send_to(core, client, row, frame, client.pool, node_at(client.pool, core.keys[0].node))
        return split(core, client, row, frame, count, NULL, 0)
    chunk = output_array(&taken, &core.chunks, count - left)
    if left:
        return split(core, client, row, frame, left, chunk, count)
    core.row_stats[row.index].calls += 1
    slot_local(core, client, chunk.data + chunk.head, chunk.tail - chunk.head)
    chunk_free(&core.chunks, chunk)
    return DONE


cdef int send_found(Core* core, Client* client, Row* row, Frame* frame, Pool* pool, int index) noexcept nogil:
    """send_to(), with the body of a script that the node may not hold. The reply finds the script by its number."""
    cdef int place = conn_place(client.protocol, client.database, 0)
    cdef Node* node
    cdef Conn* conn
    cdef uint32_t serial, tail
    cdef int verdict
    if index < 0 or not row.flags & ROW_EVALSHA:
        return send_to(core, client, row, frame, pool, index)
    node = &pool.nodes[index]
    conn = node.conns[place]
    tail = 0 if conn == NULL else conn.tail
    # A client that tracks has a connection of its own, of which nothing is known here: the body always goes along.
    frame = script_frame(core, node, NULL if client.flags & CLIENT_TRACKING else conn, frame, &serial)
    verdict = send_to(core, client, row, frame, pool, index)
    conn = node.conns[place]
    # What took the bulk connection is not marked: it teaches nothing, and costs nothing but the body.
    if conn != NULL and conn.tail != tail:
        conn.pending[(conn.tail - 1) & conn.mask].part = serial
    return verdict


cdef int split(Core* core, Client* client, Row* row, Frame* frame, int count, Chunk* taken, int all) noexcept nogil:
    """One sub-request a node, or a slot of a cluster, merged from as many replies.

    `taken`, unless NULL: an array of the elements that are here already, of `all` that MGET asks for; it is taken over.
    """
    cdef Merge* merge
    cdef Part* part
    cdef uint32_t slot, number, used
    cdef Part* parts = parts_find(core, client.pool, count, &used)
    # Every connection must take its part before anything is sent: a split that fails at once leaves no half behind.
    for number in range(used):
        part = &parts[number]
        if client.pool.retains and row.flags & ROW_READ:
            part.conn = reads_conn(core, client, row, part.node)
        else:
            part.conn = usable(core, client, row, part.node, 0)
        if part.conn == NULL:
            free(parts)
            if taken != NULL:
                chunk_free(&core.chunks, taken)
            return DONE
        part.output = &part.conn.output
    merge = merge_new(core, row.lane, client.pool.nil_on_error, <uint32_t> (count if taken == NULL else all))
    merge.parts = used
    merge.waiting = used
    slot = slot_push(core, client, row.index)
    client.slots[slot & client.mask].state = SLOT_MERGING
    client.slots[slot & client.mask].at = <size_t> merge
    core.row_stats[row.index].calls += 1
    core.counters.split += 1
    parts_write(core, row, frame, count, parts, used, merge.part_of)
    if taken != NULL:
        client.held_bytes += taken.tail - taken.head
        merge_take(core, merge, count, taken)
    for number in range(used):
        part = &parts[number]
        part.conn.node.requests += 1
        client.wrote |= <uint64_t> (row.flags & ROW_WRITE) << (part.node.index & 63)
        # Nothing of its own is appended: the bytes are in place already.
        conn_expect(core, part.conn, client, slot, number, row.index, part.length)
        conn_touch(core, part.conn)
    free(parts)
    return DONE


# -- to the control plane ---------------------------------------------------------------------------------------------------

cdef void ask_control(Core* core, Client* client, Row* row, Frame* frame) noexcept nogil:
    """Post the request; the answer comes as an order, and nothing else of this client starts before it."""
    cdef uint32_t slot = slot_push(core, client, row.index)
    if event_post(core, EVENT_REQUEST, client.pool.index, client.database, client.protocol, client, slot, client.id,
                  frame.data, frame.length):
        client.references += 1
        client.flags |= CLIENT_BARRIER
        return
    client.tail -= 1
    refuse(core, client, row, ERROR_BUSY, NULL, NULL)
