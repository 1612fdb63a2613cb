# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Output: appending to, sending from and cutting the list of chunks owed to a socket. See output.pxd."""

from libc.string cimport memcpy, memmove, memset

from proxy.wire.chunk cimport Chunk, ChunkPool, chunk_exact, chunk_free, chunk_new
from proxy.wire.resp cimport write_number
from proxy.wire.system cimport (
    EAGAIN, EINTR, EWOULDBLOCK, MSG_NOSIGNAL, errno, iovec, msghdr, send, sendmsg,
)

cdef enum:
    PARTS = 64                 # chunks handed to the kernel in one call: 1 MiB of small ones
    JOIN_COPY = 4096           # bytes that output_join() copies rather than moves


cdef void output_append_slow(Output* output, ChunkPool* pool, const char* data, size_t length) noexcept nogil:
    """Fill the last chunk, then put the rest in a new one of the size that it takes."""
    cdef size_t room
    if output.last != NULL:
        room = output.last.capacity - output.last.tail
        if room > length:
            room = length
        memcpy(output.last.data + output.last.tail, data, room)
        output_commit(output, room)
        data += room
        length -= room
    if length:
        memcpy(output_room(output, pool, length), data, length)
        output_commit(output, length)


cdef char* output_room(Output* output, ChunkPool* pool, size_t length) noexcept nogil:
    """Where `length` contiguous bytes may be written; follow with output_commit()."""
    cdef Chunk* chunk = output.last
    if chunk != NULL and chunk.capacity - chunk.tail >= length:
        return chunk.data + chunk.tail
    chunk = chunk_new(pool, length)
    if output.last == NULL:
        output.first = chunk
    else:
        output.last.next = chunk
    output.last = chunk
    return chunk.data


cdef void output_repeat(Output* output, ChunkPool* pool, const char* data, size_t length, size_t count) noexcept nogil:
    """Append the same bytes so many times: what is there already is copied behind itself, twice as much each time."""
    cdef char* at
    cdef size_t fit, total, done, step
    while count:
        at = output_room(output, pool, length)
        fit = (output.last.capacity - output.last.tail) // length
        if fit > count:
            fit = count
        memcpy(at, data, length)
        done = length
        total = fit * length
        while done < total:
            step = done if done < total - done else total - done
            memcpy(at + done, at, step)
            done += step
        output_commit(output, total)
        count -= fit


cdef void output_move(Output* output, ChunkPool* pool, Chunk* chunk) noexcept nogil:
    """Take over `chunk` and all its bytes; nothing is copied."""
    chunk.next = NULL
    if output.last == NULL:
        output.first = chunk
    else:
        output.last.next = chunk
    output.last = chunk
    output.length += chunk.tail - chunk.head


cdef int output_write(Output* output, ChunkPool* pool, int fd) noexcept nogil:
    """Give the kernel as much as it takes."""
    cdef iovec parts[PARTS]
    cdef msghdr message
    cdef Chunk* chunk
    cdef int count
    cdef size_t offered
    cdef ssize_t taken
    while output.length:
        chunk = output.first
        if chunk.next == NULL:
            offered = chunk.tail - chunk.head
            taken = send(fd, chunk.data + chunk.head, offered, MSG_NOSIGNAL)
        else:
            count = 0
            offered = 0
            while chunk != NULL and count < PARTS:
                parts[count].iov_base = chunk.data + chunk.head
                parts[count].iov_len = chunk.tail - chunk.head
                offered += parts[count].iov_len
                count += 1
                chunk = chunk.next
            memset(&message, 0, sizeof(message))
            message.msg_iov = parts
            message.msg_iovlen = count
            taken = sendmsg(fd, &message, MSG_NOSIGNAL)
        if taken < 0:
            if errno == EINTR:
                continue
            if errno == EAGAIN or errno == EWOULDBLOCK:
                return WROTE_SOME
            return WRITE_FAILED
        output_consume(output, pool, taken)
        if <size_t> taken < offered:
            return WROTE_SOME
    return WROTE_ALL


