# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Inspect: the ground floor seen from Python, for tests, fuzzers and the micro-benchmark. No request passes here.

The feeds run bytes through a socket pair and the same read → frame → keep → detach steps as an engine, and check on
the way what an engine relies on: a frame that asks for more names more than it has, a rewritten request is canonical
and contiguous, and every chunk and every metered byte is given back.
"""

from collections import namedtuple
from socket import socketpair

from libc.stdint cimport uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset

from proxy.wire.chunk cimport Chunk, ChunkPool, chunk_new, pool_trim
from proxy.wire.input cimport (
    MOVE_AT, READ_SOME, SCRATCH, Input, input_clear, input_detach, input_keep, input_length, input_read,
)
from proxy.wire.mailbox cimport Mailbox, mailbox_close, mailbox_open, mailbox_post, mailbox_take
from proxy.wire.output cimport (
    WRITE_FAILED, WROTE_ALL, Output, Trail, output_append, output_bulk, output_clear, output_cut, output_move,
    output_number, output_pass, output_room, output_write_keeping, trail_copy, trail_find, trail_release, trail_restart,
)
from proxy.wire.reply cimport ReplyFrame, frame_reply, reply_reset
from proxy.wire.resp cimport (
    BROKEN, FRAMED, MORE, Frame, FrameLimits, args_begin, args_next, frame_request, frame_reset, protocol_error,
    read_number, write_number,
)
from proxy.wire.rewrite cimport rewrite_request

cdef extern from "<sched.h>" nogil:
    int sched_yield()

Framed = namedtuple("Framed", "items error left copied reads")


cdef class Feed:
    """One Input behind a socket pair; the two subclasses say what a unit is."""
    cdef ChunkPool pool
    cdef Input input
    cdef Output moved              # a large request on its way out
    cdef size_t meter
    cdef size_t* charged           # &meter for clients, NULL for nodes, whose input nobody bounds
    cdef char* scratch
    cdef size_t copied             # bytes that keeping and growing copied
    cdef size_t reads
    cdef size_t size               # of the unit just framed
    cdef size_t need               # of the unit that is not complete
    cdef list items
    cdef bytes error

    def __cinit__(self):
        self.scratch = <char*> malloc(SCRATCH)
        self.items = []

    def __dealloc__(self):
        free(self.scratch)

    cdef int frame(self, const char* data, size_t length) except -1:
        raise NotImplementedError

    cdef int collect(self, const char* data) except -1:
        raise NotImplementedError

    def run(self, pieces):
        near, far = socketpair()
        near.setblocking(False)
        far.setblocking(False)
        try:
            for piece in pieces:
                view = memoryview(piece)
                while view and self.error is None:
                    view = view[near.send(view):]
                    while self.error is None and self.turn(far.fileno()):
                        pass
            left = input_length(&self.input)
        finally:
            near.close()
            far.close()
            input_clear(&self.input, &self.pool)
            output_clear(&self.moved, &self.pool)
            pool_trim(&self.pool)
        if self.pool.total or self.meter:
            raise AssertionError(f"{self.pool.total} bytes of chunks leaked, {self.meter} left on the meter")
        return Framed(self.items, self.error, left, self.copied, self.reads)

    cdef int turn(self, int fd) except -1:
        """One recv and all that can be framed after it; 0 when there was nothing to read."""
        cdef const char* data = NULL
        cdef size_t length = 0
        cdef size_t used = 0
        cdef size_t need = 0
        cdef int status
        cdef Chunk* chunk = self.input.chunk
        cdef size_t head = 0 if chunk == NULL else chunk.head
        if input_read(&self.input, &self.pool, self.scratch, fd, self.charged, &data, &length) != READ_SOME:
            return 0
        self.reads += 1
        if chunk != NULL:
            self.note(chunk, head)
        while used < length:
            status = self.frame(data + used, length - used)
            if status == MORE:
                need = self.need
                if need <= length - used:
                    raise AssertionError(f"more than {length - used} bytes asked for, but {need} is enough")
                break
            if status == BROKEN:
                break
            self.collect(data + used)
            if self.error is not None:
                break
            chunk = NULL
            if self.size >= MOVE_AT and self.input.chunk != NULL:
                self.keep(data, length, used, 0)
                used = 0
                length = input_length(&self.input)
                data = self.input.chunk.data + self.input.chunk.head
                chunk = input_detach(&self.input, &self.pool, self.size, self.charged)
            if chunk != NULL:
                self.check_moved(chunk)
                length = input_length(&self.input)
                data = NULL if length == 0 else self.input.chunk.data + self.input.chunk.head
                self.copied += length
            else:
                used += self.size
        self.keep(data, length, used, need)
        return 1

    cdef int check_moved(self, Chunk* chunk) except -1:
        """A detached chunk must hold exactly the unit that collect() saw."""
        if chunk.tail - chunk.head != self.size:
            raise AssertionError("a detached chunk holds another length than its request")
        output_move(&self.moved, &self.pool, chunk)
        self.items.pop()
        self.collect(chunk.data + chunk.head)
        output_clear(&self.moved, &self.pool)
        return 0

    cdef void keep(self, const char* data, size_t length, size_t used, size_t need):
        cdef Chunk* chunk = self.input.chunk
        cdef size_t head = 0 if chunk == NULL else chunk.head
        if length == 0:
            return
        input_keep(&self.input, &self.pool, data, length, used, need, self.charged)
        self.note(chunk, head)

    cdef void note(self, Chunk* before, size_t head):
        cdef Chunk* chunk = self.input.chunk
        if chunk != NULL and (chunk != before or chunk.head < head):
            self.copied += chunk.tail - chunk.head


cdef list arguments(const Frame* frame):
    cdef const char* at = args_begin(frame)
    cdef const char* data = NULL
    cdef size_t length = 0
    cdef list items = []
    for _ in range(frame.argc):
        at = args_next(at, &data, &length)
        items.append(data[:length])
    if frame.argc and at != frame.data + frame.length:
        raise AssertionError("the arguments do not end where the request ends")
    return items


cdef bytes error_text(const Frame* frame):
    cdef char text[128]
    cdef int length = protocol_error(frame, text)
    return text[:length]


cdef bytes rewritten(Frame* frame, ChunkPool* pool):
    """The canonical form of a complete request, b"" for an empty one, None after a protocol error."""
    cdef Output target
    cdef bytes text = b""
    memset(&target, 0, sizeof(target))
    if rewrite_request(frame, &target, pool) != FRAMED:
        text = None
    elif target.first != NULL:
        if target.first != target.last:
            raise AssertionError("a rewritten request lies in several chunks")
        text = target.first.data[target.first.head:target.first.tail]
    if target.length == 0 and target.first != NULL:
        raise AssertionError("an empty output holds a chunk")
    output_clear(&target, pool)
    return text


cdef class RequestFeed(Feed):
    cdef Frame now
    cdef FrameLimits limits

    cdef int frame(self, const char* data, size_t length) except -1:
        cdef int status = frame_request(&self.now, data, length, &self.limits)
        self.size = self.now.length
        self.need = self.now.need
        if status == BROKEN:
            self.error = error_text(&self.now)
        return status

    cdef int collect(self, const char* data) except -1:
        cdef Frame again
        cdef FrameLimits any_size = FrameLimits(max_bulk=self.limits.max_bulk, trusted=True)
        cdef bytes text
        self.now.data = data
        if self.now.canonical:
            self.items.append(arguments(&self.now))
        else:
            text = rewritten(&self.now, &self.pool)
            if text is None:
                self.error = error_text(&self.now)
                return 0
            memset(&again, 0, sizeof(again))
            if text and (frame_request(&again, text, len(text), &any_size) != FRAMED or not again.canonical
                         or again.length != <size_t> len(text)):
                raise AssertionError(f"a rewritten request is not canonical: {text[:100]!r}")
            self.items.append(arguments(&again))
        frame_reset(&self.now)
        return 0


cdef class ReplyFeed(Feed):
    cdef ReplyFrame now
    cdef size_t limit

    cdef int frame(self, const char* data, size_t length) except -1:
        cdef int status = frame_reply(&self.now, data, length, self.limit)
        self.size = self.now.scanned
        self.need = self.now.need
        if status == BROKEN:
            self.error = b"malformed reply"
        return status

    cdef int collect(self, const char* data) except -1:
        self.items.append(data[:self.size])
        reply_reset(&self.now)
        return 0


def frame_requests(pieces, max_bulk=512 << 20, trusted=True):
    """Feed `pieces`, one after the other, and frame the requests in them. See Framed in inspect.pyi."""
    cdef RequestFeed feed = RequestFeed()
    feed.charged = &feed.meter
    feed.limits.max_bulk = max_bulk
    feed.limits.trusted = trusted
    return feed.run(pieces)


def frame_replies(pieces, limit=512 << 20):
    """Feed `pieces`, one after the other, and frame the replies in them."""
    cdef ReplyFeed feed = ReplyFeed()
    feed.limit = limit
    return feed.run(pieces)


def request_steps(bytes data):
    """(scanned, need) after each byte of one request, fed byte by byte; ends when it is framed or broken.

    Each prefix lies in a block of just its size, so that a sanitizer sees any read past the end.
    """
    cdef Frame frame
    cdef FrameLimits limits = FrameLimits(max_bulk=512 << 20, trusted=True)
    cdef char* prefix
    cdef Py_ssize_t length
    cdef int status
    steps = []
    memset(&frame, 0, sizeof(frame))
    for length in range(1, len(data) + 1):
        prefix = copy_of(data, length)
        status = frame_request(&frame, prefix, length, &limits)
        free(prefix)
        if status != MORE:
            break
        steps.append((frame.scanned, frame.need))
    return steps


def reply_steps(bytes data):
    """(scanned, need) after each byte of one reply, fed likewise."""
    cdef ReplyFrame frame
    cdef char* prefix
    cdef Py_ssize_t length
    cdef int status
    steps = []
    memset(&frame, 0, sizeof(frame))
    for length in range(1, len(data) + 1):
        prefix = copy_of(data, length)
        status = frame_reply(&frame, prefix, length, 512 << 20)
        free(prefix)
        if status != MORE:
            break
        steps.append((frame.scanned, frame.need))
    return steps


cdef char* copy_of(const char* data, size_t length) except NULL:
    cdef char* copy = <char*> malloc(length)
    if copy == NULL:
        raise MemoryError
    memcpy(copy, data, length)
    return copy


def count_requests(bytes data, int rounds=1):
    """Requests framed in `rounds` passes over `data`, without the GIL: the loop that the micro-benchmark times."""
    cdef Frame frame
    cdef FrameLimits limits = FrameLimits(max_bulk=512 << 20, trusted=True)
    cdef const char* at = data
    cdef size_t length = len(data)
    cdef size_t used
    cdef long long count = 0
    memset(&frame, 0, sizeof(frame))
    with nogil:
        while rounds > 0:
            rounds -= 1
            used = 0
            while used < length and frame_request(&frame, at + used, length - used, &limits) == FRAMED:
                used += frame.length
                frame_reset(&frame)
                count += 1
            frame_reset(&frame)
    return count


def count_replies(bytes data, int rounds=1):
    """Replies framed in `rounds` passes over `data`, without the GIL."""
    cdef ReplyFrame frame
    cdef const char* at = data
    cdef size_t length = len(data)
    cdef size_t used
    cdef long long count = 0
    memset(&frame, 0, sizeof(frame))
    with nogil:
        while rounds > 0:
            rounds -= 1
            used = 0
            while used < length and frame_reply(&frame, at + used, length - used, 512 << 20) == FRAMED:
                used += frame.scanned
                reply_reset(&frame)
                count += 1
            reply_reset(&frame)
    return count


def rewrite(bytes request, always=True):
    """The canonical form of one complete request, b"" for an empty one. `always`: even if it is canonical.

    Raises ValueError with the error reply after a protocol error, or when `request` is not exactly one request.
    """
    cdef Frame frame
    cdef ChunkPool pool
    cdef FrameLimits limits = FrameLimits(max_bulk=512 << 20, trusted=True)
    cdef int status
    memset(&frame, 0, sizeof(frame))
    memset(&pool, 0, sizeof(pool))
    status = frame_request(&frame, request, len(request), &limits)
    if status == BROKEN:
        raise ValueError(error_text(&frame))
    if status == MORE or frame.length != <size_t> len(request):
        raise ValueError("not exactly one request")
    if frame.canonical and not always:
        return request
    text = rewritten(&frame, &pool)
    pool_trim(&pool)
    if text is None:
        raise ValueError(error_text(&frame))
    return text


def parse_number(bytes text):
    """The number that read_number() makes of `text`, or None."""
    cdef long long value = 0
    return value if read_number(text, len(text), &value) else None


def format_number(long long value):
    cdef char text[24]
    cdef int length = write_number(text, value)
    return text[:length]


cdef class OutputFace:
    """An Output with a pool of its own; `keeping`: with a Trail."""
    cdef ChunkPool pool
    cdef Output output
    cdef Trail trail
    cdef Trail* kept

    def __init__(self, bint keeping=False):
        self.kept = &self.trail if keeping else NULL

    def __dealloc__(self):
        trail_release(&self.trail, &self.pool, self.trail.end)
        output_clear(&self.output, &self.pool)
        pool_trim(&self.pool)

    def append(self, bytes data):
        output_append(&self.output, &self.pool, data, len(data))

    def bulk(self, bytes data):
        output_bulk(&self.output, &self.pool, data, len(data))

    def number(self, bytes kind, long long value):
        output_number(&self.output, &self.pool, kind[0], value)

    def move(self, bytes data, size_t spare=0, size_t skip=0):
        """Hand over a chunk that holds `data` behind `skip` used bytes, with room for `spare` more."""
        cdef Chunk* chunk = chunk_new(&self.pool, skip + len(data) + spare)
        memcpy(chunk.data + skip, <const char*> data, len(data))
        chunk.head = skip
        chunk.tail = skip + len(data)
        output_move(&self.output, &self.pool, chunk)

    def room(self, size_t length):
        """Ask for room and write nothing there."""
        output_room(&self.output, &self.pool, length)

    def cut(self, size_t start, size_t length):
        if start + length > self.output.length:
            raise ValueError("a cut past the end")
        output_cut(&self.output, &self.pool, start, length)

    def consume(self, size_t length):
        if length > self.output.length:
            raise ValueError("consumed past the end")
        output_pass(&self.output, &self.pool, length, self.kept)

    def write(self, int fd):
        """True: all written, False: the kernel's buffer is full; BrokenPipeError when the peer is gone."""
        cdef int status = output_write_keeping(&self.output, &self.pool, fd, self.kept)
        if status == WRITE_FAILED:
            raise BrokenPipeError
        return status == WROTE_ALL

    def found(self, uint64_t place, size_t length):
        """The bytes at this place of the stream; None: they are kept no longer."""
        cdef bytearray copy = bytearray(length)
        cdef const char* at
        if not trail_copy(&self.trail, &self.output, place, length, <char*> copy):
            return None
        at = trail_find(&self.trail, &self.output, place, length)
        if at != NULL and at[:length] != copy:
            raise AssertionError("found in one place, copied from another")
        return bytes(copy)

    def release(self, uint64_t place):
        trail_release(&self.trail, &self.pool, place)

    def restart(self, uint64_t place):
        trail_restart(&self.trail, &self.output, &self.pool, place)

    def __len__(self):
        return self.output.length

    def __bytes__(self):
        cdef Chunk* chunk = self.output.first
        parts = []
        while chunk != NULL:
            parts.append(chunk.data[chunk.head:chunk.tail])
            if chunk.next == NULL and chunk != self.output.last:
                raise AssertionError("`last` is not the last chunk")
            chunk = chunk.next
        return b"".join(parts)

    @property
    def chunks(self):
        cdef Chunk* chunk = self.output.first
        cdef int count = 0
        while chunk != NULL:
            count += 1
            chunk = chunk.next
        return count

    @property
    def reserved(self):
        """Bytes of all chunks alive, idle ones in the pool given back first."""
        pool_trim(&self.pool)
        return self.pool.total


