# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Fans: making them, taking them away, naming copies. See fans.pxd."""

from libc.stdint cimport uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memchr, memcpy

from proxy.engine.fetch cimport fetch_settle
from proxy.engine.heat cimport FAN_BUCKETS, PLACES, Fan, Fetch, Heat, HotKey, heat_of
from proxy.engine.holds cimport holds_clear
from proxy.engine.keys cimport keys_find
from proxy.engine.marks cimport marks_sum, quench_load_word, stripe_of
from proxy.engine.ring cimport ring_candidates
from proxy.engine.types cimport Core, Row
from proxy.wire.output cimport Output, output_append
from proxy.wire.resp cimport Frame, write_number


cdef inline Fan** bucket_of(Heat* heat, uint64_t hash) noexcept nogil:
    return &heat.fans[stripe_of(hash) & (FAN_BUCKETS - 1)]


cdef Fan* fan_new(Core* core, HotKey* key) noexcept nogil:
    """For a key that became hot; NULL where there is no other node, or no memory."""
    cdef int[PLACES] walk
    cdef int count = ring_candidates(key.pool.ring, <const char*> (key + 1), key.length, walk, PLACES)
    cdef int index
    cdef Fan* fan
    cdef Fan** bucket = bucket_of(heat_of(core), key.hash)
    if count < 2:
        return NULL
    fan = <Fan*> calloc(1, sizeof(Fan) + key.length)
    if fan == NULL:
        return NULL
    fan.pool = key.pool
    fan.hash = key.hash
    fan.wanted = key.rule.fan_out
    fan.life_us = key.rule.fan_life_us
    fan.marks = marks_sum(core, key.hash)
    fan.forgets = quench_load_word(&core.peers.forgets)
    fan.since_us = core.now_us
    fan.length = key.length
    memcpy(fan + 1, key + 1, key.length)
    fan.count = <unsigned char> count
    for index in range(count):
        fan.places[index].node = &key.pool.nodes[walk[index]]
    fan.next = bucket[0]
    bucket[0] = fan
    return fan


cdef void fan_retire(Heat* heat, Fan* fan) noexcept nogil:
    """The key is hot no longer. fanout.pyx deletes its copies, and frees this."""
    cdef Fan** bucket = bucket_of(heat, fan.hash)
    while bucket[0] != fan:
        bucket = &bucket[0].next
    bucket[0] = fan.next
    fan.next = heat.retired
    heat.retired = fan


cdef void fans_close(Core* core) noexcept nogil:
    """End of the engine: every Fan was retired, and nothing is on its way."""
    cdef Heat* heat = heat_of(core)
    cdef Fan* fan
    cdef Fetch* fetch
    while heat.retired != NULL:
        fan = heat.retired
        heat.retired = fan.next
        free(fan)
    while heat.copy_reads != NULL:
        fetch = heat.copy_reads
        heat.copy_reads = fetch.next
        fetch_settle(core, fetch)
    holds_clear(core)


cdef uint32_t fan_copies(Core* core, const Fan* fan) noexcept nogil:
    """How many copies this engine thinks there are."""
    cdef uint32_t count = 0
    cdef uint32_t index
    if fan != NULL:
        for index in range(fan.count):
            count += fan.places[index].until_us > core.now_us
    return count


cdef void fan_name(Core* core, const Fan* fan, uint32_t place, Output* output) noexcept nogil:
    """Append the name of a copy as an argument of a request."""
    cdef char[32] suffix
    cdef char[32] head
    cdef size_t length
    suffix[0] = 0
    suffix[1] = c'#'
    length = 2 + write_number(suffix + 2, place)   # and CRLF
    head[0] = c'$'
    output_append(output, &core.chunks, head, 1 + write_number(head + 1, <long long> (fan.length + length - 2)))
    output_append(output, &core.chunks, <const char*> (fan + 1), fan.length)
    output_append(output, &core.chunks, suffix, length)


cdef bint is_copy(const char* key, size_t length) noexcept nogil:
    """Does the key end as the name of a copy does?"""
    cdef size_t digits = 0
    while digits < length and digits < DIGITS and c'0' <= key[length - 1 - digits] <= c'9':
        digits += 1
    return digits > 0 and length >= digits + 2 and key[length - 1 - digits] == c'#' and key[length - 2 - digits] == 0


cdef bint names_copy_slowly(Core* core, Row* row, Frame* frame) noexcept nogil:
    """names_copy() of a request whose keys have to be looked for: only when there is a zero byte in it at all."""
    cdef int index, count
    if memchr(frame.data, 0, frame.length) == NULL:
        return False
    count = keys_find(core, row, frame)
    for index in range(count):
        if is_copy(core.keys[index].data, core.keys[index].length):
            return True
    return False
