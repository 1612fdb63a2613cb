# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Transaction: queueing, running, dropping. See transaction.pxd.

With `cross_node_transactions: split` there is a block for each node concerned, and EXEC's array is merged from theirs:
each block is atomic on its node, all of them together are not, and an error of one is the reply although the others
ran. MGET, MSET and the like are then split among the blocks, as they are outside of a transaction. A transaction
behind a WATCH runs on the private connection that watches, and so on that one node.
"""

from libc.stdint cimport uint16_t, uint32_t
from libc.stdlib cimport abort, calloc, free, malloc, realloc
from libc.string cimport memcpy, memset

from proxy.engine.answers cimport answer
from proxy.engine.choice cimport usable
from proxy.engine.cluster cimport cluster_of, cluster_slot_at, node_at
from proxy.engine.combine cimport combine_unit
from proxy.engine.connection cimport conn_expect, conn_flush, conn_place, conn_touch
from proxy.engine.fence cimport fence_many
from proxy.engine.keys cimport keys_find
from proxy.engine.marks cimport marks_note_request, marks_note_stripes
from proxy.engine.merge cimport merge_new, merges_free
from proxy.engine.parts cimport Part, parts_find, parts_write
from proxy.engine.private cimport watch_conn, watch_end
from proxy.engine.refusals cimport DONE, GO_ON, WAIT, refuse, refuse_text
from proxy.engine.route cimport NODE_ANY, NODE_SEVERAL, key_place, place_of
from proxy.engine.scripts cimport script_frame
from proxy.engine.slots cimport slot_local, slot_push, slot_say
from proxy.engine.tombstones cimport tombstones_before
from proxy.engine.types cimport (
    ANSWER_CLIENT_FLAG, ANSWER_CLIENT_GETNAME, ANSWER_CLIENT_ID, ANSWER_CLIENT_OK, ANSWER_CLIENT_SETINFO,
    ANSWER_CLIENT_SETNAME, ANSWER_ECHO, ANSWER_NOT_CLUSTER, ANSWER_PING, ANSWER_TIME, CLIENT_BARRIER, CLIENT_MULTI,
    CLIENT_SILENT, CLIENT_WATCHING, ERROR_CROSSSLOT, ERROR_IN_MULTI, ERROR_NO_NODE, ERROR_TRANSACTION,
    ERROR_WATCH_NODE, FLUSH_AT, LANE_CONTROL, LANE_ENGINE, LANE_FAST, LANE_MSET, LANE_SUM, MERGE_EXEC, PLACE_LOCAL,
    PLACE_SPLIT, ROW_EVALSHA, ROW_NO_MULTI, ROW_ONE_NODE, ROW_PAUSES, ROW_PUBLISH, ROW_UNWATCH, ROW_WAIT, ROW_WRITE, SLOT_MERGING,
    Block, Client, Conn, Core, Merge, Node, Pool, Row, Transaction,
)
from proxy.wire.chunk cimport Chunk, chunk_free
from proxy.wire.output cimport Output, output_append, output_array, output_clear, output_join
from proxy.wire.resp cimport Frame

cdef enum:
    FIRST_PLACES = 16
    PART_BYTES = 64            # that a part of a split command is charged with, beside its keys and values


cdef int transaction_begin(Core* core, Client* client, Row* row) noexcept nogil:
    """MULTI."""
    core.row_stats[row.index].calls += 1
    if client.transaction != NULL:
        slot_say(core, client, b"-ERR MULTI calls can not be nested\r\n")
        return DONE
    client.transaction = <Transaction*> calloc(1, sizeof(Transaction))
    if client.transaction == NULL:
        abort()
    client.flags |= CLIENT_MULTI
    slot_say(core, client, b"+OK\r\n")
    return DONE


# -- queueing ---------------------------------------------------------------------------------------------------------

cdef int transaction_queue(Core* core, Client* client, Row* row, Frame* frame) noexcept nogil:
    """Take one command into the transaction, or refuse it and with it the transaction."""
    cdef int place, node
    if row.flags & ROW_NO_MULTI:
        return refuse_text(core, client, row, b"-ERR Command not allowed inside a transaction\r\n")
    if row.lane == LANE_ENGINE and not row.flags & ROW_WAIT:
        return queue_answer(core, client, row, frame)
    if row.lane <= LANE_SUM:
        place = place_of(core, client, row, frame)
        if place == NODE_SEVERAL:
            client.transaction.movable = 0
            return queue_split(core, client, row, frame)
    elif row.flags & (ROW_ONE_NODE | ROW_WAIT) and client.pool.node_count == 1:
        place = 0
    elif row.lane == LANE_CONTROL or row.flags & ROW_WAIT:
        return refuse(core, client, row, ERROR_IN_MULTI, NULL, NULL)
    else:
        return refuse_text(core, client, row, row.refusal)
    if place == NODE_ANY:
        place = any_place(core, client)
    elif client.transaction.movable and place >= 0:
        client.transaction.movable = 0
        if client.transaction.block_count:
            client.transaction.blocks[0].place = place
    node = node_at(client.pool, place)
    if node < 0:
        return refuse(core, client, row, ERROR_NO_NODE, NULL, NULL)
    return queue_for(core, client, row, frame, place, &client.pool.nodes[node])


cdef int any_place(Core* core, Client* client) noexcept nogil:
    """A command without a key adds no place to those concerned: it goes where the keys go, those to come included."""
    if client.transaction.block_count:
        return client.transaction.blocks[0].place
    client.transaction.movable = 1
    if client.watch == NULL:
        return key_place(core, client.pool, b"", 0)
    return client.watch.node.index if client.pool.cluster == NULL else cluster_slot_at(
        cluster_of(client.pool), client.watch.node.index)


cdef int queue_for(Core* core, Client* client, Row* row, Frame* frame, int home, Node* node) noexcept nogil:
    """Append a command to the block of its place, which is at this node now."""
    cdef Transaction* transaction = client.transaction
    cdef Block* block
    cdef Conn* conn = client.watch
    cdef int place
    cdef uint32_t serial
    cdef Frame* asked = frame  # with the script's body in it a frame is only good for being sent
    if row.flags & ROW_EVALSHA:
        if conn == NULL:
            conn = node.conns[conn_place(client.protocol, client.database, 0)]
        frame = script_frame(core, node, conn, frame, &serial)
    if client.watch != NULL and client.watch.node != node:
        return refuse(core, client, row, ERROR_WATCH_NODE, NULL, NULL)
    if not room_for(core, client, frame.length):
        return refuse(core, client, row, ERROR_TRANSACTION, NULL, NULL)
    place = block_of(core, client, home)
    if place < 0:
        return refuse(core, client, row, ERROR_CROSSSLOT, NULL, NULL)
    block = &transaction.blocks[place]
    # A copy, for large values too: they are rare in transactions, and their chunk may hold the commands behind them.
    output_append(&block.bytes, &core.chunks, frame.data, frame.length)
    block.commands += 1
    note(core, client, row, asked)
    if row.flags & ROW_WRITE:
        client.wrote |= 1ULL << (node.index & 63)
    queued(core, client, row, place, frame.length)
    return DONE


cdef int queue_split(Core* core, Client* client, Row* row, Frame* frame) noexcept nogil:
    """Append to the blocks of several nodes their parts of a command, or to none of them."""
    cdef Transaction* transaction = client.transaction
    cdef Pool* pool = client.pool
    cdef Merge* split
    cdef Part* parts
    cdef uint32_t number, used
    cdef int index, count
    cdef size_t length
    if row.lane == LANE_FAST or not pool.split_transactions or client.flags & CLIENT_WATCHING:
        return refuse(core, client, row, ERROR_CROSSSLOT, NULL, NULL)
    count = keys_find(core, row, frame)
    for index in range(count):
        core.keys[index].node = key_place(core, pool, core.keys[index].data, core.keys[index].length)
        if node_at(pool, core.keys[index].node) < 0:
            return refuse(core, client, row, ERROR_NO_NODE, NULL, NULL)
    if row.lane == LANE_MSET and frame.argc % 2 == 0:
        # A key without a value: any node says so, as this command's element, and sets nothing.
        return queue_for(core, client, row, frame, core.keys[0].node,
                         &pool.nodes[node_at(pool, core.keys[0].node)])
    parts = parts_find(core, pool, count, &used)
    length = frame.length + used * PART_BYTES
    if not room_for(core, client, length):
        free(parts)
        return refuse(core, client, row, ERROR_TRANSACTION, NULL, NULL)
    split = merge_new(core, row.lane, pool.nil_on_error, <uint32_t> count)
    split.parts = used
    split.waiting = used
    split.blocks = <uint16_t*> malloc(used * sizeof(uint16_t))
    if split.blocks == NULL:
        abort()
    # First all blocks, of which each may move those before it.
    for number in range(used):
        split.blocks[number] = <uint16_t> block_of(core, client, parts[number].place)
    for number in range(used):
        parts[number].output = &transaction.blocks[split.blocks[number]].bytes
        transaction.blocks[split.blocks[number]].commands += 1
        if row.flags & ROW_WRITE:
            client.wrote |= 1ULL << (parts[number].node.index & 63)
    parts_write(core, row, frame, count, parts, used, split.part_of)
    free(parts)
    note(core, client, row, frame)
    if transaction.splits == NULL:
        transaction.splits = split
    else:
        transaction.last_split.next = split
    transaction.last_split = split
    core.counters.split += 1
    queued(core, client, row, PLACE_SPLIT, length)
    return DONE


cdef void note(Core* core, Client* client, Row* row, Frame* frame) noexcept nogil:
    """Remember what a queued command may write."""
    cdef Transaction* transaction = client.transaction
    cdef uint32_t count
    if not client.pool.cools or not row.flags & ROW_PAUSES or row.flags & ROW_PUBLISH:
        return
    marks_note_request(core, row, frame)
    count = transaction.noted + core.noted
    if count > transaction.note_room:
        transaction.note_room = 2 * count
        transaction.notes = <uint16_t*> realloc(transaction.notes, transaction.note_room * sizeof(uint16_t))
        if transaction.notes == NULL:
            abort()
    memcpy(transaction.notes + transaction.noted, core.notes, core.noted * sizeof(uint16_t))
    transaction.noted = count


cdef int block_of(Core* core, Client* client, int home) noexcept nogil:
    """The index of a place's block, which is begun if need be; -1 where the transaction may not have another."""
    cdef Transaction* transaction = client.transaction
    cdef uint32_t place
    for place in range(transaction.block_count):
        if transaction.blocks[place].place == home:
            return <int> place
    place = transaction.block_count
    if place and not client.pool.split_transactions:
        return -1
    transaction.blocks = <Block*> realloc(transaction.blocks, (place + 1) * sizeof(Block))
    if transaction.blocks == NULL:
        abort()
    begin_block(core, &transaction.blocks[place], home)
    transaction.block_count += 1
    return <int> place


