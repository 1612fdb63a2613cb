# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Restart. See restart.pxd. False always means that node.problem says why, and that nothing should be served."""

from libc.errno cimport ENOENT
from libc.stdint cimport int64_t, uint64_t
from libc.stdio cimport fprintf, snprintf, stderr
from libc.string cimport memcmp, strerror

from proxy.wire.system cimport close, errno, monotonic_us, realtime_us
from storenode.files cimport O_CLOEXEC, O_WRONLY, WHOLE_PATH, Mapped, file_map, file_unmap, fsync, ftruncate, open
from storenode.log cimport log_begin, log_resume
from storenode.manifest cimport (
    MANIFEST_BROKEN, MANIFEST_READ, manifest_base, manifest_increment, manifest_open, manifest_read,
)
from storenode.rdbfile cimport LOAD_BROKEN, LOAD_DONE, LOAD_MORE, RdbLoad, load_begin, load_end, load_feed
from storenode.replay cimport REPLAYED, STOPPED, TORN, Pause, Replay, replay
from storenode.types cimport LOG_CUT_TAIL, Node

cdef enum:
    FED = 1 << 20              # bytes of a snapshot between two pauses


cdef bint fail(Node* node, const char* text, const char* path) noexcept nogil:
    snprintf(node.problem, sizeof(node.problem), b"%s: %s", path, text)
    return False