cdef void output_consume(Output* output, ChunkPool* pool, size_t length) noexcept nogil:
    """Drop `length` bytes from the front and every chunk that this empties."""
    cdef Chunk* chunk
    cdef size_t size
    output.length -= length
    while output.first != NULL:
        chunk = output.first
        size = chunk.tail - chunk.head
        if size > length:
            chunk.head += length
            return
        length -= size
        output.first = chunk.next
        chunk_free(pool, chunk)
    output.last = NULL


cdef void output_clear(Output* output, ChunkPool* pool) noexcept nogil:
    output_consume(output, pool, output.length)


cdef void output_cut(Output* output, ChunkPool* pool, size_t start, size_t length) noexcept nogil:
    """Remove `length` bytes that begin `start` bytes after the front: how an unsent request is withdrawn.

    Costs a walk of the chunks and a memmove inside those at the two edges; rare (a deadline passed unsent).
    """
    cdef Chunk* chunk = output.first
    cdef Chunk* before = NULL
    cdef Chunk* following
    cdef size_t size, cut
    output.length -= length
    while chunk != NULL and length:
        following = chunk.next
        size = chunk.tail - chunk.head
        if start >= size:
            start -= size
            before = chunk
        else:
            cut = size - start
            if cut > length:
                cut = length
            memmove(chunk.data + chunk.head + start, chunk.data + chunk.head + start + cut, size - start - cut)
            chunk.tail -= cut
            length -= cut
            start = 0
            if chunk.tail == chunk.head:
                if before == NULL:
                    output.first = following
                else:
                    before.next = following
                if output.last == chunk:
                    output.last = before
                chunk_free(pool, chunk)
            else:
                before = chunk
        chunk = following


cdef void output_join(Output* output, ChunkPool* pool, Output* other) noexcept nogil:
    """Move all of `other` behind what is here. A little is copied, so that many small pieces share chunks; more is moved
    with its chunks."""
    if output.last == NULL or other.length > JOIN_COPY:
        if other.first == NULL:
            return
        if output.last == NULL:
            output.first = other.first
        else:
            output.last.next = other.first
        output.last = other.last
        output.length += other.length
        other.first = NULL
        other.last = NULL
        other.length = 0
        return
    cdef Chunk* chunk = other.first
    while chunk != NULL:
        output_append(output, pool, chunk.data + chunk.head, chunk.tail - chunk.head)
        chunk = chunk.next
    output_clear(other, pool)


cdef void output_flatten(Output* output, ChunkPool* pool) noexcept nogil:
    """Make all bytes contiguous, in one chunk; costs a copy where there are several."""
    cdef Chunk* chunk = output.first
    cdef Chunk* following
    cdef Chunk* whole
    if chunk == NULL or chunk.next == NULL:
        return
    whole = chunk_exact(pool, output.length)
    while chunk != NULL:
        memcpy(whole.data + whole.tail, chunk.data + chunk.head, chunk.tail - chunk.head)
        whole.tail += chunk.tail - chunk.head
        following = chunk.next
        chunk_free(pool, chunk)
        chunk = following
    output.first = whole
    output.last = whole


cdef Chunk* output_array(Output* elements, ChunkPool* pool, long long count) noexcept nogil:
    """An array of `count` elements in one chunk, the caller's; `elements` is empty afterwards."""
    cdef Output whole
    whole.first = NULL
    whole.last = NULL
    whole.length = 0
    output_number(&whole, pool, c'*', count)
    output_join(&whole, pool, elements)
    output_flatten(&whole, pool)
    return whole.first


cdef void output_bulk(Output* output, ChunkPool* pool, const char* data, size_t length) noexcept nogil:
    """Append a bulk string: `$<length>\\r\\n<data>\\r\\n`."""
    output_number(output, pool, c'$', <long long> length)
    output_append(output, pool, data, length)
    output_append(output, pool, b"\r\n", 2)


cdef void output_number(Output* output, ChunkPool* pool, char kind, long long value) noexcept nogil:
    """Append a header or an integer reply: `<kind><value>\\r\\n`."""
    cdef char* at = output_room(output, pool, 32)
    at[0] = kind
    output_commit(output, 1 + write_number(at + 1, value))
