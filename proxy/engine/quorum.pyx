# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Quorum: counting, hinting, answering. See quorum.pxd.

Nothing is flushed here: a connection that fails while something of it is flushed would come back to where it was called.
"""

from libc.stdint cimport int64_t, uint32_t
from libc.string cimport memcmp, memcpy, memset, strlen

from proxy.engine.connection cimport conn_ask, conn_for, conn_place, pending_answer
from proxy.engine.effects cimport effect_taken
from proxy.engine.hints cimport hint_write
from proxy.engine.texts cimport error_field, error_words, error_write
from proxy.engine.types cimport (
    CONN_IDLE, ERROR_QUORUM_NOT_SENT, ERROR_QUORUM_READ, ERROR_QUORUM_UNKNOWN, FIELD_COMMAND, FIELD_LIMIT, FIELD_POOL,
    Conn, Core, ErrorArgs, Node, Pending,
)
from proxy.engine.voices cimport (
    AWAY_GONE, HEARD_FAILURE, HEARD_NOTHING, HEARD_REPLY, ROLE_HINT, ROLE_QUORUM, Quorum, Voice, quorum_keys,
    quorum_leave, quorum_settle, voice_says,
)
from proxy.wire.output cimport Output, output_clear
from proxy.wire.resp cimport write_number
from proxy.wire.system cimport realtime_us


cdef Conn* copy_conn(Core* core, Node* node, int protocol, int database) noexcept nogil:
    """The connection for a key's copy at this node; NULL while the node takes none."""
    cdef Conn* conn
    if node.away >= AWAY_GONE or node.ejected:
        return NULL
    conn = node.conns[conn_place(protocol, database, 0)]
    if conn == NULL or conn.state == CONN_IDLE:
        conn = conn_for(core, node, protocol, database, 0)
    return NULL if conn.refusing or conn.output.length > node.pool.limits.backlog else conn


cdef void hint_send(Core* core, Conn* conn, Node* about, bint doubt, Quorum* quorum, bint awaited,
                    int64_t wall_ms) noexcept nogil:
    """Have the node of `conn` keep in mind that another one has missed the keys; `awaited`: before the client's reply."""
    cdef size_t before = conn.output.length
    hint_write(core, about, doubt, quorum_keys(quorum), quorum.key_count, wall_ms, &conn.output)
    conn_ask(core, conn, 0, quorum.row if awaited else 0, conn.output.length - before, ROLE_HINT if awaited else 0,
             quorum)
    if awaited:
        quorum.hinting += 1
        quorum.pendings += 1
    if doubt:
        core.counters.doubts += 1
    else:
        core.counters.hints += 1
        about.hints += 1


# -- hearing --------------------------------------------------------------------------------------------------------------

cdef bint troubled(const char* data, size_t size) noexcept nogil:
    """An error that speaks of the node and not of the request, which others may have carried out."""
    cdef const char** word = TROUBLES
    if data[0] != c'-':
        return False
    while word[0] != NULL:
        if size > strlen(word[0]) and memcmp(data + 1, word[0], strlen(word[0])) == 0:
            return True
        word += 1
    return False


cdef const char* TROUBLES[12]
TROUBLES[:] = [b"LOADING ", b"OOM ", b"MISCONF ", b"READONLY ", b"BUSY ", b"MASTERDOWN ", b"NOREPLICAS ", b"NOAUTH ",
               b"NOPERM ", b"CLUSTERDOWN ", b"EXECABORT ", NULL]


cdef void quorum_reply(Core* core, Conn* conn, Pending* pending, const char* data, size_t size) noexcept nogil:
    """One node's reply, to the request or to a hint."""
    # Copied: the hints that follow may take its place in the ring.
    cdef Pending said = pending[0]
    cdef Quorum* quorum = <Quorum*> said.cool
    cdef Voice* voice
    if said.role == ROLE_HINT:
        quorum.hinting -= 1
    else:
        voice = &quorum.voices[said.part]
        quorum.waiting -= 1
        voice.heard = HEARD_FAILURE if troubled(data, size) else HEARD_REPLY
        voice_says(voice, data, size)
        if quorum.takes and said.part == 0:
            take(core, quorum, voice)
    decide(core, quorum)
    quorum_settle(core, &said)


cdef void take(Core* core, Quorum* quorum, Voice* leader) noexcept nogil:
    """The leader took something at random: the others, who have been asked nothing yet, are to take the same."""
    cdef int index
    cdef Conn* conn
    cdef size_t before
    cdef uint32_t length
    cdef const char* key = quorum_keys(quorum)
    cdef bint taken
    memcpy(&length, key, sizeof(length))
    key += sizeof(length)
    taken = leader.heard == HEARD_REPLY and effect_taken(core, key, length, leader.reply, leader.length, NULL)
    for index in range(1, quorum.count):
        if not taken:
            # Nothing happened: nobody has to confirm it.
            quorum.voices[index].heard = HEARD_REPLY if leader.heard == HEARD_REPLY else HEARD_FAILURE
            if leader.heard == HEARD_REPLY:
                voice_says(&quorum.voices[index], leader.reply, 1)
            quorum.waiting -= 1
            continue
        conn = copy_conn(core, quorum.voices[index].node, quorum.protocol, quorum.database)
        if conn == NULL:
            quorum.voices[index].heard = HEARD_FAILURE
            quorum.waiting -= 1
            continue
        before = conn.output.length
        effect_taken(core, key, length, leader.reply, leader.length, &conn.output)
        quorum.pendings += 1
        conn_ask(core, conn, index, quorum.row, conn.output.length - before, ROLE_QUORUM, quorum)


# -- deciding -------------------------------------------------------------------------------------------------------------

