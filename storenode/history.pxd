# cython: language_level=3
"""History: the last bytes of the stream that replicas are sent, held once for all of them.

    start ── block ── block ── block ── end         a replica's position is anywhere between
                       └─ pinned by a replica that is that far behind

Blocks are dropped from the front once what is behind them is as long as the backlog has to be; a block that a replica
still has to be sent is pinned, and so are all after it. So a replica's backlog of output costs nothing that another
one's, or the one for partial resyncs, has not paid for. Positions count the bytes of the stream from its start; a
position is that of the next byte, Redis's `offset` that of the last one.
"""

from libc.stdint cimport uint32_t, uint64_t

cdef struct Block:             # its bytes follow
    Block* next
    uint64_t start             # position of its first byte
    size_t length
    size_t room
    uint32_t pins              # replicas whose next byte is in it, or comes behind it as the last one


cdef struct History:
    Block* first               # NULL: nothing is kept
    Block* last
    uint64_t end               # position of the next byte
    size_t size                # bytes to keep at least: repl-backlog-size
    size_t memory              # bytes of all blocks

cdef void history_append(History* history, const char* data, size_t length) noexcept nogil
cdef void history_begin(History* history) noexcept nogil
cdef void history_trim(History* history) noexcept nogil
cdef void history_clear(History* history) noexcept nogil
cdef bint history_holds(const History* history, uint64_t position) noexcept nogil
cdef Block* history_pin(History* history, uint64_t position) noexcept nogil
cdef size_t history_look(Block** block, uint64_t position, const char** data) noexcept nogil


cdef inline uint64_t history_start(const History* history) noexcept nogil:
    """Position of the oldest byte kept."""
    return history.end if history.first == NULL else history.first.start
