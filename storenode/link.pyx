# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Link: the states of the link to the primary. See link.pxd."""

from libc.stdint cimport uint32_t, uint64_t
from libc.stdio cimport fprintf, snprintf, stderr
from libc.stdlib cimport free
from libc.string cimport memchr, memcmp, memcpy

from proxy.wire.chunk cimport chunk_metered
from proxy.wire.input cimport READ_NOTHING, READ_SOME, input_keep, input_length, input_read
from proxy.wire.output cimport WRITE_FAILED, output_append, output_clear, output_write
from proxy.wire.poll cimport Handle, poll_add, poll_want
from proxy.wire.resp cimport BROKEN, MORE, Frame, FrameLimits, frame_request, frame_reset, read_number, write_number
from proxy.wire.system cimport EPOLLERR, EPOLLHUP, EPOLLIN, EPOLLOUT, close, realtime_us
from storenode.execute cimport QUERY_BUFFER, execute_framed
from storenode.history cimport history_append, history_trim
from storenode.keyspace cimport database_clear
from storenode.log cimport log_switch
from storenode.rdbfile cimport LOAD_BROKEN, LOAD_DONE, load_begin, load_end, load_feed
from storenode.reaper cimport reap
from storenode.replication cimport (
    ID_LENGTH, LINK_MARK, LINK_PREAMBLE, LINK_SNAPSHOT, LINK_UP, LINK_WISHED, Link, Offer, Replication, link_drop,
    pthread_mutex_lock, pthread_mutex_unlock, replication_adopt, replication_cut_all, replication_guard,
    replication_of, replication_rename,
)
from storenode.types cimport DATABASES, LINK, REPL_TIMEOUT, Node

cdef enum:
    LINE_MOST = 128            # bytes of the preamble
    SAY_US = 1000000           # between two words to the primary
    REAPED_A_READ = 8192       # elements of the old keyspace freed for every piece of the new one
    FAILURES_SHOWN = 10        # commands that failed are reported on stderr up to so many


cdef void lose(Node* node, const char* why) noexcept nogil:
    cdef Replication* replication = replication_of(node)
    fprintf(stderr, b"storenode: the link to %s:%d is lost: %s\n", replication.host, replication.port, why)
    link_drop(node, True)


cdef bint flush(Node* node, Link* link) noexcept nogil:
    """Write what the kernel takes and tell epoll what the link waits for. False: the link is lost."""
    if link.client.output.length and \
            output_write(&link.client.output, &node.chunks, link.client.handle.fd) == WRITE_FAILED:
        lose(node, b"it cannot be written to")
        return False
    poll_want(&node.poll, &link.client.handle, EPOLLIN | (EPOLLOUT if link.client.output.length else 0))
    return True


cdef void append_digits(Node* node, Link* link, uint64_t number) noexcept nogil:
    """As a bulk string."""
    cdef char digits[24]
    cdef char text[32]
    cdef int length = write_number(digits, <long long> number) - 2
    length = snprintf(text, sizeof(text), b"$%d\r\n%.*s\r\n", length, length, digits)
    output_append(&link.client.output, &node.chunks, text, length)


cdef void link_ack(Node* node, Link* link) noexcept nogil:
    """REPLCONF ACK [FACK]: how far the stream is executed, and on disk, here. During a snapshot a line end: still there."""
    cdef uint64_t end = replication_of(node).history.end
    link.said_us = node.now_us
    if link.state != LINK_UP:
        output_append(&link.client.output, &node.chunks, b"\n", 1)
        return
    output_append(&link.client.output, &node.chunks, b"*5\r\n" if node.log.on else b"*3\r\n", 4)
    output_append(&link.client.output, &node.chunks, b"$8\r\nREPLCONF\r\n$3\r\nACK\r\n", 23)
    append_digits(node, link, end)
    if node.log.on:
        link.synced = node.log.synced.stream if node.log.synced.stream < end else end
        output_append(&link.client.output, &node.chunks, b"$4\r\nFACK\r\n", 10)
        append_digits(node, link, link.synced)


cdef void link_synced(Node* node) noexcept nogil:
    """The log got further: whoever asked when it was not so far hears of it now, and not with the next second."""
    cdef Link* link = &replication_of(node).link
    if link.state == LINK_UP and link.synced < link.asked_at <= node.log.synced.stream:
        link_ack(node, link)
        flush(node, link)


