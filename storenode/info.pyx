# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Info: one function a section, and the table of them. See info.pxd.

Fields that this node has no notion of (replication backlog, AOF, Lua) are left out or report their resting value where
tools insist on them.
"""

from libc.stdio cimport snprintf

from proxy.wire.system cimport realtime_us
from storenode.answer cimport answer_verbatim
from storenode.arguments cimport is_word
from storenode.clock cimport clock_usec
from storenode.config cimport policy_name
from storenode.latency cimport latency_line
from storenode.memory cimport Footprint, fragmentation, memory_measure
from storenode.persistence cimport build_persistence
from storenode.replicaof cimport build_replication
from storenode.replication cimport replication_of
from storenode.session cimport STORE_VERSION
from storenode.text cimport Text, text_add, text_free, text_line, text_number, text_room, text_size
from storenode.types cimport CHANNEL, CODES, DATABASES, PATTERN, SHARD, Call, Database, Node, Row

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
    SECTIONS = 13

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


cdef void ratio(Text* text, const char* name, double value) noexcept nogil:
    cdef char words[32]
    snprintf(words, sizeof(words), b"%.2f", value)
    text_line(text, name, words)


cdef void build_memory(Node* node, Text* text) noexcept nogil:
    cdef Footprint footprint
    cdef char words[32]
    cdef size_t overhead
    memory_measure(node, &footprint)
    overhead = footprint.tables + node.memory_start
    text_size(text, b"used_memory", footprint.used)
    text_size(text, b"used_memory_rss", footprint.resident)
    text_size(text, b"used_memory_peak", node.memory_peak)
    snprintf(words, sizeof(words), b"%.2f%%", 100.0 * <double> footprint.used / <double> (node.memory_peak + 1))
    text_line(text, b"used_memory_peak_perc", words)
    text_number(text, b"used_memory_overhead", <long long> overhead)
    text_number(text, b"used_memory_startup", <long long> node.memory_start)
    text_number(text, b"used_memory_dataset", <long long> (footprint.used - footprint.tables))
    snprintf(words, sizeof(words), b"%.2f%%",
             100.0 * <double> (footprint.used - footprint.tables) / <double> (footprint.used + 1))
    text_line(text, b"used_memory_dataset_perc", words)
    text_number(text, b"allocator_allocated", <long long> footprint.allocated)
    text_number(text, b"allocator_active", <long long> footprint.active)
    text_number(text, b"allocator_resident", <long long> footprint.resident)
    text_size(text, b"total_system_memory", <size_t> sysconf(_SC_PHYS_PAGES) * <size_t> sysconf(_SC_PAGESIZE))
    text_size(text, b"used_memory_lua", 0)
    text_size(text, b"used_memory_vm_total", 0)
    text_size(text, b"used_memory_functions", 0)
    text_size(text, b"used_memory_scripts", 0)
    text_number(text, b"number_of_cached_scripts", 0)
    text_number(text, b"number_of_functions", 0)
    text_number(text, b"number_of_libraries", 0)
    text_size(text, b"maxmemory", node.maxmemory)
    text_line(text, b"maxmemory_policy", policy_name(node.policy))
    ratio(text, b"allocator_frag_ratio", <double> footprint.active / <double> (footprint.allocated + 1))
    text_number(text, b"allocator_frag_bytes", <long long> footprint.spare)
    ratio(text, b"allocator_rss_ratio", <double> footprint.resident / <double> (footprint.active + 1))
    text_number(text, b"allocator_rss_bytes", <long long> footprint.resident - <long long> footprint.active)
    ratio(text, b"rss_overhead_ratio", 1)
    text_number(text, b"rss_overhead_bytes", 0)
    ratio(text, b"mem_fragmentation_ratio", fragmentation(&footprint))
    text_number(text, b"mem_fragmentation_bytes", <long long> footprint.resident - <long long> footprint.allocated)
    # Buffers of clients are outside used_memory and maxmemory: see keyspace.pxd.
    text_number(text, b"mem_not_counted_for_evict", 0)
    text_number(text, b"mem_replication_backlog", <long long> replication_of(node).history.memory)
    text_number(text, b"mem_total_replication_buffers", 0)
    text_number(text, b"mem_clients_slaves", 0)
    text_number(text, b"mem_clients_normal", <long long> footprint.clients)
    text_number(text, b"mem_cluster_links", 0)
    text_number(text, b"mem_aof_buffer", 0)
    text_line(text, b"mem_allocator", b"libc")
    text_number(text, b"active_defrag_running", 0)
    text_number(text, b"lazyfree_pending_objects", <long long> node.doomed_count)
    text_number(text, b"lazyfreed_objects", 0)


cdef void build_stats(Node* node, Text* text) noexcept nogil:
    cdef char words[32]
    text_number(text, b"total_connections_received", <long long> node.stats.connections)
    text_number(text, b"total_commands_processed", <long long> node.stats.commands)
    text_number(text, b"instantaneous_ops_per_sec", <long long> node.rate)
    text_number(text, b"total_net_input_bytes", <long long> node.stats.input_bytes)
    text_number(text, b"total_net_output_bytes", <long long> node.stats.output_bytes)
    text_number(text, b"rejected_connections", <long long> node.stats.rejected_connections)
    text_number(text, b"sync_full", <long long> replication_of(node).full_syncs)
    text_number(text, b"sync_partial_ok", <long long> replication_of(node).partial_syncs)
    text_number(text, b"sync_partial_err", <long long> replication_of(node).refused_syncs)
    text_number(text, b"expired_keys", <long long> node.stats.expired)
    snprintf(words, sizeof(words), b"%.2f", node.stats.expired_stale * 100)
    text_line(text, b"expired_stale_perc", words)
    text_number(text, b"expired_time_cap_reached_count", <long long> node.stats.expiry_capped)
    text_number(text, b"evicted_keys", <long long> node.stats.evicted)
    text_number(text, b"evicted_clients", 0)
    text_number(text, b"keyspace_hits", <long long> node.stats.hits)
    text_number(text, b"keyspace_misses", <long long> node.stats.misses)
    text_number(text, b"pubsub_channels", <long long> node.channels[CHANNEL].count)
    text_number(text, b"pubsub_patterns", <long long> node.channels[PATTERN].count)
    text_number(text, b"pubsubshard_channels", <long long> node.channels[SHARD].count)
    text_number(text, b"latest_fork_usec", <long long> node.child.fork_us)
    text_number(text, b"total_forks", <long long> node.child.forks)
    text_number(text, b"tracking_total_keys", <long long> node.tracked.count)
    text_number(text, b"tracking_total_items", <long long> node.tracked_items)
    text_number(text, b"tracking_total_prefixes", <long long> node.prefix_count)
    text_number(text, b"total_error_replies", <long long> node.stats.errors)
    text_number(text, b"unexpected_error_replies", <long long> replication_of(node).link.failures)
    text_number(text, b"total_reads_processed", <long long> node.stats.reads)
    text_number(text, b"total_writes_processed", <long long> node.stats.writes)


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
    cdef double each, spent
    cdef int index
    for index in range(node.row_count):
        row = &node.rows[index]
        if row.calls == 0 and row.rejected == 0:
            continue
        spent = clock_usec(node, row.cycles)
        each = spent / <double> row.calls if row.calls else 0
        text.length += snprintf(
            text_room(text, 256), 256,
            b"cmdstat_%s:calls=%llu,usec=%llu,usec_per_call=%.2f,rejected_calls=%llu,failed_calls=%llu\r\n", row.name,
            <unsigned long long> row.calls, <unsigned long long> spent, each,
            <unsigned long long> row.rejected, <unsigned long long> row.failed)


cdef void build_errorstats(Node* node, Text* text) noexcept nogil:
    cdef int index
    for index in range(CODES):
        if node.errors[index].count:
            text.length += snprintf(
                text_room(text, 96), 96, b"errorstat_%s:count=%llu\r\n", <char*> node.errors[index].code,
                <unsigned long long> node.errors[index].count)


cdef void build_latencystats(Node* node, Text* text) noexcept nogil:
    cdef int index
    for index in range(node.row_count):
        latency_line(node, text, &node.rows[index])


cdef void build_modules(Node* node, Text* text) noexcept nogil:
    """There are none."""


cdef void build_cluster(Node* node, Text* text) noexcept nogil:
    text_number(text, b"cluster_enabled", 0)


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
table[7] = Section(b"modules", b"# Modules\r\n", build_modules, True)
table[8] = Section(b"commandstats", b"# Commandstats\r\n", build_commandstats, False)
table[9] = Section(b"errorstats", b"# Errorstats\r\n", build_errorstats, True)
table[10] = Section(b"latencystats", b"# Latencystats\r\n", build_latencystats, False)
table[11] = Section(b"cluster", b"# Cluster\r\n", build_cluster, True)
table[12] = Section(b"keyspace", b"# Keyspace\r\n", build_keyspace, True)


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
