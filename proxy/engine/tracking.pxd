# cython: language_level=3
"""Tracking: client-side caching for the proxy's clients, by the nodes' own invalidation.

A client that tracks has a connection of its own to every node, on which the nodes track it: what it reads is read there,
and what a node pushes is passed on as it is. A push takes its place in the client's order behind all that is owed, so an
invalidation never overtakes the older value that is still waiting for its turn. Costs the client's requests their share
of the common connections, and the nodes a connection for each such client; `limits.max_watching` bounds them.
"""

from proxy.engine.types cimport Client, Conn, Core, Node, Row
from proxy.wire.resp cimport Frame

cdef int track(Core* core, Client* client, Row* row, Frame* frame) noexcept nogil
cdef Conn* held_for(Client* client, Node* node) noexcept nogil
cdef Conn* tracked_conn(Core* core, Client* client, Row* row, Node* node) noexcept nogil
cdef void track_end(Core* core, Client* client) noexcept nogil
