# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Info: one function a section, and the table of them. See info.pxd.

Fields that this node has no notion of (replication backlog, AOF, Lua) are left out or report their resting value where
tools insist on them.
"""

from libc.stdio cimport FILE, fclose, fopen, fscanf, snprintf

from proxy.wire.system cimport realtime_us
from storenode.answer cimport answer_verbatim
from storenode.arguments cimport is_word
from storenode.config cimport policy_name
from storenode.session cimport STORE_VERSION
from storenode.text cimport Text, text_add, text_free, text_line, text_number, text_room, text_size
from storenode.types cimport DATABASES, Call, Database, Node, Row

cdef extern from "<sys/resource.h>" nogil:
    cdef struct timeval:
        long tv_sec
        long tv_usec
    cdef struct rusage:
        timeval ru_utime
        timeval ru_stime
    int RUSAGE_SELF, RUSAGE_CHILDREN
    int getrusage(int who, rusage* usage)

cdef extern from "<sys/utsname.h>" nogil:
    cdef struct utsname:
        char* sysname
        char* release
        char* machine
    int uname(utsname* names)

cdef extern from "<unistd.h>" nogil:
    int getpid()
    long sysconf(int name)
    int _SC_PAGESIZE, _SC_PHYS_PAGES

cdef enum:
    SECTIONS = 9

ctypedef void (*Build)(Node* node, Text* text) noexcept nogil

cdef struct Section:
    const char* name           # as asked for
    const char* title          # as shown
    Build build
    bint usual                 # part of INFO without an argument


cdef void build_server(Node* node, Text* text) noexcept nogil:
    cdef utsname names
    cdef char words[256]
    uname(&names)
    text_line(text, b"redis_version", STORE_VERSION)
    text_line(text, b"server_name", b"quench")
    text_line(text, b"redis_git_sha1", b"00000000")
    text_line(text, b"redis_git_dirty", b"0")
    text_line(text, b"redis_mode", b"standalone")
    snprintf(words, sizeof(words), b"%s %s %s", <char*> names.sysname, <char*> names.release, <char*> names.machine)
    text_line(text, b"os", words)
    text_number(text, b"arch_bits", sizeof(void*) * 8)
    text_line(text, b"multiplexing_api", b"epoll")
    text_number(text, b"process_id", getpid())
    text_line(text, b"run_id", node.run_id)
    text_number(text, b"tcp_port", node.port)
    text_number(text, b"server_time_usec", <long long> realtime_us())
    text_number(text, b"uptime_in_seconds", <long long> ((node.now_us - node.start_us) // 1000000))
    text_number(text, b"uptime_in_days", <long long> ((node.now_us - node.start_us) // 1000000 // 86400))
    text_number(text, b"hz", 10)
    text_number(text, b"configured_hz", 10)
    text_number(text, b"lru_clock", node.ticks)


cdef void build_clients(Node* node, Text* text) noexcept nogil:
    text_number(text, b"connected_clients", <long long> node.client_count)
    text_number(text, b"maxclients", node.maxclients)
    text_number(text, b"blocked_clients", <long long> node.blocked_count)
    text_number(text, b"tracking_clients", <long long> node.trackers)


cdef size_t resident(long page) noexcept nogil:
    """Bytes of memory that the process holds, from /proc; 0 where there is none."""
    cdef FILE* file = fopen(b"/proc/self/statm", b"r")
    cdef long whole = 0
    cdef long pages = 0
    if file != NULL:
        fscanf(file, b"%ld %ld", &whole, &pages)
        fclose(file)
    return <size_t> pages * <size_t> page


cdef void build_memory(Node* node, Text* text) noexcept nogil:
    cdef long page = sysconf(_SC_PAGESIZE)
    cdef size_t rss = resident(page)
    cdef size_t tables = 0
    cdef char words[32]
    cdef int number
    if node.memory > node.memory_peak:
        node.memory_peak = node.memory
    for number in range(DATABASES):
        tables += node.databases[number].keys.tables[0].bytes + node.databases[number].keys.tables[1].bytes
    text_size(text, b"used_memory", node.memory)
    text_size(text, b"used_memory_rss", rss)
    text_size(text, b"used_memory_peak", node.memory_peak)
    text_number(text, b"used_memory_overhead", <long long> tables)
    text_number(text, b"used_memory_startup", <long long> node.memory_start)
    text_number(text, b"used_memory_dataset", <long long> (node.memory - tables))
    text_size(text, b"total_system_memory", <size_t> sysconf(_SC_PHYS_PAGES) * <size_t> page)
    text_size(text, b"maxmemory", node.maxmemory)
    text_line(text, b"maxmemory_policy", policy_name(node.policy))
    snprintf(words, sizeof(words), b"%.2f", <double> rss / <double> (node.memory + 1))
    text_line(text, b"mem_fragmentation_ratio", words)
    # Buffers of clients are outside used_memory and maxmemory: see keyspace.pxd.
    text_number(text, b"mem_not_counted_for_evict", <long long> node.chunks.total)
    text_number(text, b"mem_clients_normal", <long long> node.chunks.total)
    text_line(text, b"mem_allocator", b"libc")
    text_number(text, b"lazyfree_pending_objects", <long long> node.doomed_count)


cdef void build_persistence(Node* node, Text* text) noexcept nogil:
    text_number(text, b"loading", 0)
    text_number(text, b"async_loading", 0)
    text_number(text, b"rdb_changes_since_last_save", <long long> node.changes)
    text_number(text, b"rdb_bgsave_in_progress", 0)
    text_number(text, b"aof_enabled", 0)
    text_number(text, b"aof_rewrite_in_progress", 0)


cdef void build_stats(Node* node, Text* text) noexcept nogil:
    cdef char words[32]
    text_number(text, b"total_connections_received", <long long> node.stats.connections)
    text_number(text, b"total_commands_processed", <long long> node.stats.commands)
    text_number(text, b"instantaneous_ops_per_sec", <long long> node.rate)
    text_number(text, b"total_net_input_bytes", <long long> node.stats.input_bytes)
    text_number(text, b"total_net_output_bytes", <long long> node.stats.output_bytes)
    text_number(text, b"rejected_connections", <long long> node.stats.rejected_connections)
    text_number(text, b"expired_keys", <long long> node.stats.expired)
    snprintf(words, sizeof(words), b"%.2f", node.stats.expired_stale * 100)
    text_line(text, b"expired_stale_perc", words)
    text_number(text, b"expired_time_cap_reached_count", <long long> node.stats.expiry_capped)
    text_number(text, b"evicted_keys", <long long> node.stats.evicted)
    text_number(text, b"evicted_clients", 0)
    text_number(text, b"keyspace_hits", <long long> node.stats.hits)
    text_number(text, b"keyspace_misses", <long long> node.stats.misses)
    text_number(text, b"pubsub_channels", 0)
    text_number(text, b"pubsub_patterns", 0)
    text_number(text, b"latest_fork_usec", 0)
    text_number(text, b"total_forks", 0)
    text_number(text, b"tracking_total_keys", <long long> node.tracked.count)
    text_number(text, b"tracking_total_items", <long long> node.tracked_items)
    text_number(text, b"tracking_total_prefixes", <long long> node.prefix_count)
    text_number(text, b"total_error_replies", <long long> node.stats.errors)
    text_number(text, b"total_reads_processed", <long long> node.stats.reads)
    text_number(text, b"total_writes_processed", <long long> node.stats.writes)


cdef void build_replication(Node* node, Text* text) noexcept nogil:
    text_line(text, b"role", b"master")
    text_number(text, b"connected_slaves", 0)
    text_line(text, b"master_failover_state", b"no-failover")
    text_line(text, b"master_replid", node.run_id)
    text_number(text, b"master_repl_offset", 0)


cdef void cpu_line(Text* text, const char* name, const timeval* time) noexcept nogil:
    cdef char words[48]
    snprintf(words, sizeof(words), b"%ld.%06ld", time.tv_sec, time.tv_usec)
    text_line(text, name, words)


cdef void build_cpu(Node* node, Text* text) noexcept nogil:
    cdef rusage usage
    getrusage(RUSAGE_SELF, &usage)
    cpu_line(text, b"used_cpu_sys", &usage.ru_stime)
    cpu_line(text, b"used_cpu_user", &usage.ru_utime)
    getrusage(RUSAGE_CHILDREN, &usage)
    cpu_line(text, b"used_cpu_sys_children", &usage.ru_stime)
    cpu_line(text, b"used_cpu_user_children", &usage.ru_utime)


cdef void build_commandstats(Node* node, Text* text) noexcept nogil:
    cdef Row* row
    cdef double each
    cdef int index
    for index in range(node.row_count):
        row = &node.rows[index]
        if row.calls == 0 and row.rejected == 0:
            continue
        each = <double> row.usec / <double> row.calls if row.calls else 0
        text.length += snprintf(
            text_room(text, 256), 256,
            b"cmdstat_%s:calls=%llu,usec=%llu,usec_per_call=%.2f,rejected_calls=%llu,failed_calls=%llu\r\n", row.name,
            <unsigned long long> row.calls, <unsigned long long> row.usec, each,
            <unsigned long long> row.rejected, <unsigned long long> row.failed)


cdef void build_keyspace(Node* node, Text* text) noexcept nogil:
    cdef Database* database
    cdef int number
    for number in range(DATABASES):
        database = &node.databases[number]
        if database.keys.count:
            text.length += snprintf(
                text_room(text, 128), 128, b"db%d:keys=%llu,expires=%llu,avg_ttl=%lld\r\n", number,
                <unsigned long long> database.keys.count, <unsigned long long> database.keys.volatile_count,
                <long long> database.ttl_average)


cdef Section[SECTIONS] table
table[0] = Section(b"server", b"# Server\r\n", build_server, True)
table[1] = Section(b"clients", b"# Clients\r\n", build_clients, True)
table[2] = Section(b"memory", b"# Memory\r\n", build_memory, True)
table[3] = Section(b"persistence", b"# Persistence\r\n", build_persistence, True)
table[4] = Section(b"stats", b"# Stats\r\n", build_stats, True)
table[5] = Section(b"replication", b"# Replication\r\n", build_replication, True)
table[6] = Section(b"cpu", b"# CPU\r\n", build_cpu, True)
table[7] = Section(b"commandstats", b"# Commandstats\r\n", build_commandstats, False)
table[8] = Section(b"keyspace", b"# Keyspace\r\n", build_keyspace, True)


cdef bint wanted(Call* call, const Section* section) noexcept nogil:
    cdef int index
    if call.argc == 1:
        return section.usual
    for index in range(1, call.argc):
        if (is_word(&call.argv[index], section.name) or is_word(&call.argv[index], b"all")
                or is_word(&call.argv[index], b"everything")):
            return True
        if is_word(&call.argv[index], b"default") and section.usual:
            return True
    return False


cdef void command_info(Call* call) noexcept nogil:
    cdef Text text = Text(data=NULL, length=0, room=0)
    cdef int index
    for index in range(SECTIONS):
        if wanted(call, &table[index]):
            if text.length:
                text_add(&text, b"\r\n")
            text_add(&text, table[index].title)
            table[index].build(call.node, &text)
    answer_verbatim(call, text.data, text.length)
    text_free(&text)