cdef void quorums_decide(Core* core) noexcept nogil:
    """What connections told of since the last time."""
    cdef Quorum* quorum
    while core.undecided != NULL:
        quorum = <Quorum*> core.undecided
        core.undecided = quorum.next
        quorum.undecided = 0
        if quorum.takes and quorum.voices[0].heard == HEARD_FAILURE and quorum.voices[0].reply == NULL:
            give_up(quorum)
        decide(core, quorum)
        quorum_leave(core, quorum)


cdef void give_up(Quorum* quorum) noexcept nogil:
    """Who was to take the same as the leader will not be asked."""
    cdef int index
    for index in range(1, quorum.count):
        if quorum.voices[index].heard == HEARD_NOTHING:
            quorum.voices[index].heard = HEARD_FAILURE
            quorum.waiting -= 1


cdef Voice* leader_of(Quorum* quorum) noexcept nogil:
    """The first that has not failed; NULL: all have."""
    cdef int index
    for index in range(quorum.count):
        if quorum.voices[index].heard != HEARD_FAILURE:
            return &quorum.voices[index]
    return NULL


cdef inline bint agrees(const Voice* voice, const Voice* leader) noexcept nogil:
    """Did it carry out what the leader did, or refuse it with him?"""
    return voice.heard == HEARD_REPLY and (voice.reply[0] == c'-') == (leader.reply[0] == c'-')


cdef void decide(Core* core, Quorum* quorum) noexcept nogil:
    """Answer the client if it is time to, and let nodes know what others have missed."""
    cdef Voice* leader = leader_of(quorum)
    cdef bint confirmed = False
    cdef int index
    cdef int confirmations = 0
    if leader != NULL and leader.heard == HEARD_REPLY:
        for index in range(quorum.count):
            if quorum.voices[index].counts and agrees(&quorum.voices[index], leader):
                confirmations += 1
        confirmed = confirmations >= quorum.need
    if confirmed or quorum.waiting == 0:
        remember(core, quorum, leader)
    if quorum.over or quorum.hinting:
        return
    if confirmed or (quorum.waiting == 0 and leader != NULL and leader.reply[0] == c'-'):
        answer(core, quorum, leader)
    elif quorum.waiting == 0:
        answer_failed(core, quorum, leader)


cdef void remember(Core* core, Quorum* quorum, Voice* leader) noexcept nogil:
    """Hint what failed, and doubt what differs, at every node that carried the request out."""
    cdef Voice* voice
    cdef int64_t wall_ms
    cdef int index
    if leader == NULL or leader.heard != HEARD_REPLY:
        return
    wall_ms = 0
    for index in range(quorum.count):
        voice = &quorum.voices[index]
        if voice == leader or voice.hinted or voice.heard == HEARD_NOTHING:
            continue
        if voice.heard == HEARD_FAILURE:
            if quorum.reads or leader.reply[0] == c'-':
                continue
        elif agrees(voice, leader) and (not quorum.compares or quorum.takes or (voice.length == leader.length
                and memcmp(voice.reply, leader.reply, leader.length) == 0)):
            continue
        voice.hinted = 1
        if wall_ms == 0:
            wall_ms = realtime_us() // 1000
        tell(core, quorum, leader, voice, wall_ms)


cdef void tell(Core* core, Quorum* quorum, Voice* leader, Voice* voice, int64_t wall_ms) noexcept nogil:
    cdef int index
    cdef Conn* conn
    cdef bint doubt = voice.heard == HEARD_REPLY
    for index in range(quorum.count):
        if &quorum.voices[index] == voice or not agrees(&quorum.voices[index], leader):
            continue
        conn = copy_conn(core, quorum.voices[index].node, quorum.protocol, quorum.database)
        if conn != NULL:
            hint_send(core, conn, voice.node, doubt, quorum, not doubt, wall_ms)


cdef void answer(Core* core, Quorum* quorum, Voice* voice) noexcept nogil:
    """The client gets this voice's reply."""
    hand_over(core, quorum, voice.reply, voice.length)


cdef void hand_over(Core* core, Quorum* quorum, const char* data, size_t length) noexcept nogil:
    cdef Pending pending
    memset(&pending, 0, sizeof(pending))
    pending.client = quorum.client
    pending.slot = quorum.slot
    pending.part = quorum.part
    quorum.over = 1
    pending_answer(core, &pending, data, length)


cdef void answer_failed(Core* core, Quorum* quorum, Voice* leader) noexcept nogil:
    """Too few confirmed it. If nobody can have carried it out the client hears that, in a node's own words if it has any."""
    cdef ErrorArgs args
    cdef Output text
    cdef char number[32]
    cdef bint reached = leader != NULL
    cdef Voice* spoke = NULL
    cdef int index
    cdef int kind
    for index in range(quorum.count):
        if quorum.voices[index].heard == HEARD_FAILURE:
            reached = reached or quorum.voices[index].reached
            if spoke == NULL and quorum.voices[index].reply != NULL:
                spoke = &quorum.voices[index]
    if spoke != NULL and (not reached or quorum.reads):
        answer(core, quorum, spoke)
        return
    kind = ERROR_QUORUM_READ if quorum.reads else ERROR_QUORUM_UNKNOWN if reached else ERROR_QUORUM_NOT_SENT
    memset(&args, 0, sizeof(args))
    memset(&text, 0, sizeof(text))
    error_words(&args, FIELD_POOL, quorum.voices[0].node.pool.name)
    error_words(&args, FIELD_COMMAND, core.rows[quorum.row].full_name)
    error_field(&args, FIELD_LIMIT, number, write_number(number, quorum.need) - 2)
    error_write(core, kind, &args, &text)
    core.row_stats[quorum.row].failed += 1
    hand_over(core, quorum, text.first.data, text.length)
    output_clear(&text, &core.chunks)
