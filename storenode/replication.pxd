# cython: language_level=3
"""Replication: what a node knows of those that it repeats and of those that repeat it.

      primary ── Link ──► this node ── History ──► Replica, Replica …
                (link.pyx)              (replicas.pyx)

A node is a primary or a replica. A primary writes down its own effects (effects.pyx) as the stream; a replica passes
on, byte for byte, what its primary sends, so that all of a tree count the same offsets. The stream has a name, 40
hexadecimal digits (`id`), and after a promotion a second one under which it was known up to `id2_end`: a replica that
asks for a position of a stream under one of them gets just what it has missed.

This file owns the state and the changes of role. REPLICAOF takes effect here at once; sockets of replicas that have to
go are marked and closed at the end of the turn.

The link is made by the control plane (upstream.py), which resolves names, connects and greets. It is told what to do by
a Wish and gives back an Offer; both lie behind a lock, because two threads use them, and never for long.
"""

from libc.stdint cimport int64_t, uint64_t

from proxy.wire.output cimport Output
from proxy.wire.poll cimport Handle
from storenode.history cimport Block, History
from storenode.rdbfile cimport RdbLoad
from storenode.text cimport Text
from storenode.types cimport Client, Node, Slice

cdef enum:
    ID_LENGTH = 40
    HOST_MOST = 256
    SECRET_MOST = 512          # bytes of a user's name and of a password, with the final NUL

cdef enum LinkState:
    LINK_NONE = 0              # a primary
    LINK_WISHED = 1            # the control plane is connecting
    LINK_PREAMBLE = 2          # the snapshot's length or mark comes next
    LINK_SNAPSHOT = 3
    LINK_MARK = 4              # the mark behind a snapshot of unknown length
    LINK_UP = 5

cdef enum ReplicaState:
    REPLICA_NEW = 0            # has told about itself, not asked for anything
    REPLICA_WAITING = 1        # for a snapshot to begin
    REPLICA_SNAPSHOT = 2       # a child is writing one to its socket
    REPLICA_SENT = 3           # it has to say that it has read it before anything else may follow
    REPLICA_ONLINE = 4

cdef extern from "<pthread.h>" nogil:
    ctypedef struct pthread_mutex_t:
        pass
    int pthread_mutex_init(pthread_mutex_t* mutex, const void* attributes)
    int pthread_mutex_destroy(pthread_mutex_t* mutex)
    int pthread_mutex_lock(pthread_mutex_t* mutex)
    int pthread_mutex_unlock(pthread_mutex_t* mutex)


cdef struct Replica:           # replicas.pyx: a replica of this node; Client.replica points to it
    Replica* next
    Client* client
    int state                  # ReplicaState
    int port                   # that it says it listens on; 0: not said
    char host[HOST_MOST]       # that it says it is reached at; empty: not said
    bint marks                 # it understands a snapshot of unknown length
    bint resumes               # and +CONTINUE with another id
    bint silent                # it came by SYNC, which answers nothing before the snapshot
    bint cut                   # to be closed at the end of the turn
    bint blocked               # the kernel's buffer is full
    Block* block               # pinned, from REPLICA_SNAPSHOT on
    uint64_t position          # of the next byte to send
    uint64_t acked             # it has executed the stream up to here
    uint64_t synced            # and has it on disk up to here
    uint64_t ack_us            # monotonic, of the last word of it
    uint64_t over_us           # monotonic, since when it is over the soft limit; 0: it is not


cdef struct Link:              # link.pyx: to the primary
    Client client              # first: socket, input and output; its database is the stream's, its kind is LINK
    int state                  # LinkState
    Output discarded           # replies to the primary's commands
    RdbLoad load
    uint64_t left              # bytes of the snapshot to come, where its length is known
    bint known                 # is it?
    char mark[ID_LENGTH]       # else what ends it
    char id[ID_LENGTH + 1]     # of the stream that the snapshot belongs to
    uint64_t offset            # what the snapshot contains of it
    size_t held                # bytes of a transaction that are executed with its EXEC
    bint asked                 # to say at once how far this node is
    uint64_t asked_at          # the end of the stream when it was asked last,
    uint64_t synced            # and how much of it was said to be on disk
    uint64_t heard_us          # monotonic, of the last byte
    uint64_t said_us           # of the last ack
    uint64_t down_us           # since when it is down; 0: it never was
    uint64_t failures          # commands of the primary that were answered with an error


