# cython: language_level=3
"""Replies: what comes back from a node. Step 5b of a request's life."""

from proxy.engine.types cimport Conn, Core

cdef void conn_readable(Core* core, Conn* conn) noexcept nogil
cdef void conn_take(Core* core, Conn* conn, const char* data, size_t length) noexcept nogil
