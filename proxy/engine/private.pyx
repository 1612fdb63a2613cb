# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Private connections: taking, giving back, watching, losing them. See private.pxd.

One that breaks answers what was asked on it, like any other, and is then freed: nothing waits for its return. If it
watched, its client's next EXEC runs nothing (as if a watched key had changed); that is the only safe answer.
"""

from libc.stdint cimport uint32_t
from libc.stdlib cimport abort, calloc
from libc.string cimport strlen

from proxy.engine.connection cimport (
    conn_connect, conn_expect, conn_fail, conn_for, conn_free, conn_retire, conn_send, conn_tick, conn_touch,
)
from proxy.engine.refusals cimport DONE, WAIT, refuse
from proxy.engine.route cimport only_node
from proxy.engine.slots cimport slot_local, slot_push, slot_say
from proxy.engine.types cimport (
    CLIENT_BARRIER, CLIENT_BLOCKED, CLIENT_WATCHING, CONN, CONN_DOWN, CONN_OPEN, ERROR_BLOCKED, ERROR_NODE_DOWN,
    ERROR_WATCHED, ERROR_WATCH_NODE, HOLD_WAIT, HOLD_WATCH, Client, Conn, Core, Node, Row,
)
from proxy.wire.output cimport output_append, output_bulk
from proxy.wire.resp cimport Frame, write_number
from proxy.wire.system cimport MSG_DONTWAIT, MSG_PEEK, recv

cdef extern from *:
    """
    #define quench_take(p) (__atomic_fetch_add((p), 1, __ATOMIC_RELAXED))
    #define quench_give(p) ((void) __atomic_fetch_sub((p), 1, __ATOMIC_RELAXED))
    """
    uint32_t quench_take(uint32_t* at) nogil
    void quench_give(uint32_t* at) nogil


# -- taking and giving back -------------------------------------------------------------------------------------------

cdef Conn* private_take(Core* core, Client* client, Row* row, Node* node, int hold) noexcept nogil:
    """A connection to `node` for this client alone; NULL after the client was told why there is none."""
    cdef Conn* shared
    cdef Conn* conn
    cdef uint32_t* count = node.blocked if hold == HOLD_WAIT else node.watching
    cdef uint32_t most = client.pool.limits.most_blocked if hold == HOLD_WAIT else client.pool.limits.most_watching
    if node.ejected:
        refuse(core, client, row, ERROR_NODE_DOWN, node, b"it was ejected")
        return NULL
    # The shared connection is the one whose health is known, and it is there when a ghost has to be killed.
    shared = conn_for(core, node, client.protocol, client.database, 0)
    if shared.refusing:
        refuse(core, client, row, ERROR_NODE_DOWN, node, shared.why)
        return NULL
    if quench_take(count) >= most:
        quench_give(count)
        refuse(core, client, row, ERROR_BLOCKED if hold == HOLD_WAIT else ERROR_WATCHED, node, NULL)
        return NULL
    conn = spare_of(node, client)
    if conn == NULL:
        conn = private_open(core, node, client.protocol, client.database)
        if conn.state == CONN_DOWN:
            quench_give(count)
            refuse(core, client, row, ERROR_NODE_DOWN, node, conn.why)
            return NULL
    conn.owner = client
    conn.next_owned = client.privates
    client.privates = conn
    conn.released = 0
    if hold == HOLD_WAIT:
        conn.blocking = 1
        client.flags |= CLIENT_BLOCKED
    elif hold == HOLD_WATCH:
        conn.watching = 1
    else:
        conn.tracking = 1
    return conn


cdef Conn* spare_of(Node* node, Client* client) noexcept nogil:
    """One that nobody holds, of the client's protocol and database. Most pools use one of each: a short walk."""
    cdef Conn** place = &node.spares
    cdef Conn* conn
    while place[0] != NULL:
        conn = place[0]
        if conn.protocol == client.protocol and conn.database == client.database and conn.state != CONN_DOWN:
            place[0] = conn.next_spare
            return conn
        place = &conn.next_spare
    return NULL


cdef Conn* private_open(Core* core, Node* node, int protocol, int database) noexcept nogil:
    """A new one. If it cannot even begin to connect it is DOWN, and freed at the end of the turn."""
    cdef Conn* conn = <Conn*> calloc(1, sizeof(Conn))
    if conn == NULL:
        abort()
    conn.handle.kind = CONN
    conn.handle.fd = -1
    conn.node = node
    conn.protocol = <unsigned char> protocol
    conn.database = <unsigned char> database
    conn.private = 1
    conn.keeps = node.pool.cluster != NULL
    conn.retains = conn.keeps
    conn.next_private = node.privates
    if node.privates != NULL:
        node.privates.last_private = conn
    node.privates = conn
    conn_connect(core, conn)
    return conn


