# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Output: appending to, sending from and cutting the list of chunks owed to a socket. See output.pxd."""

from libc.stdint cimport uint64_t
from libc.string cimport memcpy, memmove, memset

from proxy.wire.chunk cimport Chunk, ChunkPool, chunk_exact, chunk_free, chunk_new
from proxy.wire.resp cimport write_number
from proxy.wire.system cimport (
    EAGAIN, EINTR, EWOULDBLOCK, MSG_NOSIGNAL, errno, iovec, msghdr, send, sendmsg,
)

cdef enum:
    PARTS = 64                 # chunks handed to the kernel in one call: 1 MiB of small ones
    JOIN_COPY = 4096           # bytes that output_join() copies rather than moves
    WORTH_KEEPING = 512        # bytes of room at the end of a chunk whose other bytes are kept


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
    return output_write_keeping(output, pool, fd, NULL)


cdef int output_write_keeping(Output* output, ChunkPool* pool, int fd, Trail* trail) noexcept nogil:
    """Give the kernel as much as it takes, and keep that in `trail`, unless it is NULL."""
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
        output_pass(output, pool, taken, trail)
        if <size_t> taken < offered:
            return WROTE_SOME
    return WROTE_ALL


cdef void output_consume(Output* output, ChunkPool* pool, size_t length) noexcept nogil:
    """Drop `length` bytes from the front and every chunk that this empties."""
    output_pass(output, pool, length, NULL)


cdef void output_pass(Output* output, ChunkPool* pool, size_t length, Trail* trail) noexcept nogil:
    """Take `length` bytes off the front. Chunks that this empties are dropped, or join the `trail`, unless it is NULL;
    what is appended next then is written behind them, so that few bytes take few chunks."""
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
        if trail != NULL:
            chunk.head = chunk.tail
            if chunk.next == NULL and chunk.capacity - chunk.tail >= WORTH_KEEPING:
                return
        output.first = chunk.next
        if trail == NULL:
            chunk_free(pool, chunk)
        else:
            trail_add(trail, chunk)
    output.last = NULL


cdef void output_clear(Output* output, ChunkPool* pool) noexcept nogil:
    output_consume(output, pool, output.length)


cdef void output_cut(Output* output, ChunkPool* pool, size_t start, size_t length) noexcept nogil:
    """Remove `length` bytes that begin `start` bytes after the front: how an unsent request is withdrawn.

    Costs a walk of the chunks and a memmove inside those at the two edges; rare (a deadline passed unsent). The first
    chunk stays, though empty, if some of it was sent: that may be part of a Trail.
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
            if chunk.tail == chunk.head and not (before == NULL and chunk.head):
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


# -- what was given to the kernel ---------------------------------------------------------------------------------------

cdef void trail_add(Trail* trail, Chunk* chunk) noexcept nogil:
    """The chunk that the output began with was given to the kernel, all of it."""
    chunk.next = NULL
    if trail.first == NULL:
        trail.first = chunk
        trail.start = trail.end
    else:
        trail.last.next = chunk
    trail.last = chunk
    trail.end += chunk.tail
    trail.bytes += chunk.capacity


cdef void trail_release(Trail* trail, ChunkPool* pool, uint64_t place) noexcept nogil:
    """Free the chunks that end before `place`."""
    cdef Chunk* chunk = trail.first
    while chunk != NULL and trail.start + chunk.tail <= place:
        trail.start += chunk.tail
        trail.bytes -= chunk.capacity
        trail.first = chunk.next
        chunk_free(pool, chunk)
        chunk = trail.first
    if chunk == NULL:
        trail.last = NULL
        trail.start = trail.end


cdef void trail_restart(Trail* trail, const Output* output, ChunkPool* pool, uint64_t place) noexcept nogil:
    """Keep nothing: the stream goes on at `place` with what is in the output."""
    trail_release(trail, pool, trail.end)
    trail.end = place - (0 if output.first == NULL else output.first.head)
    trail.start = place


cdef const Chunk* chunk_at(const Trail* trail, const Output* output, uint64_t* place) noexcept nogil:
    """The chunk with the byte at `place`, which becomes its place there; NULL: it is kept no longer."""
    cdef const Chunk* chunk = trail.first
    cdef uint64_t start = trail.start
    if chunk == NULL:
        chunk = output.first
        start = trail.end
        if place[0] < trail.start:
            return NULL
    if place[0] < start:
        return NULL
    while chunk != NULL and place[0] - start >= chunk.tail:
        start += chunk.tail
        chunk = output.first if chunk == trail.last else chunk.next
    place[0] -= start
    return chunk


cdef const char* trail_find(const Trail* trail, const Output* output, uint64_t place, size_t length) noexcept nogil:
    """The bytes from `place` on, sent or not; NULL: some are kept no longer, or they are not in one chunk."""
    cdef const Chunk* chunk = chunk_at(trail, output, &place)
    if chunk == NULL or chunk.tail - place < length:
        return NULL
    return chunk.data + place


cdef bint trail_copy(const Trail* trail, const Output* output, uint64_t place, size_t length, char* to) noexcept nogil:
    """Copy them; False: some are kept no longer."""
    cdef const Chunk* chunk = chunk_at(trail, output, &place)
    cdef size_t size
    while chunk != NULL and length:
        size = chunk.tail - place
        if size > length:
            size = length
        memcpy(to, chunk.data + place, size)
        to += size
        length -= size
        place = 0
        chunk = output.first if chunk == trail.last else chunk.next
    return length == 0
