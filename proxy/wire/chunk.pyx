# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Chunks: allocation, recycling and the meter that bounds input memory. See chunk.pxd for the picture."""

from libc.stdio cimport fprintf, stderr
from libc.stdlib cimport abort, free, malloc
from libc.string cimport memcpy


cdef Chunk* chunk_new(ChunkPool* pool, size_t capacity) noexcept nogil:
    """An empty chunk with room for at least `capacity` bytes. Small requests all get CHUNK_SIZE.

    Out of memory ends the process: every queue of the data plane is bounded well below the machine, so a failed
    malloc means that no promise can be kept any more (Redis decides alike).
    """
    cdef Chunk* chunk
    if capacity <= CHUNK_SIZE:
        capacity = CHUNK_SIZE
        chunk = pool.free
        if chunk != NULL:
            pool.free = chunk.next
            pool.idle -= 1
            chunk.next = NULL
            chunk.head = 0
            chunk.tail = 0
            return chunk
    return chunk_exact(pool, capacity)


cdef Chunk* chunk_exact(ChunkPool* pool, size_t capacity) noexcept nogil:
    """An empty chunk of just this capacity, for bytes that wait and will not grow."""
    cdef Chunk* chunk = <Chunk*> malloc(sizeof(Chunk) + capacity + SLACK)
    if chunk == NULL:
        fprintf(stderr, "quench: out of memory allocating %zu bytes\n", capacity)
        abort()
    chunk.next = NULL
    chunk.meter = NULL
    chunk.head = 0
    chunk.tail = 0
    chunk.capacity = capacity
    chunk.data = <char*> (chunk + 1)
    pool.total += capacity
    return chunk


cdef Chunk* chunk_metered(ChunkPool* pool, size_t capacity, size_t* meter) noexcept nogil:
    """A chunk whose capacity is charged to `meter` (NULL: to nobody) until it is freed, whoever owns it by then."""
    cdef Chunk* chunk = chunk_new(pool, capacity)
    chunk.meter = meter
    if meter != NULL:
        meter[0] += chunk.capacity
    return chunk


cdef Shared* chunk_share(ChunkPool* pool, const char* data, size_t length) noexcept nogil:
    """A copy of these bytes for chunk_view(); the caller lets go with shared_release()."""
    cdef Shared* shared = <Shared*> malloc(sizeof(Shared) + length)
    if shared == NULL:
        fprintf(stderr, "quench: out of memory allocating %zu bytes\n", length)
        abort()
    shared.references = 1
    shared.length = length
    memcpy(<char*> (shared + 1), data, length)
    pool.total += length
    return shared


cdef Chunk* chunk_view(Shared* shared) noexcept nogil:
    """A chunk full of the shared bytes: for an Output, which never writes to what is full."""
    cdef Chunk* chunk = <Chunk*> malloc(sizeof(Chunk))
    if chunk == NULL:
        abort()
    shared.references += 1
    chunk.next = NULL
    chunk.meter = NULL
    chunk.head = 0
    chunk.tail = shared.length
    chunk.capacity = shared.length
    chunk.data = <char*> (shared + 1)
    return chunk


cdef void shared_release(ChunkPool* pool, Shared* shared) noexcept nogil:
    shared.references -= 1
    if shared.references == 0:
        pool.total -= shared.length
        free(shared)


cdef void chunk_free(ChunkPool* pool, Chunk* chunk) noexcept nogil:
    if chunk.data != <char*> (chunk + 1):
        shared_release(pool, (<Shared*> chunk.data) - 1)
        free(chunk)
        return
    if chunk.meter != NULL:
        chunk.meter[0] -= chunk.capacity
        chunk.meter = NULL
    if chunk.capacity == CHUNK_SIZE and pool.idle < POOL_KEEP:
        chunk.next = pool.free
        pool.free = chunk
        pool.idle += 1
        return
    pool.total -= chunk.capacity
    free(chunk)


cdef void pool_trim(ChunkPool* pool) noexcept nogil:
    """Give all idle chunks back; called when an engine has been quiet for a while."""
    cdef Chunk* chunk
    while pool.free != NULL:
        chunk = pool.free
        pool.free = chunk.next
        pool.total -= chunk.capacity
        free(chunk)
    pool.idle = 0
