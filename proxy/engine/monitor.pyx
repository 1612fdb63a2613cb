# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Monitor: writing requests as Redis's MONITOR does. See monitor.pxd.

    +1339518083.107412 [0 127.0.0.1:60866] "set" "key" "a \"value\"\n"

A request is shown when it starts, one of a transaction when it is queued; administration is not shown, nor are
passwords. Whoever looks must not slow down those who are looked at, so everything is bounded and what does not fit is
dropped: a request beyond LINE_MOST, a turn's requests beyond TURN_MOST, and all of them while the control plane has
BACKLOG_MOST bytes still to pass on. How many that were is told in a line of its own, before the next one.
"""

from libc.stdint cimport uint32_t, uint64_t
from libc.stdio cimport snprintf
from libc.string cimport strncpy

from proxy.engine.lookup cimport same_word
from proxy.engine.mail cimport event_post
from proxy.engine.types cimport (
    ANSWER_AUTH, ANSWER_HELLO, ANSWER_SELECT, CLIENT_MONITORED, DATABASES, EVENT_MONITOR, LANE_ENGINE, ROW_RESET,
    ROW_UNSEEN, Client, Core, Event, Pool, Row,
)
from proxy.wire.output cimport Output, output_append, output_clear, output_flatten
from proxy.wire.resp cimport Frame, args_begin, args_next, read_number
from proxy.wire.system cimport AF_INET, AF_INET6, realtime_us, socklen_t

cdef extern from *:
    """
    #define quench_more(p, v) __atomic_add_fetch((p), (v), __ATOMIC_RELAXED)
    #define quench_less(p, v) __atomic_sub_fetch((p), (v), __ATOMIC_RELAXED)
    #define quench_seen(p) __atomic_load_n((p), __ATOMIC_RELAXED)
    """
    uint64_t quench_more(uint64_t* at, uint64_t value) nogil
    uint64_t quench_less(uint64_t* at, uint64_t value) nogil
    uint64_t quench_seen(uint64_t* at) nogil

cdef extern from "<arpa/inet.h>" nogil:
    const char* inet_ntop(int family, const void* address, char* text, socklen_t room)

cdef enum:
    LINE_MOST = 65536          # bytes of a request that is shown
    TURN_MOST = 1048576        # bytes of lines gathered in one turn
    BACKLOG_MOST = 8388608     # bytes of lines that the control plane has not taken
    EVENT_COST = 1024          # and of each event, so that they never fill more than half of the box


cdef void monitor_switch(Core* core, Pool* pool, bint on, const char* path) noexcept nogil:
    """Show the requests of a pool from now on, or no longer. `path`: of its unix socket, or empty."""
    cdef Client* client = core.clients
    if on == pool.monitored:
        return
    pool.monitored = on
    core.monitored_pools += 1 if on else -1
    strncpy(pool.path, path, sizeof(pool.path) - 1)
    if on:
        pool.client_flags |= CLIENT_MONITORED
    else:
        pool.client_flags &= ~(<uint32_t> CLIENT_MONITORED)
        monitor_clear(core, pool)
    while client != NULL:
        if client.pool == pool:
            client.flags = (client.flags & ~(<uint32_t> CLIENT_MONITORED)) | (pool.client_flags & CLIENT_MONITORED)
        client = client.after


cdef void monitor_clear(Core* core, Pool* pool) noexcept nogil:
    output_clear(&pool.shown, &core.chunks)
    pool.unseen = 0


# -- one line -----------------------------------------------------------------------------------------------------------

cdef void monitor_show(Core* core, Client* client, Row* row, Frame* frame) noexcept nogil:
    """Write a request that is about to start; one that is told to wait comes here again, and is shown once."""
    cdef Pool* pool = client.pool
    cdef Output* text = &pool.shown
    cdef const char* at = args_begin(frame)
    cdef const char* word
    cdef size_t length
    cdef uint32_t index
    cdef uint32_t secret = 0
    if row.flags & ROW_UNSEEN or client.shown == client.commands + 1:
        return
    client.shown = client.commands + 1
    if frame.length > LINE_MOST or text.length > TURN_MOST or quench_seen(&core.monitor_backlog) > BACKLOG_MOST:
        pool.unseen += 1
        core.counters.monitor_dropped += 1
        return
    begin_line(core, client, text, database_of(client, row, frame))
    for index in range(frame.argc):
        at = args_next(at, &word, &length)
        output_append(text, &core.chunks, b" ", 1)
        if secret:
            output_append(text, &core.chunks, b'"(redacted)"', 12)
            secret -= 1
        else:
            quoted(core, text, word, length)
        if row.lane == LANE_ENGINE and row.answer == ANSWER_AUTH and index == 0:
            secret = 2
        elif row.lane == LANE_ENGINE and row.answer == ANSWER_HELLO and index > 1 and same_word(word, length, b"auth"):
            secret = 2
    output_append(text, &core.chunks, b"\r\n", 2)


cdef int database_of(Client* client, Row* row, Frame* frame) noexcept nogil:
    """Redis shows a command after it ran: SELECT and RESET are in the new database already."""
    cdef long long number
    if row.flags & ROW_RESET:
        return client.pool.database
    if row.lane == LANE_ENGINE and row.answer == ANSWER_SELECT and read_number(
            frame.data + frame.args[1].offset, frame.args[1].length, &number) and 0 <= number < DATABASES:
        return <int> number
    return client.database


cdef void begin_line(Core* core, Client* client, Output* text, int database) noexcept nogil:
    cdef char head[256]
    cdef char address[64]
    cdef uint64_t now = realtime_us()
    cdef int length = snprintf(head, sizeof(head), b"+%llu.%06llu [%d ", <unsigned long long> (now // 1000000),
                               <unsigned long long> (now % 1000000), database)
    address[0] = 0
    if client.family == AF_INET or client.family == AF_INET6:
        inet_ntop(client.family, client.address, address, sizeof(address))
        length += snprintf(head + length, sizeof(head) - length, b"[%s]:%u]" if client.family == AF_INET6 else b"%s:%u]",
                           <char*> address, <unsigned int> client.port)
    else:
        length += snprintf(head + length, sizeof(head) - length, b"unix:%s]", <char*> client.pool.path)
    output_append(text, &core.chunks, head, length)


cdef void quoted(Core* core, Output* text, const char* word, size_t length) noexcept nogil:
    """One argument in quotes, on one line whatever its bytes: plain stretches are copied whole."""
    cdef size_t begin = 0
    cdef size_t index
    cdef unsigned char byte
    cdef char escape[8]
    cdef int size
    output_append(text, &core.chunks, b'"', 1)
    for index in range(length):
        byte = <unsigned char> word[index]
        if 0x20 <= byte < 0x7F and byte != c'"' and byte != c'\\':
            continue
        output_append(text, &core.chunks, word + begin, index - begin)
        begin = index + 1
        escape[0] = c'\\'
        size = 2
        if byte == c'"' or byte == c'\\':
            escape[1] = <char> byte
        elif byte == c'\n':
            escape[1] = c'n'
        elif byte == c'\r':
            escape[1] = c'r'
        elif byte == c'\t':
            escape[1] = c't'
        elif byte == 7:
            escape[1] = c'a'
        elif byte == 8:
            escape[1] = c'b'
        else:
            size = snprintf(escape, sizeof(escape), b"\\x%02x", <unsigned int> byte)
        output_append(text, &core.chunks, escape, size)
    output_append(text, &core.chunks, word + begin, length - begin)
    output_append(text, &core.chunks, b'"', 1)


# -- to the control plane -------------------------------------------------------------------------------------------------

cdef void monitor_send(Core* core) noexcept nogil:
    """The end of a turn: post what each pool has to show."""
    cdef Pool* pool
    cdef int index
    cdef size_t length
    for index in range(core.pool_count):
        pool = &core.pools[index]
        length = pool.shown.length
        if length == 0:
            continue
        output_flatten(&pool.shown, &core.chunks)
        if event_post(core, EVENT_MONITOR, index, 0, 0, NULL, 0, pool.unseen,
                      pool.shown.first.data + pool.shown.first.head, length):
            quench_more(&core.monitor_backlog, length + EVENT_COST)
            pool.unseen = 0
        else:
            # The box is full, of lines or of something that matters more.
            pool.unseen += lines(&pool.shown)
            core.counters.monitor_dropped += lines(&pool.shown)
        output_clear(&pool.shown, &core.chunks)


cdef uint64_t lines(Output* text) noexcept nogil:
    cdef const char* data = text.first.data + text.first.head
    cdef uint64_t found = 0
    cdef size_t index
    for index in range(text.length):
        found += data[index] == c'\n'
    return found


cdef void monitor_taken(Core* core, Event* event) noexcept nogil:
    """The control plane's side: an event was taken from the box."""
    if event.kind == EVENT_MONITOR:
        quench_less(&core.monitor_backlog, event.length + EVENT_COST)