cdef void link_offered(Node* node) noexcept nogil:
    """Take a link that the control plane has made, unless it is none that is still wanted."""
    cdef Replication* replication = replication_of(node)
    cdef Link* link = &replication.link
    cdef Offer offer
    cdef bint current
    pthread_mutex_lock(&replication.lock)
    offer = replication.offer
    current = offer.number == replication.wish.number
    replication.offer.fd = -1
    pthread_mutex_unlock(&replication.lock)
    if offer.fd < 0:
        return
    if not current or link.state != LINK_WISHED:
        close(offer.fd)
        free(offer.rest)
        return
    link.client.handle.kind = LINK
    link.client.handle.fd = offer.fd
    link.heard_us = node.now_us
    if poll_add(&node.poll, &link.client.handle, EPOLLIN) < 0:
        free(offer.rest)
        lose(node, b"it cannot be waited for")
        return
    if offer.rest_length:
        link.client.input.chunk = chunk_metered(&node.chunks, offer.rest_length, &node.input_memory)
        memcpy(link.client.input.chunk.data, offer.rest, offer.rest_length)
        link.client.input.chunk.tail = offer.rest_length
    free(offer.rest)
    if offer.whole:
        memcpy(link.id, offer.id, ID_LENGTH + 1)
        link.offset = offer.offset
        link.state = LINK_PREAMBLE
    else:
        if offer.id[0] and memcmp(offer.id, replication.id, ID_LENGTH) != 0:
            replication_rename(node, offer.id)
        link.state = LINK_UP
        link_ack(node, link)
    replication_guard(node)
    if input_length(&link.client.input):
        take_kept(node, link)
    if link.client.handle.kind == LINK:
        flush(node, link)


# -- the snapshot ------------------------------------------------------------------------------------------------------


cdef bint begin_snapshot(Node* node, Link* link, const char* line, size_t length) noexcept nogil:
    """`$<length>` or `$EOF:<mark>`: empty the keyspace, get ready. False: it is neither."""
    cdef Replication* replication = replication_of(node)
    cdef long long size
    cdef int number
    link.known = read_number(line + 1, length - 1, &size) and size >= 0
    if link.known:
        link.left = <uint64_t> size
    elif length == 5 + ID_LENGTH and memcmp(line, b"$EOF:", 5) == 0:
        memcpy(link.mark, line + 5, ID_LENGTH)
    else:
        return False
    # What replicas of this node are sent is about the keyspace that goes now.
    replication_cut_all(node)
    replication.incomplete = True
    if node.log.on:
        # What is on disk stays the old keyspace, whole, until the new one is complete and can be written there.
        replication.log_off = True
        log_switch(node, False)
    for number in range(DATABASES):
        database_clear(&node.databases[number], True)
    node.candidate_count = 0
    load_begin(&link.load, node, True)
    link.state = LINK_SNAPSHOT
    replication_guard(node)
    return True


cdef size_t take_preamble(Node* node, Link* link, const char* data, size_t length, size_t* need) noexcept nogil:
    """Line ends say that the primary is still preparing; then comes the line that says how the snapshot ends."""
    cdef size_t used = 0
    cdef const char* end
    while used < length and data[used] == c'\n':
        used += 1
    if used == length:
        return used
    end = <const char*> memchr(data + used, c'\n', length - used)
    if end == NULL and length - used < LINE_MOST:
        return used
    if end == NULL or data[used] != c'$' or (end - 1)[0] != c'\r' \
            or not begin_snapshot(node, link, data + used, end - 1 - (data + used)):
        lose(node, b"it has not begun a snapshot as it should")
        return length
    return end + 1 - data


cdef void snapshot_done(Node* node, Link* link) noexcept nogil:
    cdef Replication* replication = replication_of(node)
    fprintf(stderr, b"storenode: a snapshot of %llu keys was read from %s:%d\n",
            <unsigned long long> link.load.keys, replication.host, replication.port)
    load_end(&link.load)
    replication.incomplete = False
    if replication.log_off:
        replication.log_off = False
        log_switch(node, True)
    replication_adopt(node, link.id)
    link.client.database = &node.databases[link.load.stream_database if link.load.stream_database >= 0 else 0]
    link.state = LINK_UP
    replication_guard(node)
    # A primary that sent a mark begins its stream only when it hears that the mark was seen.
    link_ack(node, link)


cdef size_t take_snapshot(Node* node, Link* link, const char* data, size_t length, size_t* need) noexcept nogil:
    cdef size_t used = 0
    cdef size_t given = length
    cdef int status
    if node.doomed != NULL:
        reap(node, REAPED_A_READ)
    if link.known and given > link.left:
        given = <size_t> link.left
    status = load_feed(&link.load, data, given, &used, need)
    link.left -= used
    if status == LOAD_BROKEN:
        lose(node, link.load.problem)
        return length
    if status == LOAD_DONE and link.known and link.left:
        lose(node, b"the snapshot ends before the length that was said")
        return length
    if status != LOAD_DONE and link.known and need[0] > link.left:
        lose(node, b"the snapshot is longer than the length that was said")
        return length
    if status == LOAD_DONE and link.known:
        snapshot_done(node, link)
    elif status == LOAD_DONE:
        link.state = LINK_MARK
    return used


