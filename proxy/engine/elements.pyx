# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Elements: taking what is copied, fetching what is hot and not copied. See elements.pxd.

An element of MGET is what GET would have answered, so the copies of GET serve both. MGET gives nil for what is no
string and GET an error, which is never copied: such a key is the node's.
"""

from libc.stdint cimport uint64_t

from proxy.engine.cool cimport cool_copy, cool_fetch, cool_may
from proxy.engine.copies cimport copy_reply
from proxy.engine.fence cimport fence_bit
from proxy.engine.heat cimport Copy, Heat, HotKey, heat_of
from proxy.engine.hot cimport hot_ask, hot_look
from proxy.engine.lookup cimport lookup
from proxy.engine.marks cimport key_hash
from proxy.engine.types cimport Client, Core, KeyRef, Row
from proxy.wire.output cimport Output, output_append


cdef int elements_take(Core* core, Client* client, Row* row, int count, Output* taken) noexcept nogil:
    """Count the requests for core.keys[:count], append the replies that are copied to `taken` in the order of the keys,
    and leave in core.keys those that have to be asked for; returns how many. `argument` tells where each one belongs."""
    cdef Heat* heat = heat_of(core)
    cdef KeyRef* ref
    cdef Copy* copy
    cdef int index
    cdef int left = 0
    for index in range(count):
        ref = &core.keys[index]
        copy = element(core, client, row, ref, key_hash(core, ref.data, ref.length))
        if copy == NULL:
            core.keys[left] = ref[0]
            left += 1
        else:
            output_append(taken, &core.chunks, copy_reply(copy), copy.length)
    return left


cdef Copy* element(Core* core, Client* client, Row* row, const KeyRef* ref, uint64_t hash) noexcept nogil:
    """The copy of GET for one key; if it is hot and there is none, have one fetched for whoever comes next."""
    cdef HotKey* key
    cdef Copy* copy
    if not hot_look(heat_of(core), hash):
        return NULL
    key = hot_ask(core, client.pool, row, ref.data, ref.length, hash)
    if key == NULL:
        return NULL
    if not cool_may(client):
        client.home_keys |= fence_bit(hash)
        return NULL
    copy = cool_copy(core, client, key, ref.data, ref.length)
    if copy == NULL:
        client.home_keys |= fence_bit(hash)
        cool_fetch(core, client, lookup(core, b"GET     ", 3), key)
    return copy
