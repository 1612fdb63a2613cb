# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Choice: one that is not refusing and has room. See choice.pxd."""

from proxy.engine.connection cimport conn_for, conn_place
from proxy.engine.refusals cimport refuse
from proxy.engine.tracking cimport tracked_conn
from proxy.engine.types cimport (
    CLIENT_TRACKING, CONN_IDLE, ERROR_BACKLOG, ERROR_NODE_DOWN, Client, Conn, Core, Node, Row,
)


cdef Conn* usable(Core* core, Client* client, Row* row, Node* node, int bulk) noexcept nogil:
    """The connection that takes this request now; NULL after the client was told why not."""
    cdef Conn* conn
    if node.ejected:
        refuse(core, client, row, ERROR_NODE_DOWN, node, b"it was ejected")
        return NULL
    if client.flags & CLIENT_TRACKING:
        return tracked_conn(core, client, row, node)
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
