# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Execute: frame, look the command up, check it, run its handler. See execute.pxd.

Arguments are slices of the receive buffer: nothing is copied on the way to a handler, and nothing is allocated (the
array of slices belongs to the node and grows to the longest request seen).
"""

from libc.stdint cimport uint64_t
from libc.stdio cimport snprintf
from libc.stdlib cimport free
from libc.string cimport memset, strncmp

from proxy.wire.output cimport Output, output_append, output_clear
from proxy.wire.resp cimport (
    BROKEN, FRAMED, Frame, FrameLimits, frame_request, frame_reset, protocol_error,
)
from proxy.wire.rewrite cimport rewrite_request
from proxy.wire.system cimport realtime_us
from storenode.acl cimport acl_check
from storenode.answer cimport answer_error
from storenode.arguments cimport copy_text
from storenode.call cimport ARGV_KEPT, call_read, call_run
from storenode.names cimport command_find, command_find_under, command_named
from storenode.delivery cimport end_reply
from storenode.evict cimport evict_for
from storenode.guard cimport guard_refuses
from storenode.keyspace cimport key_hash
from storenode.pause cimport end_quiet, pause_holds
from storenode.pubsub cimport command_publish, command_spublish
from storenode.serve cimport serve_ready
from storenode.table cimport table_prefetch, table_prefetch_entry
from storenode.transaction cimport transaction_grows, transaction_queue, transaction_refused
from storenode.types cimport (
    AT_ONCE, CONTAINER, DENYOOM, NO_AUTH, READONLY, TRACK_CACHING, WHILE_SUBSCRIBED, WRITE, Call, Client, Node, Row,
    Slice,
)

cdef enum:
    KEY_COST = 128             # bytes a key may take beyond those of its request: header, malloc, bucket
    AHEAD_MOST = 16            # requests framed ahead of the one being executed
    SHOWN = 128                # bytes of a command and its arguments repeated in an error


cdef struct Ahead:             # a request that is framed and not executed yet
    Frame frame
    Row* row                   # NULL: not known, or not canonical
    uint64_t hash              # of its first key; 0: it has none


cdef inline Slice argument(const Frame* frame, int index) noexcept nogil:
    """One of the first ARGS_KEPT arguments of a canonical request."""
    cdef Slice text
    text.data = frame.data + frame.args[index].offset
    text.length = frame.args[index].length
    return text


cdef void refuse(Call* call, Row* row, const char* text) noexcept nogil:
    """Answer a request (row NULL: unknown) with what keeps it from being executed; a transaction is spoiled by it."""
    if row != NULL:
        row.rejected += 1
    if not transaction_refused(call, row, text):
        answer_error(call, text)


cdef void refuse_unknown(Call* call) noexcept nogil:
    """Redis's text: the name and as many of the arguments as fit into 128 bytes."""
    cdef char shown[SHOWN + 1]
    cdef char text[512]
    cdef int used, start
    cdef int index = 1
    copy_text(shown, sizeof(shown), &call.argv[0])
    used = snprintf(text, sizeof(text), b"ERR unknown command '%s', with args beginning with: ", shown)
    start = used
    while index < call.argc and used - start < SHOWN:
        copy_text(shown, SHOWN - (used - start) + 1, &call.argv[index])
        used += snprintf(text + used, sizeof(text) - used, b"'%s' ", shown)
        index += 1
    refuse(call, NULL, text)


cdef void refuse_unknown_under(Call* call, Row* row) noexcept nogil:
    cdef char shown[SHOWN + 1]
    cdef char container[24]
    cdef char text[256]
    cdef int index
    memset(container, 0, sizeof(container))
    for index in range(row.name_length):
        container[index] = row.name[index] - 32
    copy_text(shown, sizeof(shown), &call.argv[1])
    snprintf(text, sizeof(text), b"ERR unknown subcommand '%s'. Try %s HELP.", shown, container)
    refuse(call, row, text)


cdef void refuse_arity(Call* call, Row* row) noexcept nogil:
    cdef char text[128]
    snprintf(text, sizeof(text), b"ERR wrong number of arguments for '%s' command", row.name)
    refuse(call, row, text)


