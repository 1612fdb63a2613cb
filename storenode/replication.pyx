# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Replication: the state, the roles, and what a change of role does at once. See replication.pxd."""

from libc.stdint cimport int64_t, uint8_t
from libc.stdio cimport snprintf
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset, strcpy

from proxy.wire.input cimport input_clear
from proxy.wire.output cimport output_clear
from proxy.wire.poll cimport poll_add, wake, wake_open
from proxy.wire.system cimport EPOLLIN, EPOLL_CTL_DEL, close, epoll_ctl
from storenode.blocked cimport wait_cancel
from storenode.effects cimport effects_attach, effects_detach, effects_flush
from storenode.history cimport History, history_append, history_begin, history_clear
from storenode.keyspace cimport database_clear
from storenode.rdbfile cimport load_end
from storenode.transaction cimport transaction_end
from storenode.types cimport (
    DATABASES, DEAD, GUARD_FEW, GUARD_LOADING, GUARD_STALE, GUARD_WRITES, LINK_WAKER, MIN_REPLICAS, MIN_REPLICAS_LAG,
    REPLICA_ANNOUNCE_PORT, REPLICA_READ_ONLY, REPLICA_SERVE_STALE, REPL_BACKLOG_SIZE, REPL_TIMEOUT, Client, Node, Slice,
)

cdef extern from "<sys/random.h>" nogil:
    ssize_t getrandom(void* buffer, size_t length, unsigned int flags)

cdef enum:
    MIB = 1 << 20


cdef bint replication_open(Node* node) noexcept nogil:
    """A primary without replicas. False: out of memory or descriptors; errno tells."""
    cdef Replication* replication = <Replication*> calloc(1, sizeof(Replication))
    if replication == NULL:
        return False
    node.replication = replication
    new_id(replication.id)
    forget_old_id(replication)
    replication.offer.fd = -1
    replication.link.client.handle.fd = -1
    pthread_mutex_init(&replication.lock, NULL)
    replication.ordered = wake_open()
    replication.waker.kind = LINK_WAKER
    replication.waker.fd = wake_open()
    return (replication.ordered >= 0 and replication.waker.fd >= 0
            and poll_add(&node.poll, &replication.waker, EPOLLIN) == 0)


cdef void replication_close(Node* node) noexcept nogil:
    """Give everything back; the node's clients are gone already."""
    cdef Replication* replication = replication_of(node)
    if replication == NULL:
        return
    link_drop(node, False)
    if replication.offer.fd >= 0:
        close(replication.offer.fd)
        free(replication.offer.rest)
    if replication.attached:
        effects_detach(node, take_effects, replication)
    history_clear(&replication.history)
    pthread_mutex_destroy(&replication.lock)
    if replication.ordered >= 0:
        close(replication.ordered)
    if replication.waker.fd >= 0:
        close(replication.waker.fd)
    free(replication)
    node.replication = NULL


