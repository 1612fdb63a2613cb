# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Replicaof. See replicaof.pxd. Names and numbers are Redis's, which clients, exporters and Sentinels read."""

from libc.stdint cimport int64_t
from libc.stdio cimport snprintf
from libc.string cimport memcpy, strlen, strrchr

from proxy.wire.input cimport input_length
from proxy.wire.resp cimport read_number
from storenode.answer cimport answer_array, answer_bulk, answer_error, answer_number, answer_ok, answer_raw, answer_text
from storenode.arguments cimport is_plain, is_word, same_bytes
from storenode.effects cimport effects_flush
from storenode.history cimport history_start
from storenode.log cimport log_switch
from storenode.replication cimport (
    HOST_MOST, LINK_MARK, LINK_PREAMBLE, LINK_SNAPSHOT, LINK_UP, LINK_WISHED, REPLICA_NEW, REPLICA_ONLINE,
    REPLICA_SENT, REPLICA_SNAPSHOT, Link, Replica, Replication, replication_follow, replication_lead, replication_of,
)
from storenode.text cimport text_line, text_number, text_room
from storenode.types cimport (
    MIN_REPLICAS, MIN_REPLICAS_LAG, NAME_MOST, REPLICA_PRIORITY, REPLICA_READ_ONLY, Slice,
)


cdef void command_replicaof(Call* call) noexcept nogil:
    """REPLICAOF host port | NO ONE."""
    cdef Replication* replication = replication_of(call.node)
    cdef Slice* host = &call.argv[1]
    cdef Slice current
    cdef long long port
    if is_word(host, b"no") and is_word(&call.argv[2], b"one"):
        replication_lead(call.node)
        if replication.log_off:
            replication.log_off = False
            log_switch(call.node, True)
        answer_ok(call)
        return
    if call.client.replica != NULL and (<Replica*> call.client.replica).state != REPLICA_NEW:
        answer_error(call, b"ERR Command is not valid when client is a replica.")
        return
    if not read_number(call.argv[2].data, call.argv[2].length, &port) or port < 0 or port > 65535:
        answer_error(call, b"ERR Invalid master port")
        return
    if host.length == 0 or host.length >= HOST_MOST or not is_plain(host):
        answer_error(call, b"ERR Invalid master host")
        return
    current.data = replication.host
    current.length = strlen(replication.host)
    if call.node.primary != NULL and replication.port == port and same_bytes(host, &current):
        answer_raw(call, b"+OK Already connected to specified master\r\n", 43)
        return
    replication_follow(call.node, host.data, host.length, <int> port)
    answer_ok(call)


cdef const char* link_name(int state) noexcept nogil:
    """The state of the link, as ROLE has it."""
    if state == LINK_UP:
        return b"connected"
    if state == LINK_WISHED:
        return b"connecting"
    return b"connect" if state < LINK_WISHED else b"sync"


cdef void address_of(const Replica* replica, char* host, int* port) noexcept nogil:
    """Where a replica is to be reached: what it said, else where its connection comes from. `host`: HOST_MOST bytes."""
    cdef const char* peer = replica.client.peer
    cdef const char* end = strrchr(peer, c':')
    cdef size_t length = 0 if end == NULL else end - peer
    port[0] = replica.port
    if replica.host[0]:
        memcpy(host, replica.host, HOST_MOST)
        return
    if length >= 2 and peer[0] == c'[':
        peer += 1
        length -= 2
    if length >= NAME_MOST:
        length = 0
    memcpy(host, peer, length)
    host[length] = 0


cdef void command_role(Call* call) noexcept nogil:
    cdef Replication* replication = replication_of(call.node)
    cdef Replica* replica = replication.replicas
    cdef char host[HOST_MOST]
    cdef char digits[24]
    cdef long long online = 0
    cdef int port
    if call.node.primary != NULL:
        answer_array(call, 5)
        answer_text(call, b"slave")
        answer_text(call, replication.host)
        answer_number(call, replication.port)
        answer_text(call, link_name(replication.link.state))
        answer_number(call, -1 if replication.link.state != LINK_UP else <long long> replication.history.end)
        return
    while replica != NULL:
        online += replica.state == REPLICA_ONLINE
        replica = replica.next
    answer_array(call, 3)
    answer_text(call, b"master")
    answer_number(call, <long long> replication.history.end)
    answer_array(call, online)
    replica = replication.replicas
    while replica != NULL:
        if replica.state == REPLICA_ONLINE:
            address_of(replica, host, &port)
            answer_array(call, 3)
            answer_text(call, host)
            answer_bulk(call, digits, snprintf(digits, sizeof(digits), b"%d", port))
            answer_bulk(call, digits, snprintf(digits, sizeof(digits), b"%llu", <unsigned long long> replica.acked))
        replica = replica.next


