# cython: language_level=3
"""Client: one client's socket. Steps 2 and 7 of a request's life: its bytes come in, its replies go out."""

from libc.stdint cimport uint32_t

from proxy.engine.types cimport Client, Core, Pool

cdef Client* client_open(Core* core, Pool* pool, int fd) noexcept nogil
cdef void client_readable(Core* core, Client* client) noexcept nogil
cdef void client_take(Core* core, Client* client, const char* data, size_t length) noexcept nogil
cdef void client_resume(Core* core, Client* client) noexcept nogil
cdef void client_flush(Core* core, Client* client) noexcept nogil
cdef void client_close(Core* core, Client* client) noexcept nogil
cdef bint client_behind(Core* core, Client* client) noexcept nogil
cdef void client_bury(Core* core, Client* client) noexcept nogil
cdef void client_gone(Core* core, Client* client) noexcept nogil
cdef void clients_admit(Core* core) noexcept nogil
cdef void starve(Core* core, Client* client) noexcept nogil