cdef struct Wish:              # for the control plane: what link is wanted
    uint64_t number            # of the wish; another one makes this one void
    bint wanted                # False: none
    char host[HOST_MOST]
    int port
    char id[ID_LENGTH + 1]     # of the stream to go on with; "?": none
    int64_t offset             # of the next byte wanted; -1: none
    char user[SECRET_MOST]     # empty: none; so is the next
    char password[SECRET_MOST]
    char announce_host[HOST_MOST]
    int announce_port
    int timeout                # s


cdef struct Offer:             # from the control plane: a link that was made
    uint64_t number            # of the wish
    int fd                     # owned by whoever takes the offer; -1: no offer
    bint whole                 # a snapshot comes first
    char id[ID_LENGTH + 1]     # of the stream, empty where it is the one that was asked for
    uint64_t offset            # that the snapshot contains
    char* rest                 # malloc: bytes that were received already
    size_t rest_length


cdef struct Replication:
    char id[ID_LENGTH + 1]     # of the stream
    char id2[ID_LENGTH + 1]    # its name before; zeros: none
    uint64_t id2_end           # positions up to here are good under id2
    History history            # history.end is Redis's master_repl_offset
    bint attached              # effects are fed into the history
    Replica* replicas
    int count                  # of replicas that have asked for the stream
    int good                   # of them that are online and not late
    uint64_t alone_us          # monotonic, since when there are none; 0: there are some
    uint64_t tick_us           # of the last look at all this
    uint64_t ping_us           # of the last PING into the stream
    bint ask                   # a client waits: replicas are to be asked how far they are
    bint awaited               # a client waits for replicas or the log to get further,
    bint acked                 # and some have
    bint cut                   # some replicas are to be closed
    Replica* sending           # whom the child writes to; NULL: nobody, or it is gone
    int sending_fd             # of the child: its socket
    char mark[ID_LENGTH + 1]   # behind the snapshot that is being sent
    uint64_t full_syncs        # of replicas: sync_full
    uint64_t partial_syncs     # sync_partial_ok
    uint64_t refused_syncs     # sync_partial_err
    # -- as a replica
    char host[HOST_MOST]       # of the primary; empty: this is one
    int port
    bint incomplete            # a snapshot has begun and none was read to its end
    bint log_off               # the log was on before that, and is to be begun anew with what comes of it
    Link link
    char user[SECRET_MOST]     # masteruser; empty: none; so are the next two
    char password[SECRET_MOST] # masterauth
    char announce_host[HOST_MOST]  # replica-announce-ip
    # -- between two threads
    pthread_mutex_t lock       # over the next two
    Wish wish
    Offer offer
    int ordered                # eventfd: there is a new wish
    Handle waker               # eventfd: there is an offer

cdef void new_id(char* id) noexcept nogil
cdef bint replication_open(Node* node) noexcept nogil
cdef void replication_close(Node* node) noexcept nogil
cdef void replication_follow(Node* node, const char* host, size_t length, int port) noexcept nogil
cdef void replication_lead(Node* node) noexcept nogil
cdef void replication_tell(Node* node, const Slice* argv, int argc) noexcept nogil
cdef void replication_feed(Node* node) noexcept nogil
cdef void replication_rest(Node* node) noexcept nogil
cdef void replication_adopt(Node* node, const char* id) noexcept nogil
cdef void replication_rename(Node* node, const char* id) noexcept nogil
cdef void replication_guard(Node* node) noexcept nogil
cdef void replication_cut_all(Node* node) noexcept nogil
cdef void replica_forget(Node* node, Client* client) noexcept nogil
cdef void link_drop(Node* node, bint again) noexcept nogil
cdef void link_wish(Node* node) noexcept nogil


cdef inline Replication* replication_of(const Node* node) noexcept nogil:
    return <Replication*> node.replication


cdef inline bint is_replica(const Client* client) noexcept nogil:
    """Is this the connection of a replica that has asked for the stream?"""
    return client.replica != NULL and (<Replica*> client.replica).state != REPLICA_NEW
