# cython: language_level=3
"""Output: the bytes owed to one socket, in order, as a list of chunks.

Small pieces are copied into the last chunk, large ones join the list as chunks of their own. `length` counts what
the kernel has not taken yet; an empty Output holds no chunk at all.

A Trail is what was given to the kernel and may be needed again: the same chunks, kept instead of freed, so that keeping
costs a request nothing. Places in it are counted from the first byte that was ever appended.

    trail.first … trail.last ── output.first …            chunks in the order of the stream
    start ────────────────── end ── what the kernel has ── what it has not
"""

from libc.stdint cimport uint64_t
from libc.string cimport memcpy

from proxy.wire.chunk cimport Chunk, ChunkPool

cdef enum WriteStatus:
    WROTE_ALL = 0
    WROTE_SOME = 1             # the kernel's buffer is full: wait for EPOLLOUT
    WRITE_FAILED = 2           # the peer is gone; errno tells


cdef struct Output:
    Chunk* first
    Chunk* last
    size_t length              # bytes not yet given to the kernel


cdef struct Trail:
    Chunk* first
    Chunk* last
    uint64_t start             # place of the first byte that is kept
    uint64_t end               # place of data[0] of the chunk that the output begins with
    size_t bytes               # capacity of the chunks


cdef void output_append_slow(Output* output, ChunkPool* pool, const char* data, size_t length) noexcept nogil
cdef char* output_room(Output* output, ChunkPool* pool, size_t length) noexcept nogil
cdef void output_repeat(Output* output, ChunkPool* pool, const char* data, size_t length, size_t count) noexcept nogil
cdef void output_move(Output* output, ChunkPool* pool, Chunk* chunk) noexcept nogil
cdef int output_write(Output* output, ChunkPool* pool, int fd) noexcept nogil
cdef int output_write_keeping(Output* output, ChunkPool* pool, int fd, Trail* trail) noexcept nogil
cdef void output_pass(Output* output, ChunkPool* pool, size_t length, Trail* trail) noexcept nogil
cdef void output_consume(Output* output, ChunkPool* pool, size_t length) noexcept nogil
cdef void output_clear(Output* output, ChunkPool* pool) noexcept nogil
cdef void output_cut(Output* output, ChunkPool* pool, size_t start, size_t length) noexcept nogil
cdef void output_join(Output* output, ChunkPool* pool, Output* other) noexcept nogil
cdef Chunk* output_array(Output* elements, ChunkPool* pool, long long count) noexcept nogil
cdef void output_flatten(Output* output, ChunkPool* pool) noexcept nogil
cdef void output_bulk(Output* output, ChunkPool* pool, const char* data, size_t length) noexcept nogil
cdef void output_number(Output* output, ChunkPool* pool, char kind, long long value) noexcept nogil

cdef void trail_release(Trail* trail, ChunkPool* pool, uint64_t place) noexcept nogil
cdef void trail_restart(Trail* trail, const Output* output, ChunkPool* pool, uint64_t place) noexcept nogil
cdef const char* trail_find(const Trail* trail, const Output* output, uint64_t place, size_t length) noexcept nogil
cdef bint trail_copy(const Trail* trail, const Output* output, uint64_t place, size_t length, char* to) noexcept nogil


cdef inline void output_append(Output* output, ChunkPool* pool, const char* data, size_t length) noexcept nogil:
    """Copy `length` bytes to the end."""
    cdef Chunk* last = output.last
    if last != NULL and last.capacity - last.tail >= length:
        memcpy(last.data + last.tail, data, length)
        last.tail += length
        output.length += length
    else:
        output_append_slow(output, pool, data, length)


cdef inline void output_commit(Output* output, size_t length) noexcept nogil:
    """`length` bytes were written where output_room() pointed."""
    output.last.tail += length
    output.length += length
