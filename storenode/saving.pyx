# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Saving. See saving.pxd."""

from libc.stdint cimport int64_t, uint64_t
from libc.stdio cimport fprintf, stderr
from libc.string cimport strerror

from proxy.wire.system cimport errno, monotonic_us, realtime_us
from storenode.child cimport child_free, child_kill, child_poll, child_start
from storenode.clerk cimport clerk_close
from storenode.disk cimport SavePoint
from storenode.effects cimport effects_flush
from storenode.log cimport log_end, log_tick, log_turn
from storenode.refusal cimport refusal_settle
from storenode.snapshot cimport snapshot_save
from storenode.types cimport SAVING, Node

cdef enum:
    RETRY_US = 5000000         # between a snapshot that failed and the next that a save point asks for


cdef void settle(Node* node, int error, uint64_t changes) noexcept nogil:
    """A snapshot that holds all changes up to `changes` was written, or was not."""
    node.snapshots.failed = error != 0
    if error:
        fprintf(stderr, "storenode: saving %s/%s failed: %s\n", node.folder, node.snapshots.name, strerror(error))
        node.snapshots.tried_us = node.now_us
    else:
        node.snapshots.saved_changes = changes
        node.snapshots.saved_at = <int64_t> (realtime_us() // 1000000)
        node.snapshots.count += 1
    refusal_settle(node)


cdef int write_snapshot(Node* node) noexcept nogil:
    """child.ChildJob."""
    return snapshot_save(node, node.folder, node.snapshots.name, 0)


cdef void saved(Node* node, int error, uint64_t cow) noexcept nogil:
    """child.ChildDone."""
    node.snapshots.took_s = <int64_t> ((monotonic_us() - node.child.begun_us) // 1000000)
    node.snapshots.cow = cow
    settle(node, error, node.snapshots.begun_changes)


cdef bint saving_start(Node* node) noexcept nogil:
    """Begin a snapshot in the background, where there is no child; False: it cannot be, errno tells why."""
    node.snapshots.begun_changes = node.changes
    node.snapshots.scheduled = False
    if child_start(node, SAVING, write_snapshot, saved, -1):
        return True
    settle(node, errno, 0)
    return False


cdef int saving_now(Node* node) noexcept nogil:
    """Write a snapshot while everything waits; returns 0 or an errno."""
    cdef int error = write_snapshot(node)
    settle(node, error, node.changes)
    return error


cdef bint save_due(const Node* node) noexcept nogil:
    cdef uint64_t changes = node.changes - node.snapshots.saved_changes
    cdef int64_t passed = <int64_t> (realtime_us() // 1000000) - node.snapshots.saved_at
    cdef const SavePoint* point
    cdef int index
    if node.snapshots.failed and node.now_us - node.snapshots.tried_us < RETRY_US:
        return False
    for index in range(node.snapshots.point_count):
        point = &node.snapshots.points[index]
        if changes >= point.changes and passed >= <int64_t> point.seconds:
            return True
    return False


cdef void saving_tick(Node* node) noexcept nogil:
    """Ten times a second, between two turns."""
    child_poll(node)
    log_tick(node)
    refusal_settle(node)
    if node.child.pid == 0 and not node.log.preparing and (
            node.snapshots.scheduled or (node.snapshots.point_count and save_due(node))) and child_free(node):
        effects_flush(node)
        saving_start(node)


cdef bint saving_end(Node* node, bint save, bint force) noexcept nogil:
    """Before the process ends. False, unless by force: something is not on disk that should be; it goes on."""
    child_kill(node)
    if node.log.open:
        log_turn(node)
    if save and saving_now(node) and not force:
        return False
    if node.log.open and node.log.error and not force:
        fprintf(stderr, "storenode: the end of the log cannot be written: not ending\n")
        return False
    log_end(node)
    clerk_close(node)
    return True
