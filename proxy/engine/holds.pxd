# cython: language_level=3
"""Holds: replies to writes that wait until no copy on another node is older than what they say.

Stands below the connection, which may lose a tombstone that a Hold waits for; fanout.pyx makes them and lets them go.
"""

from libc.stdint cimport uint64_t

from proxy.engine.heat cimport Hold
from proxy.engine.tally cimport Wave
from proxy.engine.types cimport Core, Pending, Pool

cdef Hold* hold_new(Core* core, Pool* pool, const Pending* pending, Wave* wave, const char* data,
                    size_t length) noexcept nogil
cdef void hold_settle(Hold* hold) noexcept nogil
cdef void hold_unlink(Core* core, Hold* hold) noexcept nogil
cdef void holds_clear(Core* core) noexcept nogil


cdef inline const char* hold_reply(Hold* hold) noexcept nogil:
    return <const char*> (hold + 1)
