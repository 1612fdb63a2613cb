# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Fetch: joining it, answering who joined, making a copy of what it brought. See fetch.pxd."""

from libc.stdint cimport uint32_t, uint64_t
from libc.stdlib cimport abort, calloc, free, malloc, realloc
from libc.string cimport memchr, memcpy, memmove, memset

from proxy.engine.again cimport Again, again_lost, again_told
from proxy.engine.copies cimport copy_store
from proxy.engine.fence cimport fence_doubt
from proxy.engine.heat cimport Fetch, HotKey, Waiter, Waiters, heat_of
from proxy.engine.marks cimport marks_sum, quench_load_word
from proxy.engine.slots cimport client_release, slot_fill, slot_push
from proxy.engine.types cimport DEAD, ROW_GET, Client, Conn, Core, HotRule, Row, Slot
from proxy.wire.resp cimport Frame, read_number

cdef enum:
    FIRST_WAITERS = 8


cdef Fetch* fetch_new(Core* core, HotKey* key, Conn* conn, uint32_t row, int protocol, int database,
                      const char* request, size_t length) noexcept nogil:
    """A fetch of these bytes that nobody waits for yet, and that may be joined by who asks for `key` (unless NULL)."""
    cdef Fetch* fetch = <Fetch*> calloc(1, sizeof(Fetch) + length)
    if fetch == NULL:
        abort()
    core.order += 1
    fetch.order = core.order
    fetch.conn = conn
    fetch.flushes = conn.flushes
    fetch.row = row
    fetch.protocol = protocol
    fetch.database = database
    fetch.asked = <uint32_t> length
    memcpy(fetch + 1, request, length)
    fetch.sent_us = core.now_us
    fetch.forgets = quench_load_word(&core.peers.forgets)
    fetch.node_forgets = conn.node.forgets
    if key != NULL:
        fetch.key = key
        fetch.hash = key.hash
        fetch.marks = marks_sum(core, key.hash)
        fetch.next = key.fetches
        key.fetches = fetch
    return fetch


cdef void fetch_shield(Fetch* fetch, const HotRule* rule, const Row* row, const Frame* frame, uint64_t hash) noexcept nogil:
    """If the rule says so and the key is missing, one of those who fetch it loads it."""
    fetch.hash = hash
    if rule.shield_us and row.flags & ROW_GET:
        fetch.shield = rule
        fetch.key_at = frame.args[row.key].offset
        fetch.key_length = frame.args[row.key].length


cdef void waiters_add(Waiters* waiters, Client* client, uint32_t slot, bint doubt) noexcept nogil:
    """Owe the client an answer at this slot. `doubt`: it may be of a later moment than what is here will be."""
    if waiters.count == waiters.room:
        waiters.room = 2 * waiters.room if waiters.room else FIRST_WAITERS
        waiters.list = <Waiter*> realloc(waiters.list, waiters.room * sizeof(Waiter))
        if waiters.list == NULL:
            abort()
    waiters.list[waiters.count].client = client
    waiters.list[waiters.count].again = NULL
    waiters.list[waiters.count].slot = slot
    waiters.count += 1
    client.references += 1
    if doubt and client.handle.kind != DEAD:
        fence_doubt(client, slot)


cdef void waiters_tell(Core* core, Waiters* waiters, uint32_t start, uint32_t end, const char* data,
                       size_t length) noexcept nogil:
    """Answer those from `start` to `end`; `data` NULL: with nil, in each one's protocol. They stay in the list."""
    cdef Client* client
    cdef Slot* slot
    cdef uint32_t index
    for index in range(start, end):
        client = waiters.list[index].client
        if waiters.list[index].again != NULL:
            client = again_told(<Again*> waiters.list[index].again)
            if client == NULL:
                continue
        if client.handle.kind == DEAD:
            client_release(core, client)
            continue
        client.references -= 1
        slot = &client.slots[waiters.list[index].slot & client.mask]
        client.doubts -= slot.doubt
        slot.doubt = 0
        if data != NULL:
            slot_fill(core, client, waiters.list[index].slot, data, length)
        elif client.protocol == 3:
            slot_fill(core, client, waiters.list[index].slot, b"_\r\n", 3)
        else:
            slot_fill(core, client, waiters.list[index].slot, b"$-1\r\n", 5)


