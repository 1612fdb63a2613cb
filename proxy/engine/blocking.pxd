# cython: language_level=3
"""Blocking: commands that wait at a node. Step 4f of a request's life.

Each takes a private connection and leaves the waiting to the node, so order among consumers, timeouts and replies are
the node's own; a waiting client costs a socket and nothing else. There is no queue for those that find no room: a queue
would put consumers of one key behind consumers of another.
"""

from proxy.engine.types cimport Client, Core, Row
from proxy.wire.resp cimport Frame

cdef int block(Core* core, Client* client, Row* row, Frame* frame) noexcept nogil
cdef int wait(Core* core, Client* client, Row* row, Frame* frame) noexcept nogil
cdef void unblock_all(Core* core, Client* client) noexcept nogil
