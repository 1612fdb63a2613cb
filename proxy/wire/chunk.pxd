# cython: language_level=3
"""Chunks: the one kind of byte buffer on the data plane.

    data ── head ────────── tail ───────── capacity (+ SLACK readable bytes)
            │ bytes to use  │ room to fill │

A chunk has exactly one owner: an Input (bytes being framed), an Output (bytes being sent), or a slot (a large reply
waiting its turn). Handing it over moves the pointer, never the bytes; that is how large values cross the proxy
without a copy. Small chunks of one size are recycled through a ChunkPool; larger ones come from malloc and go back
to the kernel when freed (malloc maps blocks of 128 KiB and more on their own).

A view is a full chunk whose bytes are another's: a message that goes to many sockets is held once (Shared).
"""

from libc.stdint cimport uint32_t

cdef enum:
    CHUNK_SIZE = 16384 - 64    # bytes of a pooled chunk; with its header it fits 16 KiB
    SLACK = 16                 # readable bytes past capacity, so that word-wise reads need no bounds check
    POOL_KEEP = 128            # idle pooled chunks kept between bursts: 2 MiB an engine
    SHARE_AT = 8192            # bytes that are shared rather than copied into several outputs


cdef struct Chunk:
    Chunk* next                # link in an Output or in the pool
    size_t* meter              # counter of bytes reserved (owned by the engine), or NULL; charged with capacity
    size_t head                # first byte not used yet
    size_t tail                # end of the bytes
    size_t capacity            # bytes that fit
    char* data                 # the bytes, right behind this header; of a view, behind a Shared


cdef struct ChunkPool:
    Chunk* free
    unsigned int idle          # chunks in `free`
    size_t total               # bytes of all live chunks, pooled or not (statistics)


cdef struct Shared:            # bytes owed to several sockets, held once; they stand behind this header
    uint32_t references        # views, and whoever is making them
    size_t length


cdef Shared* chunk_share(ChunkPool* pool, const char* data, size_t length) noexcept nogil
cdef Chunk* chunk_view(Shared* shared) noexcept nogil
cdef void shared_release(ChunkPool* pool, Shared* shared) noexcept nogil
cdef Chunk* chunk_new(ChunkPool* pool, size_t capacity) noexcept nogil
cdef Chunk* chunk_exact(ChunkPool* pool, size_t capacity) noexcept nogil
cdef Chunk* chunk_metered(ChunkPool* pool, size_t capacity, size_t* meter) noexcept nogil
cdef void chunk_free(ChunkPool* pool, Chunk* chunk) noexcept nogil
cdef void pool_trim(ChunkPool* pool) noexcept nogil
