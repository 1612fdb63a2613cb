# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Members: nodes of a cluster that come and go, and the slots that they hold. See members.pxd."""

from libc.string cimport memcmp, memcpy, memset, strlen

from proxy.engine.cluster cimport NODE_TEXT, cluster_of
from proxy.engine.connection cimport conn_ask, conn_fail
from proxy.engine.heat cimport ROLE_NONE
from proxy.engine.private cimport privates_fail
from proxy.engine.redirect cimport detours_go
from proxy.engine.types cimport (
    CLIENT_REROUTED, CONNS, CONN_DOWN, CONN_IDLE, CONN_OPEN, Client, Conn, Core, Node, Order, Pool,
)
from proxy.wire.output cimport output_append


cdef void cluster_member(Core* core, Order* order) noexcept nogil:
    """The place is another node's from here on, or nobody's, or its node has got slots, or lost them."""
    cdef Pool* pool = &core.pools[order.pool]
    cdef Node* node = &pool.nodes[order.node]
    cdef int index
    node.member = order.flag & 1
    if order.flag & 2:
        revive(pool, node)
    if node.primary != <int> order.tag:
        node.primary = <int> order.tag
        node.readable = 0
        gather(pool)
        for index in range(CONNS):
            if node.conns[index] != NULL:
                cluster_role(core, node.conns[index])
    if strlen(node.address) != order.length or memcmp(node.address, order.data, order.length) != 0:
        evict(core, node)
        memset(node.address, 0, NODE_TEXT)
        memcpy(node.address, order.data, order.length if order.length < NODE_TEXT else NODE_TEXT - 1)
    detours_go(core, pool)


cdef void gather(Pool* pool) noexcept nogil:
    """Put the replicas of each primary together."""
    cdef Node* home
    cdef int index, begin = 0
    for index in range(pool.node_count):
        pool.nodes[index].replica_count = 0
    for index in range(pool.node_count):
        pool.nodes[pool.nodes[index].primary].replica_count += pool.nodes[index].primary != index
    for index in range(pool.node_count):
        home = &pool.nodes[index]
        home.first_replica = begin
        begin += home.replica_count
        home.replica_count = 0
    for index in range(pool.node_count):
        home = &pool.nodes[pool.nodes[index].primary]
        if home.index != index:
            pool.replicas[home.first_replica + home.replica_count] = index
            home.replica_count += 1


cdef void cluster_role(Core* core, Conn* conn) noexcept nogil:
    """Have a replica answer reads on this connection, and a primary no longer, should it be a replica again one day.
    What was queued before is sent elsewhere by a node that does not take it."""
    cdef bint reader = conn.node.primary != conn.node.index
    if conn.state != CONN_OPEN or conn.reader == reader:
        return
    conn.reader = reader
    if reader:
        output_append(&conn.output, &core.chunks, b"*1\r\n$8\r\nREADONLY\r\n", 18)
        conn_ask(core, conn, 0, 0, 18, ROLE_NONE, NULL)
    else:
        output_append(&conn.output, &core.chunks, b"*1\r\n$9\r\nREADWRITE\r\n", 19)
        conn_ask(core, conn, 0, 0, 19, ROLE_NONE, NULL)


cdef void revive(Pool* pool, Node* node) noexcept nogil:
    """The cluster knows that it is there: what was thought of it before is void, and a request opens its connections."""
    cdef Conn* conn
    cdef int index
    node.ejected = 0
    pool.live[node.index] = 1
    for index in range(CONNS):
        conn = node.conns[index]
        if conn != NULL and conn.state == CONN_DOWN:
            conn.state = CONN_IDLE
            conn.refusing = 0


cdef void evict(Core* core, Node* node) noexcept nogil:
    """Forget everything about the node that was here. What it owes is answered with an error; there is hardly ever
    any, as it left the table of slots a while ago."""
    cdef Conn* conn
    cdef int index
    node.ejected = 1       # so that nothing waits for it to come back
    for index in range(CONNS):
        conn = node.conns[index]
        if conn != NULL:
            conn_fail(core, conn, b"it left the cluster")
            conn.state = CONN_IDLE
            conn.refusing = 0
            conn.failures = 0
            conn.untold = 0
    privates_fail(core, node, b"it left the cluster")
    node.ejected = 0
    node.socket_length = 0
    node.ghost_count = 0
    node.scripts_run[0] = 0
    node.subscribed = 0
    node.live_until_us = 0
    node.forgets += 1


cdef void cluster_slots(Core* core, Order* order) noexcept nogil:
    """Replace the table. Copies are void: a node that holds a slot no more does not tell of changes there."""
    cdef Pool* pool = &core.pools[order.pool]
    cdef Client* client = core.clients
    cdef int index
    if order.length != sizeof(cluster_of(pool).slots) or memcmp(cluster_of(pool).slots, order.data, order.length) == 0:
        return
    memcpy(cluster_of(pool).slots, order.data, order.length)
    for index in range(pool.node_count):
        pool.nodes[index].forgets += 1
    while client != NULL:
        if client.pool == pool and client.head != client.tail:
            client.flags |= CLIENT_REROUTED
        client = client.after
    detours_go(core, pool)