cdef class MailboxFace:
    """A Mailbox of numbers from 1 on."""
    cdef Mailbox box

    def __cinit__(self, unsigned int capacity):
        if mailbox_open(&self.box, capacity) < 0:
            raise MemoryError

    def __dealloc__(self):
        mailbox_close(&self.box)

    def start_at(self, unsigned int index):
        """Begin at `index`, so that a test reaches the wrap of the 32-bit counters."""
        self.box.head = index
        self.box.tail = index

    def post(self, size_t number):
        return mailbox_post(&self.box, <void*> number)

    def take(self):
        """0 when empty."""
        return <size_t> mailbox_take(&self.box)

    def post_numbers(self, size_t most):
        """Post 1 … most, without the GIL, waiting while the mailbox is full."""
        cdef size_t number = 1
        with nogil:
            while number <= most:
                if mailbox_post(&self.box, <void*> number):
                    number += 1
                else:
                    sched_yield()

    def take_numbers(self, size_t most):
        """Take as many; returns the first number that did not come in its turn, or 0."""
        cdef size_t number = 1
        cdef size_t item, wrong = 0
        with nogil:
            while number <= most:
                item = <size_t> mailbox_take(&self.box)
                if item == 0:
                    sched_yield()
                    continue
                if item != number and wrong == 0:
                    wrong = item
                number += 1
        return wrong