cdef bint load_snapshot(Node* node, const char* path, const Mapped* mapped, bint as_base, size_t* used,
                        Pause pause) noexcept nogil:
    """Put the keys of a snapshot into the keyspace; used[0]: its bytes. `as_base`: commands about its keys follow."""
    cdef RdbLoad load
    cdef size_t at = 0
    cdef size_t taken = 0
    cdef size_t need = 0
    cdef size_t length
    cdef int status = LOAD_MORE
    node.now_ms = <int64_t> (realtime_us() // 1000)
    load_begin(&load, node, as_base)
    while status == LOAD_MORE:
        length = mapped.length - at
        if length > FED and need <= FED:
            length = FED
        elif length > need and need > FED:
            length = need
        elif length < need:
            break
        status = load_feed(&load, mapped.data + at, length, &taken, &need)
        at += taken
        node.loading.done += taken
        if pause != NULL and not pause(node):
            break
    load_end(&load)
    used[0] = at
    if status == LOAD_DONE:
        node.loading.keys = load.keys
        node.loading.expired = load.expired
        return True
    if node.stopping:
        return fail(node, b"loading was stopped", path)
    snprintf(node.problem, sizeof(node.problem),
             b"%s: byte %zu: %s; the snapshot is damaged: restore it from a backup, or move it away to start without",
             path, at, load.problem if status == LOAD_BROKEN else <const char*> b"it ends too early")
    return False


cdef bint later_empty(Node* node, uint64_t number) noexcept nogil:
    """Are all increments behind this one empty?"""
    cdef char path[WHOLE_PATH]
    cdef Mapped mapped
    cdef bint empty = True
    for number in range(number + 1, node.log.manifest.last + 1):
        manifest_increment(&node.log.manifest, number, path)
        if file_map(path, &mapped):
            empty = empty and mapped.length == 0
            file_unmap(&mapped)
    return empty


cdef bint cut(Node* node, const char* path, size_t length, size_t lost) noexcept nogil:
    """Remove a torn tail, so that what is appended does not follow half a command."""
    cdef int fd = open(path, O_WRONLY | O_CLOEXEC)
    cdef bint good = fd >= 0 and ftruncate(fd, <long long> length) == 0 and fsync(fd) == 0
    if good:
        fprintf(stderr, "storenode: %s: the last %zu bytes are half a command: cut off at byte %zu\n", path, lost, length)
    else:
        snprintf(node.problem, sizeof(node.problem), b"cannot cut %s off at byte %zu: %s", path, length,
                 strerror(errno))
    if fd >= 0:
        close(fd)
    return good


cdef bint load_commands(Node* node, const char* path, const Mapped* mapped, size_t at, uint64_t number, int* database,
                        Pause pause) noexcept nogil:
    """Replay a file from byte `at` on; number: of the increment, 0 for a base."""
    cdef Replay play
    cdef int status
    play.data = mapped.data
    play.length = mapped.length
    play.at = at
    play.database = database[0]
    status = replay(node, &play, pause)
    database[0] = play.database
    node.loading.done += play.at - at
    if status == REPLAYED:
        return True
    if status == STOPPED:
        return fail(node, b"loading was stopped", path)
    if status == TORN and number and later_empty(node, number):
        if node.settings[LOG_CUT_TAIL]:
            return cut(node, path, play.at, play.length - play.at)
        snprintf(play.problem, sizeof(play.problem), b"byte %zu: it ends in the middle of a command, and "
                 b"aof-load-truncated is off", play.at)
    elif status == TORN:
        snprintf(play.problem, sizeof(play.problem), b"byte %zu: it ends in the middle of a command, and is not the "
                 b"last file", play.at)
    snprintf(node.problem, sizeof(node.problem),
             b"%s: %s; the log is damaged and is not loaded: restore it from a backup, or give up everything from there "
             b"on with: truncate -s %zu %s", path, play.problem, play.at, path)
    return False


cdef bint load_file(Node* node, const char* path, uint64_t number, int* database, Pause pause) noexcept nogil:
    """Load one file of a log: a snapshot, commands, or commands behind a snapshot."""
    cdef Mapped mapped
    cdef size_t at = 0
    cdef bint good = True
    if not file_map(path, &mapped):
        snprintf(node.problem, sizeof(node.problem), b"cannot read %s: %s; the manifest beside it names it as a part of "
                 b"the log", path, strerror(errno))
        return False
    if mapped.length >= 5 and memcmp(mapped.data, b"REDIS", 5) == 0:
        good = load_snapshot(node, path, &mapped, True, &at, pause)
    if good and at < mapped.length:
        good = load_commands(node, path, &mapped, at, number, database, pause)
    file_unmap(&mapped)
    return good


cdef bint restart_snapshot(Node* node, Pause pause) noexcept nogil:
    """Load the snapshot, if there is one."""
    cdef char path[WHOLE_PATH]
    cdef Mapped mapped
    cdef size_t used = 0
    cdef bint good
    snprintf(path, sizeof(path), b"%s/%s", node.folder, node.snapshots.name)
    if not file_map(path, &mapped):
        if errno == ENOENT:
            return True
        snprintf(node.problem, sizeof(node.problem), b"cannot read %s: %s", path, strerror(errno))
        return False
    node.loading.total = mapped.length
    good = load_snapshot(node, path, &mapped, False, &used, pause)
    file_unmap(&mapped)
    return good


cdef bint restart_log(Node* node, Pause pause) noexcept nogil:
    """Load the log that node.log.manifest describes."""
    cdef char path[WHOLE_PATH]
    cdef uint64_t number
    cdef int database = 0
    if node.log.manifest.base_number:
        manifest_base(&node.log.manifest, path)
        if not load_file(node, path, 0, &database, pause):
            return False
    for number in range(node.log.manifest.first, node.log.manifest.last + 1):
        if number:
            manifest_increment(&node.log.manifest, number, path)
            database = 0
            if not load_file(node, path, number, &database, pause):
                return False
    return True


cdef bint restart(Node* node, Pause pause) noexcept nogil:
    """Load what there is and, where a log is kept, go on with it."""
    cdef size_t maxmemory = node.maxmemory
    cdef bint good
    cdef int status
    node.loading.on = True
    node.loading.since = <int64_t> (realtime_us() // 1000000)
    node.refusal = b"LOADING Redis is loading the dataset in memory"
    # What the log holds was there with the memory that there was: nothing is evicted on the way.
    node.maxmemory = 0
    node.now_us = monotonic_us()
    if node.log.on:
        manifest_open(node)
        status = manifest_read(node)
        if status == MANIFEST_BROKEN:
            good = False
        elif status == MANIFEST_READ:
            good = restart_log(node, pause) and log_resume(node)
        else:
            good = restart_snapshot(node, pause) and log_begin(node)
    else:
        good = restart_snapshot(node, pause)
    node.loading.on = False
    node.refusal = NULL
    node.maxmemory = maxmemory
    node.snapshots.saved_changes = node.changes
    node.snapshots.saved_at = <int64_t> (realtime_us() // 1000000)
    return good