cdef void begin_block(Core* core, Block* block, int home) noexcept nogil:
    memset(block, 0, sizeof(Block))
    block.place = home
    output_append(&block.bytes, &core.chunks, b"*1\r\n$5\r\nMULTI\r\n", 15)


cdef bint room_for(Core* core, Client* client, size_t length) noexcept nogil:
    """May this much more be queued? What is queued counts as waiting requests do, for the client and for all."""
    return (client.transaction.bytes + length <= client.pool.limits.query_buffer
            and (core.input_reserved + length <= core.input_limit or client.transaction.bytes == 0))


cdef void queued(Core* core, Client* client, Row* row, int place, size_t length) noexcept nogil:
    """Say so, and remember where the reply will come from."""
    cdef Transaction* transaction = client.transaction
    if transaction.queued == transaction.room:
        transaction.room = 2 * transaction.room if transaction.room else FIRST_PLACES
        transaction.places = <uint16_t*> realloc(transaction.places, transaction.room * sizeof(uint16_t))
        if transaction.places == NULL:
            abort()
    transaction.places[transaction.queued] = <uint16_t> place
    transaction.queued += 1
    transaction.pauses |= (row.flags & ROW_PAUSES) != 0
    transaction.bytes += length
    core.input_reserved += length
    core.row_stats[row.index].calls += 1
    slot_local(core, client, b"+QUEUED\r\n", 9)


