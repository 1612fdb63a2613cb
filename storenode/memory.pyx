# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Memory: measuring and telling. See memory.pxd.

The fragmentation ratio is what the process holds over what malloc handed out: 1 is perfect, 1.5 means that half as much
again lies in holes or has not gone back to the system yet. Interpreter and libraries, 20 MB or so, are in both.
"""

from libc.stdio cimport FILE, fclose, fopen, fscanf, snprintf

from storenode.answer cimport answer_double, answer_map, answer_number, answer_ok, answer_text, answer_verbatim
from storenode.text cimport Text, text_add, text_free
from storenode.types cimport DATABASES, Call, Dict, Node

cdef extern from "<malloc.h>" nogil:
    cdef struct mallinfo2_result "mallinfo2":
        size_t arena
        size_t ordblks
        size_t hblks
        size_t hblkhd
        size_t uordblks
        size_t fordblks
        size_t keepcost
    mallinfo2_result mallinfo2()
    int malloc_trim(size_t pad)

cdef extern from "<unistd.h>" nogil:
    long sysconf(int name)
    int _SC_PAGESIZE

cdef enum:
    SMALL = 5 << 20            # bytes below which the doctor has nothing to say
    SPARE_SMALL = 10 << 20     # and of holes


cdef size_t resident() noexcept nogil:
    """Bytes of memory that the process holds, from /proc; 0 where there is none."""
    cdef FILE* file = fopen(b"/proc/self/statm", b"r")
    cdef long whole = 0
    cdef long pages = 0
    if file != NULL:
        fscanf(file, b"%ld %ld", &whole, &pages)
        fclose(file)
    return <size_t> pages * <size_t> sysconf(_SC_PAGESIZE)


cdef void memory_measure(Node* node, Footprint* footprint) noexcept nogil:
    cdef mallinfo2_result info = mallinfo2()
    cdef const Dict* keys
    cdef int number
    if node.memory > node.memory_peak:
        node.memory_peak = node.memory
    footprint.used = node.memory
    footprint.resident = resident()
    footprint.tables = 0
    for number in range(DATABASES):
        keys = &node.databases[number].keys
        footprint.tables += keys.tables[0].bytes + keys.tables[1].bytes
    footprint.clients = node.chunks.total
    footprint.allocated = info.uordblks + info.hblkhd
    footprint.active = info.arena + info.hblkhd
    footprint.spare = info.fordblks


cdef double fragmentation(const Footprint* footprint) noexcept nogil:
    return <double> footprint.resident / <double> (footprint.allocated + 1)


cdef void pair(Call* call, const char* name, size_t value) noexcept nogil:
    answer_text(call, name)
    answer_number(call, <long long> value)


cdef void ratio(Call* call, const char* name, double value) noexcept nogil:
    answer_text(call, name)
    answer_double(call, value)


cdef void command_memory_stats(Call* call) noexcept nogil:
    """Redis's fields. What this node has no notion of (scripts, modules, cluster links) is 0."""
    cdef Node* node = call.node
    cdef Footprint footprint
    cdef const Dict* keys
    cdef char name[16]
    cdef size_t overhead, dataset
    cdef long long count = 0
    cdef long long databases = 0
    cdef int number
    memory_measure(node, &footprint)
    for number in range(DATABASES):
        count += <long long> node.databases[number].keys.count
        databases += node.databases[number].keys.count != 0
    overhead = footprint.tables + node.memory_start
    dataset = footprint.used - footprint.tables
    answer_map(call, 27 + databases)
    pair(call, b"peak.allocated", node.memory_peak)
    pair(call, b"total.allocated", footprint.used)
    pair(call, b"startup.allocated", node.memory_start)
    pair(call, b"replication.backlog", 0)
    pair(call, b"clients.slaves", 0)
    pair(call, b"clients.normal", footprint.clients)
    pair(call, b"cluster.links", 0)
    pair(call, b"aof.buffer", 0)
    pair(call, b"lua.caches", 0)
    pair(call, b"functions.caches", 0)
    for number in range(DATABASES):
        keys = &node.databases[number].keys
        if keys.count:
            snprintf(name, sizeof(name), b"db.%d", number)
            answer_text(call, name)
            answer_map(call, 3)
            pair(call, b"overhead.hashtable.main", keys.tables[0].bytes + keys.tables[1].bytes)
            pair(call, b"overhead.hashtable.expires", 0)  # a bit in the main one
            pair(call, b"overhead.hashtable.slot-to-keys", 0)
    pair(call, b"overhead.total", overhead)
    answer_text(call, b"keys.count")
    answer_number(call, count)
    pair(call, b"keys.bytes-per-key", footprint.used // <size_t> count if count else 0)
    pair(call, b"dataset.bytes", dataset)
    ratio(call, b"dataset.percentage", 100.0 * <double> dataset / <double> (footprint.used + 1))
    ratio(call, b"peak.percentage", 100.0 * <double> footprint.used / <double> (node.memory_peak + 1))
    pair(call, b"allocator.allocated", footprint.allocated)
    pair(call, b"allocator.active", footprint.active)
    pair(call, b"allocator.resident", footprint.resident)
    ratio(call, b"allocator-fragmentation.ratio", <double> footprint.active / <double> (footprint.allocated + 1))
    pair(call, b"allocator-fragmentation.bytes", footprint.spare)
    ratio(call, b"allocator-rss.ratio", <double> footprint.resident / <double> (footprint.active + 1))
    answer_text(call, b"allocator-rss.bytes")
    answer_number(call, <long long> footprint.resident - <long long> footprint.active)
    ratio(call, b"rss-overhead.ratio", 1)
    pair(call, b"rss-overhead.bytes", 0)
    ratio(call, b"fragmentation", fragmentation(&footprint))
    answer_text(call, b"fragmentation.bytes")
    answer_number(call, <long long> footprint.resident - <long long> footprint.allocated)


cdef void command_memory_doctor(Call* call) noexcept nogil:
    cdef Node* node = call.node
    cdef Footprint footprint
    cdef Text text = Text(data=NULL, length=0, room=0)
    cdef char words[320]
    memory_measure(node, &footprint)
    if footprint.used < SMALL:
        text_add(&text, b"The node holds less than 5 MB: too little for its figures to mean anything.\n")
    else:
        if node.memory_peak > footprint.used // 2 * 3:
            snprintf(words, sizeof(words), b"Peak: once %zu bytes were used, now %zu. The difference is free for new "
                     b"keys; MEMORY PURGE gives what can be given back to the system.\n", node.memory_peak,
                     footprint.used)
            text_add(&text, words)
        if footprint.spare > SPARE_SMALL and fragmentation(&footprint) > 1.4:
            snprintf(words, sizeof(words), b"Fragmentation: the process holds %.2f times what is allocated, %zu bytes "
                     b"are in holes. Values whose sizes change a lot cause it; a restart from a snapshot ends it.\n",
                     fragmentation(&footprint), footprint.spare)
            text_add(&text, words)
        if footprint.clients > 32 << 20 and node.client_count and footprint.clients // node.client_count > 200000:
            snprintf(words, sizeof(words), b"Clients: their buffers take %zu bytes. CLIENT LIST shows by omem who does "
                     b"not read its replies.\n", footprint.clients)
            text_add(&text, words)
        if node.maxmemory == 0:
            text_add(&text, b"Limit: maxmemory is 0, so nothing keeps the node from taking all memory there is.\n")
        if text.length == 0:
            text_add(&text, b"Nothing is wrong with this node's memory.\n")
    answer_verbatim(call, text.data, text.length)
    text_free(&text)


cdef void command_memory_malloc_stats(Call* call) noexcept nogil:
    cdef mallinfo2_result info = mallinfo2()
    cdef Text text = Text(data=NULL, length=0, room=0)
    cdef char words[512]
    snprintf(words, sizeof(words),
             b"allocator: libc\n"
             b"from the system, heap:    %zu bytes\n"
             b"from the system, mapped:  %zu bytes in %zu blocks\n"
             b"handed out:               %zu bytes\n"
             b"free:                     %zu bytes in %zu blocks\n"
             b"free at the top:          %zu bytes\n",
             info.arena, info.hblkhd, info.hblks, info.uordblks + info.hblkhd, info.fordblks, info.ordblks,
             info.keepcost)
    text_add(&text, words)
    answer_verbatim(call, text.data, text.length)
    text_free(&text)


cdef void command_memory_purge(Call* call) noexcept nogil:
    """Give pages without a block in use back to the system."""
    malloc_trim(0)
    answer_ok(call)
