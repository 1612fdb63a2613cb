# cython: language_level=3
"""Redirect: a node of a cluster did not run a request, and says where it belongs. Step 5c of a request's life.

    -MOVED slot address     the slot is there: the request goes there, and the control plane is asked to look at the cluster
    -ASK slot address       the slot is on its way there, this key has arrived: it goes there behind an ASKING, in one piece
    -TRYAGAIN               some of its keys have arrived: it is tried again, unless its client has sent something since
    -CLUSTERDOWN            nobody serves the slot: the client is told
    nothing, or an error, of a replica: its primary is asked. A replica is not told of a slot that is on its way, only
                            of the keys that are gone; and it may not have heard of a key yet, or of the cluster's end

None of these was run, so sending it once more is safe, writes included. Replies come in the order of requests, and a
node says the same of every request for a slot from some moment on, so a client's requests for one key arrive at the
other node in their order. What was sent is kept until it is answered: see retained.pxd. After HOPS times a request is
sent on with pauses, as behind a TRYAGAIN.
"""

from proxy.engine.types cimport Conn, Core, Pool

cdef bint kept_reply(Core* core, Conn* conn, const char* data, size_t size) noexcept nogil
cdef bint kept_open(const Conn* conn, const char* data, size_t size) noexcept nogil
cdef void detours_go(Core* core, Pool* pool) noexcept nogil
cdef void detours_free(Core* core, Pool* pool) noexcept nogil
