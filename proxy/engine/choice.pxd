# cython: language_level=3
"""Choice: from a node to the connection that takes a request now: shared, bulk, or the client's own."""

from proxy.engine.types cimport Client, Conn, Core, Node, Row

cdef Conn* usable(Core* core, Client* client, Row* row, Node* node, int bulk) noexcept nogil
