# cython: language_level=3
"""Fans: which hot keys have copies on other nodes, where those are, and what they are called.

A copy of a key is a string at another node of the key's walk round the ring, under the key and a reserved suffix: a zero
byte, `#` and the number of that node in the walk. So a name belongs to one node for good, whichever nodes are down, and
where the copy is has nothing to do with how its name would be hashed. Clients may not use such names (names_copy), and
are not shown them. Stands below hot.pyx, which gives a hot key its Fan and takes it away; what goes to and fro is the
job of fanout.pyx.
"""

from libc.stdint cimport uint16_t, uint32_t, uint64_t

from proxy.engine.heat cimport FAN_BUCKETS, Fan, Heat, HotKey, heat_of
from proxy.engine.marks cimport quench_load_word
from proxy.engine.types cimport ROW_PUBLISH, Client, Core, Row
from proxy.wire.output cimport Output
from proxy.wire.resp cimport Frame

cdef enum:
    DIGITS = 5                 # of a suffix at most: with the two bytes before them they fit a word
    TOMBSTONE_US = 500000      # a tombstone keeps a node from getting a copy for so long

cdef extern from *:
    """
    #include <stdint.h>
    #include <string.h>
    /* Is one of the eight bytes before `end` zero? A request's key has as many before its end, if not of its own. */
    static inline int quench_zero_before(const char *end) {
        uint64_t word;
        memcpy(&word, end - 8, 8);
        return ((word - 0x0101010101010101ULL) & ~word & 0x8080808080808080ULL) != 0;
    }
    """
    bint quench_zero_before(const char* end) nogil

cdef Fan* fan_new(Core* core, HotKey* key) noexcept nogil
cdef void fan_retire(Heat* heat, Fan* fan) noexcept nogil
cdef uint32_t fan_copies(Core* core, const Fan* fan) noexcept nogil
cdef void fan_name(Core* core, const Fan* fan, uint32_t place, Output* output) noexcept nogil
cdef void fans_close(Core* core) noexcept nogil
cdef bint is_copy(const char* key, size_t length) noexcept nogil
cdef bint names_copy_slowly(Core* core, Row* row, Frame* frame) noexcept nogil


cdef inline bint names_copy(Core* core, Row* row, Frame* frame) noexcept nogil:
    """Is a key of this request the name of a copy? Nearly always a look at the last bytes says no."""
    cdef const char* key
    if row.key:
        key = frame.data + frame.args[row.key].offset
        return quench_zero_before(key + frame.args[row.key].length) and is_copy(key, frame.args[row.key].length)
    return row.spec_count and not row.flags & ROW_PUBLISH and names_copy_slowly(core, row, frame)


cdef inline Fan* fans_first(Core* core, uint16_t stripe) noexcept nogil:
    """The first Fan that may be of this stripe; NULL when no copy of such a key is known of."""
    if quench_load_word(&core.peers.fans[stripe]) <= core.now_us:
        return NULL
    return heat_of(core).fans[stripe & (FAN_BUCKETS - 1)]
