# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Persistence commands. See persistence.pxd; replies are those of redis-server 7.0."""

from libc.stdio cimport fprintf, snprintf, stderr
from libc.string cimport memcpy

from proxy.wire.system cimport monotonic_us
from storenode.answer cimport answer_error, answer_number, answer_ok, answer_raw, answer_syntax
from storenode.arguments cimport is_word
from storenode.clerk cimport clerk_busy
from storenode.keyspace cimport database_clear
from storenode.log cimport log_turn
from storenode.restart cimport restart_log, restart_snapshot
from storenode.saving cimport saving_end, saving_now
from storenode.text cimport Text, text_line, text_number
from storenode.types cimport DATABASES, GUARD_LOADING, NO_CHILD, REWRITING, SAVING, Call, Node, Slice


cdef void command_save(Call* call) noexcept nogil:
    if call.node.child.kind == SAVING:
        answer_error(call, b"ERR Background save already in progress")
    elif saving_now(call.node):
        answer_error(call, b"ERR")
    else:
        answer_ok(call)


cdef void command_bgsave(Call* call) noexcept nogil:
    """BGSAVE [SCHEDULE]. It begins at the end of the turn, when nothing is half done."""
    cdef Node* node = call.node
    cdef bint schedule = call.argc == 2 and is_word(&call.argv[1], b"schedule")
    if call.argc > 2 or (call.argc == 2 and not schedule):
        answer_syntax(call)
    elif node.child.kind == SAVING or node.snapshots.scheduled:
        answer_error(call, b"ERR Background save already in progress")
    elif node.child.kind != NO_CHILD or node.log.preparing:
        if schedule:
            node.snapshots.scheduled = True
            answer_raw(call, b"+Background saving scheduled\r\n", 30)
        else:
            answer_error(call, b"ERR Another child process is active (AOF?): can't BGSAVE right now. Use BGSAVE SCHEDULE "
                               b"in order to schedule a BGSAVE whenever possible.")
    else:
        node.snapshots.scheduled = True
        node.tick_soon = True
        answer_raw(call, b"+Background saving started\r\n", 28)


cdef void command_lastsave(Call* call) noexcept nogil:
    answer_number(call, call.node.snapshots.saved_at)


cdef bint is_rewriting(const Node* node) noexcept nogil:
    """Also between the wish and the fork, which waits for pages.pyx, if it does not wait for another child."""
    return (node.child.kind == REWRITING or node.log.preparing
            or (node.log.scheduled and node.child.kind == NO_CHILD))


cdef void command_bgrewriteaof(Call* call) noexcept nogil:
    """Where no log is kept there is none to rewrite; Redis would write one that nobody appends to."""
    cdef Node* node = call.node
    if is_rewriting(node):
        answer_error(call, b"ERR Background append only file rewriting already in progress")
    elif not node.log.on:
        answer_error(call, b"ERR there is no append only file: CONFIG SET appendonly yes begins one")
    else:
        node.log.scheduled = True
        node.log.failures = 0
        node.tick_soon = True
        if node.child.kind != NO_CHILD:
            answer_raw(call, b"+Background append only file rewriting scheduled\r\n", 50)
        else:
            answer_raw(call, b"+Background append only file rewriting started\r\n", 48)


cdef void command_shutdown(Call* call) noexcept nogil:
    """SHUTDOWN [NOSAVE|SAVE] [NOW] [FORCE] [ABORT]. No answer but the closing of all connections, unless it fails."""
    cdef Node* node = call.node
    cdef bint save = node.snapshots.point_count > 0
    cdef bint force = False
    cdef bint chosen = False
    cdef int index
    for index in range(1, call.argc):
        if is_word(&call.argv[index], b"nosave") and not (chosen and save):
            chosen = True
            save = False
        elif is_word(&call.argv[index], b"save") and not (chosen and not save):
            chosen = True
            save = True
        elif is_word(&call.argv[index], b"force"):
            force = True
        elif is_word(&call.argv[index], b"abort") and call.argc == 2:
            answer_error(call, b"ERR No shutdown in progress.")
            return
        elif not is_word(&call.argv[index], b"now"):
            answer_syntax(call)
            return
    if node.loading.on or saving_end(node, save, force):
        node.stopping = True
        call.client.closing = True
    else:
        answer_error(call, b"ERR Errors trying to SHUTDOWN. Check logs.")


cdef void forget(Node* node) noexcept nogil:
    """Clear all databases without telling the log: it is about to be loaded."""
    cdef int number
    for number in range(DATABASES):
        database_clear(&node.databases[number], False)


cdef void finish_reload(Call* call, bint good, size_t maxmemory) noexcept nogil:
    cdef Node* node = call.node
    node.effects.seen = node.changes
    node.maxmemory = maxmemory
    node.loading.on = False
    if good:
        answer_ok(call)
    else:
        fprintf(stderr, "storenode: %s\n", node.problem)
        answer_error(call, b"ERR Error trying to load the dump; the reason is in the node's log")


