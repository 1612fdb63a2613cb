# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Marks: noting the keys of a write, opening and closing their stripes. See marks.pxd.

The dispatcher notes keys; the first connection that takes the request opens them all, and so does each further one of
a command that is split: its part holds them until its own reply is here. A command that waits at its node (BLPOP) may
do so for ever, so it opens nothing, and only its end counts: its client asks nothing meanwhile, and others find it
within the bound of a copy.
"""

from libc.stdint cimport uint16_t, uint32_t, uint64_t
from libc.stdlib cimport abort, calloc, free, malloc, realloc
from libc.string cimport memcpy

from proxy.engine.keys cimport keys_find
from proxy.engine.types cimport Core, Row
from proxy.wire.resp cimport Frame


cdef uint64_t* marks_new() noexcept nogil:
    """The words of one engine."""
    return <uint64_t*> calloc(STRIPES, sizeof(uint64_t))


cdef inline void add(Core* core, uint16_t stripe, uint64_t amount) noexcept nogil:
    cdef uint64_t* word = core.peers.marks[core.index] + stripe
    if stripe == EVERY:
        # Rare, and so one number for all engines: copies from before, and those fetched meanwhile, are void.
        quench_forget(&core.peers.forgets)
        return
    quench_store_word(word, word[0] + amount)


cdef uint64_t marks_open(Core* core, bint waits) noexcept nogil:
    """Open what was noted, for one Pending; the result is to be given to marks_close() exactly once."""
    cdef Stripes* stripes
    cdef uint32_t index
    if core.noted == 1 and not waits:
        add(core, core.notes[0], 1)
        return <uint64_t> core.notes[0] << 1 | ONE
    stripes = <Stripes*> malloc(sizeof(Stripes) + core.noted * sizeof(uint16_t))
    if stripes == NULL:
        abort()
    stripes.count = core.noted
    stripes.waits = waits
    memcpy(numbers(stripes), core.notes, core.noted * sizeof(uint16_t))
    if not waits:
        for index in range(core.noted):
            add(core, core.notes[index], 1)
    return <uint64_t> stripes


cdef void marks_close(Core* core, uint64_t opened) noexcept nogil:
    """The write is over: before its client is told."""
    cdef Stripes* stripes = <Stripes*> opened
    cdef uint32_t index
    if opened & ONE:
        add(core, <uint16_t> (opened >> 1), OPENED - 1)
        return
    for index in range(stripes.count):
        add(core, numbers(stripes)[index], OPENED if stripes.waits else OPENED - 1)
    free(stripes)


cdef uint32_t marks_count(uint64_t opened) noexcept nogil:
    """How many stripes are open."""
    return 1 if opened & ONE else (<Stripes*> opened).count


cdef uint16_t marks_stripe(uint64_t opened, uint32_t index) noexcept nogil:
    """One of them."""
    return <uint16_t> (opened >> 1) if opened & ONE else numbers(<Stripes*> opened)[index]


cdef void room_for(Core* core, uint32_t count) noexcept nogil:
    if core.noted + count <= core.note_room:
        return
    core.note_room = 2 * (core.noted + count)
    core.notes = <uint16_t*> realloc(core.notes, core.note_room * sizeof(uint16_t))
    if core.notes == NULL:
        abort()


cdef void marks_note(Core* core, const char* key, size_t length) noexcept nogil:
    """The request at hand may write this key."""
    room_for(core, 1)
    core.notes[core.noted] = stripe_of(key_hash(core, key, length))
    core.noted += 1


cdef void marks_note_every(Core* core) noexcept nogil:
    """The request at hand may write any key."""
    room_for(core, 1)
    core.notes[core.noted] = EVERY
    core.noted += 1


cdef void marks_note_keys(Core* core, int count) noexcept nogil:
    """The request at hand may write the keys that keys_find() found."""
    cdef int index
    for index in range(count):
        marks_note(core, core.keys[index].data, core.keys[index].length)


cdef void marks_note_request(Core* core, const Row* row, const Frame* frame) noexcept nogil:
    """The request at hand may write its keys."""
    if row.spec_count == 0:
        marks_note_every(core)
    elif row.key:
        marks_note(core, frame.data + frame.args[row.key].offset, frame.args[row.key].length)
    else:
        marks_note_keys(core, keys_find(core, row, frame))


cdef void marks_note_stripes(Core* core, const uint16_t* stripes, uint32_t count) noexcept nogil:
    """The request at hand may write keys that were noted before, in a transaction."""
    room_for(core, count)
    memcpy(core.notes + core.noted, stripes, count * sizeof(uint16_t))
    core.noted += count
