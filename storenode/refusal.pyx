# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Refusal. See refusal.pxd. The words are Redis's: clients know them."""

from libc.stdio cimport snprintf
from libc.string cimport strerror

from storenode.types cimport STOP_WRITES, Node


cdef void refusal_settle(Node* node) noexcept nogil:
    """Set or clear node.refusal by how the log and the snapshots are doing."""
    if node.log.open and node.log.error:
        snprintf(node.refusal_room, sizeof(node.refusal_room), b"MISCONF Errors writing to the AOF file: %s",
                 strerror(node.log.error))
        node.refusal = node.refusal_room
    elif node.snapshots.failed and node.settings[STOP_WRITES] and node.snapshots.point_count:
        node.refusal = (
            b"MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk. Commands "
            b"that may modify the data set are disabled, because this instance is configured to report errors during "
            b"writes if RDB snapshotting fails (stop-writes-on-bgsave-error option). Please check the Redis logs for "
            b"details about the RDB error.")
    else:
        node.refusal = NULL
