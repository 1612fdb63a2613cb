# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Input: receiving, keeping what is left over, handing on a large request whole. See input.pxd."""

from libc.string cimport memcpy, memmove

from proxy.wire.chunk cimport Chunk, ChunkPool, chunk_free, chunk_metered
from proxy.wire.system cimport EAGAIN, EINTR, EWOULDBLOCK, errno, recv


cdef void grow(Input* input, ChunkPool* pool, size_t room, size_t* meter) noexcept nogil:
    """Make the chunk able to hold `room` bytes in all, the kept ones at its front."""
    cdef Chunk* old = input.chunk
    cdef size_t kept = old.tail - old.head
    cdef Chunk* chunk
    if old.capacity >= room:
        memmove(old.data, old.data + old.head, kept)
        old.head = 0
        old.tail = kept
        return
    chunk = chunk_metered(pool, room, meter)
    memcpy(chunk.data, old.data + old.head, kept)
    chunk.tail = kept
    chunk_free(pool, old)
    input.chunk = chunk


cdef int input_read(Input* input, ChunkPool* pool, char* scratch, int fd, size_t* meter,
                    const char** data, size_t* length) noexcept nogil:
    """One recv. `data[0]`, `length[0]` are then all unused bytes, old and new; valid until input_keep().

    A full chunk is compacted when that frees half of it, else doubled, so feeding any request byte by byte stays
    linear. A chunk sized by input_keep(need) is filled exactly, so that it ends with its request.
    """
    cdef Chunk* chunk = input.chunk
    cdef char* at = scratch
    cdef size_t room = SCRATCH
    cdef ssize_t count
    if chunk != NULL:
        if chunk.tail == chunk.capacity:
            if chunk.head >= chunk.capacity // 2:
                grow(input, pool, chunk.capacity, meter)
            else:
                grow(input, pool, chunk.capacity * 2, meter)
            chunk = input.chunk
        at = chunk.data + chunk.tail
        room = chunk.capacity - chunk.tail
        if room > 16 * SCRATCH:
            room = 16 * SCRATCH
    while True:
        count = recv(fd, at, room, 0)
        if count > 0:
            break
        if count == 0:
            return READ_END
        if errno == EINTR:
            continue
        if errno == EAGAIN or errno == EWOULDBLOCK:
            return READ_NOTHING
        return READ_FAILED
    if chunk == NULL:
        data[0] = scratch
        length[0] = <size_t> count
    else:
        chunk.tail += <size_t> count
        data[0] = chunk.data + chunk.head
        length[0] = chunk.tail - chunk.head
    return READ_SOME


cdef void input_keep(Input* input, ChunkPool* pool, const char* data, size_t length, size_t used,
                     size_t need, size_t* meter) noexcept nogil:
    """The first `used` of the `length` unused bytes at `data` are done with; keep the rest.

    `need`: how many bytes the next request takes in all, as far as it is known (0, or one more than there are:
    unknown). That much room is reserved at once and charged to `meter`; untouched pages cost nothing yet. A chunk
    that has to grow at least doubles: the need of an MSET moves with each of its values, and growing to just that
    would copy all values before for each of them.
    """
    cdef Chunk* chunk = input.chunk
    cdef size_t room
    length -= used
    if chunk == NULL:
        if length == 0:
            return
        chunk = chunk_metered(pool, need if need > length + 1 else 2 * length, meter)
        memcpy(chunk.data, data + used, length)
        chunk.tail = length
        input.chunk = chunk
        return
    chunk.head += used
    if chunk.head == chunk.tail:
        input.chunk = NULL
        chunk_free(pool, chunk)
    elif need > chunk.capacity - chunk.head:
        room = need
        if room > chunk.capacity and room < 2 * chunk.capacity:
            room = 2 * chunk.capacity
        grow(input, pool, room, meter)


cdef Chunk* input_detach(Input* input, ChunkPool* pool, size_t length, size_t* meter) noexcept nogil:
    """Give the first `length` bytes away as a chunk of their own; NULL where a copy is cheaper.

    The bytes behind them are copied out, so it is refused when these are the larger part: a long run of parked
    requests would otherwise be copied once for each of them.
    """
    cdef Chunk* chunk = input.chunk
    cdef Chunk* rest
    cdef size_t behind
    if chunk == NULL or length < MOVE_AT or length < chunk.capacity // 2:
        return NULL
    behind = chunk.tail - chunk.head - length
    if behind > length:
        return NULL
    input.chunk = NULL
    if behind:
        rest = chunk_metered(pool, behind, meter)
        memcpy(rest.data, chunk.data + chunk.head + length, behind)
        rest.tail = behind
        input.chunk = rest
    chunk.tail = chunk.head + length
    return chunk


cdef void input_clear(Input* input, ChunkPool* pool) noexcept nogil:
    if input.chunk != NULL:
        chunk_free(pool, input.chunk)
        input.chunk = NULL
