# cython: language_level=3
"""Accept: new sockets. Step 1 of a request's life, once per connection."""

from proxy.engine.types cimport Core, Pool

cdef void accept_clients(Core* core, Pool* pool) noexcept nogil
cdef void inbox_take(Core* core) noexcept nogil
cdef void listen_stop(Core* core) noexcept nogil
