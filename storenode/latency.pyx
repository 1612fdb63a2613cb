# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Latency: reading histograms, noting delays, and the LATENCY commands. See latency.pxd."""

from libc.stdint cimport uint32_t, uint64_t
from libc.stdio cimport snprintf
from libc.stdlib cimport free
from libc.string cimport memset, strlen

from storenode.answer cimport (
    answer_array, answer_error, answer_map, answer_number, answer_text, answer_verbatim,
)
from storenode.arguments cimport copy_text, is_word
from storenode.clock cimport clock_usec
from storenode.names cimport command_find
from storenode.text cimport Text, text_add, text_free, text_room
from storenode.types cimport (
    CONTAINER, EVENTS_SEEN, LATENCY_THRESHOLD, SPIKES, Call, Event, Node, Row, Slice, Spike,
)

cdef enum:
    BOUNDS = 40                # of LATENCY HISTOGRAM: 1.024 us and its doublings
    COLUMNS = 80               # spikes in a graph
    LINES = 4                  # of a graph

cdef const char* names[EVENTS_SEEN]
names[0] = b"command"
names[1] = b"fast-command"
names[2] = b"expire-cycle"
names[3] = b"eviction-cycle"
names[4] = b"fork"
names[5] = b"aof-write"
names[6] = b"aof-write-alone"
names[7] = b"aof-write-pending-fsync"
names[8] = b"aof-write-active-child"
names[9] = b"aof-fsync-always"

cdef const char* advice[EVENTS_SEEN]
advice[0] = b"SLOWLOG GET names the commands; those that walk large values can be split or run on a replica"
advice[1] = b"commands that ought to be quick were not: look for large values, or for a machine that swaps or is crowded"
advice[2] = b"many keys expire together: spread their times to live"
advice[3] = b"the node is full and makes room for what is written: raise maxmemory or write less at a time"
advice[4] = b"copying page tables takes as long as memory is large: Linux 6.1 or later folds it into huge pages first"
advice[5] = b"the disk is slow, full or shared: see which aof-write-* it is"
advice[6] = b"the disk is slow or shared with others"
advice[7] = b"the disk does not keep up with what is synced once a second: write less, or to a faster one"
advice[8] = b"a snapshot or a rewrite is written to the same disk: keep them apart, or rewrite less often"
advice[9] = b"each turn waits for the disk: appendfsync everysec waits for it once a second"


# -- histograms --------------------------------------------------------------------------------------------------------


