# cython: language_level=3
"""Slots: a client's ordered queue of owed replies. Step 6 of a request's life: a reply finds its turn.

    head ─────────────── tail
    │ oldest unanswered   │ next request

A reply for the oldest slot goes straight to the client's output; one that comes before its turn is copied into the
client's `held` chunk (a large one is kept as the chunk it came in) and follows as soon as it is first in line.
"""

from libc.stdint cimport uint32_t

from proxy.engine.types cimport CLIENT_READY, CLIENT_SILENT, SLOT_WAITING, Client, Core, Slot
from proxy.wire.chunk cimport Chunk

cdef void slots_grow(Core* core, Client* client) noexcept nogil
cdef void slot_drain(Core* core, Client* client) noexcept nogil
cdef void slot_hold(Core* core, Client* client, Slot* slot, const char* data, size_t length) noexcept nogil
cdef void slots_pass(Core* core, Client* client, uint32_t count, size_t length) noexcept nogil
cdef void slot_fill_chunk(Core* core, Client* client, uint32_t number, Chunk* chunk) noexcept nogil
cdef void slot_local(Core* core, Client* client, const char* data, size_t length) noexcept nogil
cdef void slot_say(Core* core, Client* client, const char* text) noexcept nogil
cdef void client_release(Core* core, Client* client) noexcept nogil
cdef void slots_clear(Core* core, Client* client) noexcept nogil
cdef void slot_fill(Core* core, Client* client, uint32_t number, const char* data, size_t length) noexcept nogil


cdef inline void client_ready(Core* core, Client* client) noexcept nogil:
    """The client has bytes to send or may go on: look at it before the turn ends."""
    if not client.flags & CLIENT_READY:
        client.flags |= CLIENT_READY
        client.next_ready = core.ready
        core.ready = client


cdef inline uint32_t slot_push(Core* core, Client* client, uint32_t row) noexcept nogil:
    """Take the next slot; returns its number."""
    cdef uint32_t number = client.tail
    cdef Slot* slot
    if client.slots == NULL or number - client.head > client.mask:
        slots_grow(core, client)
    slot = &client.slots[number & client.mask]
    slot.at = core.asked
    slot.length = core.order
    slot.state = SLOT_WAITING
    slot.doubt = 0
    slot.row = row
    slot.key = core.key
    client.tail = number + 1
    return number


cdef inline bint slots_due(const Client* client, uint32_t number) noexcept nogil:
    """May replies from this slot on be appended to the client's output? Then slots_pass()."""
    return number == client.head and not client.flags & CLIENT_SILENT


cdef inline size_t client_unread(const Client* client) noexcept nogil:
    """Bytes owed to the client: in its output, or held until their turn."""
    return client.output.length + client.held_bytes
