# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Greeting: AUTH or HELLO, SELECT, our name, the connection's id, the node's run_id. See greeting.pxd.

Only authentication, protocol and database must succeed. If connections of this engine died with requests on their
way and the node is still the same process (same run_id; ids start again with every process), it is told to kill them,
and the first request waits for the answers: after them, nothing of the old connections can be executed any more.
"""

from libc.stdint cimport int64_t
from libc.string cimport memchr, memcmp, memcpy, memset, strlen

from proxy.engine.types cimport (
    STEP_ANY, STEP_AUTH, STEP_END, STEP_ID, STEP_KILL, STEP_RUN, STEP_SELECT, Conn, Core, Node, Pool,
)
from proxy.wire.output cimport output_append, output_bulk, output_number
from proxy.wire.resp cimport read_number, write_number

cdef extern from "<string.h>" nogil:
    void* memmem(const void* where, size_t length, const void* what, size_t size)


cdef void say(Core* core, Conn* conn, int step, const char* words) noexcept nogil:
    """Append one command of our own, given as words with blanks between."""
    cdef size_t length = strlen(words)
    cdef size_t start = 0
    cdef size_t at
    cdef int argc = 1
    for at in range(length):
        if words[at] == c' ':
            argc += 1
    output_number(&conn.greeting, &core.chunks, c'*', argc)
    for at in range(length + 1):
        if at == length or words[at] == c' ':
            output_bulk(&conn.greeting, &core.chunks, words + start, at - start)
            start = at + 1
    expect(conn, step)


cdef void expect(Conn* conn, int step) noexcept nogil:
    cdef int place = 0
    while conn.steps[place] != STEP_END:
        place += 1
    conn.steps[place] = <unsigned char> step


cdef void greeting_start(Core* core, Conn* conn) noexcept nogil:
    """Queue the first part of the greeting."""
    cdef Pool* pool = conn.node.pool
    cdef char words[64]
    cdef int length
    memset(conn.steps, 0, sizeof(conn.steps))
    conn.step = 0
    conn.id = 0
    conn.run[0] = 0
    if conn.protocol == 3:
        output_number(&conn.greeting, &core.chunks, c'*', 2 + (1 + pool.node_auth_args if pool.node_auth_args else 0))
        output_append(&conn.greeting, &core.chunks, b"$5\r\nHELLO\r\n$1\r\n3\r\n", 18)
        if pool.node_auth_args:
            output_append(&conn.greeting, &core.chunks, b"$4\r\nAUTH\r\n", 10)
            if pool.node_auth_args == 1:
                output_append(&conn.greeting, &core.chunks, b"$7\r\ndefault\r\n", 13)
            output_append(&conn.greeting, &core.chunks, pool.node_auth, pool.node_auth_length)
        expect(conn, STEP_AUTH)
    elif pool.node_auth_args:
        output_number(&conn.greeting, &core.chunks, c'*', 1 + pool.node_auth_args)
        output_append(&conn.greeting, &core.chunks, b"$4\r\nAUTH\r\n", 10)
        output_append(&conn.greeting, &core.chunks, pool.node_auth, pool.node_auth_length)
        expect(conn, STEP_AUTH)
    if conn.database:
        memcpy(words, b"SELECT ", 7)
        length = 7 + write_number(words + 7, conn.database)
        words[length - 2] = 0
        say(core, conn, STEP_SELECT, words)
    conn.reader = pool.cluster != NULL and conn.node.primary != conn.node.index and not conn.private
    if conn.reader:
        say(core, conn, STEP_ANY, b"READONLY")
    output_append(&conn.greeting, &core.chunks, b"*3\r\n$6\r\nCLIENT\r\n$7\r\nSETNAME\r\n", 29)
    output_bulk(&conn.greeting, &core.chunks, core.agent, strlen(core.agent))
    expect(conn, STEP_ANY)
    say(core, conn, STEP_ANY, b"CLIENT NO-EVICT ON")
    say(core, conn, STEP_ID, b"CLIENT ID")
    say(core, conn, STEP_RUN, b"INFO server")


cdef int count_steps(const Conn* conn) noexcept nogil:
    """Answers still to come."""
    cdef int place = conn.step
    while conn.steps[place] != STEP_END:
        place += 1
    return place - conn.step


cdef void exorcise(Node* node, int64_t ghost) noexcept nogil:
    """The node has killed this lost connection, or knows it no more."""
    cdef int place
    for place in range(node.ghost_count):
        if node.ghosts[place] == ghost:
            node.ghost_count -= 1
            node.ghosts[place] = node.ghosts[node.ghost_count]
            return


cdef int greeting_reply(Core* core, Conn* conn, const char* data, size_t length) noexcept nogil:
    """Take one answer. 0: go on; 1: the connection is ready; 2: queue grew, flush; -1: the node will not have us;
    -2: it is not the process that is to be there."""
    cdef int step = conn.steps[conn.step]
    cdef const char* at
    cdef const char* end
    cdef long long value = 0
    cdef char words[64]
    conn.step += 1
    if step == STEP_AUTH or step == STEP_SELECT:
        if data[0] == c'-':
            return -1
    elif step == STEP_ID:
        end = <const char*> memchr(data, c'\r', length)
        if data[0] == c':' and read_number(data + 1, end - data - 1, &value):
            conn.id = value
    elif step == STEP_RUN:
        at = <const char*> memmem(data, length, b"run_id:", 7)
        if at != NULL and length - (at - data) >= 47:
            memcpy(conn.run, at + 7, 40)
            conn.run[40] = 0
            if conn.node.expected_run[0] and memcmp(conn.run, conn.node.expected_run, 41) != 0:
                return -2
        if conn.node.ghost_count and (conn.run[0] == 0 or memcmp(conn.run, conn.node.ghost_run, 41) == 0):
            for place in range(conn.node.ghost_count):
                memcpy(words, b"CLIENT KILL ID ", 15)
                words[15 + write_number(words + 15, conn.node.ghosts[place]) - 2] = 0
                conn.killing[place] = conn.node.ghosts[place]
                say(core, conn, STEP_KILL, words)
            conn.kills = conn.node.ghost_count
            return 2
    elif step == STEP_KILL:
        exorcise(conn.node, conn.killing[conn.kills - count_steps(conn) - 1])
    return 1 if conn.steps[conn.step] == STEP_END else 0