cdef uint64_t highest_of(int index) noexcept nogil:
    """The most cycles that a counter stands for."""
    if index < 8:
        return index
    return ((<uint64_t> 9 + (index & 7)) << (index // 8 - 1)) - 1


cdef uint64_t count_of(const Row* row) noexcept nogil:
    cdef uint64_t count = 0
    cdef int index
    if row.latencies != NULL:
        for index in range(LATENCIES):
            count += row.latencies[index]
    return count


cdef void latency_reset(Row* row) noexcept nogil:
    free(row.latencies)
    row.latencies = NULL


cdef double percentile(const Node* node, const Row* row, uint64_t count, double share) noexcept nogil:
    """Microseconds within which this share (0 … 1) of the calls ended."""
    cdef uint64_t wanted = <uint64_t> (share * <double> count + 0.5)
    cdef uint64_t seen = 0
    cdef int index
    for index in range(LATENCIES):
        seen += row.latencies[index]
        if seen >= wanted and seen:
            return clock_usec(node, highest_of(index))
    return 0


cdef void latency_line(const Node* node, Text* text, const Row* row) noexcept nogil:
    """A command's line of INFO latencystats; none for a command that was not run."""
    cdef uint64_t count = count_of(row)
    if count:
        text.length += snprintf(
            text_room(text, 192), 192, b"latency_percentiles_usec_%s:p50=%.3f,p99=%.3f,p99.9=%.3f\r\n", row.name,
            percentile(node, row, count, 0.5), percentile(node, row, count, 0.99), percentile(node, row, count, 0.999))


cdef void answer_histogram(Call* call, const Row* row, uint64_t count) noexcept nogil:
    """The command's calls, and how many ended within 1.024 us, twice that, and so on, where the number changes."""
    cdef uint64_t within[BOUNDS]
    cdef double bound = 1.024
    cdef uint64_t before = 0
    cdef long long steps = 0
    cdef int index
    cdef int place = 0
    memset(within, 0, sizeof(within))
    for index in range(LATENCIES):
        while place < BOUNDS - 1 and clock_usec(call.node, highest_of(index)) > bound:
            place += 1
            bound *= 2
        within[place] += row.latencies[index]
    for index in range(BOUNDS):
        steps += within[index] != 0
    answer_text(call, row.name)
    answer_map(call, 2)
    answer_text(call, b"calls")
    answer_number(call, <long long> count)
    answer_text(call, b"histogram_usec")
    answer_map(call, steps)
    bound = 1.024 * 129 / 128  # Redis names a bound by the end of its histogram's counter
    for index in range(BOUNDS):
        if within[index]:
            before += within[index]
            answer_number(call, <long long> bound)
            answer_number(call, <long long> before)
        bound *= 2


cdef bint is_asked(Call* call, const Row* row) noexcept nogil:
    """Is it one of the commands that were named, or a subcommand of one? All are where none was."""
    cdef Slice name
    cdef Row* parent
    cdef int index
    if call.argc == 2:
        return True
    name.data = row.name
    name.length = strlen(row.name)
    for index in range(2, call.argc):
        if is_word(&call.argv[index], row.name):
            return True
        parent = command_find(call.node, &call.argv[index])
        if parent != NULL and parent.flags & CONTAINER and row.parent >= 0 and parent == &call.node.rows[row.parent]:
            return True
    return False


cdef void command_latency_histogram(Call* call) noexcept nogil:
    cdef Row* row
    cdef uint64_t count
    cdef long long shown = 0
    cdef int index
    for index in range(call.node.row_count):
        row = &call.node.rows[index]
        shown += row.latencies != NULL and is_asked(call, row)
    answer_map(call, shown)
    for index in range(call.node.row_count):
        row = &call.node.rows[index]
        if row.latencies != NULL and is_asked(call, row):
            count = count_of(row)
            answer_histogram(call, row, count)


# -- delays ------------------------------------------------------------------------------------------------------------


cdef void latency_event(Node* node, int event, uint64_t usec) noexcept nogil:
    """Something held everybody up for so long; nothing is noted below latency-monitor-threshold. Delays within one
    second are one, the worst of them."""
    cdef Event* seen = &node.events[event]
    cdef Spike* last = &seen.spikes[(seen.next + SPIKES - 1) % SPIKES]
    cdef uint32_t now = <uint32_t> (node.now_ms // 1000)
    cdef uint32_t ms = <uint32_t> (usec // 1000)
    if node.settings[LATENCY_THRESHOLD] == 0 or usec < <uint64_t> node.settings[LATENCY_THRESHOLD] * 1000:
        return
    if ms > seen.worst:
        seen.worst = ms
    if seen.count and last.time == now:
        if ms > last.ms:
            last.ms = ms
        return
    seen.spikes[seen.next].time = now
    seen.spikes[seen.next].ms = ms
    seen.next = (seen.next + 1) % SPIKES
    seen.count += seen.count < SPIKES


cdef inline const Spike* spike_at(const Event* event, int index) noexcept nogil:
    """In the order of time."""
    return &event.spikes[(event.next + SPIKES - event.count + index) % SPIKES]


cdef Event* find_event(Call* call, const Slice* name) noexcept nogil:
    """NULL: there is no such kind of delay, or there was none."""
    cdef int index
    for index in range(EVENTS_SEEN):
        if is_word(name, names[index]) and call.node.events[index].count:
            return &call.node.events[index]
    return NULL


cdef void command_latency_latest(Call* call) noexcept nogil:
    cdef Event* event
    cdef long long count = 0
    cdef int index
    for index in range(EVENTS_SEEN):
        count += call.node.events[index].count != 0
    answer_array(call, count)
    for index in range(EVENTS_SEEN):
        event = &call.node.events[index]
        if event.count:
            answer_array(call, 4)
            answer_text(call, names[index])
            answer_number(call, spike_at(event, event.count - 1).time)
            answer_number(call, spike_at(event, event.count - 1).ms)
            answer_number(call, event.worst)


cdef void command_latency_history(Call* call) noexcept nogil:
    cdef Event* event = find_event(call, &call.argv[2])
    cdef int index
    if event == NULL:
        answer_array(call, 0)
        return
    answer_array(call, event.count)
    for index in range(event.count):
        answer_array(call, 2)
        answer_number(call, spike_at(event, index).time)
        answer_number(call, spike_at(event, index).ms)


cdef void command_latency_reset(Call* call) noexcept nogil:
    """LATENCY RESET [event …]: how many were forgotten."""
    cdef Event* event
    cdef long long count = 0
    cdef int index
    for index in range(EVENTS_SEEN if call.argc == 2 else call.argc - 2):
        event = &call.node.events[index] if call.argc == 2 else find_event(call, &call.argv[index + 2])
        if event != NULL and event.count:
            memset(event, 0, sizeof(Event))
            count += 1
    answer_number(call, count)


cdef void command_latency_graph(Call* call) noexcept nogil:
    """The last delays of a kind as columns, the newest on the right, the worst of them as high as there is room."""
    cdef Event* event = find_event(call, &call.argv[2])
    cdef Text text = Text(data=NULL, length=0, room=0)
    cdef char words[160]
    cdef char name[64]
    cdef uint32_t high = 0
    cdef uint32_t low = 0xFFFFFFFF
    cdef uint32_t ms
    cdef int first, index, line, height
    copy_text(name, sizeof(name), &call.argv[2])
    if event == NULL:
        snprintf(words, sizeof(words), b"ERR No samples available for event '%s'", name)
        answer_error(call, words)
        return
    first = event.count - COLUMNS if event.count > COLUMNS else 0
    for index in range(first, event.count):
        ms = spike_at(event, index).ms
        high = ms if ms > high else high
        low = ms if ms < low else low
    snprintf(words, sizeof(words), b"%s - high %u ms, low %u ms (all time high %u ms)\n", name, high, low, event.worst)
    text_add(&text, words)
    for line in range(LINES, 0, -1):
        for index in range(first, event.count):
            height = <int> ((<uint64_t> spike_at(event, index).ms * LINES + high - 1) // (high if high else 1))
            text_add(&text, b"#" if height >= line else b"_" if line == 1 else b" ")
        text_add(&text, b"\n")
    answer_verbatim(call, text.data, text.length)
    text_free(&text)


cdef void command_latency_doctor(Call* call) noexcept nogil:
    cdef Text text = Text(data=NULL, length=0, room=0)
    cdef Event* event
    cdef char words[256]
    cdef uint64_t total
    cdef int index, spike
    if call.node.settings[LATENCY_THRESHOLD] == 0:
        text_add(&text, b"Delays are not watched: CONFIG SET latency-monitor-threshold <milliseconds> switches it on.\n")
    for index in range(EVENTS_SEEN):
        event = &call.node.events[index]
        if event.count == 0:
            continue
        total = 0
        for spike in range(event.count):
            total += spike_at(event, spike).ms
        snprintf(words, sizeof(words), b"%s: %d delays, %llu ms on average, %u ms at worst: ", names[index],
                 event.count, <unsigned long long> (total // <uint64_t> event.count), event.worst)
        text_add(&text, words)
        text_add(&text, advice[index])
        text_add(&text, b".\n")
    if text.length == 0:
        text_add(&text, b"No delay was seen since latency-monitor-threshold was set.\n")
    answer_verbatim(call, text.data, text.length)
    text_free(&text)