cdef int queue_answer(Core* core, Client* client, Row* row, Frame* frame) noexcept nogil:
    """A command that the proxy answers by itself: now, its reply being kept for EXEC."""
    cdef Transaction* transaction = client.transaction
    cdef Output output = client.output
    cdef uint32_t tail = client.tail
    cdef uint32_t silent = client.flags & CLIENT_SILENT
    cdef size_t before = transaction.local.length
    if not (row.answer == ANSWER_PING or row.answer == ANSWER_ECHO or row.answer == ANSWER_TIME
            or row.answer == ANSWER_CLIENT_ID or row.answer == ANSWER_CLIENT_GETNAME
            or row.answer == ANSWER_CLIENT_SETNAME or row.answer == ANSWER_CLIENT_SETINFO
            or row.answer == ANSWER_CLIENT_FLAG or row.answer == ANSWER_CLIENT_OK or row.answer == ANSWER_NOT_CLUSTER
            or row.flags & ROW_UNWATCH):
        return refuse(core, client, row, ERROR_IN_MULTI, NULL, NULL)
    if not room_for(core, client, frame.length):
        return refuse(core, client, row, ERROR_TRANSACTION, NULL, NULL)
    # Answered as if nothing were owed, into another output. EXEC's reply has a place for it, whoever may be silent.
    client.flags &= ~(<uint32_t> CLIENT_SILENT)
    client.output = transaction.local
    client.tail = client.head
    if row.flags & ROW_UNWATCH:
        # EXEC ends the WATCH in any case.
        slot_say(core, client, b"+OK\r\n")
    else:
        answer(core, client, row, frame)
    transaction.local = client.output
    client.output = output
    client.tail = tail
    client.flags |= silent
    transaction.locals += 1
    queued(core, client, row, PLACE_LOCAL, transaction.local.length - before)
    return DONE