cdef void private_settle(Core* core, Conn* conn) noexcept nogil:
    """After replies, or before anything was asked: the wait is over when nothing is owed any more."""
    if conn.blocking and conn.head == conn.tail and conn.handle.fd >= 0:
        waited(conn)
        give_back(conn)


cdef void give_back(Conn* conn) noexcept nogil:
    """It goes to the spare ones. Replies may still be owed on it: the next client's requests come behind, in order."""
    disown(conn)
    if conn.handle.fd >= 0:
        conn.next_spare = conn.node.spares
        conn.node.spares = conn


cdef void waited(Conn* conn) noexcept nogil:
    """The wait is over."""
    cdef Conn* other = conn.owner.privates
    conn.blocking = 0
    quench_give(conn.node.blocked)
    while other != NULL:
        if other.blocking:
            return
        other = other.next_owned
    conn.owner.flags &= ~(<uint32_t> CLIENT_BLOCKED)


cdef void disown(Conn* conn) noexcept nogil:
    """Take it away from its client."""
    cdef Conn** place = &conn.owner.privates
    while place[0] != conn:
        place = &place[0].next_owned
    place[0] = conn.next_owned
    conn.next_owned = NULL
    conn.owner = NULL


# -- losing -----------------------------------------------------------------------------------------------------------