cdef void fetch_join(Core* core, Fetch* fetch, Client* client, bint exact) noexcept nogil:
    """Owe this client what the fetch brings."""
    cdef uint32_t number = slot_push(core, client, fetch.row)
    client.slots[number & client.mask].length = fetch.order
    waiters_add(&fetch.waiters, client, number, not exact)
    if exact:
        fetch.exact = fetch.waiters.count


cdef void unlink_from(HotKey* key, Fetch* fetch) noexcept nogil:
    cdef Fetch** place = &key.fetches
    while place[0] != fetch:
        place = &place[0].next
    place[0] = fetch.next


cdef void fetches_detach(HotKey* key) noexcept nogil:
    """The key is hot no longer; who waits is answered all the same."""
    cdef Fetch* fetch = key.fetches
    while fetch != NULL:
        fetch.key = NULL
        fetch.storing = 0
        fetch.filling = 0
        fetch = fetch.next
    key.fetches = NULL


cdef bint fetch_holds(Core* core, Fetch* fetch) noexcept nogil:
    """Was the key not written since the fetch was queued, as far as this process can know?"""
    if fetch.key == NULL or fetch.marks != marks_sum(core, fetch.key.hash):
        return False
    if fetch.forgets != quench_load_word(&core.peers.forgets) or fetch.node_forgets != fetch.conn.node.forgets:
        return False
    return not fetch.tracked or core.now_us < fetch.conn.node.live_until_us


cdef void fetch_tell(Core* core, Fetch* fetch, const char* data, size_t length) noexcept nogil:
    """The same answer for all: an error of our own, or what cannot become a copy."""
    waiters_tell(core, &fetch.waiters, 0, fetch.waiters.count, data, length)
    fetch.waiters.count = 0
    fetch.exact = 0
    fetch.storing = 0
    fetch.filling = 0
    fetch.over = 1


cdef Fetch* fetch_move(Core* core, Fetch* fetch, HotKey* key, Conn* conn) noexcept nogil:
    """A fetch of the same for all who wait, to be sent."""
    cdef Fetch* again = fetch_new(core, key, conn, fetch.row, fetch.protocol, fetch.database,
                                  <const char*> (fetch + 1), fetch.asked)
    again.waiters = fetch.waiters
    again.exact = fetch.waiters.count
    again.shield = fetch.shield
    again.hash = fetch.hash
    again.key_at = fetch.key_at
    again.key_length = fetch.key_length
    memset(&fetch.waiters, 0, sizeof(Waiters))
    return again


cdef Fetch* again_for(Core* core, Fetch* fetch) noexcept nogil:
    """That, of the same connection, for those who have asked nobody else; NULL if there are none."""
    fetch_leave(core, fetch)
    return fetch_move(core, fetch, NULL, fetch.conn) if fetch.waiters.count else NULL


cdef void fetch_leave(Core* core, Fetch* fetch) noexcept nogil:
    """Who has asked another node, too, waits for that one alone."""
    cdef uint32_t index, left = 0, exact = 0
    for index in range(fetch.waiters.count):
        if fetch.waiters.list[index].again != NULL:
            again_lost(core, <Again*> fetch.waiters.list[index].again)
        else:
            fetch.waiters.list[left] = fetch.waiters.list[index]
            left += 1
            exact += index < fetch.exact
    fetch.waiters.count = left
    fetch.exact = exact


