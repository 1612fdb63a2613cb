# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Slots: growing the ring, holding early replies, draining what became due. See slots.pxd."""

from libc.stdint cimport int64_t, uint32_t
from libc.stdlib cimport abort, free, malloc
from libc.string cimport memcpy, strlen

from proxy.engine.merge cimport merge_free
from proxy.engine.tenure cimport lease_over
from proxy.engine.types cimport (
    CLIENT_SILENT, DEAD, ROW_WRITE, SLOT_CHUNK, SLOT_HELD, SLOT_MERGING, Client, Core, Merge, Slot,
)
from proxy.wire.chunk cimport Chunk, chunk_free, chunk_new
from proxy.wire.output cimport output_append, output_move

cdef enum:
    FIRST_SLOTS = 16


cdef void slots_grow(Core* core, Client* client) noexcept nogil:
    """Double the ring; the window of dispatch.pyx bounds it."""
    cdef uint32_t old = 0 if client.slots == NULL else client.mask + 1
    cdef uint32_t size = old * 2 if old else FIRST_SLOTS
    cdef Slot* slots = <Slot*> malloc(size * sizeof(Slot))
    cdef uint32_t number
    if slots == NULL:
        abort()
    number = client.head
    while number != client.tail:
        slots[number & (size - 1)] = client.slots[number & client.mask]
        number += 1
    free(client.slots)
    client.slots = slots
    client.mask = size - 1


cdef inline void learn(Client* client, size_t length) noexcept nogil:
    """Move the mean size of replies an eighth of the way to this one; never back to zero."""
    cdef int64_t mean = client.reply_mean
    mean += (<int64_t> length - mean) // 8 if mean else <int64_t> length
    client.reply_mean = <uint32_t> (mean if mean > 0 else 1)


cdef void slot_fill(Core* core, Client* client, uint32_t number, const char* data, size_t length) noexcept nogil:
    """The reply of slot `number` is here."""
    if client.flags & CLIENT_SILENT:
        length = 0
    learn(client, length)
    if number == client.head:
        output_append(&client.output, &core.chunks, data, length)
        client.head += 1
        if client.held_count:
            slot_drain(core, client)
    else:
        slot_hold(core, client, &client.slots[number & client.mask], data, length)
    client_ready(core, client)


cdef void slots_pass(Core* core, Client* client, uint32_t count, size_t length) noexcept nogil:
    """The replies of so many slots are in the output, from the first in line on; one of them had `length` bytes."""
    learn(client, length)
    client.head += count
    if client.held_count:
        slot_drain(core, client)
    client_ready(core, client)


cdef void held_make_room(Core* core, Client* client, size_t length) noexcept nogil:
    """A larger chunk for held replies, without the gaps that drained ones left: amortised constant."""
    cdef Chunk* old = client.held
    cdef Chunk* chunk = chunk_new(&core.chunks, 2 * (client.held_bytes + length))
    cdef uint32_t number = client.head
    cdef Slot* slot
    while number != client.tail:
        slot = &client.slots[number & client.mask]
        if slot.state == SLOT_HELD:
            memcpy(chunk.data + chunk.tail, old.data + slot.at, slot.length)
            slot.at = chunk.tail
            chunk.tail += slot.length
        number += 1
    if old != NULL:
        chunk_free(&core.chunks, old)
    client.held = chunk


cdef void slot_hold(Core* core, Client* client, Slot* slot, const char* data, size_t length) noexcept nogil:
    """Keep a reply that is not first in line."""
    if client.held == NULL or client.held.capacity - client.held.tail < length:
        held_make_room(core, client, length)
    memcpy(client.held.data + client.held.tail, data, length)
    slot.at = client.held.tail
    slot.length = <uint32_t> length
    slot.state = SLOT_HELD
    client.held.tail += length
    client.held_bytes += length
    client.held_count += 1