cdef void build_link(Node* node, Text* text) noexcept nogil:
    """What a replica says of its primary."""
    cdef Replication* replication = replication_of(node)
    cdef Link* link = &replication.link
    cdef bint syncing = link.state in (LINK_PREAMBLE, LINK_SNAPSHOT, LINK_MARK)
    text_line(text, b"master_host", replication.host)
    text_number(text, b"master_port", replication.port)
    text_line(text, b"master_link_status", b"up" if link.state == LINK_UP else b"down")
    text_number(text, b"master_last_io_seconds_ago",
                <long long> ((node.now_us - link.heard_us) // 1000000) if link.state == LINK_UP else -1)
    text_number(text, b"master_sync_in_progress", syncing)
    text_number(text, b"slave_read_repl_offset",
                <long long> (replication.history.end
                             + (input_length(&link.client.input) if link.state == LINK_UP else 0)))
    text_number(text, b"slave_repl_offset", <long long> replication.history.end)
    if syncing:
        text_number(text, b"master_sync_total_bytes", <long long> (link.load.taken + link.left) if link.known else -1)
        text_number(text, b"master_sync_read_bytes", <long long> link.load.taken)
        text_number(text, b"master_sync_left_bytes", <long long> link.left if link.known else -1)
        text_number(text, b"master_sync_last_io_seconds_ago", <long long> ((node.now_us - link.heard_us) // 1000000))
    if link.state != LINK_UP:
        text_number(text, b"master_link_down_since_seconds", <long long> ((node.now_us - link.down_us) // 1000000))
    text_number(text, b"slave_priority", node.settings[REPLICA_PRIORITY])
    text_number(text, b"slave_read_only", node.settings[REPLICA_READ_ONLY])
    text_number(text, b"replica_announced", 1)


cdef const char* replica_name(int state) noexcept nogil:
    """The state of a replica, as INFO has it."""
    if state == REPLICA_ONLINE:
        return b"online"
    return b"send_bulk" if state == REPLICA_SNAPSHOT or state == REPLICA_SENT else b"wait_bgsave"


cdef void build_replication(Node* node, Text* text) noexcept nogil:
    """The section of INFO."""
    cdef Replication* replication = replication_of(node)
    cdef Replica* replica = replication.replicas
    cdef char host[HOST_MOST]
    cdef int64_t start = <int64_t> history_start(&replication.history)
    cdef int number = 0
    cdef int port
    effects_flush(node)
    text_line(text, b"role", b"master" if node.primary == NULL else b"slave")
    if node.primary != NULL:
        build_link(node, text)
    text_number(text, b"connected_slaves", replication.count)
    if node.settings[MIN_REPLICAS] and node.settings[MIN_REPLICAS_LAG]:
        text_number(text, b"min_slaves_good_slaves", replication.good)
    while replica != NULL:
        if replica.state != REPLICA_NEW:
            address_of(replica, host, &port)
            text.length += snprintf(
                text_room(text, HOST_MOST + 128), HOST_MOST + 128,
                b"slave%d:ip=%s,port=%d,state=%s,offset=%llu,lag=%llu\r\n", number, host, port,
                replica_name(replica.state), <unsigned long long> replica.acked,
                <unsigned long long> ((node.now_us - replica.ack_us) // 1000000) if replica.state == REPLICA_ONLINE
                else 0)
            number += 1
        replica = replica.next
    text_line(text, b"master_failover_state", b"no-failover")
    text_line(text, b"master_replid", replication.id)
    text_line(text, b"master_replid2", replication.id2)
    text_number(text, b"master_repl_offset", <long long> replication.history.end)
    text_number(text, b"second_repl_offset", <long long> replication.id2_end + 1 if replication.id2_end else -1)
    text_number(text, b"repl_backlog_active", replication.history.first != NULL)
    text_number(text, b"repl_backlog_size", <long long> replication.history.size)
    text_number(text, b"repl_backlog_first_byte_offset", start + 1 if replication.history.first != NULL else 0)
    text_number(text, b"repl_backlog_histlen", <long long> replication.history.end - start)
