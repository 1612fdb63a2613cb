# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Replicas. See replicas.pxd."""

from libc.stdint cimport uint64_t
from libc.stdio cimport snprintf
from libc.stdlib cimport calloc
from libc.string cimport memcmp, memcpy

from proxy.wire.output cimport output_append, output_write
from proxy.wire.poll cimport poll_want
from proxy.wire.resp cimport read_number
from proxy.wire.system cimport EAGAIN, EINTR, EPOLLIN, EPOLLOUT, EWOULDBLOCK, MSG_NOSIGNAL, errno, send
from storenode.answer cimport answer_error, answer_ok, answer_raw, answer_syntax
from storenode.arguments cimport copy_text, is_plain, is_word
from storenode.connection cimport client_close
from storenode.effects cimport effects_flush
from storenode.fullsync cimport fullsync_turn
from storenode.history cimport history_append, history_holds, history_look, history_pin, history_trim
from storenode.replication cimport (
    HOST_MOST, ID_LENGTH, LINK_UP, REPLICA_NEW, REPLICA_ONLINE, REPLICA_SENT, REPLICA_SNAPSHOT, REPLICA_WAITING,
    Replica, Replication, replication_feed, replication_guard, replication_of, replication_rest,
)
from storenode.types cimport (
    MIN_REPLICAS_LAG, OUTPUT_REPLICA, REPL_BACKLOG_SIZE, REPL_BACKLOG_TTL, REPL_PING_PERIOD, REPL_TIMEOUT, Call, Node,
    OutputLimit, Slice,
)

cdef enum:
    TICK_US = 1000000


# -- commands ----------------------------------------------------------------------------------------------------------


cdef Replica* replica_of(Call* call) noexcept nogil:
    """The record of the client as a replica, made on first use; NULL: out of memory, which was answered."""
    cdef Replication* replication = replication_of(call.node)
    cdef Replica* replica = <Replica*> call.client.replica
    if replica == NULL:
        replica = <Replica*> calloc(1, sizeof(Replica))
        if replica == NULL:
            answer_error(call, b"ERR out of memory")
            return NULL
        replica.client = call.client
        replica.next = replication.replicas
        replication.replicas = replica
        call.client.replica = replica
    return replica


cdef bint goes_on(Replication* replication, const Slice* id, long long offset) noexcept nogil:
    """Does the history have what a replica of the stream `id` misses from the byte number `offset` on?"""
    cdef uint64_t position = <uint64_t> offset - 1
    if id.length != ID_LENGTH or offset < 1:
        return False
    if memcmp(id.data, replication.id, ID_LENGTH) != 0 and \
            (memcmp(id.data, replication.id2, ID_LENGTH) != 0 or position > replication.id2_end):
        return False
    return history_holds(&replication.history, position)


cdef void begin_replica(Node* node, Replica* replica, int state) noexcept nogil:
    cdef Replication* replication = replication_of(node)
    replica.state = state
    replica.ack_us = node.now_us
    replication.count += 1
    replication.alone_us = 0


cdef void follow(Call* call, const Slice* id, long long offset, bint old) noexcept nogil:
    """Send the stream, and a snapshot before it where nothing less will do. `old`: SYNC, which answers nothing."""
    cdef Replication* replication = replication_of(call.node)
    cdef Replica* replica = replica_of(call)
    cdef char text[64]
    if replica == NULL or replica.state != REPLICA_NEW:
        return
    if call.node.primary != NULL and replication.link.state != LINK_UP:
        answer_error(call, b"NOMASTERLINK Can't SYNC while not connected with my master")
        return
    if call.output.length:
        answer_error(call, b"ERR SYNC and PSYNC are invalid with pending output")
        return
    replication_feed(call.node)
    effects_flush(call.node)
    if not old and goes_on(replication, id, offset):
        replication.partial_syncs += 1
        if replica.resumes:
            answer_raw(call, text, snprintf(text, sizeof(text), b"+CONTINUE %s\r\n", replication.id))
        else:
            answer_raw(call, b"+CONTINUE\r\n", 11)
        begin_replica(call.node, replica, REPLICA_ONLINE)
        replica.position = <uint64_t> offset - 1
        replica.acked = replica.position
        replica.block = history_pin(&replication.history, replica.position)
        return
    if not replica.marks:
        answer_error(call, b"ERR a replica has to understand snapshots without a length: REPLCONF capa eof")
        return
    if not old and id.length == ID_LENGTH:
        replication.refused_syncs += 1
    replication.full_syncs += 1
    replica.silent = old
    begin_replica(call.node, replica, REPLICA_WAITING)