cdef void new_id(char* id) noexcept nogil:
    """40 random hexadecimal digits."""
    cdef uint8_t[20] drawn
    cdef const char* digits = b"0123456789abcdef"
    cdef int index
    memset(drawn, 0, sizeof(drawn))
    # Twenty bytes are always given whole.
    getrandom(drawn, sizeof(drawn), 0)
    for index in range(ID_LENGTH // 2):
        id[2 * index] = digits[drawn[index] >> 4]
        id[2 * index + 1] = digits[drawn[index] & 15]
    id[ID_LENGTH] = 0


cdef void forget_old_id(Replication* replication) noexcept nogil:
    memset(replication.id2, c'0', ID_LENGTH)
    replication.id2_end = 0


cdef void keep_old_id(Replication* replication) noexcept nogil:
    """What was sent so far stays good under the name that it was sent under."""
    memcpy(replication.id2, replication.id, ID_LENGTH)
    replication.id2_end = replication.history.end


# -- the stream of a primary -------------------------------------------------------------------------------------------


cdef void take_effects(Node* node, void* context, const char* data, size_t length) noexcept nogil:
    """A consumer of effects."""
    history_append(&(<Replication*> context).history, data, length)


cdef void replication_tell(Node* node, const Slice* argv, int argc) noexcept nogil:
    """Put a command that changes no key into the stream, if it is written down for replicas. As effects do not count it,
    a WAIT that follows waits for it, too, as it does for a PING."""
    cdef Replication* replication = replication_of(node)
    cdef History* history = &replication.history
    cdef char head[32]
    cdef int index
    if not replication.attached:
        return
    effects_flush(node)
    history_append(history, head, snprintf(head, sizeof(head), b"*%d\r\n", argc))
    for index in range(argc):
        history_append(history, head, snprintf(head, sizeof(head), b"$%zu\r\n", argv[index].length))
        history_append(history, argv[index].data, argv[index].length)
        history_append(history, b"\r\n", 2)


cdef void replication_feed(Node* node) noexcept nogil:
    """Begin to write the stream down: there is a replica, or there was one."""
    cdef Replication* replication = replication_of(node)
    history_begin(&replication.history)
    if node.primary == NULL and not replication.attached:
        effects_attach(node, take_effects, replication)
        replication.attached = True


cdef void replication_rest(Node* node) noexcept nogil:
    """Stop writing the stream down. What changes from now on is in no stream, so the next one has another name."""
    cdef Replication* replication = replication_of(node)
    if replication.attached:
        effects_detach(node, take_effects, replication)
        replication.attached = False
    history_clear(&replication.history)
    new_id(replication.id)
    forget_old_id(replication)


cdef void replication_adopt(Node* node, const char* id) noexcept nogil:
    """The keyspace is now that of a snapshot: go on as the stream `id` at the snapshot's offset."""
    cdef Replication* replication = replication_of(node)
    history_clear(&replication.history)
    replication.history.end = replication.link.offset
    history_begin(&replication.history)
    memcpy(replication.id, id, ID_LENGTH)
    forget_old_id(replication)


cdef void replication_rename(Node* node, const char* id) noexcept nogil:
    """The primary goes on with the same stream under another name: replicas of this node ask for it anew."""
    cdef Replication* replication = replication_of(node)
    keep_old_id(replication)
    memcpy(replication.id, id, ID_LENGTH)
    replication_cut_all(node)


# -- roles -------------------------------------------------------------------------------------------------------------


cdef void unblock_all(Node* node) noexcept nogil:
    """Who waits for a key waits for a write, and there will be none by a client's hand."""
    cdef Client* client = node.clients
    while client != NULL:
        if client.wait != NULL:
            wait_cancel(node, client, b"UNBLOCKED force unblock from blocking operation, instance state changed "
                                      b"(master -> replica?)")
        client = client.next


cdef void replication_follow(Node* node, const char* host, size_t length, int port) noexcept nogil:
    """Become the replica of another node. Its stream is first asked for from where this one's ends."""
    cdef Replication* replication = replication_of(node)
    cdef Link* link = &replication.link
    if replication.attached:
        effects_detach(node, take_effects, replication)
        replication.attached = False
    unblock_all(node)
    replication_cut_all(node)
    link_drop(node, False)
    history_begin(&replication.history)
    memcpy(replication.host, host, length)
    replication.host[length] = 0
    replication.port = port
    node.primary = &link.client
    link.client.database = &node.databases[0]
    link.client.authenticated = True
    link.client.trusted = True
    link.client.user = node.user_default
    link.client.resp = 2
    link.client.no_touch = False
    link.down_us = node.now_us
    link.state = LINK_WISHED
    link_wish(node)
    replication_guard(node)


cdef void replication_lead(Node* node) noexcept nogil:
    """Become a primary. Whoever has followed the same stream can follow this node without a snapshot."""
    cdef Replication* replication = replication_of(node)
    cdef int number
    if node.primary == NULL:
        return
    link_drop(node, False)
    node.primary = NULL
    replication.host[0] = 0
    if replication.incomplete:
        for number in range(DATABASES):
            database_clear(&node.databases[number], True)
        replication.incomplete = False
    keep_old_id(replication)
    new_id(replication.id)
    replication_cut_all(node)
    replication_feed(node)
    link_wish(node)
    replication_guard(node)


cdef void replication_guard(Node* node) noexcept nogil:
    """Work out what has to be refused from now on, after a change of state or of settings."""
    cdef Replication* replication = replication_of(node)
    replication.history.size = <size_t> node.settings[REPL_BACKLOG_SIZE]
    node.guard = 0
    if node.primary != NULL:
        if node.settings[REPLICA_READ_ONLY]:
            node.guard |= GUARD_WRITES
        if replication.incomplete:
            node.guard |= GUARD_LOADING
        elif replication.link.state != LINK_UP and not node.settings[REPLICA_SERVE_STALE]:
            node.guard |= GUARD_STALE
    elif (node.settings[MIN_REPLICAS] and node.settings[MIN_REPLICAS_LAG]
          and replication.good < node.settings[MIN_REPLICAS]):
        node.guard |= GUARD_FEW


# -- replicas ----------------------------------------------------------------------------------------------------------


cdef void unpin(Replica* replica) noexcept nogil:
    if replica.block != NULL:
        replica.block.pins -= 1
        replica.block = NULL


cdef void replication_cut_all(Node* node) noexcept nogil:
    """Let all replicas connect anew: the stream is another one, or has another name."""
    cdef Replication* replication = replication_of(node)
    cdef Replica* replica = replication.replicas
    while replica != NULL:
        if replica.state != REPLICA_NEW:
            unpin(replica)
            replica.cut = True
            replication.cut = True
        replica = replica.next


cdef void replica_forget(Node* node, Client* client) noexcept nogil:
    """A client that is a replica is gone."""
    cdef Replication* replication = replication_of(node)
    cdef Replica* replica = <Replica*> client.replica
    cdef Replica** at = &replication.replicas
    while at[0] != replica:
        at = &at[0].next
    at[0] = replica.next
    unpin(replica)
    if replication.sending == replica:
        replication.sending = NULL
    client.replica = NULL
    if replica.state != REPLICA_NEW:
        replication.count -= 1
        if replication.count == 0:
            replication.alone_us = node.now_us
    free(replica)


# -- the link ----------------------------------------------------------------------------------------------------------


cdef void link_drop(Node* node, bint again) noexcept nogil:
    """Close the link, if there is one; `again`: and have it made anew. The replica serves what it has."""
    cdef Replication* replication = replication_of(node)
    cdef Link* link = &replication.link
    if link.client.handle.fd >= 0:
        # Not left to close(): a child may have the socket, too.
        epoll_ctl(node.poll.epoll, EPOLL_CTL_DEL, link.client.handle.fd, NULL)
        close(link.client.handle.fd)
        link.client.handle.fd = -1
        link.client.handle.kind = DEAD
    if link.state == LINK_SNAPSHOT or link.state == LINK_MARK:
        load_end(&link.load)
    if link.state == LINK_UP:
        link.down_us = node.now_us
    input_clear(&link.client.input, &node.chunks)
    output_clear(&link.client.output, &node.chunks)
    output_clear(&link.discarded, &node.chunks)
    link.client.frame.scanned = 0
    transaction_end(node, &link.client)
    link.client.closing = False
    link.held = 0
    link.state = LINK_NONE
    if again:
        link.state = LINK_WISHED
        link_wish(node)
    replication_guard(node)


cdef void link_wish(Node* node) noexcept nogil:
    """Tell the control plane what link is wanted, if any."""
    cdef Replication* replication = replication_of(node)
    cdef Wish* wish = &replication.wish
    pthread_mutex_lock(&replication.lock)
    wish.number += 1
    wish.wanted = node.primary != NULL
    strcpy(wish.host, replication.host)
    wish.port = replication.port
    strcpy(wish.id, replication.id)
    wish.offset = <int64_t> replication.history.end + 1
    if replication.incomplete:
        strcpy(wish.id, b"?")
        wish.offset = -1
    strcpy(wish.user, replication.user)
    strcpy(wish.password, replication.password)
    strcpy(wish.announce_host, replication.announce_host)
    wish.announce_port = node.port
    if node.settings[REPLICA_ANNOUNCE_PORT]:
        wish.announce_port = <int> node.settings[REPLICA_ANNOUNCE_PORT]
    wish.timeout = <int> node.settings[REPL_TIMEOUT]
    pthread_mutex_unlock(&replication.lock)
    wake(replication.ordered)
