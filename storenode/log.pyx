# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Log: appending, syncing, rewriting. See log.pxd."""

from libc.errno cimport EEXIST
from libc.stdint cimport int64_t, uint64_t
from libc.stdio cimport fprintf, snprintf, stderr
from libc.string cimport memcpy, memmove, memset, strerror, strlen

from proxy.wire.output cimport output_append, output_clear
from proxy.wire.system cimport close, errno, monotonic_us
from storenode.child cimport child_free, child_kill, child_start
from storenode.clerk cimport (
    clerk_busy, clerk_open, clerk_prepare, clerk_prepared, clerk_retire, clerk_sync, clerk_synced,
)
from storenode.connection cimport client_close
from storenode.delivery cimport client_touch
from storenode.disk cimport SYNC_ALWAYS, SYNC_EVERYSEC, Log, Manifest, Mark
from storenode.effects cimport effects_attach, effects_detach, effects_flush, effects_offset, effects_reselect
from storenode.files cimport (
    O_APPEND, O_CLOEXEC, O_CREAT, O_WRONLY, SEEK_END, WHOLE_PATH, fdatasync, file_sync_folder, file_write, lseek,
    mkdir, open,
)
from storenode.latency cimport (
    LATENCY_LOG, LATENCY_LOG_ALONE, LATENCY_LOG_ALWAYS, LATENCY_LOG_CHILD, LATENCY_LOG_SYNC, latency_begin, latency_end,
)
from storenode.manifest cimport (
    manifest_base, manifest_increment, manifest_open, manifest_read, manifest_rebase, manifest_write,
)
from storenode.refusal cimport refusal_settle
from storenode.replication cimport replication_of
from storenode.snapshot cimport AS_BASE, snapshot_save
from storenode.text cimport text_free, text_room
from storenode.types cimport CLIENT, LOG_REWRITE_LEAST, LOG_REWRITE_PERCENT, REWRITING, Client, Node

cdef enum:
    BUFFER_KEPT = 1 << 20      # bytes of the buffer kept between turns
    SYNC_US = 1000000          # between two syncs of everysec
    RETRY_US = 1000000         # between two tries to write to a full disk
    REWRITE_RETRY_US = 10000000    # between two tries to rewrite


cdef void take(Node* node, void* context, const char* data, size_t length) noexcept nogil:
    """effects.Consumer."""
    memcpy(text_room(&node.log.buffer, length), data, length)
    node.log.buffer.length += length


# -- appending and syncing ---------------------------------------------------------------------------------------------


cdef void fail(Node* node, int error, const char* what) noexcept nogil:
    """The file is not what it should be: no writes until it is."""
    if node.log.error == 0:
        fprintf(stderr, "storenode: %s the log failed: %s; writes are refused until it succeeds\n", what,
                strerror(error))
    node.log.error = error
    node.log.failed_us = node.now_us
    refusal_settle(node)


cdef void write_buffer(Node* node) noexcept nogil:
    """Append what is owed. What is not taken stays for the next try, which goes on exactly there."""
    cdef Log* log = &node.log
    cdef uint64_t begun
    cdef size_t done
    if log.buffer.length == 0:
        return
    begun = latency_begin(node)
    done = file_write(log.fd, log.buffer.data, log.buffer.length)
    if begun:
        latency_end(node, LATENCY_LOG, begun)
        latency_end(node, LATENCY_LOG_SYNC if clerk_busy(node) else LATENCY_LOG_CHILD if node.child.pid
                    else LATENCY_LOG_ALONE, begun)
    log.size += done
    log.increment += done
    log.unsynced += done
    if done < log.buffer.length:
        fail(node, errno, b"writing to")
        memmove(log.buffer.data, log.buffer.data + done, log.buffer.length - done)
        log.buffer.length -= done
        return
    log.buffer.length = 0
    if log.buffer.room > BUFFER_KEPT:
        text_free(&log.buffer)
        log.buffer.room = 0


cdef void settle(Node* node, Mark* mark) noexcept nogil:
    """What is before the mark is on disk: whoever waits for that hears of it in this turn."""
    cdef Mark* synced = &node.log.synced
    if not node.log.fresh and (mark.effects != synced.effects or mark.stream != synced.stream):
        synced[0] = mark[0]
        replication_of(node).acked = True


