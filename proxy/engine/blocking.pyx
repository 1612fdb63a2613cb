# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Blocking: BLPOP and its kind, and WAIT. See blocking.pxd."""

from libc.stdint cimport uint32_t
from libc.stdlib cimport abort, malloc, free

from proxy.engine.connection cimport conn_expect, conn_send, conn_touch
from proxy.engine.marks cimport marks_note_request
from proxy.engine.merge cimport merge_new
from proxy.engine.private cimport private_settle, private_take, private_unblock
from proxy.engine.refusals cimport DONE, WAIT, refuse
from proxy.engine.route cimport only_node
from proxy.engine.slots cimport slot_push
from proxy.engine.types cimport (
    CLIENT_BARRIER, ERROR_NO_NODE, HOLD_WAIT, MERGE_LEAST, ROW_WRITE, SLOT_MERGING, Client, Conn, Core, Merge, Node, Pool, Row,
)
from proxy.wire.output cimport output_append
from proxy.wire.resp cimport Frame


cdef int block(Core* core, Client* client, Row* row, Frame* frame) noexcept nogil:
    """Have a node answer when it can; nothing else of this client starts before."""
    cdef Node* node
    cdef Conn* conn
    cdef uint32_t slot
    if client.head != client.tail:
        return WAIT
    node = only_node(core, client, row, frame)
    if node == NULL:
        return DONE
    conn = private_take(core, client, row, node, HOLD_WAIT)
    if conn == NULL:
        return DONE
    if row.flags & ROW_WRITE:
        client.wrote |= 1ULL << (node.index & 63)
        if client.pool.cools:
            marks_note_request(core, row, frame)
    core.row_stats[row.index].calls += 1
    core.counters.blocked += 1
    node.requests += 1
    client.flags |= CLIENT_BARRIER
    slot = slot_push(core, client, row.index)
    conn_send(core, conn, client, slot, 0, row.index, frame.data, frame.length)
    return DONE


cdef int wait(Core* core, Client* client, Row* row, Frame* frame) noexcept nogil:
    """WAIT, at every node that this client wrote to; the least number of replicas is the reply.

    A fresh connection has written nothing, and WAIT on it returns at once: a PING before it gives the connection the
    node's offset of now, which is behind this client's writes as all of them are answered. A client that wrote nothing
    asks all nodes, without a PING. Beyond 64 nodes a few are asked that need not be.
    """
    cdef Pool* pool = client.pool
    cdef Conn** conns
    cdef Conn* conn
    cdef Merge* merge
    cdef uint32_t slot
    cdef int index, place
    cdef int count = 0
    cdef size_t start
    if client.head != client.tail:
        return WAIT
    conns = <Conn**> malloc(pool.node_count * sizeof(Conn*))
    if conns == NULL:
        abort()
    for index in range(pool.node_count):
        if not pool.nodes[index].member or client.wrote and not client.wrote >> (index & 63) & 1:
            continue
        conn = private_take(core, client, row, &pool.nodes[index], HOLD_WAIT)
        if conn == NULL:
            for place in range(count):
                private_settle(core, conns[place])
            free(conns)
            return DONE
        conns[count] = conn
        count += 1
    if count == 0:
        free(conns)
        return refuse(core, client, row, ERROR_NO_NODE, NULL, NULL)
    core.row_stats[row.index].calls += 1
    core.counters.blocked += 1
    client.flags |= CLIENT_BARRIER
    slot = slot_push(core, client, row.index)
    merge = merge_new(core, MERGE_LEAST, False, 0)
    merge.parts = <uint32_t> count
    merge.waiting = <uint32_t> count
    client.slots[slot & client.mask].state = SLOT_MERGING
    client.slots[slot & client.mask].at = <size_t> merge
    for place in range(count):
        conn = conns[place]
        conn.node.requests += 1
        start = conn.output.length
        if client.wrote:
            output_append(&conn.output, &core.chunks, b"*1\r\n$4\r\nPING\r\n", 14)
        output_append(&conn.output, &core.chunks, frame.data, frame.length)
        conn_expect(core, conn, client, slot, <uint32_t> place, row.index, conn.output.length - start)
        conn.pending[(conn.tail - 1) & conn.mask].skip = 1 if client.wrote else 0
        conn_touch(core, conn)
    free(conns)
    return DONE


cdef void unblock_all(Core* core, Client* client) noexcept nogil:
    """End this client's wait as if its time were up."""
    cdef Conn* conn = client.privates
    while conn != NULL:
        private_unblock(core, conn)
        conn = conn.next_owned
