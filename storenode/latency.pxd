# cython: language_level=3
"""Latency: how long each command takes, as a histogram, and the moments when something held everybody up.

A histogram has eight counters for every doubling of the time, which is 12 % of precision, in 3 KiB for a command that
was ever run. Times are counted in cycles of the clock and become microseconds when somebody asks.
"""

from libc.stdint cimport uint64_t
from libc.stdlib cimport calloc

from proxy.wire.system cimport monotonic_us
from storenode.text cimport Text
from storenode.types cimport LATENCY_THRESHOLD, Call, Node, Row

cdef extern from *:
    """
    #define store_highest_bit(x) (63 - __builtin_clzll(x))
    """
    int store_highest_bit(uint64_t x) noexcept nogil

cdef enum:
    LATENCIES = 368            # counters: up to 2^48 cycles, a day

cdef enum LatencyEvent:        # EVENTS_SEEN of them
    LATENCY_COMMAND = 0
    LATENCY_FAST_COMMAND = 1
    LATENCY_EXPIRE = 2
    LATENCY_EVICTION = 3
    LATENCY_FORK = 4
    LATENCY_LOG = 5            # appending to the log, and again under what went on meanwhile:
    LATENCY_LOG_ALONE = 6
    LATENCY_LOG_SYNC = 7       # the clerk was syncing
    LATENCY_LOG_CHILD = 8      # a child was writing
    LATENCY_LOG_ALWAYS = 9     # syncing it before replies are sent

cdef void latency_event(Node* node, int event, uint64_t usec) noexcept nogil
cdef void latency_reset(Row* row) noexcept nogil
cdef void latency_line(const Node* node, Text* text, const Row* row) noexcept nogil
cdef void command_latency_doctor(Call* call) noexcept nogil
cdef void command_latency_graph(Call* call) noexcept nogil
cdef void command_latency_histogram(Call* call) noexcept nogil
cdef void command_latency_history(Call* call) noexcept nogil
cdef void command_latency_latest(Call* call) noexcept nogil
cdef void command_latency_reset(Call* call) noexcept nogil


cdef inline uint64_t latency_begin(const Node* node) noexcept nogil:
    """The time, if anybody wants to know; else 0, which latency_end() understands."""
    return monotonic_us() if node.settings[LATENCY_THRESHOLD] else 0


cdef inline void latency_end(Node* node, int event, uint64_t begun) noexcept nogil:
    if begun:
        latency_event(node, event, monotonic_us() - begun)


cdef inline int latency_index(uint64_t spent) noexcept nogil:
    cdef int high
    if spent < 8:
        return <int> spent
    high = store_highest_bit(spent)
    return (high - 2) * 8 + <int> (spent >> (high - 3) & 7) if high < 48 else LATENCIES - 1


cdef inline void latency_count(Row* row, uint64_t spent) noexcept nogil:
    """A command took so many cycles."""
    if row.latencies == NULL:
        row.latencies = <uint64_t*> calloc(LATENCIES, sizeof(uint64_t))
        if row.latencies == NULL:
            return
    row.latencies[latency_index(spent)] += 1
