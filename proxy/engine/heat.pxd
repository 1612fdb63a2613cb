# cython: language_level=3
"""The structs of hot keys: what one engine knows of the keys that are asked for most. Read beside types.pxd.

    Heat ── Sketch: counts of whoever might be hot, bounded
      ├──── HotKey: a key above the threshold ── Copy: the reply to one command, kept for a while
      │                                       ├─ Fetch: a read on its way that others may join, and that may fill a Copy
      │                                       └─ Fan ── Place: where a copy of it on another node is
      └──── Hold: the reply to a write, until no copy on another node is older

All of it belongs to one engine, but for the marks (marks.pxd), which every engine of the process reads.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from proxy.engine.tally cimport Wave
from proxy.engine.types cimport Client, Conn, Core, HotRule, Node, Pool

cdef enum:
    CELLS = 2048               # keys that a sketch counts; a power of two
    WAYS = 8                   # cells in which one key may be
    FILTER = 8192              # entries of Heat.filter; a power of two
    HOT_BUCKETS = 1024         # a power of two
    SEEN = 4096                # a power of two
    CHECK_EVERY = 20000        # answers from copies of which one is compared with the node's
    PLACES = 12                # nodes of a key's walk, its home among them, of which some have copies of it
    FAN_BUCKETS = 256          # a power of two
    MISSES = 256               # buckets; a power of two

cdef enum Role:                # of a Pending: what its reply does besides answering, and what Pending.cool is
    ROLE_NONE = 0
    ROLE_MARK = 1              # it may write: the marks that it holds open
    ROLE_TRACKING = 2          # from here on a Fetch*: the reply to CLIENT TRACKING,
    ROLE_CACHING = 3           # to CLIENT CACHING YES,
    ROLE_VALUE = 4             # to the read itself, which is everybody's who joined,
    ROLE_LIFE = 5              # to PTTL
    ROLE_PING = 6              # of an ear
    ROLE_LEASE = 7             # from here on a Miss*: whether the lease is ours,
    ROLE_POLL = 8              # whether the value is there,
    ROLE_RELEASE = 9           # the lease is given back
    ROLE_COPY = 10             # a Fetch*: the reply to the read of a copy on another node,
    ROLE_FILL = 11             # and to the SET that made one
    ROLE_TOMBSTONE = 12        # a Hold*: to the SET that ends one
    ROLE_WAVE = 13             # a Wave*: increments that left as one
    ROLE_SET = 14              # a Fetch*: to a client's SET of a hot key; who asks for the key joins it
    ROLE_SHARD = 16            # a Shards*: to GET of one shard of a counter, `part` its number
    ROLE_AGAIN = 15            # an Again*: to a read that was asked, or is asked, of two nodes; see again.pxd

cdef struct Cell:              # sketch.pyx
    uint64_t hash              # 0: free
    uint32_t epoch             # when the counts were last halved
    uint32_t reads
    uint32_t writes

cdef struct Sketch:
    Cell cells[CELLS]

cdef struct Copy:              # copies.pyx; followed by the request's bytes, then the reply's
    Copy* next                 # in key.copies, the latest first
    Node* node
    uint64_t marks             # that it is valid for: see marks.pxd
    uint64_t forgets           # of the process, and of the node, that it is valid for
    uint64_t node_forgets
    uint64_t since_us          # when it was asked for
    uint64_t stale_us          # until when it may serve while the node is down
    uint64_t expires_us
    uint64_t ends_us           # when the key itself expires; 0: not while the copy lives, or never
    uint64_t refresh_us        # from when one request is to fetch it anew; moved on by whoever does
    uint32_t order             # of the fetch: see fence.pxd
    uint32_t asked             # bytes of the request
    uint32_t length            # bytes of the reply
    uint8_t protocol
    uint8_t database
    uint8_t tracked            # valid only while invalidations come

cdef struct Waiter:
    Client* client
    void* again                # Again: he has asked another node, too: it holds the client, or was answered; NULL: he has not
    uint32_t slot

cdef struct Waiters:
    Waiter* list
    uint32_t count
    uint32_t room

cdef struct Miss:              # shield.pyx: a key that somebody loads; followed by its name, and that of the lease
    Miss* next                 # in its bucket
    Pool* pool
    const HotRule* rule
    Waiters waiters
    uint64_t hash
    uint64_t loader            # id of the client that was told to load it; 0: another proxy's, or another engine's
    uint64_t leased_us         # when the lease became ours; 0: it is not
    uint64_t asked_us
    uint64_t until_us          # when waiting ends
    uint64_t began             # marks of the key, and forgets of the process, when it was found to be missing
    uint64_t marks             # of the key, when its loader was told to
    uint32_t pendings          # that name it
    uint32_t length            # bytes of the key
    uint8_t protocol           # of the connection that it is asked for on
    uint8_t database
    uint8_t early              # the value is still there
    uint8_t over               # nobody waits any more

cdef struct Fetch:             # fetch.pyx; followed by the request's bytes
    Fetch* next                # in key.fetches
    HotKey* key                # NULL: it may not be joined and fills no copy
    Conn* conn
    Waiters waiters
    const HotRule* shield      # NULL: who misses the key is told so
    uint64_t hash              # of the key; 0: not known
    uint64_t opened            # ROLE_SET: the marks that it holds open
    uint32_t order             # see fence.pxd
    uint32_t key_at            # where in the request the key is
    uint32_t key_length
    uint32_t exact             # waiters that joined before it was given to the kernel
    uint32_t flushes           # of the connection, when it was queued
    uint32_t pendings          # that name it
    uint32_t asked             # bytes of the request
    uint16_t row
    uint8_t protocol
    uint8_t database
    uint8_t storing            # its reply may become a copy
    uint8_t tracked
    uint8_t over               # its reply is here: it may be joined no more
    uint8_t checking           # `value` is what a copy said: compare
    uint64_t marks
    uint64_t forgets
    uint64_t node_forgets
    uint64_t sent_us           # when it was queued; of one that checks, when the copy was
    char* value                # malloc: the reply, until the key's life is known
    uint32_t length
    uint8_t filling            # its reply may become a copy on other nodes
    uint8_t place              # it reads the copy at this Place of the walk, from 1; `next` is in heat.copy_reads
    uint8_t lost               # ... which will not answer; of others: it is late, and may be joined no more
    Node* home                 # ... and where the key lives

cdef struct Place:             # one node of a key's walk
    Node* node
    Fetch* read                # of the copy there, for others to join
    uint64_t until_us          # the copy there is thought to live so long; 0: there is none
    uint64_t filled_us         # and this long, if the SET on its way works
    uint64_t retry_us          # nothing is to be set there before
    uint64_t missed_us         # when a read found no copy
    uint64_t buried_us         # when a tombstone was sent there

cdef struct Fan:               # fans.pyx: a key with copies on other nodes; followed by the key
    Fan* next                  # in its bucket, or in heat.retired
    Pool* pool
    uint64_t hash
    uint64_t asked             # hash of the request that is copied: the one asked for most
    uint64_t marks             # when the key was looked at last,
    uint64_t forgets
    uint64_t since_us          # and since when they are so
    uint64_t life_us           # of a copy, at most
    uint32_t votes             # for `asked`
    uint32_t length            # bytes of the key
    uint8_t wanted             # copies
    uint8_t protocol           # of the copies, as is
    uint8_t database
    uint8_t count              # of places
    Place places[PLACES]

cdef struct Hold:              # holds.pyx; followed by the reply to a write
    Hold* next                 # in heat.holds
    Pool* pool
    Wave* wave                 # whose members wait; NULL: it is one client
    Client* client
    uint32_t slot
    uint32_t part
    uint32_t waiting           # tombstones that are not acknowledged
    uint32_t pendings          # that name it, and one for being in the list
    uint8_t over               # the client has its reply
    uint64_t missing           # nodes that did not acknowledge one, by the low six bits of their index
    uint64_t until_us          # a node that cannot be reached may have copies as long as this
    uint64_t deadline_us       # and no copy lives longer than this
    size_t length

cdef struct HotKey:            # hot.pyx; followed by the key
    HotKey* next               # in its bucket
    HotKey* before             # in heat.first
    HotKey* after
    Pool* pool
    const HotRule* rule
    uint64_t hash
    Copy* copies
    Fetch* fetches
    Fan* fan                   # NULL: it has no copies on other nodes
    uint32_t copy_count
    uint32_t length            # bytes of the key
    size_t size                # bytes of the last reply to a fetch; large until there was one
    uint32_t reads             # since the last tick
    uint32_t writes
    uint32_t read_rate         # a second, smoothed
    uint32_t write_rate
    uint64_t since_us          # when it became hot
    uint64_t cold_us           # since when it is below half of the threshold; 0: it is not
    uint64_t all_reads         # since then
    uint64_t all_writes
    uint64_t early_us          # from when somebody may try to load it before it expires
    uint64_t hits              # answered from copies
    uint64_t joined            # answered together with another read
    uint64_t bytes             # of its requests and of the replies that were not the node's

cdef struct Heat:
    uint8_t filter[FILTER]     # hot keys by the low bits of their hash
    uint32_t left              # requests until the next one is counted; never 0
    uint32_t most              # hot keys
    uint32_t count
    uint64_t sampling          # state of the choice
    HotKey* buckets[HOT_BUCKETS]
    HotKey* first
    size_t bytes               # of copies
    size_t byte_limit
    size_t largest             # bytes of a reply that is kept
    uint64_t tick_us
    uint32_t unchecked         # answers from copies until one is compared with the node
    HotKey* asked              # the key of the request at hand, if it is hot
    uint64_t seen[SEEN]        # requests for hot keys that were asked once
    Miss* misses[MISSES]
    uint32_t miss_count
    uint64_t load_us           # how long loading lasts, smoothed
    Fan* fans[FAN_BUCKETS]     # by the low bits of their stripe
    Fan* retired               # whose copies are to be deleted
    Fetch* copy_reads          # on their way
    Hold* holds
    Sketch sketch


cdef inline uint64_t random_next(Heat* heat) noexcept nogil:
    """64 bits by xorshift (Marsaglia, 2003), never all 0; the upper ones are the better ones."""
    heat.sampling ^= heat.sampling << 13
    heat.sampling ^= heat.sampling >> 7
    heat.sampling ^= heat.sampling << 17
    return heat.sampling


cdef inline Heat* heat_of(Core* core) noexcept nogil:
    return <Heat*> core.heat
