# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""History: blocks of the stream. See history.pxd."""

from libc.stdint cimport uint64_t
from libc.stdio cimport fprintf, stderr
from libc.stdlib cimport abort, free, malloc
from libc.string cimport memcpy

cdef enum:
    BLOCK_LEAST = 1 << 10      # bytes of a block, of which a backlog has about sixteen
    BLOCK_MOST = 256 << 10


cdef inline char* bytes_of(Block* block) noexcept nogil:
    return <char*> (block + 1)


cdef Block* add_block(History* history) noexcept nogil:
    cdef size_t room = history.size // 16
    cdef Block* block
    room = BLOCK_LEAST if room < BLOCK_LEAST else BLOCK_MOST if room > BLOCK_MOST else room
    block = <Block*> malloc(sizeof(Block) + room)
    if block == NULL:
        fprintf(stderr, "quench: out of memory for the replication backlog\n")
        abort()
    block.next = NULL
    block.start = history.end
    block.length = 0
    block.room = room
    block.pins = 0
    if history.last == NULL:
        history.first = block
    else:
        history.last.next = block
    history.last = block
    history.memory += sizeof(Block) + room
    return block


cdef void history_begin(History* history) noexcept nogil:
    """Keep what comes from here on."""
    if history.last == NULL:
        add_block(history)


cdef void history_append(History* history, const char* data, size_t length) noexcept nogil:
    """Add to the end; call history_trim() now and then."""
    cdef Block* block = history.last
    cdef size_t part
    while length:
        if block == NULL or block.length == block.room:
            block = add_block(history)
        part = block.room - block.length
        if part > length:
            part = length
        memcpy(bytes_of(block) + block.length, data, part)
        block.length += part
        history.end += part
        data += part
        length -= part


cdef void drop_first(History* history) noexcept nogil:
    cdef Block* block = history.first
    history.first = block.next
    if history.first == NULL:
        history.last = NULL
    history.memory -= sizeof(Block) + block.room
    free(block)


cdef void history_trim(History* history) noexcept nogil:
    """Drop blocks that nobody waits for, as long as `size` bytes stay."""
    cdef Block* first = history.first
    while first != NULL and first.next != NULL and first.pins == 0 and history.end - first.next.start >= history.size:
        drop_first(history)
        first = history.first


cdef void history_clear(History* history) noexcept nogil:
    """Forget everything; nobody may have a pin."""
    while history.first != NULL:
        drop_first(history)


cdef bint history_holds(const History* history, uint64_t position) noexcept nogil:
    """Can the stream be sent from this position on?"""
    return history.first != NULL and history.first.start <= position <= history.end


cdef Block* history_pin(History* history, uint64_t position) noexcept nogil:
    """The block in which a position that history_holds() lies; it is the caller's to unpin: `block.pins -= 1`."""
    cdef Block* block = history.first
    while block.next != NULL and position >= block.next.start:
        block = block.next
    block.pins += 1
    return block


cdef size_t history_look(Block** block, uint64_t position, const char** data) noexcept nogil:
    """The bytes at a position: how many there are in one piece, 0 at the end. Moves the pin along."""
    while position == block[0].start + block[0].length and block[0].next != NULL:
        block[0].pins -= 1
        block[0] = block[0].next
        block[0].pins += 1
    data[0] = bytes_of(block[0]) + (position - block[0].start)
    return block[0].start + block[0].length - position
