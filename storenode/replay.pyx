# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Replay. See replay.pxd. Commands run in the name of a client that is nobody's."""

from libc.stdint cimport uint64_t
from libc.stdio cimport fprintf, snprintf, stderr
from libc.stdlib cimport abort, calloc, free
from libc.string cimport memchr

from proxy.wire.output cimport output_clear
from proxy.wire.resp cimport BROKEN, FRAMED, Frame, FrameLimits, args_begin, args_next, frame_request, frame_reset
from proxy.wire.system cimport monotonic_us
from storenode.arguments cimport copy_text, is_word
from storenode.call cimport call_read
from storenode.names cimport command_named
from storenode.types cimport Client, Node, Row, Slice

cdef enum:
    BULK_MOST = 1 << 30        # bytes of an argument
    COMMANDS_A_CHECK = 512     # between two looks at the clock
    PAUSE_US = 20000           # of work between two pauses
    SHOWN = 64                 # bytes of an error repeated


cdef int next_frame(const Replay* play, size_t at, Frame* frame) noexcept nogil:
    """Frame what lies at `at`; a FrameStatus. What is no array in the one way that is written is broken."""
    cdef FrameLimits limits = FrameLimits(max_bulk=BULK_MOST, trusted=True)
    cdef int status
    if play.data[at] != c'*':
        return BROKEN
    frame_reset(frame)
    status = frame_request(frame, play.data + at, play.length - at, &limits)
    if status == FRAMED and (not frame.canonical or frame.argc == 0):
        return BROKEN
    return status


cdef Slice name_of(const Frame* frame) noexcept nogil:
    cdef Slice name
    args_next(args_begin(frame), &name.data, &name.length)
    return name


cdef bint is_note(const Replay* play, size_t at, size_t* end) noexcept nogil:
    """Redis may put lines that begin with # between commands."""
    cdef const char* stop
    if play.data[at] != c'#':
        return False
    stop = <const char*> memchr(play.data + at, c'\n', play.length - at)
    end[0] = stop + 1 - play.data if stop != NULL else play.length
    return True


cdef bint nothing_follows(Node* node, const Replay* play, size_t at) noexcept nogil:
    """Is the incomplete command at `at` the last of the file? Where a whole one follows, a length was damaged."""
    cdef const char* found
    cdef Frame frame
    cdef Slice name
    at += 1
    while at < play.length:
        found = <const char*> memchr(play.data + at, c'*', play.length - at)
        if found == NULL:
            return True
        at = found - play.data
        if play.data[at - 1] == c'\n' and next_frame(play, at, &frame) == FRAMED:
            name = name_of(&frame)
            if command_named(node, &name) != NULL:
                return False
        at += 1
    return True


cdef bint only_zeros(const Replay* play, size_t at) noexcept nogil:
    """What some file systems leave of a tail that was not written before the power failed."""
    while at < play.length and play.data[at] == 0:
        at += 1
    return at == play.length


cdef int status_of(Node* node, Replay* play, int framed, size_t at) noexcept nogil:
    """Why there is no whole command at `at`."""
    if (framed != BROKEN and nothing_follows(node, play, at)) or only_zeros(play, at):
        return TORN
    snprintf(play.problem, sizeof(play.problem), b"byte %zu: there is no whole command", at)
    return DAMAGED


cdef int find_exec(Node* node, Replay* play, size_t at) noexcept nogil:
    """Is the transaction whose commands begin at `at` there to its EXEC? A ReplayStatus."""
    cdef Frame frame
    cdef Slice name
    cdef size_t end
    cdef int framed
    while at < play.length:
        if is_note(play, at, &end):
            at = end
            continue
        framed = next_frame(play, at, &frame)
        if framed != FRAMED:
            return status_of(node, play, framed, at)
        name = name_of(&frame)
        if is_word(&name, b"exec"):
            return REPLAYED
        at += frame.length
    return TORN


cdef bint run(Node* node, Client* client, Replay* play, const Frame* frame, Row* row) noexcept nogil:
    """Run one command; False: it failed, which nothing in a log does."""
    cdef char shown[SHOWN]
    cdef Slice name = name_of(frame)
    if row == NULL or row.handler == NULL or (row.arity > 0 and <int> frame.argc != row.arity) \
            or <int> frame.argc < -row.arity:
        copy_text(shown, sizeof(shown), &name)
        snprintf(play.problem, sizeof(play.problem), b"byte %zu: a command that is not known here, '%s' with %u arguments",
                 play.at, shown, frame.argc)
        return False
    call_read(node, frame)
    node.call.row = row
    row.handler(&node.call)
    if node.call.failed:
        name.data = client.output.first.data + client.output.first.head + 1
        name.length = client.output.length - 3 if client.output.length > 3 else 0
        copy_text(shown, sizeof(shown), &name)
        snprintf(play.problem, sizeof(play.problem), b"byte %zu: a command fails (%s)", play.at, shown)
        return False
    output_clear(&client.output, &node.chunks)
    return True


cdef void enter(Node* node, Client* client) noexcept nogil:
    """Be the client being served, at a time when no key has expired."""
    node.call.client = client
    node.call.database = client.database
    node.call.output = &client.output
    node.now_ms = 0


cdef int replay(Node* node, Replay* play, Pause pause) noexcept nogil:
    """Run what is there from play.at on. After anything but REPLAYED play.at is where the trouble begins."""
    cdef Client* client = <Client*> calloc(1, sizeof(Client))
    cdef Frame frame
    cdef Slice name
    cdef Row* row
    cdef uint64_t resumed = monotonic_us()
    cdef size_t end
    cdef int status = REPLAYED
    cdef int framed
    cdef int count = 0
    cdef bint open = False
    if client == NULL:
        fprintf(stderr, "storenode: out of memory replaying the log\n")
        abort()
    client.database = &node.databases[play.database]
    client.authenticated = True
    client.trusted = True
    client.user = node.user_default
    client.resp = 2
    enter(node, client)
    while status == REPLAYED and play.at < play.length:
        if is_note(play, play.at, &end):
            play.at = end
            continue
        framed = next_frame(play, play.at, &frame)
        if framed != FRAMED:
            status = status_of(node, play, framed, play.at)
            break
        name = name_of(&frame)
        row = command_named(node, &name)
        if is_word(&name, b"multi") or is_word(&name, b"exec"):
            if is_word(&name, b"exec") != open:
                snprintf(play.problem, sizeof(play.problem), b"byte %zu: MULTI and EXEC do not alternate", play.at)
                status = DAMAGED
                break
            open = not open
            if open:
                status = find_exec(node, play, play.at + frame.length)
        elif not run(node, client, play, &frame, row):
            status = DAMAGED
        if status == REPLAYED:
            play.at += frame.length
        count += 1
        if count == COMMANDS_A_CHECK:
            count = 0
            if pause != NULL and monotonic_us() - resumed > PAUSE_US:
                if not pause(node):
                    status = STOPPED
                enter(node, client)
                resumed = monotonic_us()
    play.database = client.database.number
    output_clear(&client.output, &node.chunks)
    node.call.client = NULL
    free(client)
    return status
