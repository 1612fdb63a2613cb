# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Mail: allocating and posting. See mail.pxd.

Both boxes are bounded. An event that does not fit is dropped and counted; for a request of the control lane the
caller answers the client with an error instead, so nobody waits for an answer that will not come.
"""

from libc.stdint cimport uint32_t, uint64_t
from libc.stdlib cimport abort, free, malloc
from libc.string cimport memcpy, memset, strlen

from proxy.engine.types cimport EVENT_OPEN, Client, Conn, Core, Event, Order
from proxy.wire.mailbox cimport mailbox_post


cdef enum:
    TELL_US = 50000


cdef bint event_post(Core* core, int kind, int pool, int node, int code, Client* client, uint32_t slot, uint64_t tag,
                     const char* data, size_t length) noexcept nogil:
    """Post an event with a copy of `data`; False when the box is full."""
    cdef Event* event = <Event*> malloc(sizeof(Event) + length + 1)
    if event == NULL:
        abort()
    event.kind = kind
    event.pool = pool
    event.node = node
    event.code = code
    event.client = client
    event.slot = slot
    event.tag = tag
    event.length = <uint32_t> length
    event.data = <char*> (event + 1)
    if length:
        memcpy(event.data, data, length)
    event.data[length] = 0
    if not mailbox_post(&core.events, event):
        free(event)
        core.counters.events_dropped += 1
        return False
    core.posted = 1
    return True


cdef void event_node(Core* core, int kind, Conn* conn, const char* reason) noexcept nogil:
    """Post what happened to a node connection; `code` is its failures in a row, `tag` whether it is unusable now.

    What does not end the connection is told at most once in TELL_US: a node may fail a million requests a second.
    """
    if kind != EVENT_OPEN and conn.handle.fd >= 0:
        if core.now_us - conn.told_us < TELL_US:
            return
        conn.told_us = core.now_us
    conn.untold = not event_post(
        core, kind, conn.node.pool.index, conn.node.index, <int> conn.failures, NULL, 0,
        1 if conn.handle.fd < 0 else 0, reason, 0 if reason == NULL else strlen(reason))


cdef Order* order_new(int kind, const char* data, size_t length) noexcept nogil:
    """An order with a copy of `data`, or (NULL) with room for as much; the engine frees it."""
    cdef Order* order = <Order*> malloc(sizeof(Order) + length + 1)
    if order == NULL:
        abort()
    memset(order, 0, sizeof(Order))
    order.kind = kind
    order.data = <char*> (order + 1)
    order.length = <uint32_t> length
    if length and data != NULL:
        memcpy(order.data, data, length)
    order.data[length] = 0
    return order