cdef void refuse_subscribed(Call* call, Row* row) noexcept nogil:
    cdef char text[192]
    snprintf(text, sizeof(text), b"ERR Can't execute '%s': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET "
             b"are allowed in this context", row.name)
    refuse(call, row, text)


cdef void execute(Node* node, Client* client, const Frame* frame, Row* row) noexcept nogil:
    """Run one framed, canonical request; `row` is what command_find() says of its name."""
    cdef Call* call = &node.call
    cdef const char* problem
    cdef char room[160]
    call_read(node, frame)
    call.row = NULL
    if row != NULL and row.flags & CONTAINER and call.argc > 1:
        call.row = command_find_under(node, row, &call.argv[1])
        if call.row == NULL:
            refuse_unknown_under(call, row)
            return
        row = call.row
    if row == NULL:
        refuse_unknown(call)
        return
    if (row.arity > 0 and call.argc != row.arity) or call.argc < -row.arity:
        refuse_arity(call, row)
        return
    if not client.trusted and not row.flags & NO_AUTH:
        problem = acl_check(call, row, room, sizeof(room))
        if problem != NULL:
            refuse(call, row, problem)
            return
    problem = guard_refuses(call, row) if node.guard or node.refusal != NULL else NULL
    if problem != NULL:
        refuse(call, row, problem)
        return
    if client.subscriptions and client.resp == 2 and not row.flags & WHILE_SUBSCRIBED:
        refuse_subscribed(call, row)
        return
    if client.monitoring and (row.flags & (WRITE | READONLY) or row.handler == command_publish
                              or row.handler == command_spublish):
        refuse(call, row, b"ERR Replica can't interact with the keyspace")
        return
    if (node.maxmemory and node.memory + frame.length + KEY_COST > node.maxmemory
            and (row.flags & DENYOOM or transaction_grows(client, row))
            and not evict_for(node, frame.length + KEY_COST)):
        refuse(call, row, b"OOM command not allowed when used memory > 'maxmemory'.")
        return
    client.row = row
    if client.transaction.begun and not row.flags & AT_ONCE:
        transaction_queue(call, row, frame)
        return
    call_run(call, row)
    if node.ready != NULL:
        serve_ready(node)


cdef bint execute_rewritten(Node* node, Client* client, Frame* frame, bint own) noexcept nogil:
    """Run a request that is an inline command or uses Redis's slack, by way of its canonical form.

    own: the command is called by its own name, not as clients call it.
    """
    cdef FrameLimits limits = FrameLimits(max_bulk=QUERY_BUFFER, trusted=True)
    cdef Frame canonical
    cdef Slice name
    if rewrite_request(frame, &node.rewritten, &node.chunks) == BROKEN:
        return False
    if node.rewritten.length:
        frame_reset(&canonical)
        frame_request(&canonical, node.rewritten.first.data + node.rewritten.first.head, node.rewritten.length, &limits)
        name = argument(&canonical, 0)
        execute(node, client, &canonical, command_named(node, &name) if own else command_find(node, &name))
        output_clear(&node.rewritten, &node.chunks)
    return True


cdef void execute_framed(Node* node, Client* client, Frame* frame, Output* output) noexcept nogil:
    """Run one framed request that no client has sent: one of the primary's. Its reply goes to `output`."""
    cdef Slice name
    node.call.client = client
    node.call.database = client.database
    node.call.output = output
    if frame.canonical and frame.argc:
        name = argument(frame, 0)
        execute(node, client, frame, command_named(node, &name))
    else:
        execute_rewritten(node, client, frame, True)


cdef void look_ahead(Node* node, Client* client, Ahead* batch, int count) noexcept nogil:
    """Find the rows of a batch and have the memory of its first keys fetched while the earlier ones are executed.

    The keys of independent requests lie anywhere, and waiting for memory is half of what a GET costs otherwise.
    """
    cdef Ahead* next
    cdef Slice name, key
    cdef int index
    for index in range(count):
        next = &batch[index]
        next.row = NULL
        next.hash = 0
        if next.frame.canonical and next.frame.argc:
            name = argument(&next.frame, 0)
            next.row = command_find(node, &name)
            if next.row != NULL and next.row.first == 1 and next.frame.argc > 1:
                key = argument(&next.frame, 1)
                next.hash = key_hash(client.database, &key)
                table_prefetch(&client.database.keys, next.hash)
    for index in range(count):
        if batch[index].hash:
            table_prefetch_entry(&client.database.keys, batch[index].hash)