# -- running ----------------------------------------------------------------------------------------------------------

cdef int transaction_run(Core* core, Client* client, Row* row) noexcept nogil:
    """EXEC."""
    cdef Transaction* transaction = client.transaction
    cdef int verdict
    if transaction == NULL:
        slot_say(core, client, b"-ERR EXEC without MULTI\r\n")
        return DONE
    if client.flags & CLIENT_WATCHING and client.head != client.tail:
        # Behind a WATCH two connections are involved: what was asked before comes before.
        return WAIT
    if client.fan_reads or client.doubts:
        return WAIT
    fence_many(core, client, True)
    core.row_stats[row.index].calls += 1
    core.counters.transactions += 1
    if transaction.broken:
        core.row_stats[row.index].failed += 1
        slot_say(core, client, b"-EXECABORT Transaction discarded because of previous errors.\r\n")
        watch_end(core, client, True)
    elif client.flags & CLIENT_WATCHING:
        run_watched(core, client, row)
    else:
        verdict = combine_unit(core, client, row)
        if verdict == GO_ON:
            verdict = run_blocks(core, client, row)
        if verdict == WAIT:
            core.row_stats[row.index].calls -= 1
            core.counters.transactions -= 1
            return WAIT
    transaction_drop(core, client)
    client.caching = 0
    return DONE


cdef int transaction_misspelt(Core* core, Client* client, Row* row) noexcept nogil:
    """EXEC with arguments: it ends the transaction all the same."""
    refuse_text(core, client, row, b"-EXECABORT Transaction discarded because of: wrong number of arguments for 'exec' "
                b"command\r\n")
    transaction_drop(core, client)
    watch_end(core, client, True)
    return DONE


cdef void run_watched(Core* core, Client* client, Row* row) noexcept nogil:
    """On the connection that watches. If that was lost, somebody may have changed the keys: nothing is run."""
    cdef Transaction* transaction = client.transaction
    cdef Conn* conn = watch_conn(core, client)
    cdef Block empty
    if conn == NULL:
        if client.protocol == 3:
            slot_say(core, client, b"_\r\n")
        else:
            slot_say(core, client, b"*-1\r\n")
        watch_end(core, client, True)
        return
    begin_block(core, &empty, 0)
    send_all(core, client, row, transaction.blocks if transaction.block_count else &empty, 1, &conn)
    output_clear(&empty.bytes, &core.chunks)
    client.flags |= CLIENT_BARRIER
    watch_end(core, client, False)


cdef int run_blocks(Core* core, Client* client, Row* row) noexcept nogil:
    """On the shared connections, all of which have to take their block before anything is sent."""
    cdef Transaction* transaction = client.transaction
    cdef uint32_t place
    cdef uint32_t count = transaction.block_count
    cdef Node* node
    cdef int index
    cdef Conn* one
    cdef Conn** conns = &one
    cdef Conn* shared
    cdef bint bulk = False
    cdef bint ready = True
    if count > 1:
        conns = <Conn**> calloc(count, sizeof(Conn*))
        if conns == NULL:
            abort()
    for place in range(count):
        # Now, not when it was queued: slots of a cluster change their nodes.
        index = node_at(client.pool, transaction.blocks[place].place)
        if index < 0:
            refuse(core, client, row, ERROR_NO_NODE, NULL, NULL)
            conns[place] = NULL
            break
        node = &client.pool.nodes[index]
        shared = node.conns[conn_place(client.protocol, client.database, 0)]
        if transaction.blocks[place].bytes.length >= client.pool.limits.bulk and (shared == NULL or shared.expired == 0):
            bulk = True
            if client.head != client.tail:
                # As for one large request: see send_large() of dispatch.pyx.
                ready = False
                break
            conns[place] = usable(core, client, row, node, 1)
        else:
            conns[place] = usable(core, client, row, node, 0)
        if conns[place] == NULL:
            break
    if ready and (count == 0 or conns[place] != NULL):
        send_all(core, client, row, transaction.blocks, count, conns)
        if bulk:
            client.flags |= CLIENT_BARRIER
    if conns != &one:
        free(conns)
    return DONE if ready else WAIT


