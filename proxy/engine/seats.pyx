# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Seats: taking one, and waiting for nobody. See seats.pxd."""

from libc.stdint cimport uint16_t
from libc.string cimport memcpy, memset, strlen

from proxy.engine.connection cimport conn_connect, conn_fail
from proxy.engine.private cimport privates_fail
from proxy.engine.types cimport (
    CONNS, CONN_CONNECTING, CONN_DOWN, CONN_IDLE, CONN_LOST, Conn, Core, Node, Order,
)

cdef enum:
    RUN_ID = 41                # bytes of a run_id, with its zero


cdef void seat_change(Core* core, Node* node, const Order* order) noexcept nogil:
    """The order's data: the run_id, the address for people and its zero, and a struct sockaddr; none: the seat is empty.

    What was on its way to the old process has an unknown fate. What was not sent goes to the new one.
    """
    cdef const char* address = order.data + RUN_ID
    cdef size_t length = strlen(address)
    cdef Conn* conn
    cdef int index
    # First of all: what is let go of below lets replies of other nodes leave, which are under the new lease.
    node.pool.generation = <uint16_t> order.tag
    for index in range(CONNS):
        conn = node.conns[index]
        if conn != NULL and conn.state != CONN_IDLE:
            conn_fail(core, conn, b"another node takes its place" if length else b"its pool looks for a new primary")
            conn.state = CONN_LOST
            conn.refusing = 0
            conn.failures = 0
    privates_fail(core, node, b"another node takes its place")
    node.forgets += 1
    node.subscribed = 0
    node.patient = node.primary == node.index and order.flag != 0
    memset(node.scripts, 0, sizeof(node.scripts))
    memcpy(node.expected_run, order.data, RUN_ID)
    node.socket_length = 0
    if length == 0:
        return
    if length < sizeof(node.seat):
        memcpy(node.seat, address, length + 1)
        node.address = node.seat
        if node.primary != node.index:
            node.name = node.seat
    node.socket_length = <unsigned int> (order.length - RUN_ID - length - 1)
    memcpy(node.socket_address, address + length + 1, node.socket_length)
    for index in range(CONNS):
        conn = node.conns[index]
        if conn != NULL and conn.state == CONN_LOST:
            conn_connect(core, conn)


cdef void seat_give_up(Core* core, Node* node, const char* reason) noexcept nogil:
    """No connection can be had for now: what waits for one is answered, and new requests are refused."""
    cdef int index
    cdef Conn* conn
    node.patient = 0
    for index in range(CONNS):
        conn = node.conns[index]
        if conn != NULL and conn.state == CONN_LOST:
            conn.state = CONN_CONNECTING
            conn.refusing = 1
            conn_fail(core, conn, reason)
    privates_fail(core, node, reason)
