# cython: language_level=3
"""Usage: what Entry.clock says of a key's use, under the policy that is in force.

LRU (and every policy but LFU): the tick of the last use, 65.5 ms each. LFU: 24 bits of minutes and a counter of 8:

    │ minute of the last decay (24) │ counter (8) │

The counter is Redis's (antirez, 2016): it grows with probability 1 / ((counter - 5) * lfu-log-factor + 1), so 255 stands
for about a million uses at factor 10, and loses one for every lfu-decay-time minutes. A policy that is changed at run
time reads what the last one wrote; that evens out with use, as in Redis.
"""

from libc.stdint cimport uint32_t, uint64_t

from storenode.random cimport random_next
from storenode.types cimport LFU_DECAY_TIME, LFU_LOG_FACTOR, Entry, Node

cdef enum:
    LFU_NEW = 5                # counter of a new key: it must not be the first to go
    LFU_MOST = 255
    TICKS_AT_BOOT = 1 << 28    # 203 days: a key may have been idle for longer than the machine has been up


cdef inline void usage_clock(Node* node) noexcept nogil:
    """Now, for LRU. Of 32 bits, so the clock of a key that is idle for nine years is wrong."""
    node.ticks = <uint32_t> (node.now_us >> 16) + TICKS_AT_BOOT


cdef inline uint32_t minutes(const Node* node) noexcept nogil:
    return <uint32_t> (node.now_us // 60000000) & 0xFFFFFF


cdef inline uint32_t usage_count(const Node* node, const Entry* entry) noexcept nogil:
    """LFU: the counter as it is by now."""
    cdef uint32_t counter = entry.clock & LFU_MOST
    cdef uint64_t periods
    if node.settings[LFU_DECAY_TIME] == 0:
        return counter
    periods = ((minutes(node) - (entry.clock >> 8)) & 0xFFFFFF) // <uint64_t> node.settings[LFU_DECAY_TIME]
    return counter - <uint32_t> periods if periods < counter else 0


cdef inline uint32_t usage_of(const Node* node, uint32_t counter) noexcept nogil:
    """LFU: a clock that shows `counter` now."""
    return minutes(node) << 8 | counter


cdef inline uint32_t usage_idle(const Node* node, const Entry* entry) noexcept nogil:
    """Ticks since the last use; 0 for a clock that an LFU policy left ahead of time."""
    return node.ticks - entry.clock if entry.clock <= node.ticks else 0


cdef inline uint32_t usage_new(const Node* node) noexcept nogil:
    return usage_of(node, LFU_NEW) if node.lfu else node.ticks


cdef inline void usage_touch(Node* node, Entry* entry) noexcept nogil:
    """A key is used."""
    cdef uint32_t counter
    cdef uint64_t bar
    if not node.lfu:
        entry.clock = node.ticks
        return
    counter = usage_count(node, entry)
    if counter < LFU_MOST:
        bar = counter - LFU_NEW if counter > LFU_NEW else 0
        bar = bar * <uint64_t> node.settings[LFU_LOG_FACTOR] + 1
        # A 32-bit random number falls below 2^32 / bar with probability 1 / bar.
        counter += (random_next(node) >> 32) * bar < <uint64_t> 1 << 32
    entry.clock = usage_of(node, counter)
