# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Again: which reads may be asked again, and their two Pendings. See again.pxd."""

from libc.stdint cimport int32_t, uint32_t, uint64_t
from libc.stdlib cimport abort, free, malloc
from libc.string cimport memcpy, memset, strncpy

from proxy.engine.heat cimport ROLE_AGAIN, ROLE_NONE, Fetch, Waiter
from proxy.engine.retained cimport retained_find
from proxy.engine.slots cimport client_release
from proxy.engine.sources cimport Sources, anybody, sources_of
from proxy.engine.types cimport (
    CLIENT_TRACKING, CLIENT_WATCHING, DEAD, ERROR_LOST_READ, ROW_READ, SLOT_CHUNK, SLOT_HELD, Client, Conn, Core, Pending,
    ReadRules, Slot,
)
from proxy.wire.chunk cimport Chunk


# -- order ----------------------------------------------------------------------------------------------------------------

cdef inline bint failed(const Client* client, const Slot* slot) noexcept nogil:
    """Is an error what it was answered, and waits to be told?"""
    if slot.state == SLOT_HELD:
        return slot.length > 0 and client.held.data[slot.at] == c'-'
    if slot.state == SLOT_CHUNK:
        return (<Chunk*> slot.at).data[(<Chunk*> slot.at).head] == c'-'
    return False


cdef bint again_wrote(Core* core, Client* client, uint32_t key, uint32_t before) noexcept nogil:
    """Is there a request of this client in its queue that may write the key (0: any)? `before`: the read's own slot.

    An earlier one that failed is none: of what the read should have found nothing was said. A later one that failed may
    have been executed, and is not to be found. With copies on the ring no earlier one is: it went to every node that may be
    asked, ahead of the read and by the same connection.
    """
    cdef uint32_t number = client.head
    cdef Slot* slot
    while number != client.tail:
        slot = &client.slots[number & client.mask]
        if number != before and core.rows[slot.row].flags & ROW_CHANGES and (
                key == 0 or slot.key == 0 or slot.key == key):
            if <int32_t> (number - before) > 0 or not (client.pool.copies or failed(client, slot)):
                return True
        number += 1
    return False


cdef bint again_reads(Core* core, Client* client) noexcept nogil:
    """Is there an unanswered read of core.key (0: any) that may be answered by another node than the key's own?"""
    cdef uint32_t number = client.head
    cdef Slot* slot
    while number != client.tail and number != client.apart_end:
        slot = &client.slots[number & client.mask]
        if core.rows[slot.row].flags & ROW_READ and (core.key == 0 or slot.key == 0 or slot.key == core.key):
            return True
        number += 1
    return False


# -- coming and going -------------------------------------------------------------------------------------------------------

cdef inline void give_up_with(Again* again, int kind, const char* why) noexcept nogil:
    """What is said when nobody can answer it."""
    again.kind = <unsigned char> kind
    if why != NULL:
        strncpy(again.why, why, sizeof(again.why) - 1)


cdef Again* again_new(Core* core, Conn* conn, Client* client, uint32_t slot, uint32_t part, uint16_t row, uint32_t start,
                      const char* data, size_t length) noexcept nogil:
    """A read that was asked on `conn` and may be asked again; NULL: it may not. The caller's reference to the client
    becomes the Again's."""
    cdef ReadRules* rules = &conn.node.pool.reads
    cdef Again* again
    cdef Slot* place
    cdef Sources sources
    cdef size_t size = sizeof(Again) + length
    if data == NULL or client.handle.kind == DEAD or client.flags & (CLIENT_WATCHING | CLIENT_TRACKING):
        return NULL
    if again_before(client, client.write_end) and again_wrote(core, client, client.slots[slot & client.mask].key, slot):
        return NULL
    if rules.retained + size > rules.retained_limit:
        core.counters.reads_let_go += 1
        return NULL
    sources_of(core, conn.node, row, data, length, &sources)
    if not anybody(core, &sources, conn.protocol, conn.database):
        return NULL
    again = <Again*> malloc(size)
    if again == NULL:
        abort()
    memset(again, 0, sizeof(Again))
    rules.retained += size
    again.sources = sources
    give_up_with(again, ERROR_LOST_READ, b"nobody answers it")
    again.client = client
    again.conn = conn
    again.last = conn
    again.slot = slot
    again.part = part
    again.start = start
    again.row = row
    again.tries = 1
    again.length = <uint32_t> length
    memcpy(again + 1, data, length)
    if core.last_again == NULL:
        core.agains = again
    else:
        (<Again*> core.last_again).next = again
    core.last_again = again
    client.apart_end = client.tail
    # What joined a read waits for it no longer: see fence.pxd.
    place = &client.slots[slot & client.mask]
    client.doubts -= place.doubt
    place.doubt = 0
    return again


