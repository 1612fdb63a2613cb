# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Holds: keeping them as long as somebody names them. See holds.pxd."""

from libc.stdlib cimport abort, calloc, free
from libc.string cimport memcpy

from proxy.engine.heat cimport Heat, Hold, heat_of
from proxy.engine.slots cimport client_release
from proxy.engine.tally cimport Wave
from proxy.engine.types cimport Core, Pending, Pool
from proxy.engine.waves cimport wave_free


cdef Hold* hold_new(Core* core, Pool* pool, const Pending* pending, Wave* wave, const char* data,
                    size_t length) noexcept nogil:
    """Take over what is owed to the client of `pending`, and the reference to it; or the wave, unless it is NULL."""
    cdef Hold* hold = <Hold*> calloc(1, sizeof(Hold) + length)
    if hold == NULL:
        abort()
    hold.pool = pool
    hold.wave = wave
    hold.client = pending.client
    hold.slot = pending.slot
    hold.part = pending.part
    hold.length = length
    memcpy(hold + 1, data, length)
    hold.pendings = 1
    hold.next = heat_of(core).holds
    heat_of(core).holds = hold
    return hold


cdef void hold_settle(Hold* hold) noexcept nogil:
    """One less names it."""
    hold.pendings -= 1
    if hold.pendings == 0:
        free(hold)


cdef void hold_unlink(Core* core, Hold* hold) noexcept nogil:
    """The client has its reply. Tombstones may name it still."""
    cdef Hold** place = &heat_of(core).holds
    while place[0] != hold:
        place = &place[0].next
    place[0] = hold.next
    hold.over = 1
    hold_settle(hold)


cdef void holds_clear(Core* core) noexcept nogil:
    """End of the engine: its clients are gone."""
    cdef Heat* heat = heat_of(core)
    cdef Hold* hold
    while heat.holds != NULL:
        hold = heat.holds
        if hold.wave != NULL:
            wave_free(core, hold.wave)
        else:
            client_release(core, hold.client)
        hold_unlink(core, hold)
