# cython: language_level=3
"""Ear: one connection of RESP3 to a node, on which it tells which of the keys that this engine copied were changed.

The reads themselves travel on the shared connections, each behind a CLIENT CACHING YES, and those have their tracking
redirected to the ear. A PING ten times a second proves that the ear hears: what the node had to say before it answered
was heard before the answer. But a node forgets what a connection read that it takes for lost, so those have to prove
that they are there as well: each reply does, and a PING where nothing else is asked. A tracked copy is served only
LIVE_US longer than the oldest of these requests that was answered last had been sent, and that is the most by which it
can be behind the node, whatever breaks in between.
"""

from proxy.engine.types cimport Conn, Core, Node, Pending

cdef enum:
    LIVE_US = 500000
    WANTED_US = 5000000        # an ear that nobody needed for so long is left in peace, and closes when it is idle

cdef bint ear_hears(Core* core, Node* node) noexcept nogil
cdef void ear_heard(Core* core, Conn* conn, const char* data, size_t size) noexcept nogil
cdef void ear_pong(Core* core, Conn* conn, const char* data) noexcept nogil
cdef void ears_tick(Core* core) noexcept nogil
