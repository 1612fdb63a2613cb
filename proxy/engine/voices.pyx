# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Voices: keeping what was said until it is decided. See voices.pxd."""

from libc.stdint cimport uint8_t, uint32_t
from libc.stdlib cimport abort, calloc, free, malloc
from libc.string cimport memcpy

from proxy.engine.slots cimport client_release
from proxy.engine.types cimport Client, Core, Pending


cdef Quorum* quorum_new(Client* client, int count, size_t key_bytes) noexcept nogil:
    """One with room for so many voices, and for keys, which the caller fills in."""
    cdef Quorum* quorum = <Quorum*> calloc(1, sizeof(Quorum) + (count - 1) * sizeof(Voice) + key_bytes)
    if quorum == NULL:
        abort()
    quorum.client = client
    client.references += 1
    quorum.count = <uint8_t> count
    quorum.waiting = <uint8_t> count
    quorum.key_bytes = <uint32_t> key_bytes
    return quorum


cdef void voice_says(Voice* voice, const char* data, size_t length) noexcept nogil:
    """Keep a copy of its reply."""
    voice.reply = &voice.text[0]
    if length > VOICE_TEXT:
        voice.reply = <char*> malloc(length)
    if voice.reply == NULL:
        abort()
    memcpy(voice.reply, data, length)
    voice.length = <uint32_t> length


cdef void quorum_failed(Core* core, Pending* pending, bint reached) noexcept nogil:
    """A request of it was lost, withdrawn, or is too late; what follows from that is decided before the turn ends.

    `reached`: the node may have carried it out, or may yet.
    """
    cdef Quorum* quorum = <Quorum*> pending.cool
    cdef Voice* voice
    if pending.role == ROLE_HINT:
        quorum.hinting -= 1
    else:
        voice = &quorum.voices[pending.part]
        voice.heard = HEARD_FAILURE
        voice.reached = reached
        quorum.waiting -= 1
    if not quorum.undecided:
        quorum.undecided = 1
        quorum.next = <Quorum*> core.undecided
        core.undecided = quorum
    quorum_settle(core, pending)


cdef void quorum_settle(Core* core, Pending* pending) noexcept nogil:
    """The pending names it no longer."""
    cdef Quorum* quorum = <Quorum*> pending.cool
    pending.role = 0
    quorum.pendings -= 1
    quorum_leave(core, quorum)


cdef void quorum_leave(Core* core, Quorum* quorum) noexcept nogil:
    """Free it, if nobody wants it any more."""
    cdef int index
    if quorum.pendings or quorum.undecided:
        return
    if not quorum.over:
        # The engine ends.
        client_release(core, quorum.client)
    for index in range(quorum.count):
        if quorum.voices[index].reply != &quorum.voices[index].text[0]:
            free(quorum.voices[index].reply)
    free(quorum)
