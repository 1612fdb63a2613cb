# cython: language_level=3
"""Monitor: what MONITOR shows of a pool's requests, while somebody looks.

A monitored pool is a flag of its clients, which takes their requests off dispatch's straight road; others pay nothing.
Lines are gathered in the pool and leave with the turn, as one event: the control plane passes the bytes on as they are.
"""

from proxy.engine.types cimport Client, Core, Event, Pool, Row
from proxy.wire.resp cimport Frame

cdef void monitor_switch(Core* core, Pool* pool, bint on, const char* path) noexcept nogil
cdef void monitor_show(Core* core, Client* client, Row* row, Frame* frame) noexcept nogil
cdef void monitor_send(Core* core) noexcept nogil
cdef void monitor_taken(Core* core, Event* event) noexcept nogil
cdef void monitor_clear(Core* core, Pool* pool) noexcept nogil