cdef void command_psync(Call* call) noexcept nogil:
    """PSYNC id offset."""
    cdef long long offset
    if not read_number(call.argv[2].data, call.argv[2].length, &offset):
        answer_error(call, b"ERR value is not an integer or out of range")
        return
    follow(call, &call.argv[1], offset, False)


cdef void command_sync(Call* call) noexcept nogil:
    follow(call, NULL, -1, True)


cdef void advance(Replication* replication, uint64_t* place, long long offset) noexcept nogil:
    if offset > 0 and <uint64_t> offset > place[0]:
        place[0] = <uint64_t> offset if <uint64_t> offset < replication.history.end else replication.history.end
        replication.acked = True


cdef void acknowledged(Node* node, Replica* replica, long long offset, long long synced) noexcept nogil:
    """A replica says how far it is, and with the first word after a snapshot that it has read it."""
    cdef Replication* replication = replication_of(node)
    replica.ack_us = node.now_us
    advance(replication, &replica.acked, offset)
    advance(replication, &replica.synced, synced)
    if replica.state == REPLICA_SENT or replica.state == REPLICA_SNAPSHOT:
        replica.state = REPLICA_ONLINE


cdef void command_replconf(Call* call) noexcept nogil:
    """REPLCONF name value …: what a replica tells about itself, how far it is, and the question how far this one is."""
    cdef Replica* replica
    cdef Slice* value
    cdef char option[64]
    cdef char text[128]
    cdef long long number, synced
    cdef int index
    if call.argc % 2 == 0:
        answer_syntax(call)
        return
    if is_word(&call.argv[1], b"getack"):
        if call.client == call.node.primary:
            replication_of(call.node).link.asked = True
        return
    replica = replica_of(call)
    if replica == NULL:
        return
    for index in range(1, call.argc, 2):
        value = &call.argv[index + 1]
        if is_word(&call.argv[index], b"ack"):
            if index + 3 >= call.argc or not is_word(&call.argv[index + 2], b"fack") or \
                    not read_number(call.argv[index + 3].data, call.argv[index + 3].length, &synced):
                synced = 0  # it keeps no log
            if replica.state != REPLICA_NEW and read_number(value.data, value.length, &number):
                acknowledged(call.node, replica, number, synced)
            return
        if is_word(&call.argv[index], b"listening-port"):
            if not read_number(value.data, value.length, &number) or number < 0 or number > 65535:
                answer_error(call, b"ERR value is not an integer or out of range")
                return
            replica.port = <int> number
        elif is_word(&call.argv[index], b"ip-address"):
            if value.length >= HOST_MOST or not is_plain(value):
                answer_error(call, b"ERR REPLCONF ip-address provided by replica instance is too long")
                return
            memcpy(replica.host, value.data, value.length)
            replica.host[value.length] = 0
        elif is_word(&call.argv[index], b"capa"):
            if is_word(value, b"eof"):
                replica.marks = True
            elif is_word(value, b"psync2"):
                replica.resumes = True
        elif not is_word(&call.argv[index], b"rdb-only"):
            copy_text(option, sizeof(option), &call.argv[index])
            snprintf(text, sizeof(text), b"ERR Unrecognized REPLCONF option: %s", option)
            answer_error(call, text)
            return
    answer_ok(call)


# -- sending -----------------------------------------------------------------------------------------------------------


cdef void cut(Replication* replication, Replica* replica) noexcept nogil:
    replica.cut = True
    replication.cut = True


cdef void send_to(Node* node, Replica* replica) noexcept nogil:
    """Give the kernel what it takes of the history. What was answered to the replica's own commands goes first."""
    cdef Replication* replication = replication_of(node)
    cdef const char* data
    cdef size_t length
    cdef ssize_t taken
    if replica.client.output.length:
        return
    while replica.position < replication.history.end:
        length = history_look(&replica.block, replica.position, &data)
        taken = send(replica.client.handle.fd, data, length, MSG_NOSIGNAL)
        if taken >= 0:
            replica.position += <uint64_t> taken
        elif errno == EAGAIN or errno == EWOULDBLOCK:
            replica.blocked = True
            return
        elif errno != EINTR:
            cut(replication, replica)
            return


