# cython: language_level=3
"""Mail: events from the engine to the control plane, and orders the other way."""

from libc.stdint cimport uint32_t, uint64_t

from proxy.engine.types cimport Client, Conn, Core, Event, Order

cdef bint event_post(Core* core, int kind, int pool, int node, int code, Client* client, uint32_t slot, uint64_t tag,
                     const char* data, size_t length) noexcept nogil
cdef void event_node(Core* core, int kind, Conn* conn, const char* reason) noexcept nogil
cdef Order* order_new(int kind, const char* data, size_t length) noexcept nogil