cdef void slot_fill_chunk(Core* core, Client* client, uint32_t number, Chunk* chunk) noexcept nogil:
    """The reply of slot `number` is all of `chunk`, which is taken over."""
    cdef Slot* slot
    if client.flags & CLIENT_SILENT:
        chunk_free(&core.chunks, chunk)
        slot_fill(core, client, number, b"", 0)
        return
    learn(client, chunk.tail - chunk.head)
    if number == client.head:
        output_move(&client.output, &core.chunks, chunk)
        client.head += 1
        if client.held_count:
            slot_drain(core, client)
    else:
        slot = &client.slots[number & client.mask]
        slot.at = <size_t> chunk
        slot.state = SLOT_CHUNK
        client.held_bytes += chunk.tail - chunk.head
        client.held_count += 1
    client_ready(core, client)


cdef bint is_late(Core* core, const Client* client, const Slot* slot, const char* data, size_t length) noexcept nogil:
    """Did the acknowledgement of a write wait for earlier replies until this proxy's lease was over?"""
    if length == 0 or data[0] == c'-' or length > 1 and data[0] == c'+' and data[1] == c'Q':
        return False
    return core.rows[slot.row].flags & ROW_WRITE and lease_over(core, client.pool)


cdef void slot_drain(Core* core, Client* client) noexcept nogil:
    """Move every reply that is now first in line to the output."""
    cdef Slot* slot
    cdef Chunk* chunk
    while client.head != client.tail:
        slot = &client.slots[client.head & client.mask]
        if slot.state == SLOT_HELD:
            client.held_bytes -= slot.length
            if client.pool.leased and is_late(core, client, slot, client.held.data + slot.at, slot.length):
                output_append(&client.output, &core.chunks, client.pool.late, client.pool.late_length)
            else:
                output_append(&client.output, &core.chunks, client.held.data + slot.at, slot.length)
        elif slot.state == SLOT_CHUNK:
            chunk = <Chunk*> slot.at
            client.held_bytes -= chunk.tail - chunk.head
            if client.pool.leased and is_late(core, client, slot, chunk.data + chunk.head, chunk.tail - chunk.head):
                output_append(&client.output, &core.chunks, client.pool.late, client.pool.late_length)
                chunk_free(&core.chunks, chunk)
            else:
                output_move(&client.output, &core.chunks, chunk)
        else:
            break
        client.held_count -= 1
        client.head += 1
    if client.held_count == 0 and client.held != NULL:
        chunk_free(&core.chunks, client.held)
        client.held = NULL


cdef void slot_local(Core* core, Client* client, const char* data, size_t length) noexcept nogil:
    """An answer of our own, at this request's place in the order."""
    cdef uint32_t number
    if client.flags & CLIENT_SILENT:
        client_ready(core, client)
        return
    if client.head == client.tail:
        output_append(&client.output, &core.chunks, data, length)
    else:
        number = slot_push(core, client, 0)
        slot_hold(core, client, &client.slots[number & client.mask], data, length)
    client_ready(core, client)


cdef void slot_say(Core* core, Client* client, const char* text) noexcept nogil:
    """slot_local() of a text that ends with a zero."""
    slot_local(core, client, text, strlen(text))


cdef void slots_clear(Core* core, Client* client) noexcept nogil:
    """Free the ring and all that its slots own; the client is leaving, or nothing is owed."""
    cdef Slot* slot
    while client.head != client.tail:
        slot = &client.slots[client.head & client.mask]
        if slot.state == SLOT_CHUNK:
            chunk_free(&core.chunks, <Chunk*> slot.at)
        elif slot.state == SLOT_MERGING:
            merge_free(core, <Merge*> slot.at)
        client.head += 1
    if client.held != NULL:
        chunk_free(&core.chunks, client.held)
        client.held = NULL
    client.held_bytes = 0
    client.held_count = 0
    free(client.slots)
    client.slots = NULL


cdef void client_release(Core* core, Client* client) noexcept nogil:
    """One reference less; the husk of a client that left goes with the last one."""
    client.references -= 1
    if client.references == 0 and client.handle.kind == DEAD:
        free(client)
