# cython: language_level=3
"""The structures of persistence, which Node holds: what is kept on disk, and how it is doing. Types only."""

from libc.stdint cimport int64_t, uint64_t

from storenode.text cimport Text

cdef enum:
    PATH_ROOM = 1024           # bytes of a folder's path with its final NUL; with two names behind it still a path
    FILE_ROOM = 128            # of a file's name
    POINTS_MOST = 16           # save points

cdef enum SyncPolicy:          # appendfsync
    SYNC_NO = 0
    SYNC_EVERYSEC = 1
    SYNC_ALWAYS = 2


cdef struct SavePoint:
    uint64_t seconds
    uint64_t changes


cdef struct Snapshots:         # saving.pyx
    char name[FILE_ROOM]       # dbfilename
    SavePoint points[POINTS_MOST]
    int point_count
    bint failed                # the last one
    bint scheduled             # BGSAVE SCHEDULE, until the other child has ended
    uint64_t saved_changes     # Node.changes that are in the last snapshot
    uint64_t begun_changes     # and in the one being written
    int64_t saved_at           # Unix time, s
    uint64_t tried_us          # monotonic; of the last try that failed
    int64_t took_s             # the last one; -1: there was none
    uint64_t cow               # bytes copied on write during the last one
    uint64_t count


cdef struct Manifest:          # manifest.pyx: the files of a log
    char folder[PATH_ROOM + FILE_ROOM]
    char name[FILE_ROOM]       # appendfilename, which the files' names begin with
    char base[FILE_ROOM]       # name of the base; empty: none
    uint64_t base_number       # 0: none
    uint64_t first             # numbers of the increments; 0: none
    uint64_t last


cdef struct Mark:              # the same moment in
    uint64_t effects           # the stream of effects
    uint64_t stream            # the one that replicas are sent, or that comes from the primary


cdef struct Log:               # log.pyx
    bint on                    # appendonly
    bint open                  # there is a file, and effects go there
    bint fresh                 # its base is not written yet: a crash leaves what was before it was switched on
    int policy                 # SyncPolicy
    int fd                     # of the last increment
    Manifest manifest
    Text buffer                # not written yet
    size_t size                # bytes of all its files
    size_t increment           # bytes of the last one
    size_t base_size           # of them after the last rewrite
    size_t unsynced            # bytes written since the last sync began
    int error                  # errno of the last write or sync; 0: all is well
    bint sync_failed           # what is in the file may not be on the disk: only a rewrite helps
    bint scheduled             # a rewrite, as soon as nothing else is going on
    bint preparing             # the clerk makes the files for a rewrite
    bint rewrite_failed        # the last one
    uint64_t failures          # in a row
    uint64_t failed_us         # monotonic; of the last rewrite, write or sync that failed
    uint64_t sync_us           # monotonic, of the last sync
    Mark written               # what is before it was given to the kernel,
    Mark syncing               # will be on disk once the clerk is done,
    Mark synced                # and is
    uint64_t delayed           # syncs that were due while one was going on
    int64_t took_s
    uint64_t cow
    uint64_t rewrites
    void* clerk                # clerk.pyx


cdef struct Loading:           # restart.pyx
    bint on
    int64_t since              # Unix time, s
    uint64_t total             # bytes
    uint64_t done
    uint64_t keys              # of the last snapshot that was loaded
    uint64_t expired
