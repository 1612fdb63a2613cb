# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Tracking: CLIENT TRACKING, CACHING, GETREDIR and TRACKINGINFO. See tracking.pxd."""

from libc.stdint cimport uint32_t
from libc.stdlib cimport abort, free, malloc
from libc.string cimport memcpy

from proxy.engine.connection cimport conn_expect, conn_for, conn_send, conn_touch
from proxy.engine.lookup cimport same_word
from proxy.engine.merge cimport merge_new
from proxy.engine.private cimport private_follow, private_take, private_tell, untrack
from proxy.engine.refusals cimport DONE, WAIT, refuse, refuse_text
from proxy.engine.slots cimport slot_push, slot_say
from proxy.engine.types cimport (
    ANSWER_CACHING, ANSWER_GETREDIR, ANSWER_TRACKING, CACHING_FRESH, CACHING_NO, CACHING_YES, CLIENT, CLIENT_BARRIER,
    CLIENT_TRACKING, CONN_DOWN, ERROR_BACKLOG, ERROR_NO_NODE, ERROR_REDIRECT, HOLD_TRACK, LANE_MSET, SLOT_MERGING, TRACKING_BCAST,
    TRACKING_OPTIN, TRACKING_OPTOUT, Client, Conn, Core, Merge, Node, Row,
)
from proxy.wire.output cimport output_append
from proxy.wire.resp cimport Frame, args_begin, args_next


cdef int track(Core* core, Client* client, Row* row, Frame* frame) noexcept nogil:
    """One command of the family; each is a barrier."""
    if client.head != client.tail:
        return WAIT
    core.row_stats[row.index].calls += 1
    if row.answer == ANSWER_TRACKING:
        return tracking(core, client, row, frame)
    if row.answer == ANSWER_CACHING:
        return caching(core, client, row, frame)
    if row.answer == ANSWER_GETREDIR:
        slot_say(core, client, b":0\r\n" if client.tracking != NULL else b":-1\r\n")
        return DONE
    return info(core, client, row, frame)


cdef int tracking(Core* core, Client* client, Row* row, Frame* frame) noexcept nogil:
    """CLIENT TRACKING ON | OFF [REDIRECT id] [PREFIX prefix …] [BCAST] [OPTIN] [OPTOUT] [NOLOOP]: the nodes judge it."""
    cdef const char* at = args_begin(frame)
    cdef const char* text
    cdef size_t length
    cdef unsigned int index
    cdef uint32_t mode = 0
    cdef bint on = False
    for index in range(frame.argc):
        at = args_next(at, &text, &length)
        if index == 2:
            on = same_word(text, length, b"on")
            if not on and not same_word(text, length, b"off"):
                return refuse_text(core, client, row, b"-ERR syntax error\r\n")
        elif index > 2:
            if same_word(text, length, b"redirect"):
                return refuse(core, client, row, ERROR_REDIRECT, NULL, NULL)
            mode |= (TRACKING_OPTIN if same_word(text, length, b"optin") else 0)
            mode |= (TRACKING_OPTOUT if same_word(text, length, b"optout") else 0)
            mode |= (TRACKING_BCAST if same_word(text, length, b"bcast") else 0)
    if not on:
        track_end(core, client)
        slot_say(core, client, b"+OK\r\n")
        return DONE
    if client.tracking == NULL:
        client.tracking_mode = <unsigned char> mode
        client.flags |= CLIENT_TRACKING
    if client.tracking == NULL or mode == client.tracking_mode:
        free(client.tracking)
        client.tracking_length = <uint32_t> frame.length
        client.tracking = <char*> malloc(frame.length)
        if client.tracking == NULL:
            abort()
        memcpy(client.tracking, frame.data, frame.length)
    return ask_nodes(core, client, row, frame)


cdef int ask_nodes(Core* core, Client* client, Row* row, Frame* frame) noexcept nogil:
    """Send the request to every node that serves; one refusal is the reply. A node that is down is told when it is used.

    All connections are taken first: what is refused is refused before anything was sent.
    """
    cdef Node* node
    cdef Conn* conn
    cdef Merge* merge
    cdef uint32_t slot
    cdef int index
    for index in range(client.pool.node_count):
        node = &client.pool.nodes[index]
        if not node.member or held_for(client, node) != NULL:
            continue
        if node.ejected or conn_for(core, node, client.protocol, client.database, 0).refusing:
            if index + 1 < client.pool.node_count or client.privates != NULL:
                continue
        if private_take(core, client, row, node, HOLD_TRACK) == NULL:
            track_end(core, client)
            return DONE
    if client.privates == NULL:
        track_end(core, client)
        return refuse(core, client, row, ERROR_NO_NODE, NULL, NULL)
    merge = merge_new(core, LANE_MSET, False, 0)
    slot = slot_push(core, client, row.index)
    client.slots[slot & client.mask].state = SLOT_MERGING
    client.slots[slot & client.mask].at = <size_t> merge
    conn = client.privates
    while conn != NULL:
        if conn.tracking and conn.state != CONN_DOWN:
            private_follow(core, conn, client)
            conn_send(core, conn, client, slot, merge.parts, row.index, frame.data, frame.length)
            merge.parts += 1
            merge.waiting += 1
        conn = conn.next_owned
    client.flags |= CLIENT_BARRIER
    return DONE


