# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Clients: closing the named and the idle, pausing all. See clients.pxd.

Each is one walk over the engine's clients, about 10 ns a client, and none happens per request. A pause costs clients
that are not paused nothing: it is a flag of the client that takes its requests off dispatch's straight road, where
they are told to wait, as behind a barrier; bytes that arrive meanwhile are received and stay in the client's input.
"""

from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memset

from proxy.engine.client cimport client_close
from proxy.engine.launch cimport launch_all
from proxy.engine.mail cimport event_post
from proxy.engine.slots cimport client_ready, client_unread
from proxy.engine.types cimport (
    CLIENT_KNOWN, CLIENT_PARKED, CLIENT_PAUSED, EVENT_LISTED, PAUSE_NONE, Client, Core, Order, Pool,
)
from proxy.wire.output cimport Output, output_append, output_clear, output_flatten


cdef void clients_kill(Core* core, Order* order) noexcept nogil:
    """Close those whose ids are in the order's data, in rising order, and say which they were."""
    cdef const uint64_t* ids = <const uint64_t*> order.data
    cdef size_t count = order.length // sizeof(uint64_t)
    cdef Client* client = core.clients
    cdef Client* following
    cdef Output closed
    memset(&closed, 0, sizeof(closed))
    while client != NULL:
        following = client.after
        if among(ids, count, client.id):
            output_append(&closed, &core.chunks, <const char*> &client.id, sizeof(client.id))
            client_close(core, client)
        client = following
    output_flatten(&closed, &core.chunks)
    event_post(core, EVENT_LISTED, 0, 0, 1, NULL, 0, order.tag,
               NULL if closed.first == NULL else closed.first.data + closed.first.head, closed.length)
    output_clear(&closed, &core.chunks)


cdef bint among(const uint64_t* ids, size_t count, uint64_t wanted) noexcept nogil:
    """Binary search."""
    cdef size_t low = 0
    cdef size_t high = count
    cdef size_t middle
    while low < high:
        middle = (low + high) // 2
        if ids[middle] < wanted:
            low = middle + 1
        else:
            high = middle
    return low < count and ids[low] == wanted


# -- pauses -----------------------------------------------------------------------------------------------------------

cdef void clients_pause(Core* core, Pool* pool, int mode, uint64_t until_us) noexcept nogil:
    """Begin, extend or end (PAUSE_NONE) a pool's pause. Of two pauses the stricter mode and the later end count."""
    cdef Client* client = core.clients
    if mode == PAUSE_NONE:
        if pool.paused == PAUSE_NONE:
            return
        pool.paused = PAUSE_NONE
        pool.paused_until_us = 0
        pool.client_flags &= ~(<uint32_t> CLIENT_PAUSED)
        core.paused_pools -= 1
        while client != NULL:
            if client.pool == pool:
                client.flags &= ~(<uint32_t> CLIENT_PAUSED)
                if client.flags & CLIENT_PARKED:
                    client_ready(core, client)
            client = client.after
        return
    # As everything that came before: at the node, or about to be.
    launch_all(core, pool)
    if until_us > pool.paused_until_us:
        pool.paused_until_us = until_us
    if pool.paused == PAUSE_NONE:
        core.paused_pools += 1
        pool.client_flags |= CLIENT_PAUSED
        while client != NULL:
            if client.pool == pool:
                client.flags |= CLIENT_PAUSED
            client = client.after
    if mode > pool.paused:
        pool.paused = <unsigned char> mode
    core.busy = 1


cdef void clients_unpause_due(Core* core) noexcept nogil:
    """End the pauses whose time has come; while there are others, the engine does not sleep for long."""
    cdef int index
    if not core.paused_pools:
        return
    for index in range(core.pool_count):
        if core.pools[index].paused and core.now_us >= core.pools[index].paused_until_us:
            clients_pause(core, &core.pools[index], PAUSE_NONE, 0)
    if core.paused_pools:
        core.busy = 1


# -- idle clients -----------------------------------------------------------------------------------------------------

cdef void clients_close_idle(Core* core) noexcept nogil:
    """Close clients that have sent nothing for as long as their pool allows and are owed nothing. Those that the
    control plane knows wait for what others do (messages, say), and are left alone."""
    cdef Client* client
    cdef Client* following
    cdef uint64_t most
    cdef bint wanted = False
    cdef int index
    for index in range(core.pool_count):
        wanted = wanted or core.pools[index].limits.idle_us > 0
    if not wanted:
        return
    client = core.clients
    while client != NULL:
        following = client.after
        most = client.pool.limits.idle_us
        if most and core.now_us - client.active_us > most and client.head == client.tail \
                and client_unread(client) == 0 and not client.flags & (CLIENT_KNOWN | CLIENT_PARKED):
            client_close(core, client)
        client = following