cdef Fetch* fetch_value(Core* core, Fetch* fetch, const char* data, size_t length) noexcept nogil:
    """The reply to the read. Returns a fetch to be sent for those whom it does not serve, or NULL.

    Who joined on the way waits a little longer, for the reply to PTTL: the key's time may have been up when he asked.
    """
    cdef bint holds = fetch_holds(core, fetch)
    if fetch.key != NULL:
        fetch.key.size = length
        if fetch.waiters.count:
            fetch.key.joined += fetch.waiters.count - 1
    if data[0] == c'-' and holds:
        fetch_tell(core, fetch, data, length)
        return NULL
    waiters_tell(core, &fetch.waiters, 0, fetch.exact, data, length)
    fetch.waiters.count -= fetch.exact
    if fetch.waiters.count:
        memmove(fetch.waiters.list, fetch.waiters.list + fetch.exact, fetch.waiters.count * sizeof(Waiter))
    fetch.exact = 0
    fetch.over = 1
    if length >= fetch.conn.node.pool.limits.bulk:
        fetch.filling = 0
    if holds and (fetch.filling or fetch.storing and (fetch.waiters.count or length <= heat_of(core).largest)):
        fetch.value = <char*> malloc(length)
        fetch.length = <uint32_t> length
        if fetch.value != NULL:
            memcpy(fetch.value, data, length)
            return NULL
    if (fetch.storing or fetch.filling) and not holds:
        core.counters.fetches_stale += 1
    fetch.storing = 0
    fetch.filling = 0
    return again_for(core, fetch)


cdef bint empty(const char* data) noexcept nogil:
    """Is it what a read of a missing key gets?"""
    return data[0] == c'_' or (data[1] == c'-' and data[2] == c'1') or (data[1] == c'0' and data[2] == c'\r')


cdef Fetch* fetch_life(Core* core, Fetch* fetch, const char* data) noexcept nogil:
    """The reply to PTTL: answer who joined on the way, and keep the value no longer than the node does. A missing key is
    only known to be missing as long as the node would tell that it was created. Returns as fetch_value() does."""
    cdef const char* end = <const char*> memchr(data, c'\r', 24)
    cdef long long left = 0
    cdef uint64_t life
    if not fetch.storing or fetch.value == NULL:
        return again_for(core, fetch)
    if not fetch_holds(core, fetch):
        core.counters.fetches_stale += 1
        return again_for(core, fetch)
    if data[0] != c':' or end == NULL or not read_number(data + 1, end - data - 1, &left):
        return again_for(core, fetch)
    life = fetch.key.rule.life_us
    if left == -2 and not empty(fetch.value):
        return again_for(core, fetch)
    if left >= 0 and <uint64_t> left * 1000 < life:
        life = <uint64_t> left * 1000
    if fetch.sent_us + life <= core.now_us:
        return again_for(core, fetch)
    fetch_tell(core, fetch, fetch.value, fetch.length)
    # In a cluster the key may come into being at another node than the one that would tell: see cluster.pxd.
    if fetch.length <= heat_of(core).largest and (left != -2 or fetch.tracked and not fetch.conn.keeps):
        copy_store(core, fetch, life, <uint64_t> left * 1000 if left >= 0 else 0)
    return NULL


cdef void fetch_settle(Core* core, Fetch* fetch) noexcept nogil:
    """One Pending less names it; with the last one it goes."""
    fetch.pendings -= 1
    if fetch.pendings:
        return
    fetch_leave(core, fetch)
    while fetch.waiters.count:
        # Only at the end of the engine: else whoever waits was answered.
        fetch.waiters.count -= 1
        client_release(core, fetch.waiters.list[fetch.waiters.count].client)
    fetch_drop(fetch)


cdef void fetch_drop(Fetch* fetch) noexcept nogil:
    """Nothing names it, or it was never sent."""
    if fetch.key != NULL:
        unlink_from(fetch.key, fetch)
    free(fetch.waiters.list)
    free(fetch.value)
    free(fetch)