cdef void end_caching(Node* node, Client* client) noexcept nogil:
    """CLIENT CACHING speaks of the next command, past other CLIENT commands; before EXEC, of all that follow."""
    cdef Row* row = client.row if node.call.row != NULL else NULL
    if not client.transaction.begun and (row == NULL or strncmp(row.name, b"client|", 7)):
        client.tracking &= ~TRACK_CACHING


cdef bint execute_batch(Node* node, Client* client, Ahead* batch, int count, size_t* used) noexcept nogil:
    """Run framed requests in order; adds the bytes that are done with to `used`. False: the last one was broken."""
    cdef Frame* frame
    cdef int index
    look_ahead(node, client, batch, count)
    for index in range(count):
        if client.closing or client.wait != NULL:
            break
        if client.output.length > OUTPUT_SOFT:
            client.parked = True
            break
        if node.paused_until_us and pause_holds(node, client, batch[index].row):
            client.held = True
            break
        frame = &batch[index].frame
        used[0] += frame.length
        if frame.canonical and frame.argc:
            execute(node, client, frame, batch[index].row)
        elif not execute_rewritten(node, client, frame, False):
            client.frame.error = frame.error
            return False
        if client.tracking & TRACK_CACHING:
            end_caching(node, client)
        end_reply(node)
        if client.quiet:
            end_quiet(node, client)
    return True


cdef size_t execute_requests(Node* node, Client* client, const char* data, size_t length, size_t* need) noexcept nogil:
    """Run what is complete of the `length` bytes at `data`; returns how many bytes are done with.

    Stops early when too much output is unread (client.parked), or the client is blocked or closing. need[0]: bytes that
    the next request will take, as far as known.
    """
    cdef Ahead[AHEAD_MOST] batch
    cdef FrameLimits limits = FrameLimits(max_bulk=512 << 20, trusted=client.authenticated)
    cdef char text[128]
    cdef size_t used = 0
    cdef size_t framed
    cdef int status = FRAMED
    cdef int count
    node.served = client
    node.call.client = client
    node.call.database = client.database
    node.call.output = &node.discarded if client.quiet else &client.output
    node.now_ms = <long long> (realtime_us() // 1000)
    client.parked = client.output.length > OUTPUT_SOFT
    need[0] = 0
    while used < length and status == FRAMED and not client.closing and not client.parked and client.wait == NULL \
            and not client.held:
        framed = used
        count = 0
        batch[0].frame = client.frame
        # What may be framed depends on whether an AUTH ahead of it succeeds, so before that one at a time.
        while count < (AHEAD_MOST if client.authenticated else 1) and framed < length:
            status = frame_request(&batch[count].frame, data + framed, length - framed, &limits)
            if status != FRAMED:
                client.frame = batch[count].frame
                break
            framed += batch[count].frame.length
            count += 1
            frame_reset(&client.frame)
            if count < AHEAD_MOST:
                frame_reset(&batch[count].frame)
        if not execute_batch(node, client, batch, count, &used):
            status = BROKEN
        limits.trusted = client.authenticated
        if client.parked or client.wait != NULL or client.held:
            frame_reset(&client.frame)
        elif status == BROKEN and not client.closing:
            output_append(&client.output, &node.chunks, text, protocol_error(&client.frame, text))
            node.stats.errors += 1
            client.closing = True
        elif status != FRAMED:
            need[0] = client.frame.need
    node.served = NULL
    if node.maxmemory and node.memory > node.maxmemory:
        # A SETRANGE or a growing table took more than its request let expect.
        evict_for(node, 0)
    if node.argv_room > ARGV_KEPT:
        free(node.argv)
        node.argv = NULL
        node.argv_room = 0
    return length if client.closing else used
