# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Copied transactions: queueing, running. See copied.pxd."""

from libc.stdint cimport int64_t, uint32_t
from libc.stdlib cimport abort, malloc
from libc.string cimport memcmp, memcpy

from proxy.engine.copying cimport (
    Places, begin, expect, hint_gone, keys_hidden, needed, places_judge, too_few,
)
from proxy.engine.effects cimport EFFECT_NONE, EFFECT_REFUSED, EFFECT_SPOP, effect_write
from proxy.engine.keys cimport keys_find
from proxy.engine.refusals cimport DONE, refuse, refuse_text
from proxy.engine.ring cimport ring_candidates
from proxy.engine.slots cimport slot_push
from proxy.engine.transaction cimport block_of, queued, room_for, transaction_drop, transaction_run
from proxy.engine.types cimport (
    ERROR_ARITY, ERROR_COPIES_HIDDEN, ERROR_COPIES_REFUSED, ERROR_CROSSSLOT, ERROR_IN_MULTI, ERROR_TRANSACTION,
    LANE_MSET, LANE_SUM, ROW_NO_MULTI, ROW_PUBLISH, Block, Client, Conn, Core, Row, Transaction,
)
from proxy.engine.voices cimport COPIES, Quorum, quorum_keys
from proxy.wire.chunk cimport Chunk
from proxy.wire.output cimport Output, output_append
from proxy.wire.resp cimport Frame
from proxy.wire.system cimport realtime_us


cdef bint at_home(Core* core, Client* client, int count) noexcept nogil:
    """Are core.keys at the nodes of the transaction, which the first key chooses?"""
    cdef Transaction* transaction = client.transaction
    cdef int nodes[COPIES]
    cdef int index, found
    for index in range(count):
        found = ring_candidates(client.pool.ring, core.keys[index].data, core.keys[index].length, nodes,
                                client.pool.copies)
        if transaction.copies == NULL:
            transaction.copies = <int*> malloc(sizeof(nodes))
            if transaction.copies == NULL:
                abort()
            memcpy(transaction.copies, nodes, sizeof(nodes))
            transaction.copy_count = found
        elif memcmp(transaction.copies, nodes, found * sizeof(int)) != 0:
            return False
    return True


cdef int copied_queue(Core* core, Client* client, Row* row, Frame* frame) noexcept nogil:
    """Take one command into the transaction, or refuse it and with it the transaction."""
    cdef Transaction* transaction = client.transaction
    cdef Block* block
    cdef uint32_t length
    cdef int index, count, place
    if row.flags & ROW_NO_MULTI:
        return refuse_text(core, client, row, b"-ERR Command not allowed inside a transaction\r\n")
    if row.lane > LANE_SUM or row.flags & ROW_PUBLISH:
        return refuse(core, client, row, ERROR_IN_MULTI, NULL, NULL)
    count = keys_find(core, row, frame)
    if row.effect == EFFECT_REFUSED or row.effect == EFFECT_SPOP or count <= 0:
        return refuse(core, client, row, ERROR_COPIES_REFUSED, NULL, NULL)
    if row.lane == LANE_MSET and frame.argc % 2 == 0:
        return refuse(core, client, row, ERROR_ARITY, NULL, NULL)
    if keys_hidden(core, count):
        return refuse(core, client, row, ERROR_COPIES_HIDDEN, NULL, NULL)
    if not room_for(core, client, frame.length):
        return refuse(core, client, row, ERROR_TRANSACTION, NULL, NULL)
    if not at_home(core, client, count):
        return refuse(core, client, row, ERROR_CROSSSLOT, NULL, NULL)
    place = block_of(core, client, transaction.copies[0])
    block = &transaction.blocks[place]
    effect_write(core, row, frame, <int64_t> (realtime_us() // 1000), &block.bytes)
    block.commands += 1
    if row.effect != EFFECT_NONE:
        for index in range(count):
            length = <uint32_t> core.keys[index].length
            output_append(&transaction.keys, &core.chunks, <const char*> &length, sizeof(length))
            output_append(&transaction.keys, &core.chunks, core.keys[index].data, length)
        transaction.key_count += count
    queued(core, client, row, place, frame.length)
    return DONE


cdef void gather(Output* output, char* at) noexcept nogil:
    """Copy all of it to one place."""
    cdef Chunk* chunk = output.first
    while chunk != NULL:
        memcpy(at, chunk.data + chunk.head, chunk.tail - chunk.head)
        at += chunk.tail - chunk.head
        chunk = chunk.next


cdef int copied_run(Core* core, Client* client, Row* row) noexcept nogil:
    """EXEC. A transaction that only reads, with `read: one`, asks one node."""
    cdef Transaction* transaction = client.transaction
    cdef Places places
    cdef Quorum* quorum
    cdef Block* block
    cdef Chunk* chunk
    cdef Conn* conn
    cdef uint32_t slot
    cdef int index, need
    cdef bint writes
    cdef size_t before
    cdef int64_t wall_ms
    if transaction == NULL or transaction.broken or transaction.block_count == 0:
        return transaction_run(core, client, row)
    block = &transaction.blocks[0]
    writes = transaction.key_count > 0
    need = needed(client, writes)
    memcpy(places.nodes, transaction.copies, COPIES * sizeof(int))
    places.count = transaction.copy_count
    places_judge(core, client, &places)
    if places.serving < need:
        too_few(core, client, row, writes)
        transaction_drop(core, client)
        return DONE
    if not writes and need == 1:
        places.asked = 1
    core.row_stats[row.index].calls += 1
    core.counters.transactions += 1
    slot = slot_push(core, client, row.index)
    client.together = slot + 1
    quorum = begin(client, row, &places, slot, 0, transaction.keys.length, need, not writes)
    gather(&transaction.keys, quorum_keys(quorum))
    quorum.key_count = transaction.key_count
    wall_ms = <int64_t> (realtime_us() // 1000)
    for index in range(places.asked):
        conn = places.conns[index]
        if writes:
            hint_gone(core, conn, &places, quorum, wall_ms)
        before = conn.output.length
        chunk = block.bytes.first
        while chunk != NULL:
            output_append(&conn.output, &core.chunks, chunk.data + chunk.head, chunk.tail - chunk.head)
            chunk = chunk.next
        output_append(&conn.output, &core.chunks, b"*1\r\n$4\r\nEXEC\r\n", 14)
        expect(core, conn, quorum, index, before)
        conn.pending[(conn.tail - 1) & conn.mask].skip = block.commands + 1
    transaction_drop(core, client)
    return DONE