cdef Conn* held_for(Client* client, Node* node) noexcept nogil:
    """The connection that tells this client of that node's keys; NULL: none, or none any more."""
    cdef Conn* conn = client.privates
    while conn != NULL:
        if conn.tracking and conn.node == node and conn.state != CONN_DOWN:
            return conn
        conn = conn.next_owned
    return NULL


cdef Conn* tracked_conn(Core* core, Client* client, Row* row, Node* node) noexcept nogil:
    """Where a request of a tracking client goes; NULL after it was told why not."""
    cdef Conn* conn = held_for(client, node)
    if conn == NULL:
        conn = private_take(core, client, row, node, HOLD_TRACK)
        if conn == NULL:
            return NULL
        conn_expect(core, conn, NULL, 0, 0, 0, client.tracking_length)
        output_append(&conn.output, &core.chunks, client.tracking, client.tracking_length)
        conn_touch(core, conn)
    private_follow(core, conn, client)
    if conn.output.length > client.pool.limits.backlog:
        refuse(core, client, row, ERROR_BACKLOG, node, conn.why)
        return NULL
    if client.caching & CACHING_YES:
        private_tell(core, conn, b"*3\r\n$6\r\nCLIENT\r\n$7\r\nCACHING\r\n", b"YES", 3)
    elif client.caching & CACHING_NO:
        private_tell(core, conn, b"*3\r\n$6\r\nCLIENT\r\n$7\r\nCACHING\r\n", b"NO", 2)
    return conn


cdef int caching(Core* core, Client* client, Row* row, Frame* frame) noexcept nogil:
    """CLIENT CACHING YES | NO: a wish for the next request, said to the node that gets it."""
    cdef const char* at = args_begin(frame)
    cdef const char* text
    cdef size_t length
    at = args_next(at, &text, &length)
    at = args_next(at, &text, &length)
    at = args_next(at, &text, &length)
    if client.tracking == NULL:
        return refuse_text(core, client, row, b"-ERR CLIENT CACHING can be called only when the client is in "
                           b"tracking mode with OPTIN or OPTOUT mode enabled\r\n")
    if same_word(text, length, b"yes"):
        if not client.tracking_mode & TRACKING_OPTIN:
            return refuse_text(core, client, row, b"-ERR CLIENT CACHING YES is only valid when tracking is enabled in "
                               b"OPTIN mode.\r\n")
        client.caching = CACHING_YES | CACHING_FRESH
    elif same_word(text, length, b"no"):
        if not client.tracking_mode & TRACKING_OPTOUT:
            return refuse_text(core, client, row, b"-ERR CLIENT CACHING NO is only valid when tracking is enabled in "
                               b"OPTOUT mode.\r\n")
        client.caching = CACHING_NO | CACHING_FRESH
    else:
        return refuse_text(core, client, row, b"-ERR syntax error\r\n")
    slot_say(core, client, b"+OK\r\n")
    return DONE


cdef int info(Core* core, Client* client, Row* row, Frame* frame) noexcept nogil:
    """CLIENT TRACKINGINFO: as a node has it."""
    cdef Conn* conn = client.privates
    cdef uint32_t slot
    while conn != NULL and not conn.tracking:
        conn = conn.next_owned
    if conn == NULL or client.tracking == NULL:
        if client.protocol == 3:
            slot_say(core, client, b"%3\r\n$5\r\nflags\r\n~1\r\n$3\r\noff\r\n$8\r\nredirect\r\n:-1\r\n"
                b"$8\r\nprefixes\r\n*0\r\n")
        else:
            slot_say(core, client, b"*6\r\n$5\r\nflags\r\n*1\r\n$3\r\noff\r\n$8\r\nredirect\r\n:-1\r\n"
                b"$8\r\nprefixes\r\n*0\r\n")
        return DONE
    slot = slot_push(core, client, row.index)
    conn_send(core, conn, client, slot, 0, row.index, frame.data, frame.length)
    return DONE


cdef void track_end(Core* core, Client* client) noexcept nogil:
    """Tracking is off: the connections are given back."""
    cdef Conn* conn = client.privates
    cdef Conn* following
    while conn != NULL:
        following = conn.next_owned
        if conn.tracking:
            untrack(core, conn)
        conn = following
    free(client.tracking)
    client.tracking = NULL
    client.caching = 0
    client.flags &= ~(<uint32_t> CLIENT_TRACKING)
