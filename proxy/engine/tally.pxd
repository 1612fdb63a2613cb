# cython: language_level=3
"""The structs of hot counters: increments of one key that travel together. Read beside types.pxd.

    Tallies ── Tally: one counter (a key, or a field of a hash) as seen on one connection to its node
                 └── Wave: increments that become one; the one that gathers, and those that are on their way
                       └── Member: one increment, and whose it is

A Tally outlives its waves, because the value that the last one brought says whether the next may be merged. Those that
have nothing to do stand in a line, and the one that has stood longest makes room for a new one.
"""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from proxy.engine.types cimport Client, Conn, CounterRule

cdef extern from *:
    """
    #include <stdint.h>
    #include <string.h>
    /* Names are short, and compared for every increment: a call of memcmp() costs more than the comparison. */
    static inline int quench_same(const char *a, const char *b, size_t length) {
        uint64_t one, other;
        while (length >= 8) {
            memcpy(&one, a, 8);
            memcpy(&other, b, 8);
            if (one != other)
                return 0;
            a += 8;
            b += 8;
            length -= 8;
        }
        while (length) {
            length--;
            if (a[length] != b[length])
                return 0;
        }
        return 1;
    }
    """
    bint quench_same(const char* a, const char* b, size_t length) nogil

cdef enum:
    TALLY_BUCKETS = 1024       # a power of two
    TALLIES = 4096             # of one engine

cdef struct Member:
    Client* client
    int64_t delta
    uint32_t slot
    uint32_t start             # low 32 bits of the clock (us) when it was asked for
    uint16_t row

cdef struct Wave:
    Wave* before               # in tallies.waves, until the node has answered
    Wave* after
    Tally* tally               # NULL once the node has answered
    Member* members
    uint32_t count
    uint32_t room
    uint32_t gone              # of them, those that were taken out again: they are the first, and not in `sum`,
    uint32_t told              # and those that were answered: these, and then those that wait no longer
    uint32_t writes            # of the tally, when it was sent
    uint8_t deferred           # turns that it has waited for more
    int64_t sum                # of one sign
    uint64_t since_us
    uint64_t marks             # that it holds open: see marks.pxd; 0: none

cdef struct Tally:             # followed by the key, and the field if there is one
    Tally* next                # in its bucket
    Tally* before              # in tallies.gathering or tallies.idle, or in neither
    Tally* after
    Conn* conn
    const CounterRule* rule
    Wave* gathered             # NULL: none
    uint64_t hash              # of the key
    uint32_t length            # bytes of the key
    uint32_t field_length
    uint32_t flying            # waves that the node has not answered
    uint32_t writes            # times that something else wrote the key
    int64_t value              # what the counter was when it was last heard of, and what was added since
    uint8_t known              # there is such a value
    uint8_t field              # it is a field of a hash

cdef struct TallyList:
    Tally* first
    Tally* last

cdef struct Tallies:
    Tally* buckets[TALLY_BUCKETS]
    TallyList gathering        # those with a wave that gathers
    TallyList idle             # those without any, the longest first
    Wave* waves