cdef size_t take_mark(Node* node, Link* link, const char* data, size_t length, size_t* need) noexcept nogil:
    need[0] = ID_LENGTH
    if length < ID_LENGTH:
        return 0
    if memcmp(data, link.mark, ID_LENGTH) != 0:
        lose(node, b"the snapshot does not end with the mark that was said")
        return length
    snapshot_done(node, link)
    return ID_LENGTH


# -- the stream --------------------------------------------------------------------------------------------------------


cdef size_t take_stream(Node* node, Link* link, const char* data, size_t length, size_t* need) noexcept nogil:
    """Execute the commands that are complete, and write them down for those that follow this node.

    A transaction is taken as a whole, when its EXEC is there: if the link is lost before, it is sent again from MULTI.
    """
    cdef FrameLimits limits = FrameLimits(max_bulk=512 << 20, trusted=True)
    cdef Replication* replication = replication_of(node)
    cdef Frame* frame = &link.client.frame
    cdef size_t used = 0
    cdef size_t at = link.held
    cdef int status
    # No key expires for the primary's commands: what is gone is for the primary to say, and a time that was ahead when
    # it gave it may be past when it comes here. Its commands name points in time, never spans.
    node.now_ms = 0
    while at < length:
        status = frame_request(frame, data + at, length - at, &limits)
        if status == MORE:
            need[0] = frame.need + at - used
            break
        if status == BROKEN:
            lose(node, b"the stream is broken")
            return length
        execute_framed(node, &link.client, frame, &link.discarded)
        report(node, link)
        if link.client.handle.kind != LINK:
            return length
        at += frame.length
        frame_reset(frame)
        if not link.client.transaction.begun:
            history_append(&replication.history, data + used, at - used)
            used = at
        if link.asked:
            link.asked = False
            link.asked_at = replication.history.end
            link_ack(node, link)
    node.now_ms = <long long> (realtime_us() // 1000)
    link.held = at - used
    history_trim(&replication.history)
    return used


cdef void report(Node* node, Link* link) noexcept nogil:
    """Replies go nowhere; an error means that this node now differs from its primary, and somebody should know."""
    cdef const char* text
    cdef size_t length
    if link.discarded.length:
        text = link.discarded.first.data + link.discarded.first.head
        if text[0] == c'-':
            link.failures += 1
            if link.failures <= FAILURES_SHOWN:
                length = link.discarded.first.tail - link.discarded.first.head
                fprintf(stderr, b"storenode: a command of the primary failed: %.*s", <int> length, text)
        output_clear(&link.discarded, &node.chunks)


# -- turns -------------------------------------------------------------------------------------------------------------


cdef void take(Node* node, Link* link, const char* data, size_t length) noexcept nogil:
    """Use what was received, whatever it is, and keep the rest."""
    cdef size_t used = 0
    cdef size_t need = 0
    cdef size_t step = 1
    cdef int state = -1
    while used < length and (step or state != link.state):
        state = link.state
        need = 0
        if state == LINK_PREAMBLE:
            step = take_preamble(node, link, data + used, length - used, &need)
        elif state == LINK_SNAPSHOT:
            step = take_snapshot(node, link, data + used, length - used, &need)
        elif state == LINK_MARK:
            step = take_mark(node, link, data + used, length - used, &need)
        else:
            step = take_stream(node, link, data + used, length - used, &need)
        used += step
        if link.client.handle.kind != LINK:
            return
    if need > QUERY_BUFFER:
        lose(node, b"it sends a command that is too long")
        return
    input_keep(&link.client.input, &node.chunks, data, length, used, need, &node.input_memory)


cdef void take_kept(Node* node, Link* link) noexcept nogil:
    take(node, link, link.client.input.chunk.data + link.client.input.chunk.head, input_length(&link.client.input))


cdef void serve_link(Node* node, Handle* handle, uint32_t events) noexcept nogil:
    cdef Link* link = <Link*> handle
    cdef const char* data = NULL
    cdef size_t length = 0
    cdef int status
    if events & EPOLLERR or (events & EPOLLHUP and not events & EPOLLIN):
        lose(node, b"it was reset")
        return
    if events & EPOLLIN:
        status = input_read(&link.client.input, &node.chunks, node.scratch, link.client.handle.fd,
                            &node.input_memory, &data, &length)
        if status == READ_SOME:
            link.heard_us = node.now_us
            take(node, link, data, length)
        elif status != READ_NOTHING:
            lose(node, b"it was closed by the primary")
    if link.client.handle.kind == LINK:
        flush(node, link)


cdef void link_tick(Node* node) noexcept nogil:
    """Once a second: say how far this node is; give up a primary that says nothing."""
    cdef Replication* replication = replication_of(node)
    cdef Link* link = &replication.link
    if link.client.handle.kind != LINK:
        return
    if node.now_us - link.heard_us > <uint64_t> node.settings[REPL_TIMEOUT] * 1000000:
        lose(node, b"the primary has said nothing for repl-timeout seconds")
        return
    if node.now_us - link.said_us >= SAY_US:
        link_ack(node, link)
        flush(node, link)
