# cython: language_level=3
"""Greeting: what a node connection says before the first request."""

from proxy.engine.types cimport Conn, Core

cdef void greeting_start(Core* core, Conn* conn) noexcept nogil
cdef int greeting_reply(Core* core, Conn* conn, const char* data, size_t length) noexcept nogil
