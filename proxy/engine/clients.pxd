# cython: language_level=3
"""Clients: what is done to many of an engine's clients at once, because the control plane or the clock says so."""

from libc.stdint cimport uint64_t

from proxy.engine.types cimport Core, Order, Pool

cdef void clients_kill(Core* core, Order* order) noexcept nogil
cdef void clients_pause(Core* core, Pool* pool, int mode, uint64_t until_us) noexcept nogil
cdef void clients_unpause_due(Core* core) noexcept nogil
cdef void clients_close_idle(Core* core) noexcept nogil