cdef void command_debug_reload(Call* call) noexcept nogil:
    """DEBUG RELOAD [NOSAVE] [NOFLUSH] [MERGE]: through a snapshot and back."""
    cdef Node* node = call.node
    cdef size_t maxmemory = node.maxmemory
    cdef bint save = True
    cdef bint flush = True
    cdef int index
    for index in range(2, call.argc):
        if is_word(&call.argv[index], b"nosave"):
            save = False
        elif is_word(&call.argv[index], b"noflush"):
            flush = False
        elif not is_word(&call.argv[index], b"merge"):
            answer_syntax(call)
            return
    if save and saving_now(node):
        answer_error(call, b"ERR Error trying to save the dump; the reason is in the node's log")
        return
    if flush:
        forget(node)
    node.maxmemory = 0
    finish_reload(call, restart_snapshot(node, NULL), maxmemory)


cdef void command_debug_loadaof(Call* call) noexcept nogil:
    """DEBUG LOADAOF: the keyspace as the log has it."""
    cdef Node* node = call.node
    cdef size_t maxmemory = node.maxmemory
    cdef Call kept = call[0]
    cdef Slice words[2]
    cdef bint good
    if not node.log.open or node.log.fresh:
        answer_error(call, b"ERR there is no append only file")
        return
    memcpy(words, call.argv, sizeof(words))
    log_turn(node)
    forget(node)
    node.maxmemory = 0
    good = restart_log(node, NULL)
    # What was replayed took the room of the arguments, for which SLOWLOG may ask.
    call[0] = kept
    call.argv = node.argv
    call.argc = 2
    memcpy(call.argv, words, sizeof(words))
    finish_reload(call, good, maxmemory)


cdef long long seconds_of_child(const Node* node, int kind) noexcept nogil:
    return <long long> ((monotonic_us() - node.child.begun_us) // 1000000) if node.child.kind == kind else -1


cdef const char* status(bint failed) noexcept nogil:
    return b"err" if failed else b"ok"


cdef void build_loading(Node* node, Text* text) noexcept nogil:
    cdef char share[32]
    cdef double total = <double> node.loading.total if node.loading.total else 1
    text_number(text, b"loading_start_time", node.loading.since)
    text_number(text, b"loading_total_bytes", <long long> node.loading.total)
    text_number(text, b"loading_loaded_bytes", <long long> node.loading.done)
    snprintf(share, sizeof(share), b"%.2f", <double> node.loading.done * 100 / total)
    text_line(text, b"loading_loaded_perc", share)


cdef void build_log(Node* node, Text* text) noexcept nogil:
    text_number(text, b"aof_current_size", <long long> (node.log.size + node.log.buffer.length))
    text_number(text, b"aof_base_size", <long long> node.log.base_size)
    text_number(text, b"aof_pending_rewrite", node.log.scheduled)
    text_number(text, b"aof_buffer_length", <long long> node.log.buffer.length)
    text_number(text, b"aof_pending_bio_fsync", clerk_busy(node))
    text_number(text, b"aof_delayed_fsync", <long long> node.log.delayed)


cdef void build_persistence(Node* node, Text* text) noexcept nogil:
    """INFO persistence."""
    text_number(text, b"loading", node.loading.on or node.guard & GUARD_LOADING != 0)
    text_number(text, b"async_loading", 0)
    text_number(text, b"current_cow_size", 0)
    text_number(text, b"current_fork_perc", 0)
    text_number(text, b"rdb_changes_since_last_save", <long long> (node.changes - node.snapshots.saved_changes))
    text_number(text, b"rdb_bgsave_in_progress", node.child.kind == SAVING or node.snapshots.scheduled)
    text_number(text, b"rdb_last_save_time", node.snapshots.saved_at)
    text_line(text, b"rdb_last_bgsave_status", status(node.snapshots.failed))
    text_number(text, b"rdb_last_bgsave_time_sec", node.snapshots.took_s)
    text_number(text, b"rdb_current_bgsave_time_sec", seconds_of_child(node, SAVING))
    text_number(text, b"rdb_saves", <long long> node.snapshots.count)
    text_number(text, b"rdb_last_cow_size", <long long> node.snapshots.cow)
    text_number(text, b"rdb_last_load_keys_expired", <long long> node.loading.expired)
    text_number(text, b"rdb_last_load_keys_loaded", <long long> node.loading.keys)
    text_number(text, b"aof_enabled", node.log.on)
    text_number(text, b"aof_rewrite_in_progress", is_rewriting(node))
    text_number(text, b"aof_rewrite_scheduled", node.log.scheduled)
    text_number(text, b"aof_last_rewrite_time_sec", node.log.took_s)
    text_number(text, b"aof_current_rewrite_time_sec", seconds_of_child(node, REWRITING))
    text_line(text, b"aof_last_bgrewrite_status", status(node.log.rewrite_failed))
    text_number(text, b"aof_rewrites", <long long> node.log.rewrites)
    text_number(text, b"aof_rewrites_consecutive_failures", <long long> node.log.failures)
    text_line(text, b"aof_last_write_status", status(node.log.error != 0))
    text_number(text, b"aof_last_cow_size", <long long> node.log.cow)
    text_number(text, b"module_fork_in_progress", 0)
    text_number(text, b"module_fork_last_cow_size", 0)
    if node.log.open:
        build_log(node, text)
    if node.loading.on:
        build_loading(node, text)
