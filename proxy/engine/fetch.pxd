# cython: language_level=3
"""Fetch: one read of a hot key on its way to the node, and all who wait for it.

Identical reads share it. Who joins before it was given to the kernel gets an exact answer in any case: the node executes
it after all of them asked. Who joins later gets what a copy of no age would have given him, under the rules of copies:
if the key's marks moved meanwhile, or its time was up, he is asked for again. Stands below the connection, which brings replies and errors;
cool.pyx starts fetches and joins them.
"""

from libc.stdint cimport uint32_t, uint64_t

from proxy.engine.heat cimport Fetch, HotKey, Waiters
from proxy.engine.types cimport Client, Conn, Core, HotRule, Row
from proxy.wire.resp cimport Frame

cdef void waiters_add(Waiters* waiters, Client* client, uint32_t slot, bint doubt) noexcept nogil
cdef void waiters_tell(Core* core, Waiters* waiters, uint32_t start, uint32_t end, const char* data,
                       size_t length) noexcept nogil
cdef Fetch* fetch_new(Core* core, HotKey* key, Conn* conn, uint32_t row, int protocol, int database,
                      const char* request, size_t length) noexcept nogil
cdef void fetch_shield(Fetch* fetch, const HotRule* rule, const Row* row, const Frame* frame,
                       uint64_t hash) noexcept nogil
cdef void fetch_join(Core* core, Fetch* fetch, Client* client, bint exact) noexcept nogil
cdef void fetch_tell(Core* core, Fetch* fetch, const char* data, size_t length) noexcept nogil
cdef Fetch* fetch_move(Core* core, Fetch* fetch, HotKey* key, Conn* conn) noexcept nogil
cdef Fetch* fetch_value(Core* core, Fetch* fetch, const char* data, size_t length) noexcept nogil
cdef Fetch* fetch_life(Core* core, Fetch* fetch, const char* data) noexcept nogil
cdef void fetch_leave(Core* core, Fetch* fetch) noexcept nogil
cdef void fetch_drop(Fetch* fetch) noexcept nogil
cdef void fetch_settle(Core* core, Fetch* fetch) noexcept nogil
cdef bint fetch_holds(Core* core, Fetch* fetch) noexcept nogil
cdef void fetches_detach(HotKey* key) noexcept nogil
