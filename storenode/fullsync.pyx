# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Full sync. See fullsync.pxd."""

from libc.stdint cimport uint64_t
from libc.stdio cimport fprintf, snprintf, stderr
from libc.string cimport strerror

from proxy.wire.system cimport close, errno
from storenode.child cimport child_free, child_kill, child_poll, child_start
from storenode.effects cimport effects_flush, effects_reselect
from storenode.files cimport file_write
from storenode.history cimport history_pin
from storenode.replication cimport (
    ID_LENGTH, REPLICA_SENT, REPLICA_SNAPSHOT, REPLICA_WAITING, Replica, Replication, new_id, replication_of,
)
from storenode.snapshot cimport WITH_STREAM, snapshot_write
from storenode.types cimport SENDING, Node

cdef extern from "<fcntl.h>" nogil:
    int F_DUPFD_CLOEXEC
    int fcntl(int fd, int command, ...)

cdef enum:
    FD_FROM = 16               # a copy of the socket has a number that a child keeps as it is


cdef int write_snapshot(Node* node) noexcept nogil:
    """In the child: the answer to PSYNC, the mark, the snapshot, the mark."""
    cdef Replication* replication = replication_of(node)
    cdef int fd = replication.sending_fd
    cdef char text[160]
    cdef int length = 0
    cdef int error
    if not replication.sending.silent:
        length = snprintf(text, sizeof(text), b"+FULLRESYNC %s %llu\r\n", replication.id,
                          <unsigned long long> replication.history.end)
    length += snprintf(text + length, sizeof(text) - length, b"$EOF:%s\r\n", replication.mark)
    if file_write(fd, text, length) != <size_t> length:
        return errno
    error = snapshot_write(node, fd, WITH_STREAM, False)
    if error == 0 and file_write(fd, replication.mark, ID_LENGTH) != ID_LENGTH:
        return errno
    return error


cdef void snapshot_sent(Node* node, int error, uint64_t cow) noexcept nogil:
    """The child has ended."""
    cdef Replication* replication = replication_of(node)
    cdef Replica* replica = replication.sending
    replication.sending = NULL
    if replica == NULL:
        return
    if error:
        fprintf(stderr, b"storenode: a snapshot for the replica %s was not sent: %s\n", replica.client.peer,
                strerror(error))
        replica.cut = True
        replication.cut = True
    elif replica.state == REPLICA_SNAPSHOT:
        replica.state = REPLICA_SENT
        replica.ack_us = node.now_us


cdef Replica* next_waiting(Replication* replication) noexcept nogil:
    """Who waits longest and has been sent all that it was answered; NULL: nobody."""
    cdef Replica* replica = replication.replicas
    cdef Replica* found = NULL
    while replica != NULL:
        if replica.state == REPLICA_WAITING and not replica.cut and replica.client.output.length == 0:
            found = replica
        replica = replica.next
    return found


cdef void fullsync_turn(Node* node) noexcept nogil:
    """At the end of a turn: start a snapshot for whoever waits, if none is being written."""
    cdef Replication* replication = replication_of(node)
    cdef Replica* replica
    if node.child.kind == SENDING:
        child_poll(node)
    if node.child.pid:
        if node.child.kind == SENDING and replication.sending == NULL:
            child_kill(node)
        return
    replica = next_waiting(replication)
    if replica == NULL or not child_free(node):
        return
    effects_flush(node)
    # The stream goes on with a SELECT, because this replica has not seen what was selected before.
    effects_reselect(node)
    new_id(replication.mark)
    replication.sending = replica
    replication.sending_fd = fcntl(replica.client.handle.fd, F_DUPFD_CLOEXEC, FD_FROM)
    if replication.sending_fd >= 0 and child_start(node, SENDING, write_snapshot, snapshot_sent,
                                                   replication.sending_fd):
        replica.state = REPLICA_SNAPSHOT
        replica.position = replication.history.end
        replica.acked = replica.position
        replica.block = history_pin(&replication.history, replica.position)
    else:
        fprintf(stderr, b"storenode: cannot start a snapshot for the replica %s: %s\n", replica.client.peer,
                strerror(errno))
        replication.sending = NULL
        replica.cut = True
        replication.cut = True
    if replication.sending_fd >= 0:
        close(replication.sending_fd)
