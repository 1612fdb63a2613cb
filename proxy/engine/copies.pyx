# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Copies: finding, judging, storing, dropping. See copies.pxd."""

from libc.stdint cimport uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcmp, memcpy

from proxy.engine.heat cimport Copy, Fetch, Heat, HotKey, heat_of
from proxy.engine.marks cimport quench_load_word
from proxy.engine.types cimport Core

cdef enum:
    COPIES_MOST = 64           # of one key: as many requests for it may be copied
    EVICT_MOST = 8             # keys that lose their copies for the sake of one


cdef Copy* copy_find(HotKey* key, int protocol, int database, const char* request, size_t length) noexcept nogil:
    """The copy for these very bytes, valid or not."""
    cdef Copy* copy = key.copies
    while copy != NULL:
        if (copy.asked == length and copy.protocol == protocol and copy.database == database
                and memcmp(copy + 1, request, length) == 0):
            return copy
        copy = copy.next
    return NULL


cdef bint copy_holds(Core* core, Copy* copy, uint64_t marks) noexcept nogil:
    """May it be served? `marks` is what they are now. Counts why not."""
    if copy.marks != marks or copy.forgets != quench_load_word(&core.peers.forgets) or (
            copy.node_forgets != copy.node.forgets):
        core.counters.copies_changed += 1
        return False
    if core.now_us >= copy.expires_us:
        core.counters.copies_expired += 1
        return False
    if copy.tracked and core.now_us >= copy.node.live_until_us:
        core.counters.copies_unsure += 1
        return False
    return True


cdef inline size_t size_of(const Copy* copy) noexcept nogil:
    return sizeof(Copy) + copy.asked + copy.length


cdef void drop(Heat* heat, HotKey* key, Copy** place) noexcept nogil:
    cdef Copy* copy = place[0]
    place[0] = copy.next
    heat.bytes -= size_of(copy)
    key.copy_count -= 1
    free(copy)


cdef void copies_drop(Heat* heat, HotKey* key) noexcept nogil:
    while key.copies != NULL:
        drop(heat, key, &key.copies)


cdef void copies_compare(Core* core, HotKey* key, const Fetch* fetch, const char* data, size_t length) noexcept nogil:
    """A fetch brought this: if a copy says otherwise the key was changed, and who saw that must not be told less."""
    cdef Copy* copy
    if key == NULL or key.copies == NULL or data[0] == c'-':
        return
    copy = copy_find(key, fetch.protocol, fetch.database, <const char*> (fetch + 1), fetch.asked)
    if copy != NULL and (copy.length != length or memcmp(copy_reply(copy), data, length) != 0):
        core.counters.copies_changed += 1
        copies_drop(heat_of(core), key)


cdef bint make_room(Core* core, HotKey* wants, size_t size) noexcept nogil:
    """Take the copies of the keys that are asked for least. False: what is left is worth more."""
    cdef Heat* heat = heat_of(core)
    cdef HotKey* key
    cdef HotKey* least
    cdef int left = EVICT_MOST
    while heat.bytes + size > heat.byte_limit:
        least = NULL
        key = heat.first
        while key != NULL:
            if key.copies != NULL and key.read_rate < wants.read_rate and (
                    least == NULL or key.read_rate < least.read_rate):
                least = key
            key = key.after
        if least == NULL or left == 0:
            return False
        left -= 1
        core.counters.copies_evicted += least.copy_count
        copies_drop(heat, least)
    return True


cdef void copy_store(Core* core, Fetch* fetch, uint64_t life_us, uint64_t left_us) noexcept nogil:
    """Keep what a fetch brought, until `life_us` after it was sent; the key itself lives `left_us`, unless 0. Whoever
    calls knows that its marks still hold."""
    cdef Heat* heat = heat_of(core)
    cdef HotKey* key = fetch.key
    cdef Copy** place = &key.copies
    cdef Copy* copy
    cdef size_t size = sizeof(Copy) + fetch.asked + fetch.length
    while place[0] != NULL:
        copy = place[0]
        if (copy.asked == fetch.asked and copy.protocol == fetch.protocol and copy.database == fetch.database
                and memcmp(copy + 1, fetch + 1, copy.asked) == 0) or (
                key.copy_count == COPIES_MOST and copy.next == NULL):
            drop(heat, key, place)
            break
        place = &copy.next
    if not make_room(core, key, size):
        return
    copy = <Copy*> malloc(size)
    if copy == NULL:
        return
    copy.node = fetch.conn.node
    copy.marks = fetch.marks
    copy.forgets = fetch.forgets
    copy.node_forgets = fetch.node_forgets
    copy.since_us = fetch.sent_us
    copy.expires_us = fetch.sent_us + life_us
    copy.ends_us = fetch.sent_us + left_us if left_us else 0
    copy.refresh_us = fetch.sent_us + life_us // 2
    copy.stale_us = copy.expires_us + key.rule.stale_us if key.rule.stale_us else 0
    copy.order = fetch.order
    copy.asked = fetch.asked
    copy.length = fetch.length
    copy.protocol = fetch.protocol
    copy.database = fetch.database
    copy.tracked = fetch.tracked
    memcpy(copy + 1, fetch + 1, fetch.asked)
    memcpy(<char*> (copy + 1) + fetch.asked, fetch.value, fetch.length)
    copy.next = key.copies
    key.copies = copy
    key.copy_count += 1
    heat.bytes += size
    core.counters.copies_stored += 1
