# cython: language_level=3
"""Private connections: to a node, for one client at a time. What a shared connection must not carry goes here.

A client takes one for a WATCH and keeps it until its EXEC, DISCARD or UNWATCH; it takes one for each node that a
blocking command waits at, until the reply; and one for each node while it tracks keys. Then the connection is spare and serves the next who needs one of its
protocol and database. How many clients wait, and watch, is bounded for each node and all engines together.
"""

from proxy.engine.types cimport Client, Conn, Core, Node, Row
from proxy.wire.resp cimport Frame

cdef Conn* private_open(Core* core, Node* node, int protocol, int database) noexcept nogil
cdef Conn* private_take(Core* core, Client* client, Row* row, Node* node, int hold) noexcept nogil
cdef void private_follow(Core* core, Conn* conn, Client* client) noexcept nogil
cdef void private_tell(Core* core, Conn* conn, const char* start, const char* last, size_t length) noexcept nogil
cdef void untrack(Core* core, Conn* conn) noexcept nogil
cdef void private_settle(Core* core, Conn* conn) noexcept nogil
cdef void privates_drop(Core* core, Client* client) noexcept nogil
cdef void privates_bury(Core* core) noexcept nogil
cdef void privates_tick(Core* core, Node* node) noexcept nogil
cdef void privates_fail(Core* core, Node* node, const char* reason) noexcept nogil
cdef void private_unblock(Core* core, Conn* conn) noexcept nogil
cdef int watch(Core* core, Client* client, Row* row, Frame* frame) noexcept nogil
cdef int unwatch(Core* core, Client* client, Row* row) noexcept nogil
cdef Conn* watch_conn(Core* core, Client* client) noexcept nogil
cdef void watch_end(Core* core, Client* client, bint tell_node) noexcept nogil
