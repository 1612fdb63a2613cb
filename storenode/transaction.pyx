# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Transaction: keeping requests, then running them. See transaction.pxd."""

from libc.stdint cimport uint64_t
from libc.stdio cimport snprintf
from libc.string cimport memcpy, memset

from proxy.wire.chunk cimport Chunk
from proxy.wire.output cimport Output, output_clear, output_commit, output_room
from proxy.wire.resp cimport Frame, FrameLimits, frame_request, frame_reset
from storenode.acl cimport acl_check
from storenode.answer cimport answer_array, answer_error, answer_nil_array, answer_ok, answer_raw
from storenode.call cimport call_read, call_run
from storenode.effects cimport effects_begin, effects_end
from storenode.types cimport AT_ONCE, DENYOOM, NO_AUTH, Call, Client, Node, Row, Transaction
from storenode.watch cimport watch_broken, watch_end

cdef enum:
    QUEUE_MOST = 1 << 30       # bytes of one client's queue; Redis's client-query-buffer-limit covers it too


cdef void command_multi(Call* call) noexcept nogil:
    if call.client.transaction.begun:
        answer_error(call, b"ERR MULTI calls can not be nested")
        return
    call.client.transaction.begun = True
    answer_ok(call)


cdef void transaction_end(Node* node, Client* client) noexcept nogil:
    """Neither queue nor watch anything any more."""
    output_clear(&client.transaction.queue, &node.chunks)
    memset(&client.transaction, 0, sizeof(Transaction))
    watch_end(client)


cdef void command_discard(Call* call) noexcept nogil:
    if not call.client.transaction.begun:
        answer_error(call, b"ERR DISCARD without MULTI")
        return
    transaction_end(call.node, call.client)
    answer_ok(call)


cdef void transaction_queue(Call* call, Row* row, const Frame* frame) noexcept nogil:
    """Keep a request for EXEC. A client that keeps more than it may is closed, as one with too long a request is."""
    cdef Transaction* transaction = &call.client.transaction
    cdef char* at
    if transaction.queue.length + frame.length > QUEUE_MOST:
        call.client.closing = True
        return
    at = output_room(&transaction.queue, call.pool, sizeof(Row*) + frame.length)
    memcpy(at, &row, sizeof(Row*))
    memcpy(at + sizeof(Row*), frame.data, frame.length)
    output_commit(&transaction.queue, sizeof(Row*) + frame.length)
    transaction.count += 1
    transaction.flags |= row.flags
    answer_raw(call, b"+QUEUED\r\n", 9)


cdef bint transaction_refused(Call* call, const Row* row, const char* text) noexcept nogil:
    """A request (row NULL: unknown) was refused before its time. True: it was EXEC, and is answered here."""
    cdef char words[256]
    call.client.transaction.spoiled = call.client.transaction.begun
    if row == NULL or row.handler != command_exec:
        return False
    transaction_end(call.node, call.client)
    # Redis repeats the reason without its code only where the code is the general one.
    snprintf(words, sizeof(words), b"EXECABORT Transaction discarded because of: %s",
             text + 4 if text[0] == c'E' and text[1] == c'R' and text[2] == c'R' else text)
    answer_error(call, words)
    return True


cdef bint transaction_grows(const Client* client, const Row* row) noexcept nogil:
    """May this make memory grow? Queueing does, and so does EXEC of a block that has a command which does."""
    if not client.transaction.begun:
        return False
    if row.handler == command_exec:
        return client.transaction.flags & DENYOOM != 0
    return not row.flags & AT_ONCE


cdef void call_run_allowed(Call* call, Row* row) noexcept nogil:
    """A user may have lost the right since the request was queued."""
    cdef char room[160]
    cdef const char* problem = NULL
    if not call.client.trusted and not row.flags & NO_AUTH:
        problem = acl_check(call, row, room, sizeof(room))
    if problem == NULL:
        call_run(call, row)
    else:
        row.rejected += 1
        answer_error(call, problem)


cdef void run_block(Call* call, Output* queue) noexcept nogil:
    cdef FrameLimits limits = FrameLimits(max_bulk=QUEUE_MOST, trusted=True)
    cdef Chunk* chunk = queue.first
    cdef Frame frame
    cdef Row* row
    cdef size_t at
    while chunk != NULL:
        at = chunk.head
        while at < chunk.tail:
            memcpy(&row, chunk.data + at, sizeof(Row*))
            at += sizeof(Row*)
            frame_reset(&frame)
            frame_request(&frame, chunk.data + at, chunk.tail - at, &limits)
            call_read(call.node, &frame)
            call_run_allowed(call, row)
            at += frame.length
        chunk = chunk.next


cdef void command_exec(Call* call) noexcept nogil:
    cdef Client* client = call.client
    cdef Output queue
    cdef uint64_t count = client.transaction.count
    if not client.transaction.begun:
        answer_error(call, b"ERR EXEC without MULTI")
        return
    if client.transaction.spoiled:
        transaction_end(call.node, client)
        answer_error(call, b"EXECABORT Transaction discarded because of previous errors.")
        return
    if watch_broken(client):
        transaction_end(call.node, client)
        answer_nil_array(call)
        return
    # The queue is taken away first: a command in it may end the client.
    queue = client.transaction.queue
    memset(&client.transaction, 0, sizeof(Transaction))
    watch_end(client)
    answer_array(call, <long long> count)
    call.node.in_exec = True
    effects_begin(call.node)
    run_block(call, &queue)
    effects_end(call.node)
    call.node.in_exec = False
    call.failed = False
    output_clear(&queue, call.pool)
