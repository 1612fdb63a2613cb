# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Fence: looking through what is under way. See fence.pxd."""

from libc.stdint cimport int32_t, uint32_t, uint64_t

from proxy.engine.types cimport DEAD, SLOT_MERGING, SLOT_WAITING, Client, Core, Slot

cdef enum:
    LOOK_MOST = 256            # slots that are looked at; beyond them the key is taken to be under way


cdef void fence_look(const Core* core, const Client* client, uint64_t hash, Bound* bound) noexcept nogil:
    """The last request under way that is for this key, or may be: later ones have higher orders."""
    cdef uint32_t number = client.home_end
    cdef uint32_t looked = 0
    cdef const Slot* slot
    if <int32_t> (client.tail - number) < 0:
        # It was refused, and took no slot.
        number = client.tail
    while number != client.head:
        number -= 1
        slot = &client.slots[number & client.mask]
        if slot.state == SLOT_MERGING or (slot.state == SLOT_WAITING and (slot.at == hash | 1 or slot.at == MANY)):
            bound.there = True
            bound.doubt = slot.doubt
            bound.order = slot.length
            return
        looked += 1
        if looked == LOOK_MOST:
            bound.there = True
            bound.doubt = client.doubts > 0
            bound.order = core.order + 1
            return


cdef void fence_doubt(Client* client, uint32_t number) noexcept nogil:
    """It is not known of which moment the reply in this slot will be; told when it is (waiters_tell)."""
    cdef Slot* slot = &client.slots[number & client.mask]
    if slot.at and not slot.doubt:
        slot.doubt = 1
        client.doubts += 1


cdef void fence_move(Client* client, uint32_t number, uint64_t hash, uint32_t order) noexcept nogil:
    """What this slot waits for was to come from a copy elsewhere, and is asked for at the key's home after all."""
    cdef Slot* slot
    if client.handle.kind == DEAD:
        return
    slot = &client.slots[number & client.mask]
    slot.at = hash | 1
    slot.length = order
    client.home_keys |= fence_bit(hash)
    if <int32_t> (number + 1 - client.home_end) > 0:
        client.home_end = number + 1