cdef Again* again_pending(Core* core, Conn* conn, Pending* pending, uint64_t place) noexcept nogil:
    """That, of a plain read, whose bytes are at `place` of the connection's stream. The Pending has no client then."""
    cdef Again* again
    if not conn.node.pool.retains or pending.client == NULL or pending.role != ROLE_NONE:
        return NULL
    if not core.rows[pending.row].flags & ROW_READ:
        return NULL
    again = again_new(core, conn, pending.client, pending.slot, pending.part, pending.row, pending.start,
                      retained_find(core, conn, place, pending.size), pending.size)
    if again != NULL:
        pending.client = NULL
    return again


cdef bint again_take(Core* core, Conn* conn, Pending* pending, uint64_t place, int kind, const char* why) noexcept nogil:
    """A request failed, and would be answered with this error: True if it is asked again instead."""
    cdef Again* again
    again = again_pending(core, conn, pending, place)
    if again == NULL:
        return False
    give_up_with(again, kind, why)
    core.agains_due = 1
    return True


cdef void again_waiters(Core* core, Conn* conn, Fetch* fetch, int kind, const char* why) noexcept nogil:
    """A fetch failed: whoever of those that wait for it may ask again by himself does, and waits for it no longer."""
    cdef uint32_t index, left = 0, exact = 0
    cdef Waiter* waiter
    cdef Again* again
    if not conn.node.pool.retains:
        return
    for index in range(fetch.waiters.count):
        waiter = &fetch.waiters.list[index]
        if waiter.again != NULL:
            give_up_with(<Again*> waiter.again, kind, why)
            again_lost(core, <Again*> waiter.again)
            continue
        again = again_new(core, conn, waiter.client, waiter.slot, 0, fetch.row, <uint32_t> fetch.sent_us,
                          <const char*> (fetch + 1), fetch.asked)
        if again == NULL:
            fetch.waiters.list[left] = waiter[0]
            left += 1
            exact += index < fetch.exact
        else:
            give_up_with(again, kind, why)
            core.agains_due = 1
    fetch.waiters.count = left
    fetch.exact = exact


cdef void again_lost(Core* core, Again* again) noexcept nogil:
    """One of its Pendings will not answer."""
    again.pendings -= 1
    if again.pendings == 0 and again.client != NULL:
        core.agains_due = 1


cdef inline void hand_over(Again* again, Pending* pending) noexcept nogil:
    pending.client = again.client
    pending.slot = again.slot
    pending.part = again.part
    pending.start = again.start
    again.client = NULL


cdef Client* again_told(Again* again) noexcept nogil:
    """The fetch that it waits for is answered: whom to tell, with a reference to him; NULL: he was told already."""
    cdef Client* client = again.client
    again.client = NULL
    again.pendings -= 1
    return client


cdef bint again_answered(Core* core, Conn* conn, Pending* pending, bint sick) noexcept nogil:
    """The reply to one of its Pendings, taken off the ring: True if it is the client's, which the Pending names then.
    `sick`: it is an error of a node that serves nobody now, and another one may be better off."""
    cdef Again* again = <Again*> pending.cool
    pending.role = ROLE_NONE
    again.pendings -= 1
    if again.client == NULL:
        core.counters.late_replies += 1
        return False
    if sick and (again.pendings or again.tries < TRIES and anybody(core, &again.sources, conn.protocol, conn.database)):
        core.agains_due = 1
        return False
    if again.hedge and conn != again.conn:
        core.counters.hedges_won += 1
        conn.node.hedges_won += 1
    hand_over(again, pending)
    return True


cdef void again_leave(Pending* pending) noexcept nogil:
    """The last of its Pendings, taken off the ring, goes on as a plain request."""
    cdef Again* again = <Again*> pending.cool
    pending.role = ROLE_NONE
    again.pendings -= 1
    hand_over(again, pending)


cdef void again_free(Core* core, Again* again) noexcept nogil:
    """Nothing names it."""
    again.conn.node.pool.reads.retained -= sizeof(Again) + again.length
    if again.client != NULL:
        client_release(core, again.client)
    free(again)


cdef void agains_close(Core* core) noexcept nogil:
    """The end of the engine, whose connections are gone."""
    cdef Again* again
    while core.agains != NULL:
        again = <Again*> core.agains
        core.agains = again.next
        if again.client != NULL:
            client_release(core, again.client)
        free(again)
    free(core.kept)