cdef void privates_drop(Core* core, Client* client) noexcept nogil:
    """The client leaves. A connection that it waits on is closed, which ends the wait at the node; a reply that is here
    already is lost with its client, exactly as in Redis."""
    cdef Conn* conn
    cdef char byte
    watch_end(core, client, True)
    while client.privates != NULL:
        conn = client.privates
        if conn.tracking:
            untrack(core, conn)
            continue
        if conn.state == CONN_OPEN and recv(conn.handle.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0:
            core.counters.lost_pops += 1
        let_go(conn)
        if conn.state != CONN_DOWN:
            conn_retire(core, conn)


cdef void let_go(Conn* conn) noexcept nogil:
    """Nobody holds it any more, however it ended."""
    if conn.owner == NULL:
        return
    if conn.blocking:
        waited(conn)
    if conn.tracking:
        conn.tracking = 0
        quench_give(conn.node.watching)
    if conn.watching:
        conn.watching = 0
        quench_give(conn.node.watching)
        if conn.owner.watch == conn:
            # CLIENT_WATCHING stays: EXEC has to know that the WATCH was lost.
            conn.owner.watch = NULL
    disown(conn)


cdef void privates_bury(Core* core) noexcept nogil:
    """Free what was lost; one that the list of touched connections still names stays for another turn."""
    cdef Conn* conn = core.lost_privates
    cdef Conn* following
    cdef Conn** place
    core.lost_privates = NULL
    while conn != NULL:
        following = conn.next_lost
        if conn.touched:
            conn.next_lost = core.lost_privates
            core.lost_privates = conn
        else:
            if conn.tracking and conn.owner.protocol == 3:
                # Whatever it would have told is lost: nothing that this client remembers is to be trusted.
                slot_local(core, conn.owner, b">2\r\n$10\r\ninvalidate\r\n_\r\n", 24)
            let_go(conn)
            place = &conn.node.spares
            while place[0] != NULL and place[0] != conn:
                place = &place[0].next_spare
            if place[0] == conn:
                place[0] = conn.next_spare
            if conn.next_private != NULL:
                conn.next_private.last_private = conn.last_private
            if conn.last_private != NULL:
                conn.last_private.next_private = conn.next_private
            else:
                conn.node.privates = conn.next_private
            conn_free(core, conn)
        conn = following


cdef void privates_tick(Core* core, Node* node) noexcept nogil:
    """Deadlines of what is not blocking; a blocking one has none once it is open."""
    cdef Conn* conn = node.privates
    while conn != NULL:
        if not (conn.blocking and conn.state == CONN_OPEN):
            conn_tick(core, conn)
            if conn.owner != NULL:
                core.busy = 1
        conn = conn.next_private


cdef void privates_fail(Core* core, Node* node, const char* reason) noexcept nogil:
    """The node is taken out of service: nobody may wait there."""
    cdef Conn* conn = node.privates
    while conn != NULL:
        conn_fail(core, conn, reason)
        conn = conn.next_private


cdef void private_unblock(Core* core, Conn* conn) noexcept nogil:
    """Have the node end the wait as if its time were up; the client gets the node's own reply. No element is lost."""
    cdef Conn* shared
    cdef char number[32]
    cdef size_t start
    if conn.released or not conn.blocking or not conn.id:
        return
    shared = conn_for(core, conn.node, conn.protocol, conn.database, 0)
    if shared.refusing:
        return
    conn.released = 1
    start = shared.output.length
    output_append(&shared.output, &core.chunks, b"*3\r\n$6\r\nCLIENT\r\n$7\r\nUNBLOCK\r\n", 29)
    output_bulk(&shared.output, &core.chunks, number, write_number(number, conn.id) - 2)
    conn_expect(core, shared, NULL, 0, 0, 0, shared.output.length - start)
    conn_touch(core, shared)


cdef void private_follow(Core* core, Conn* conn, Client* client) noexcept nogil:
    """Its client has changed protocol or database since."""
    cdef char number[32]
    if conn.protocol != client.protocol:
        conn.protocol = client.protocol
        private_tell(core, conn, b"*2\r\n$5\r\nHELLO\r\n", number, write_number(number, client.protocol) - 2)
    if conn.database != client.database:
        conn.database = client.database
        private_tell(core, conn, b"*2\r\n$6\r\nSELECT\r\n", number, write_number(number, client.database) - 2)


cdef void private_tell(Core* core, Conn* conn, const char* start, const char* last, size_t length) noexcept nogil:
    """A command of our own, without its last argument and that; its reply is dropped."""
    cdef size_t before = conn.output.length
    output_append(&conn.output, &core.chunks, start, strlen(start))
    output_bulk(&conn.output, &core.chunks, last, length)
    conn_expect(core, conn, NULL, 0, 0, 0, conn.output.length - before)
    conn_touch(core, conn)


cdef void untrack(Core* core, Conn* conn) noexcept nogil:
    """Its client tracks no more, or is no more."""
    conn.tracking = 0
    quench_give(conn.node.watching)
    if conn.handle.fd >= 0:
        private_tell(core, conn, b"*3\r\n$6\r\nCLIENT\r\n$8\r\nTRACKING\r\n", b"OFF", 3)
    give_back(conn)


# -- WATCH ------------------------------------------------------------------------------------------------------------

cdef int watch(Core* core, Client* client, Row* row, Frame* frame) noexcept nogil:
    """WATCH key …: all of them, and those watched before, on one node."""
    cdef Node* node
    cdef uint32_t slot
    if client.transaction != NULL:
        slot_say(core, client, b"-ERR WATCH inside MULTI is not allowed\r\n")
        return DONE
    if client.head != client.tail:
        return WAIT
    node = only_node(core, client, row, frame)
    if node == NULL:
        return DONE
    if client.watch != NULL and client.watch.node != node:
        return refuse(core, client, row, ERROR_WATCH_NODE, NULL, NULL)
    if not client.flags & CLIENT_WATCHING:
        client.watch = private_take(core, client, row, node, HOLD_WATCH)
        if client.watch == NULL:
            return DONE
        client.flags |= CLIENT_WATCHING
    core.row_stats[row.index].calls += 1
    client.flags |= CLIENT_BARRIER
    if watch_conn(core, client) == NULL:
        # Watched before, and lost: this transaction is void whatever is watched now.
        slot_say(core, client, b"+OK\r\n")
        return DONE
    slot = slot_push(core, client, row.index)
    node.requests += 1
    conn_send(core, client.watch, client, slot, 0, row.index, frame.data, frame.length)
    return DONE


cdef int unwatch(Core* core, Client* client, Row* row) noexcept nogil:
    core.row_stats[row.index].calls += 1
    watch_end(core, client, True)
    slot_say(core, client, b"+OK\r\n")
    return DONE


cdef Conn* watch_conn(Core* core, Client* client) noexcept nogil:
    """The connection with the client's WATCH, in its protocol and database of now; NULL when it was lost."""
    cdef Conn* conn = client.watch
    if conn == NULL or conn.state == CONN_DOWN:
        return NULL
    private_follow(core, conn, client)
    return conn


cdef void watch_end(Core* core, Client* client, bint tell_node) noexcept nogil:
    """The client watches no more. `tell_node`: no EXEC, which would end the WATCH, is on its way."""
    cdef Conn* conn = client.watch
    client.flags &= ~(<uint32_t> CLIENT_WATCHING)
    client.watch = NULL
    if conn == NULL:
        return
    conn.watching = 0
    quench_give(conn.node.watching)
    if tell_node and conn.handle.fd >= 0:
        conn_expect(core, conn, NULL, 0, 0, 0, 17)
        output_append(&conn.output, &core.chunks, b"*1\r\n$7\r\nUNWATCH\r\n", 17)
        conn_touch(core, conn)
    give_back(conn)