cdef void send_all(Core* core, Client* client, Row* row, Block* blocks, uint32_t count, Conn** conns) noexcept nogil:
    """Send every block to its connection; one that is alone is answered by its node's very reply."""
    cdef Transaction* transaction = client.transaction
    cdef Merge* merge
    cdef Chunk* chunk
    cdef uint32_t slot, place
    if count == 0:
        answer_locals(core, client)
        return
    if transaction.noted:
        marks_note_stripes(core, transaction.notes, transaction.noted)
        tombstones_before(core, client.pool, client.protocol, client.database)
    slot = slot_push(core, client, row.index)
    # Whoever has sent EXEC reads none of the QUEUEDs before its reply: one send for all of them.
    client.together = slot + 1
    if count > 1 or transaction.locals:
        merge = merge_new(core, MERGE_EXEC, False, transaction.queued)
        merge.parts = count + (1 if transaction.locals else 0)
        merge.waiting = count
        for place in range(transaction.queued):
            merge.part_of[place] = <uint16_t> count if transaction.places[place] == PLACE_LOCAL \
                else transaction.places[place]
        merge.splits = transaction.splits
        transaction.splits = NULL
        client.slots[slot & client.mask].state = SLOT_MERGING
        client.slots[slot & client.mask].at = <size_t> merge
        if transaction.locals:
            chunk = local_part(core, client)
            merge.replies = <Chunk**> calloc(merge.parts, sizeof(Chunk*))
            if merge.replies == NULL:
                abort()
            merge.replies[count] = chunk
            merge.bytes += chunk.tail
            client.held_bytes += chunk.tail
    for place in range(count):
        send_block(core, client, row, &blocks[place], conns[place], slot, place)


cdef void send_block(Core* core, Client* client, Row* row, Block* block, Conn* conn, uint32_t slot,
                     uint32_t part) noexcept nogil:
    output_append(&block.bytes, &core.chunks, b"*1\r\n$4\r\nEXEC\r\n", 14)
    conn_expect(core, conn, client, slot, part, row.index, block.bytes.length)
    conn.pending[(conn.tail - 1) & conn.mask].skip = block.commands + 1
    output_join(&conn.output, &core.chunks, &block.bytes)
    conn.node.requests += 1
    conn_touch(core, conn)
    if conn.output.length >= FLUSH_AT and not conn.stuck:
        conn_flush(core, conn)


cdef Chunk* local_part(Core* core, Client* client) noexcept nogil:
    """The replies of the proxy's own commands, as if a node had sent them in an array; the transaction has them no more."""
    return output_array(&client.transaction.local, &core.chunks, client.transaction.locals)


cdef void answer_locals(Core* core, Client* client) noexcept nogil:
    """EXEC of a transaction that no node takes part in."""
    cdef Chunk* chunk = local_part(core, client)
    slot_local(core, client, chunk.data, chunk.tail)
    chunk_free(&core.chunks, chunk)


# -- dropping ---------------------------------------------------------------------------------------------------------

cdef int transaction_discard(Core* core, Client* client, Row* row) noexcept nogil:
    """DISCARD."""
    core.row_stats[row.index].calls += 1
    if client.transaction == NULL:
        slot_say(core, client, b"-ERR DISCARD without MULTI\r\n")
        return DONE
    transaction_drop(core, client)
    watch_end(core, client, True)
    slot_say(core, client, b"+OK\r\n")
    return DONE


cdef void transaction_drop(Core* core, Client* client) noexcept nogil:
    """Forget what is queued; also when the client leaves, or after everything was sent."""
    cdef Transaction* transaction = client.transaction
    cdef uint32_t place
    if transaction == NULL:
        return
    for place in range(transaction.block_count):
        output_clear(&transaction.blocks[place].bytes, &core.chunks)
    merges_free(core, transaction.splits)
    output_clear(&transaction.local, &core.chunks)
    core.input_reserved -= transaction.bytes
    free(transaction.blocks)
    output_clear(&transaction.keys, &core.chunks)
    free(transaction.copies)
    free(transaction.places)
    free(transaction.notes)
    free(transaction)
    client.transaction = NULL
    client.flags &= ~(<uint32_t> CLIENT_MULTI)