cdef void sync_now(Node* node) noexcept nogil:
    cdef uint64_t begun = latency_begin(node)
    cdef bint good
    if node.log.unsynced and not node.log.sync_failed:
        good = fdatasync(node.log.fd) == 0
        latency_end(node, LATENCY_LOG_ALWAYS, begun)
        if not good:
            node.log.sync_failed = True
            fail(node, errno, b"syncing")
        else:
            node.log.unsynced = 0
            node.log.sync_us = node.now_us
            settle(node, &node.log.written)


cdef void disown(Node* node) noexcept nogil:
    """The replies of this turn promise what the disk did not take: those clients are told an error and let go.

    One error, whatever was asked: who sent one request has its answer, and for the others a closed connection means
    that they cannot know. What they wrote is in memory and will be in the log if that recovers.
    """
    cdef Client* client
    cdef Client* told = NULL
    while node.touched != NULL:
        client = node.touched
        node.touched = client.next_touched
        client.touched = False
        if client.handle.kind != CLIENT:
            continue
        if not client.held_whole:
            client_close(node, client)
            continue
        output_clear(&client.output, &node.chunks)
        output_append(&client.output, &node.chunks, b"-", 1)
        output_append(&client.output, &node.chunks, node.refusal_room, strlen(node.refusal_room))
        output_append(&client.output, &node.chunks, b"\r\n", 2)
        client.closing = True
        client.next_touched = told
        told = client
    while told != NULL:
        client = told
        told = client.next_touched
        client_touch(node, client)


cdef void log_turn(Node* node) noexcept nogil:
    """Before any reply of a turn is sent: put what it changed into the file."""
    cdef bint good = node.log.error == 0
    cdef bint owed
    effects_flush(node)
    if not good:
        return
    owed = node.log.buffer.length > 0
    write_buffer(node)
    if node.log.buffer.length == 0:
        node.log.written.effects = effects_offset(node)
        node.log.written.stream = replication_of(node).history.end
    if node.log.policy != SYNC_ALWAYS or node.log.fresh:
        return
    if not owed:
        if node.log.unsynced == 0:
            settle(node, &node.log.written)
        return
    if node.log.error == 0:
        sync_now(node)
    if node.log.error:
        disown(node)


cdef void keep_synced(Node* node) noexcept nogil:
    """Ten times a second: what the clerk reports, what it has to do, and another try after a failure."""
    cdef Log* log = &node.log
    cdef int error
    cdef bint synced = clerk_synced(node, &error)
    if error:
        log.sync_failed = True
        fail(node, error, b"syncing")
    if synced and not log.sync_failed:
        settle(node, &log.syncing)
    if log.error and not log.sync_failed and node.now_us - log.failed_us >= RETRY_US:
        write_buffer(node)
        if log.buffer.length == 0 and log.policy == SYNC_ALWAYS:
            sync_now(node)
        if log.buffer.length == 0 and not log.sync_failed:
            fprintf(stderr, "storenode: the log is written again\n")
            log.error = 0
            refusal_settle(node)
    if log.unsynced and log.policy == SYNC_EVERYSEC and node.now_us - log.sync_us >= SYNC_US:
        if clerk_busy(node):
            log.delayed += 1
        elif clerk_sync(node, log.fd):
            log.unsynced = 0
            log.sync_us = node.now_us
            log.syncing = log.written
    elif log.unsynced == 0 and not log.sync_failed and not clerk_busy(node):
        settle(node, &log.written)


# -- rewriting ---------------------------------------------------------------------------------------------------------


cdef Manifest successor(const Node* node) noexcept nogil:
    """The manifest of the log once it is rewritten: a new base, and the increment that is being written."""
    cdef Manifest manifest = node.log.manifest
    manifest.base_number = node.log.manifest.base_number + 1
    manifest.first = node.log.manifest.last
    snprintf(manifest.base, sizeof(manifest.base), b"%.80s.%llu.base.rdb", manifest.name,
             <unsigned long long> manifest.base_number)
    return manifest


cdef int rewrite(Node* node) noexcept nogil:
    """child.ChildJob: the new base, and then the manifest that makes it one."""
    cdef Manifest manifest = successor(node)
    cdef int error = snapshot_save(node, manifest.folder, manifest.base, AS_BASE)
    return error if error else manifest_rebase(&node.log.manifest, &manifest)


