# cython: language_level=3
"""Input: the bytes read from one socket that have not been used yet.

A peer that is between requests owns no buffer: bytes are received into a scratch area that the whole thread shares,
and only what is left over after framing moves into a chunk of the Input's own. From then on bytes are received
behind those, until all of them are used.
"""

from proxy.wire.chunk cimport Chunk, ChunkPool

cdef enum:
    SCRATCH = 65536            # bytes received in one call: what a peer may use of one turn
    MOVE_AT = 32768            # requests and replies of this size are handed on as chunks, not copied

cdef enum ReadStatus:
    READ_SOME = 0
    READ_NOTHING = 1           # would block
    READ_END = 2               # the peer closed its side
    READ_FAILED = 3            # errno tells


cdef struct Input:
    Chunk* chunk               # bytes kept, from chunk.head to chunk.tail; NULL: none


cdef int input_read(Input* input, ChunkPool* pool, char* scratch, int fd, size_t* meter,
                    const char** data, size_t* length) noexcept nogil
cdef void input_keep(Input* input, ChunkPool* pool, const char* data, size_t length, size_t used,
                     size_t need, size_t* meter) noexcept nogil
cdef Chunk* input_detach(Input* input, ChunkPool* pool, size_t length, size_t* meter) noexcept nogil
cdef void input_clear(Input* input, ChunkPool* pool) noexcept nogil


cdef inline size_t input_length(const Input* input) noexcept nogil:
    return 0 if input.chunk == NULL else input.chunk.tail - input.chunk.head
