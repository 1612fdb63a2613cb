# cython: language_level=3
"""Retained: the bytes of requests on their way, for those that have to be asked again. Beside step 5 of a request's life.

A connection with `retains` keeps what it gave to the kernel (wire.output.Trail) until it is answered: nothing is copied
and a request costs nothing more. What is kept is bounded by `ReadRules.retained_limit` for each pool of an engine; where
that is reached the oldest requests of the connection are let go of, and are asked no second time.
"""

from libc.stdint cimport uint64_t

from proxy.engine.types cimport Conn, Core
from proxy.wire.output cimport trail_release

cdef const char* retained_find(Core* core, Conn* conn, uint64_t place, size_t length) noexcept nogil
cdef void retained_sent(Core* core, Conn* conn, size_t before) noexcept nogil
cdef void retained_restart(Core* core, Conn* conn) noexcept nogil


cdef inline void retained_release(Core* core, Conn* conn) noexcept nogil:
    """Everything before the oldest pending request was answered."""
    cdef size_t before = conn.trail.bytes
    if before:
        trail_release(&conn.trail, &core.chunks, conn.head_offset)
        conn.node.pool.reads.retained -= before - conn.trail.bytes