cdef size_t file_size(const char* path) noexcept nogil:
    cdef int fd = open(path, O_WRONLY | O_CLOEXEC)
    cdef long long size = 0
    if fd >= 0:
        size = lseek(fd, 0, SEEK_END)
        close(fd)
    return <size_t> size if size > 0 else 0


cdef void rewrite_failed(Node* node, int error) noexcept nogil:
    fprintf(stderr, "storenode: rewriting the log failed: %s\n", strerror(error))
    node.log.rewrite_failed = True
    node.log.failures += 1
    node.log.failed_us = node.now_us


cdef void step_back(Node* node, int error) noexcept nogil:
    """The next increment will not be. If the manifest names it already, it is empty and the next try uses it."""
    node.log.manifest.last -= 1
    if node.log.manifest.last < node.log.manifest.first:
        node.log.manifest.first = 0
        node.log.manifest.last = 0
    rewrite_failed(node, error)


cdef void rewritten(Node* node, int error, uint64_t cow) noexcept nogil:
    """child.ChildDone."""
    cdef char path[WHOLE_PATH]
    node.log.took_s = <int64_t> ((monotonic_us() - node.child.begun_us) // 1000000)
    if error:
        if node.log.on:
            rewrite_failed(node, error)
        return
    node.log.manifest = successor(node)
    manifest_base(&node.log.manifest, path)
    node.log.size = file_size(path) + node.log.increment
    node.log.base_size = node.log.size
    node.log.cow = cow
    if node.log.fresh:
        node.log.fresh = False
        node.log.unsynced += 1  # from now on it counts
        if node.log.policy == SYNC_ALWAYS:
            sync_now(node)
    node.log.rewrite_failed = False
    node.log.failures = 0
    if node.log.sync_failed:
        # All that the disk may have lost is in the new base, which was synced.
        node.log.sync_failed = False
        node.log.error = 0
        refusal_settle(node)


cdef void go_over(Node* node, int fd) noexcept nogil:
    """From this turn on into the new increment; the child writes what was before."""
    effects_flush(node)
    if node.log.open and not node.log.sync_failed:
        if node.log.error:
            write_buffer(node)
        else:
            log_turn(node)  # what this turn promised is in the old file
        if node.log.buffer.length or node.log.sync_failed:
            # The old file has to be whole before a new one goes on: later.
            close(fd)
            step_back(node, node.log.error)
            return
    if node.log.open:
        clerk_retire(node, node.log.fd)
        effects_reselect(node)
    else:
        node.log.open = True
        effects_attach(node, take, NULL)
    node.log.buffer.length = 0
    node.log.fd = fd
    node.log.increment = 0
    node.log.unsynced = node.log.policy == SYNC_EVERYSEC  # a sync behind that of the old file says that both are on disk
    if child_start(node, REWRITING, rewrite, rewritten, -1):
        node.log.rewrites += 1
    else:
        rewrite_failed(node, errno)


cdef void prepare_rewrite(Node* node) noexcept nogil:
    node.log.scheduled = False
    node.log.manifest.last += 1
    if node.log.manifest.first == 0:
        node.log.manifest.first = node.log.manifest.last
    if mkdir(node.log.manifest.folder, 0o755) < 0 and errno != EEXIST:
        step_back(node, errno)
        return
    # While the base is not written, the manifest of what was there before stays as it is.
    node.log.preparing = clerk_prepare(node, &node.log.manifest, node.log.open and not node.log.fresh)


cdef bint rewrite_due(Node* node) noexcept nogil:
    cdef Log* log = &node.log
    cdef size_t percent = <size_t> node.settings[LOG_REWRITE_PERCENT]
    if log.scheduled:
        return True
    if log.failures and node.now_us - log.failed_us < REWRITE_RETRY_US:
        return False
    if log.fresh or log.sync_failed:
        return True
    return (percent and log.size >= <size_t> node.settings[LOG_REWRITE_LEAST]
            and log.size > log.base_size + log.base_size * percent // 100)


cdef void log_tick(Node* node) noexcept nogil:
    """Ten times a second, between two turns."""
    cdef int fd, error
    if node.log.open:
        keep_synced(node)
    if not node.log.on:
        if node.log.preparing and clerk_prepared(node, &fd, &error):
            node.log.preparing = False
            close(fd)
        return
    if node.log.preparing and node.child.pid == 0 and clerk_prepared(node, &fd, &error):
        node.log.preparing = False
        if fd >= 0:
            go_over(node, fd)
        else:
            step_back(node, error)
    elif not node.log.preparing and node.child.pid == 0 and rewrite_due(node) and child_free(node):
        prepare_rewrite(node)


# -- beginning and ending ----------------------------------------------------------------------------------------------


cdef bint refuse(Node* node, const char* what, const char* path, int error) noexcept nogil:
    snprintf(node.problem, sizeof(node.problem), b"cannot %s %s: %s", what, path, strerror(error))
    return False


cdef bint log_resume(Node* node) noexcept nogil:
    """Go on with the last increment of a log that was loaded. False: node.problem says why not."""
    cdef Manifest* manifest = &node.log.manifest
    cdef char path[WHOLE_PATH]
    cdef uint64_t number
    cdef bint new = manifest.last == 0
    cdef int error
    if new:
        manifest.first = manifest.base_number
        manifest.last = manifest.first
    manifest_base(manifest, path)
    node.log.size = file_size(path) if manifest.base_number else 0
    for number in range(manifest.first, manifest.last + 1):
        manifest_increment(manifest, number, path)
        node.log.increment = file_size(path)
        node.log.size += node.log.increment
    node.log.fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o644)
    if node.log.fd < 0:
        return refuse(node, b"write to", path, errno)
    if new:
        error = manifest_write(manifest)
        if error:
            return refuse(node, b"write the manifest of", manifest.folder, error)
    if not clerk_open(node):
        return refuse(node, b"start a thread for", path, errno)
    node.log.base_size = node.log.size
    node.log.unsynced = 1  # nobody knows what the process before this one left to the kernel
    node.log.sync_us = node.now_us
    node.log.open = True
    effects_attach(node, take, NULL)
    return True


cdef bint log_begin(Node* node) noexcept nogil:
    """A new log whose base is the keyspace as it is, before anybody is served. False: node.problem says why not."""
    cdef Manifest* manifest = &node.log.manifest
    cdef int error
    manifest_open(node)
    if mkdir(manifest.folder, 0o755) < 0 and errno != EEXIST:
        return refuse(node, b"make the folder", manifest.folder, errno)
    file_sync_folder(node.folder)
    manifest.base_number = 0
    manifest.last = 1
    manifest[0] = successor(node)
    error = snapshot_save(node, manifest.folder, manifest.base, AS_BASE)
    if error == 0:
        error = manifest_write(manifest)
    if error:
        return refuse(node, b"write to the folder", manifest.folder, error)
    return log_resume(node)


cdef void log_switch(Node* node, bint on) noexcept nogil:
    """CONFIG SET appendonly. On: a rewrite begins soon, and what it leaves is the log."""
    if on == node.log.on:
        return
    node.log.on = on
    node.log.failures = 0
    node.log.scheduled = False
    if on:
        # What is there from an earlier time stays the log until the new base is written.
        manifest_open(node)
        manifest_read(node)
        clerk_open(node)
        node.log.fresh = True
        return
    if node.child.kind == REWRITING:
        child_kill(node)
    log_end(node)
    # Another stream may follow, and whoever waited for this one is told that it will not be.
    memset(&node.log.syncing, 0, sizeof(Mark))
    memset(&node.log.synced, 0, sizeof(Mark))
    replication_of(node).acked = True
    node.log.error = 0
    node.log.sync_failed = False
    refusal_settle(node)


cdef bint log_end(Node* node) noexcept nogil:
    """Write and sync what is owed, and close. False: not all of it could be."""
    cdef bint good
    if not node.log.open:
        return True
    effects_detach(node, take, NULL)
    write_buffer(node)
    node.log.unsynced += 1
    sync_now(node)
    good = node.log.buffer.length == 0 and node.log.error == 0
    text_free(&node.log.buffer)
    node.log.buffer.length = 0
    node.log.buffer.room = 0
    node.log.open = False
    close(node.log.fd)
    return good
