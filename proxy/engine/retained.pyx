# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Retained: finding a request, keeping within bounds. See retained.pxd."""

from libc.stdint cimport uint64_t
from libc.stdlib cimport abort, realloc

from proxy.engine.types cimport Conn, Core, ReadRules
from proxy.wire.output cimport trail_copy, trail_find, trail_release, trail_restart


cdef const char* retained_find(Core* core, Conn* conn, uint64_t place, size_t length) noexcept nogil:
    """The `length` bytes at this place of the connection's stream, sent or not; NULL: they are kept no longer.

    The place of the oldest Pending is `conn.head_offset`; that of one that was just taken off the ring is its size
    before that. Valid until the next call, and until something is sent.
    """
    cdef const char* found
    if not conn.retains:
        return NULL
    found = trail_find(&conn.trail, &conn.output, place, length)
    if found != NULL:
        return found
    if length > core.kept_room:
        core.kept = <char*> realloc(core.kept, length)
        if core.kept == NULL:
            abort()
        core.kept_room = length
    if not trail_copy(&conn.trail, &conn.output, place, length, core.kept):
        return NULL
    return core.kept


cdef void retained_sent(Core* core, Conn* conn, size_t before) noexcept nogil:
    """Something was given to the kernel: `before`, `trail.bytes` were so many."""
    cdef ReadRules* rules = &conn.node.pool.reads
    rules.retained += conn.trail.bytes - before
    while rules.retained > rules.retained_limit and conn.trail.first != NULL:
        before = conn.trail.bytes
        trail_release(&conn.trail, &core.chunks, conn.trail.start + conn.trail.first.tail)
        rules.retained -= before - conn.trail.bytes
        core.counters.reads_let_go += 1


cdef void retained_restart(Core* core, Conn* conn) noexcept nogil:
    """Nothing of what was sent is needed any more."""
    if conn.retains:
        conn.node.pool.reads.retained -= conn.trail.bytes
        trail_restart(&conn.trail, &conn.output, &core.chunks, conn.queued - conn.output.length)
