# cython: language_level=3
"""Snapshot: the whole keyspace as a file in Redis's format, version 10; rdbfile.pyx reads it.

Written by a child or, for SAVE, by the thread that serves. Under its own name a snapshot is always whole: it is written
as `<name>.temp`, synced, and renamed.
"""

from storenode.types cimport Node

cdef enum:
    WITH_STREAM = 1            # say which database the stream of effects has selected: for a replica
    AS_BASE = 2                # it is the base of a log

cdef int snapshot_write(Node* node, int fd, int flags, bint sync) noexcept nogil
cdef int snapshot_save(Node* node, const char* folder, const char* name, int flags) noexcept nogil
