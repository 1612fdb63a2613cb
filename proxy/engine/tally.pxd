# cython: language_level=3
"""The structs of hot counters: increments of one key that travel together. Read beside types.pxd.

    Tallies ── Tally: one counter (a key, or a field of a hash) as seen on one connection to its node
                 └── Wave: increments that become one; the one that gathers, and those that are on their way
                       └── Member: one increment, and whose it is

A Tally outlives its waves, because the value that the last one brought says whether the next may be merged. Those that
have nothing to do stand in a line, and the one that has stood longest makes room for a new one.
"""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from proxy.engine.types cimport Client, Conn, CounterRule, Pool

cdef extern from *:
    """
    #include <stdint.h>
    #include <string.h>
    #define quench_magnitude(v) ((v) < 0 ? -(uint64_t) (v) : (uint64_t) (v))
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
    uint64_t quench_magnitude(int64_t value) nogil
    bint quench_same(const char* a, const char* b, size_t length) nogil

cdef enum:
    TALLY_BUCKETS = 1024       # a power of two
    TALLIES = 4096             # of one engine
    SHARDS_MOST = 16
    SHARD_BUCKETS = 256        # a power of two
    SHARD_ERROR = 512

cdef enum Form:                # of a tally, bits
    FORM_FIELD = 1             # a field of a hash
    FORM_UNIT = 2              # its increments are transactions
    FORM_SET = 4               # no counter: SADD of these very elements
    FORM_LOG = 8               # PFADD of these

cdef enum WaveKind:
    WAVE_ADD = 0               # of increments
    WAVE_LIFE = 1              # of EXPIREs behind them
    WAVE_UNIT = 2              # of transactions: an increment, and perhaps an EXPIRE
    WAVE_SAME = 3              # of requests that are the same, and have an effect once

cdef struct Member:            # one request, or several in a row that are the same
    Client* client             # NULL: those that were answered early
    int64_t delta              # of each; early: of all
    uint32_t slot              # of the first; early: how many they are
    uint32_t times
    uint32_t done              # of them, answered
    uint32_t start             # low 32 bits of the clock (us) when it was asked for
    uint16_t row

cdef struct Wave:
    Wave* before               # in tallies.waves, until the node has answered
    Wave* after
    Tally* tally               # NULL once the node has answered
    Member* members
    Wave* life                 # the EXPIREs that go behind it; NULL: none
    char* expiry               # the EXPIRE, as it was asked for; NULL: there is none, or it is in `life`
    uint32_t expiry_length
    uint32_t count
    uint32_t room
    uint32_t gone              # of them, those that were taken out again: they are the first, and not in `sum`,
    uint32_t told              # and those that were answered: these, and then those that wait no longer
    uint32_t requests          # of those that are not gone
    uint32_t writes            # of the tally, when it was sent
    uint8_t kind               # WaveKind
    uint8_t once               # of many of the same the first has an effect: EXPIRE with NX, SADD
    uint8_t deferred           # turns that it has waited for more
    uint32_t early             # requests that were answered before it left
    int64_t sum                # of one sign
    int64_t others             # what the other shards have, as far as is known
    uint64_t since_us
    uint64_t marks             # that it holds open: see marks.pxd; 0: none

cdef struct ShardWaiter:
    Client* client
    uint32_t slot

cdef struct ShardWaiters:
    ShardWaiter* list
    uint32_t count
    uint32_t room

cdef struct Shards:            # a counter that is spread over several nodes; followed by the names of its shards
    Shards* next               # in its bucket
    const Pool* pool
    const CounterRule* rule
    uint64_t hash              # of the key
    uint64_t used_us
    uint64_t asked_us          # when its shards were last asked
    int64_t[SHARDS_MOST] values    # as last heard of
    uint64_t[SHARDS_MOST] hashes   # of the names
    int[SHARDS_MOST] nodes
    uint8_t[SHARDS_MOST] there     # it was there when it was asked
    uint32_t length            # bytes of the key, which is the first shard's name
    uint32_t references        # tallies of its shards
    int database
    int count
    int left                   # of the shards that are asked, those that have not answered
    uint8_t known              # all of them were asked once
    ShardWaiters now           # GETs that what was asked answers
    ShardWaiters soon          # those that came later
    ShardWaiters parked        # clients whose increments wait to be begun; no slots yet
    uint32_t error_length      # of what was asked now
    char[SHARD_ERROR] error

cdef struct ShardTable:
    Shards* buckets[SHARD_BUCKETS]
    uint32_t count
    uint8_t due                # of some, GETs wait that came while they were asked

cdef struct Tally:             # followed by the key, and the field if there is one
    Tally* next                # in its bucket
    Tally* before              # in tallies.gathering or tallies.idle, or in neither
    Tally* after
    Conn* conn
    const CounterRule* rule
    Shards* shards             # that it is one of; NULL: none
    Wave* gathered             # NULL: none
    uint64_t hash              # of the key
    uint64_t idle_us           # since when it has nothing to do, if it has not
    uint32_t length            # bytes of the key
    uint32_t field_length
    uint32_t flying            # waves that the node has not answered
    uint32_t adding            # of them, those that change the counter
    uint32_t writes            # times that something else wrote the key
    int64_t value              # what the counter was when it was last heard of, and what was added since
    uint8_t known              # there is such a value
    uint64_t early             # of all its waves
    uint8_t form               # Form
    uint8_t place              # of the shard

cdef struct TallyList:
    Tally* first
    Tally* last

cdef struct Tallies:
    Tally* buckets[TALLY_BUCKETS]
    TallyList gathering        # those with a wave that gathers
    TallyList idle             # those without any, the longest first
    Wave* waves
