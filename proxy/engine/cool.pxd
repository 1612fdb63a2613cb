# cython: language_level=3
"""Cool: a read of a hot key is answered from a copy, or joins another one, or fetches a copy; all others go on.

Step 4 of a request's life in a pool that cools its hot keys, between dispatch and the node's connection. What dispatch
pays for a key that is not hot is cool() here: a hash, a count, a look at the filter.
"""

from libc.stdint cimport uint32_t, uint64_t

from proxy.engine.heat cimport Copy, Fetch, HotKey, heat_of
from proxy.engine.hot cimport hot_look
from proxy.engine.marks cimport key_hash, stripe_of
from proxy.engine.refusals cimport GO_ON
from proxy.engine.types cimport ROW_GET, ROW_PAUSES, Client, Conn, Core, Node, Pending, Row
from proxy.wire.resp cimport Frame

cdef int cool_hot(Core* core, Client* client, Row* row, Frame* frame, uint64_t hash) noexcept nogil
cdef uint32_t cool_again(Core* core, Client* client, const char* request, size_t size, size_t behind) noexcept nogil
cdef void cool_tick(Core* core) noexcept nogil
cdef int cool_shield(Core* core, Client* client, Row* row, Frame* frame, uint64_t hash) noexcept nogil
cdef bint cool_may(const Client* client) noexcept nogil
cdef Copy* cool_copy(Core* core, Client* client, HotKey* key, const char* name, size_t length) noexcept nogil
cdef void cool_fetch(Core* core, Client* client, Row* get, HotKey* key) noexcept nogil
cdef void cool_set(Core* core, Client* client, Row* row, Frame* frame, Node* node) noexcept nogil
cdef void cool_was_set(Core* core, Fetch* fetch, const char* data, size_t size) noexcept nogil
cdef void cool_reply(Core* core, Conn* conn, Pending* pending, const char* data, size_t size) noexcept nogil


cdef inline int cool(Core* core, Client* client, Row* row, Frame* frame) noexcept nogil:
    """A request with one key at a fixed place. Returns a Verdict: GO_ON, or it is seen to."""
    cdef uint64_t hash = key_hash(core, frame.data + frame.args[row.key].offset, frame.args[row.key].length)
    cdef int verdict = GO_ON
    if row.flags & ROW_PAUSES:
        core.notes[0] = stripe_of(hash)
        core.noted = 1
    if hot_look(heat_of(core), hash):
        verdict = cool_hot(core, client, row, frame, hash)
    if verdict == GO_ON and row.flags & ROW_GET and client.pool.shields:
        return cool_shield(core, client, row, frame, hash)
    return verdict
