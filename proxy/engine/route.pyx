# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Route: the node of all keys of a request; a connection that is not refusing. See route.pxd."""

from proxy.engine.connection cimport conn_for, conn_place
from proxy.engine.keys cimport keys_find
from proxy.engine.refusals cimport refuse
from proxy.engine.types cimport (
    CONN_IDLE, ERROR_BACKLOG, ERROR_NODE_DOWN, Client, Conn, Core, Node, Row,
)
from proxy.wire.resp cimport Frame


cdef int node_of(Core* core, Client* client, Row* row, Frame* frame) noexcept nogil:
    """The node where all keys of a request live, or one of the NODE_ constants."""
    cdef int count, index, node, found
    if row.key:
        return home(core, client.pool, frame.data + frame.args[row.key].offset, frame.args[row.key].length)
    count = keys_find(core, row, frame)
    if count <= 0:
        return NODE_ANY
    found = NODE_ANY
    for index in range(count):
        node = home(core, client.pool, core.keys[index].data, core.keys[index].length)
        if node < 0:
            return NODE_NONE
        if found >= 0 and node != found:
            return NODE_SEVERAL
        found = node
    return found


cdef Conn* usable(Core* core, Client* client, Row* row, Node* node, int bulk) noexcept nogil:
    """The connection that takes this request now; NULL after the client was told why not."""
    cdef Conn* conn
    if node.ejected:
        refuse(core, client, row, ERROR_NODE_DOWN, node, b"it was ejected")
        return NULL
    conn = node.conns[conn_place(client.protocol, client.database, bulk)]
    if conn == NULL or conn.state == CONN_IDLE:
        conn = conn_for(core, node, client.protocol, client.database, bulk)
    if conn.refusing:
        refuse(core, client, row, ERROR_NODE_DOWN, node, conn.why)
        return NULL
    if conn.output.length > client.pool.limits.backlog:
        refuse(core, client, row, ERROR_BACKLOG, node, conn.why)
        return NULL
    return conn