cdef void check_limits(Node* node, Replica* replica) noexcept nogil:
    """Cut a replica that is too far behind, or too far for too long."""
    cdef Replication* replication = replication_of(node)
    cdef OutputLimit* limit = &node.output_limits[OUTPUT_REPLICA]
    cdef uint64_t behind = replication.history.end - replica.position
    # As in Redis: less than the backlog is no limit, since that is kept anyway.
    if limit.hard and behind > limit.hard and behind > <uint64_t> node.settings[REPL_BACKLOG_SIZE]:
        cut(replication, replica)
    elif limit.soft and behind > limit.soft:
        if replica.over_us == 0:
            replica.over_us = node.now_us
        elif node.now_us - replica.over_us > <uint64_t> limit.seconds * 1000000:
            cut(replication, replica)
    else:
        replica.over_us = 0


cdef void serve(Node* node) noexcept nogil:
    """Send every replica what it has not been sent."""
    cdef Replication* replication = replication_of(node)
    cdef Replica* replica = replication.replicas
    while replica != NULL:
        if replica.block != NULL and not replica.cut:
            if replica.state == REPLICA_ONLINE and not replica.blocked:
                send_to(node, replica)
            if replica.blocked:
                # Whoever served the client since may have asked epoll for less.
                poll_want(&node.poll, &replica.client.handle, EPOLLIN | EPOLLOUT)
            check_limits(node, replica)
        replica = replica.next


cdef void close_cut(Node* node) noexcept nogil:
    cdef Replication* replication = replication_of(node)
    cdef Replica* replica = replication.replicas
    cdef Replica* following
    replication.cut = False
    while replica != NULL:
        following = replica.next
        if replica.cut:
            client_close(node, replica.client)
        replica = following


cdef void tick(Node* node) noexcept nogil:
    """Once a second: who is late, who is gone, who has to hear that this node is alive."""
    cdef Replication* replication = replication_of(node)
    cdef Replica* replica = replication.replicas
    cdef uint64_t patience = <uint64_t> node.settings[REPL_TIMEOUT] * 1000000
    replication.good = 0
    while replica != NULL:
        if replica.state == REPLICA_ONLINE:
            # In whole seconds, as INFO tells it: a replica says where it is once a second, or a moment later.
            if (node.now_us - replica.ack_us) // 1000000 <= <uint64_t> node.settings[MIN_REPLICAS_LAG]:
                replication.good += 1
            if node.now_us - replica.ack_us > patience:
                cut(replication, replica)
        elif replica.state == REPLICA_SENT:
            # While it reads, it sends line ends.
            if node.now_us - replica.ack_us > patience and node.now_us - replica.client.used_us > patience:
                cut(replication, replica)
        elif replica.state == REPLICA_WAITING and not replica.silent:
            output_append(&replica.client.output, &node.chunks, b"\n", 1)
            output_write(&replica.client.output, &node.chunks, replica.client.handle.fd)
        replica = replica.next
    if node.primary == NULL and replication.count and \
            node.now_us - replication.ping_us >= <uint64_t> node.settings[REPL_PING_PERIOD] * 1000000:
        replication.ping_us = node.now_us
        effects_flush(node)
        history_append(&replication.history, b"*1\r\n$4\r\nPING\r\n", 14)
    if node.primary == NULL and replication.alone_us and replication.history.first != NULL and node.settings[REPL_BACKLOG_TTL] \
            and node.now_us - replication.alone_us > <uint64_t> node.settings[REPL_BACKLOG_TTL] * 1000000:
        replication.alone_us = 0
        replication_rest(node)
    replication_guard(node)


cdef void replication_turn(Node* node) noexcept nogil:
    """What replication does at the end of a turn, when all effects are written down."""
    cdef Replication* replication = replication_of(node)
    if replication.replicas == NULL and node.primary == NULL and replication.history.first == NULL:
        return
    if node.now_us - replication.tick_us >= TICK_US:
        replication.tick_us = node.now_us
        tick(node)
    if replication.ask:
        replication.ask = False
        if node.primary == NULL and replication.count:
            history_append(&replication.history, b"*3\r\n$8\r\nREPLCONF\r\n$6\r\nGETACK\r\n$1\r\n*\r\n", 37)
    if replication.count:
        fullsync_turn(node)
        serve(node)
    if replication.cut:
        close_cut(node)
    history_trim(&replication.history)


cdef int replicas_at(const Node* node, uint64_t position, bint synced) noexcept nogil:
    """How many replicas have executed the stream up to here, and, if `synced`, have it on disk?"""
    cdef Replica* replica = replication_of(node).replicas
    cdef int count = 0
    while replica != NULL:
        count += replica.state == REPLICA_ONLINE and (replica.synced if synced else replica.acked) >= position
        replica = replica.next
    return count
