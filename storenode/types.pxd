# cython: language_level=3
"""The storage node's structures: what a key is in memory, what a client is, what one command sees.

    Node ── databases[16] ── Dict ── Table ── Bucket (7 slots, 64 bytes) ── Entry (header, key, value in one block)
      │                                                                       └─ a large value: Dict, Deque, Ranking
      └──── clients (a list) ── Client ── Input, Frame, Output of proxy.wire

A value is bytes behind the key (a string, a PACK, INTS) or, where it is large, a pointer there to a structure of its
own; `type` and `encoding` tell which. Every block of a value is charged to Node.memory by storenode/heap.pxd.

Everything belongs to one Node and one thread; there is no lock. Types only: the module named beside each owns it.
"""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from proxy.wire.chunk cimport ChunkPool
from proxy.wire.input cimport Input
from proxy.wire.output cimport Output
from proxy.wire.poll cimport Handle, Poll
from proxy.wire.resp cimport Frame
from storenode.disk cimport FILE_ROOM, PATH_ROOM, Loading, Log, Snapshots
from storenode.records cimport (
    CODE_MOST, CODES, EVENTS_SEEN, KEY_READ, KEY_VARIES, KEY_WRITE, NAME_MOST, ROW_WORDS, SPIKES, ErrorCount, Event,
    Fact, KeySpec, Promise, Refusal, Selector, Slow, Spike, User, Word,
)
from storenode.text cimport Text

cdef enum:
    DATABASES = 16
    SLOTS = 7                  # entries of a bucket; a chained bucket has one fewer
    CHAINED = 0x80             # Bucket.marks: the last slot is the next bucket of the chain
    ROWS_MOST = 320            # rows of the command table, subcommands included
    ROW_INDEX = 1024           # places of the index over the names; a power of two, well above ROWS_MOST
    POOL_SIZE = 16             # candidates kept between evictions
    CONSUMERS = 4              # of the stream of effects at a time

cdef enum ValueType:
    STRING = 0                 # Redis's numbering, as in its dump format
    LIST = 1
    SET = 2
    ZSET = 3
    HASH = 4
    TYPES = 5

cdef enum Encoding:            # how the value behind the key is laid out
    RAW = 0                    # strings are stored alike in these three, which only OBJECT ENCODING tells apart
    EMBSTR = 1
    INTEGER = 2
    PACK = 3                   # a small hash, set or sorted set: its elements, see pack.pxd
    INTS = 4                   # a set of integers: a sorted array of 2, 4 or 8 bytes each
    TABLE = 5                  # a pointer to a Dict of Members: a large hash or set
    DEQUE = 6                  # a pointer to a Deque: a list
    RANKING = 7                # a pointer to a Ranking: a large sorted set

cdef enum:                     # maxmemory-policy; config.pyx has the names
    NOEVICTION = 0
    ALLKEYS_LRU = 1
    ALLKEYS_LFU = 2
    ALLKEYS_RANDOM = 3
    VOLATILE_LRU = 4           # from here on only keys with an expiry go
    VOLATILE_LFU = 5
    VOLATILE_RANDOM = 6
    VOLATILE_TTL = 7
    POLICIES = 8

cdef enum:                     # index of Node.settings: the numbers that CONFIG SET changes; config.pyx has their rows
    EVICTION_SAMPLES = 0       # maxmemory-samples
    LFU_LOG_FACTOR = 1
    LFU_DECAY_TIME = 2         # minutes
    HASH_PACK_ENTRIES = 3      # hash-max-listpack-entries
    HASH_PACK_VALUE = 4        # bytes
    SET_INTS_ENTRIES = 5       # set-max-intset-entries
    SET_PACK_ENTRIES = 6
    SET_PACK_VALUE = 7
    ZSET_PACK_ENTRIES = 8
    ZSET_PACK_VALUE = 9
    LIST_PIECE_SIZE = 10       # list-max-listpack-size: items, or negative: 4 KiB, 8 KiB …
    LIST_COMPRESS_DEPTH = 11   # known, and of no effect: nothing is compressed
    SLOWLOG_SLOWER = 12        # slowlog-log-slower-than: us; negative: off
    SLOWLOG_MOST = 13          # slowlog-max-len
    LATENCY_THRESHOLD = 14     # latency-monitor-threshold: ms; 0: off
    LATENCY_TRACKING = 15      # a histogram for each command
    ACLLOG_MOST = 16           # acllog-max-len
    IDLE_TIMEOUT = 18          # timeout: s; 0: none
    KEEPALIVE = 19             # tcp-keepalive: s; 0: off
    LOG_REWRITE_PERCENT = 40   # auto-aof-rewrite-percentage; 0: never
    LOG_REWRITE_LEAST = 41     # auto-aof-rewrite-min-size, bytes
    LOG_CUT_TAIL = 42          # aof-load-truncated
    STOP_WRITES = 43           # stop-writes-on-bgsave-error
    TRACKED_MOST = 17          # tracking-table-max-keys: keys in Node.tracked; 0: no limit
    REPLICA_READ_ONLY = 48
    REPLICA_SERVE_STALE = 49   # replica-serve-stale-data
    REPLICA_PRIORITY = 50      # 0: never to be promoted
    REPLICA_ANNOUNCE_PORT = 51 # 0: the one that is listened on
    REPL_TIMEOUT = 52          # s
    REPL_PING_PERIOD = 53      # repl-ping-replica-period: s
    REPL_BACKLOG_SIZE = 54     # bytes
    REPL_BACKLOG_TTL = 55      # s; 0: kept for ever
    MIN_REPLICAS = 56          # min-replicas-to-write
    MIN_REPLICAS_LAG = 57      # min-replicas-max-lag: s
    SETTINGS = 64              # room for those to come

cdef enum HandleKind:
    DEAD = 0                   # as proxy.wire.poll wants it
    LISTENER = 1
    WAKER = 2
    CLIENT = 3
    LINK = 10                  # to this node's primary: link.pyx
    LINK_WAKER = 11            # the control plane has connected to it

cdef enum RowFlag:
    WRITE = 1
    READONLY = 2
    DENYOOM = 4                # makes memory grow: refused when nothing more can be evicted
    FAST = 8                   # its time is sampled, not measured each time
    NO_AUTH = 16               # allowed before AUTH
    ADMIN = 32
    CONTAINER = 64             # its first argument names a row of its own, "client|id"
    DATASET = 16384            # needs the whole keyspace, though it is neither READONLY nor WRITE
    AT_ONCE = 128              # executed, not queued, between MULTI and EXEC
    BLOCKING = 256             # may make its client wait
    WHILE_SUBSCRIBED = 2048    # allowed to a client in RESP2 that has subscriptions
    NUMKEYS = 4096             # its first argument says how many keys follow


cdef enum:                     # kinds of Channel: index of Node.channels
    CHANNEL = 0
    PATTERN = 1
    SHARD = 2
    CHANNEL_KINDS = 3

cdef enum:                     # classes of client-output-buffer-limit: index of Node.output_limits
    OUTPUT_NORMAL = 0
    OUTPUT_REPLICA = 1
    OUTPUT_PUBSUB = 2
    OUTPUT_CLASSES = 3


cdef struct OutputLimit:       # limits.pyx; 0: none
    uint64_t hard              # bytes
    uint64_t soft              # bytes
    int64_t seconds            # above the soft limit


cdef enum Tracking:            # tracking.pyx: bits of Client.tracking
    TRACK_ON = 1
    TRACK_OPTIN = 2
    TRACK_OPTOUT = 4
    TRACK_BCAST = 8
    TRACK_NOLOOP = 16
    TRACK_CACHING = 32         # CLIENT CACHING was given for the next command
    TRACK_BROKEN = 64          # the client redirected to is gone


cdef enum Guard:               # guard.pyx: reasons to refuse what a client asks
    GUARD_WRITES = 1           # a read-only replica
    GUARD_LOADING = 2          # the keyspace is not complete
    GUARD_STALE = 4            # a replica without its primary, told to serve nothing then
    GUARD_FEW = 8              # a primary with too few replicas


cdef struct Slice:             # bytes borrowed from the request or an entry
    const char* data
    size_t length


cdef struct Member:            # collection.pyx: an element of a Dict; followed by its name, then its payload
    uint32_t key_length        # bytes of the name: a hash's field, a set's or sorted set's member
    uint32_t value_length      # bytes of the payload: a hash's value, a sorted set's score (a double), of a set none


cdef struct Entry:             # keyspace.pyx; followed by the key's bytes, then the value's. Begins as a Member
    uint32_t key_length        # bytes
    uint32_t value_length      # bytes behind the key; 8 where that is a pointer
    int64_t expire_ms          # Unix time in ms; 0: never
    uint32_t clock             # usage.pxd: last use in ticks (node.ticks), or LFU's minutes and counter
    uint8_t type               # ValueType
    uint8_t encoding           # Encoding
    uint16_t count             # elements of a PACK or of INTS


cdef struct Bucket:            # table.pyx; one cache line
    uint8_t tags[SLOTS]        # 8 bits of each entry's hash, never 0; 0: the slot is free
    uint8_t marks              # bit i: slot i has an expiry; CHAINED
    void* slots[SLOTS]         # Entry* or Member*, owned; the last one is a Bucket* when CHAINED


cdef struct Table:
    Bucket* buckets            # aligned inside `block`; NULL: no table
    void* block                # what calloc returned
    uint64_t* volatiles        # bit i: buckets 8i … 8i + 7 may hold keys with an expiry; NULL: none do
    uint64_t mask              # buckets - 1; a power of two
    size_t bytes               # charged for the array


cdef struct Dict:              # table.pyx: the keys of a database, or the elements of a large hash, set or sorted set
    Table tables[2]            # [1] exists only while entries move there from [0]
    uint64_t moved             # buckets of tables[0] that are empty for good while moving
    uint64_t count             # entries
    uint64_t volatile_count    # keys with an expiry; 0 but for keyspaces
    uint64_t sweep             # expire.pyx: next bucket to look at
    size_t head                # bytes from an entry's start to its key: of an Entry or of a Member
    Node* node


cdef struct Database:          # keyspace.pyx
    Dict keys
    Dict watched               # interest.pyx: Topics of WATCH; they stay with the number when SWAPDB moves the keys
    Dict awaited               # Topics of blocked clients
    int number
    int64_t ttl_average        # ms, of its volatile keys: expire.pyx
    Node* node


cdef struct Topic:             # interest.pyx: a key that clients watch or wait for; begins as a Member, its name follows
    uint32_t key_length        # bytes
    uint32_t value_length      # 0
    Interest* first            # who came first
    Interest* last
    Database* database
    Topic* next_ready          # in node.ready
    bint ready                 # in that list, or being served: it is not freed meanwhile


cdef struct Interest:          # one client's in one key
    Topic* topic
    Client* client
    Interest* next             # in the topic, in order of arrival
    Interest* previous
    Interest* sibling          # of the same client
    bint expired               # WATCH found the key past its expiry, so that its removal changes nothing


cdef struct Pop:               # blocking.pyx: what a blocking command does once there is something to do it with
    int type                   # LIST or ZSET: the type of key that serves it
    int form                   # PopForm: of the answer
    bint first                 # takes the first items, the members of lowest score
    bint to_front              # of the target
    Slice count                # as it was written; of MANY
    Slice target               # of ACROSS


ctypedef void (*Handler)(Call* call) noexcept nogil


cdef struct Wait:              # blocked.pyx: a blocked client; the bytes of pop.count and pop.target follow
    Client* client
    Interest* interests
    Pop pop
    uint64_t deadline_us       # monotonic; 0: none
    size_t place               # in node.deadlines
    Handler in_vain            # answers when the time is up; NULL: nil does
    Promise promise            # of WAIT and WAITAOF


cdef struct Transaction:       # transaction.pyx: a client between MULTI and EXEC
    Output queue               # of each request its Row*, then its bytes, never parted
    uint64_t count             # requests
    int flags                  # RowFlags of all of them
    bint begun
    bint spoiled               # a request was refused: EXEC will be too


cdef struct Piece:             # deque.pyx: a run of a list's items; its bytes follow
    Piece* next                # NULL: the last one
    Piece* previous            # of the first one: the last one, so that the Deque is a word shorter
    uint32_t count             # items
    uint32_t room              # bytes
    uint32_t head              # first byte of the first item
    uint32_t tail              # behind the last


cdef struct Deque:             # deque.pyx: a list
    Piece* first
    uint64_t count             # items
    Node* node


cdef struct Ranked:            # ranking.pyx: one member in order
    double score
    Member* member             # owned by Ranking.members


cdef struct Ranking:           # ranking.pyx: a large sorted set
    Dict members               # name -> Member, whose payload is the score
    void* root                 # of the order: a Leaf where depth is 0, else a Branch
    void* first                # leftmost Leaf
    void* last
    int depth


cdef struct Doomed:            # reaper.pyx: a structure that waits to be freed bit by bit
    Doomed* next
    void* structure
    int encoding               # of a value, or KEYSPACE


cdef struct Place:             # where a key is, valid until the table changes
    Entry* entry               # NULL: not there; a Member* in the Dict of a value
    Bucket* bucket
    int slot
    uint64_t hash              # filled in even if the key is not there


cdef struct Candidate:         # evict.pyx
    uint64_t hash              # of the key; found again by it, so that no pointer can dangle
    uint64_t score             # when sampled; the higher, the sooner it goes
    int database


cdef struct Row:               # commands.pyx: one command
    const char* name           # lower case; "client|id" for a subcommand
    int name_length, called_length
    int arity                  # arguments with the name; negative: at least
    int flags                  # RowFlag
    int first                  # position of the first key; 0: none
    int last                   # of the last; negative: from the end
    int step
    Handler handler
    Handler effect             # rewrites.pyx: writes down what it changed; NULL: its own words do
    int parent                 # row of the container, or -1
    const Fact* fact           # NULL: nothing is said of it
    uint32_t categories        # of ACL, a bit each: catalog.pyx
    KeySpec specs[3]
    int spec_count
    const char* called         # by clients: `name`, or a copy of another; "": they have no such command
    uint64_t* latencies        # LATENCIES counters: latency.pyx; NULL: none yet
    uint64_t calls
    uint64_t cycles            # of the clock, spent in the handler: clock.pxd
    uint64_t rejected          # refused before the handler
    uint64_t failed            # answered with an error by the handler


cdef struct Prefix:            # broadcast.pyx; followed by its bytes
    Prefix* next               # in order, in node.prefixes
    Follower* followers
    Dict changed               # keys changed in this turn, and by whom
    uint32_t length            # bytes


cdef struct Follower:          # broadcast.pyx: a client that wants to hear of the keys of a prefix
    Client* client
    Prefix* prefix
    Follower* next_of_client   # in the order of the prefixes
    Follower* next             # of the prefix
    Follower* previous


cdef struct Channel:           # channels.pyx; begins as a Member, its name follows
    uint32_t key_length        # bytes
    uint32_t value_length      # 0
    Subscription* first
    uint64_t count             # of subscribers
    int kind                   # CHANNEL, PATTERN or SHARD


cdef struct Subscription:      # channels.pyx
    Channel* channel
    Client* client
    Subscription* next         # of the channel
    Subscription* previous
    Subscription* sibling      # of the client
    Subscription* elder


cdef struct Client:            # connection.pyx
    Handle handle              # first: what epoll hands back
    Input input
    Output output
    Frame frame
    Client* next               # in node.clients or node.dead
    Client* previous
    Client* next_touched       # delivery.pxd: in node.touched
    Client* next_id            # in its chain of node.ids
    uint64_t id
    Database* database
    int resp                   # 2 or 3
    bint authenticated
    bint trusted               # authenticated as a user who may do everything: nothing to check
    User* user                 # users.pyx; never NULL
    bint closing               # executes nothing more; closed when its output is sent
    bint ended                 # the peer sends nothing more; closed when all is executed and sent
    bint parked                # requests wait: too much output is unread, or the client was blocked until now
    int tracking               # Tracking
    uint64_t redirect          # id of the client that gets its invalidations; 0: itself
    Follower* prefixes         # that it tracks, in order
    Subscription* subscribed[CHANNEL_KINDS]
    uint32_t subscribed_count[CHANNEL_KINDS]
    uint32_t subscriptions     # of all kinds
    bint monitoring            # monitor.pyx
    Client* next_monitor
    int quiet                  # pause.pxd: its replies are thrown away; 0: they are not
    bint held                  # by CLIENT PAUSE: its requests are read and kept
    bint overrun               # beyond its limits: closed without waiting for its output to be sent
    uint64_t soft_since_us     # monotonic: above the soft limit of its output since then; 0: it is not
    bint held_whole            # log.pyx: its output begins with the replies of this turn
    bint touched               # others added to its output: written at the end of the turn
    bint no_evict
    bint no_touch              # its commands leave the LRU clocks alone
    bint dirty                 # a key that it watches was changed
    Interest* watches          # watch.pyx: newest first
    Transaction transaction
    Wait* wait                 # NULL: not blocked; while it is, requests are read and kept
    uint64_t created_us        # monotonic
    uint64_t used_us
    Row* row                   # last command
    void* replica              # a Replica of replication.pxd, if this is the connection of one
    uint64_t written           # where the stream of effects stood after its last write
    char* name                 # of CLIENT SETNAME; malloc, NULL: none; so are the next two
    char* library_name
    char* library_version
    char peer[NAME_MOST]       # address:port
    char local[NAME_MOST]


cdef struct Call:              # execute.pyx: one command being executed
    Node* node
    Client* client
    Database* database
    Output* output             # the client's
    ChunkPool* pool
    Row* row
    Slice* argv
    int argc
    bint failed                # an error was answered


cdef struct Stats:             # since the start or CONFIG RESETSTAT
    uint64_t connections
    uint64_t rejected_connections
    uint64_t commands
    uint64_t input_bytes
    uint64_t output_bytes
    uint64_t reads
    uint64_t writes
    uint64_t hits
    uint64_t misses
    uint64_t expired
    uint64_t expiry_capped     # sweeps that ended because their time was over
    double expired_stale       # share of volatile keys that were past their expiry, a running average
    uint64_t evicted
    uint64_t errors


ctypedef void (*Consumer)(Node* node, void* context, const char* data, size_t length) noexcept nogil


cdef struct Effects:           # effects.pyx: the stream of what was changed
    int consumers              # 0: nobody listens, nothing is written
    int database               # that the stream has selected last; -1: none
    int depth                  # of effects_begin()
    bint begun                 # MULTI is written, EXEC is owed
    Consumer take[CONSUMERS]
    void* contexts[CONSUMERS]
    char* data                 # malloc, EFFECTS_ROOM bytes, of which `length` wait to be handed on; NULL: no consumers
    size_t length
    uint64_t given             # bytes handed on since the start
    uint64_t seen              # Node.changes up to which all is written down
    Text popped                # members that an SPOP has taken, as arguments
    uint64_t popped_count


cdef enum ChildKind:
    NO_CHILD = 0
    SAVING = 1                 # a snapshot
    REWRITING = 2              # the base of the log
    SENDING = 3                # a snapshot for a replica

ctypedef int (*ChildJob)(Node* node) noexcept nogil                     # in the child: 0 or an errno
ctypedef void (*ChildDone)(Node* node, int error, uint64_t cow) noexcept nogil


cdef struct Child:             # child.pyx: the one forked process at a time
    int pid                    # 0: none
    int kind                   # ChildKind
    int pipe                   # it reports here before it ends
    ChildDone done
    uint64_t begun_us          # monotonic
    uint64_t fork_us           # that the latest fork took
    uint64_t forks


cdef struct Node:              # node.pyx
    Poll poll
    Handle listener
    Handle waker
    ChunkPool chunks
    char* scratch              # SCRATCH bytes that every client's input is received into
    Database databases[DATABASES]
    Client* clients
    Client* dead               # closed this turn; freed at its end
    Client* touched            # clients to write to at the end of the turn
    Client** ids               # chains of clients by id, so many as ids_mask + 1
    uint64_t ids_mask
    Client* served             # whose requests are being executed; NULL between clients
    Output deferred            # delivery.pxd: for the client being served, behind its reply
    Dict tracked               # invalidation.pyx: keys that clients may hold, and which clients
    uint64_t tracked_items     # ids in it
    uint64_t tracked_cursor    # of the sweep
    bint tracked_pass          # the sweep is under way
    bint tracked_gone          # ids may have to be swept out
    uint64_t trackers          # clients that track
    Prefix* prefixes           # broadcast.pyx
    uint64_t prefix_count
    bint broadcasts            # some prefix has something to tell
    Dict channels[CHANNEL_KINDS]   # channels.pyx
    OutputLimit output_limits[OUTPUT_CLASSES]
    Client* monitors
    uint64_t paused_until_us   # pause.pyx: monotonic; 0: no pause
    bint paused_all            # not only what writes
    Output discarded           # replies that nobody gets
    int notify                 # notify.pyx: a bit for each letter of notify-keyspace-events
    uint64_t client_count
    uint64_t client_next       # id of the next client
    Call call                  # the one command being executed
    Slice* argv                # room for its arguments, grown as needed
    size_t argv_room
    Output rewritten           # canonical form of an inline request
    Row rows[ROWS_MOST]
    int row_count
    uint16_t row_names[ROW_INDEX]  # hash of the name -> row + 1
    uint16_t row_calls[ROW_INDEX]  # hash of what clients call it -> row + 1; names that are not what they call it: none
    Candidate candidates[POOL_SIZE]    # most idle last
    int candidate_count
    int evict_database         # the one that evict_random() took from last
    size_t memory              # bytes of keys, values and tables, malloc's own included
    size_t memory_peak
    size_t memory_start        # of the empty keyspace
    size_t input_memory        # bytes reserved for unfinished requests
    size_t maxmemory           # bytes; 0: no limit
    int policy
    bint lfu                   # the policy counts uses: what Entry.clock means
    int64_t settings[SETTINGS]
    uint32_t piece_most        # bytes of items in a list's piece, and items: what LIST_PIECE_SIZE says
    uint32_t piece_items
    int maxclients
    int port
    int sweep_database         # expire.pyx
    bint stopping
    bint started               # it serves: what is immutable stays as it is
    bint stop_asked            # by a signal: it stops at the end of the turn, if it can
    bint tick_soon             # housekeeping at the end of this turn
    bint expiry_off            # DEBUG SET-ACTIVE-EXPIRE 0: no sweep
    bint accept_paused         # out of descriptors: tried again at the next tick
    uint64_t now_us            # monotonic, of this turn
    uint64_t start_us
    uint64_t tick_us           # of the last housekeeping
    int64_t now_ms             # Unix time, of the client being served
    uint32_t ticks             # usage.pxd: the LRU clock, in units of 2^16 us (65.5 ms)
    uint64_t random
    uint64_t seed              # of the hash
    char* password             # malloc; NULL: none. The default user's, as CONFIG GET requirepass shows it
    User* users
    User* user_default         # one of them
    char* aclfile              # malloc; NULL: none
    Refusal* refusals          # newest first
    uint64_t refusal_next      # id
    int refusal_count
    Slow* slow
    uint64_t slow_next         # id
    int64_t slow_count
    uint64_t slow_cycles       # from which on a command is slow; UINT64_MAX: none is
    Event events[EVENTS_SEEN]
    ErrorCount errors[CODES]
    uint64_t clock_cycles      # clock.pxd: the cycles and
    uint64_t clock_us          # the time of the start,
    double cycles_us           # and how many cycles a microsecond has
    char* bind
    char run_id[41]
    Doomed* doomed             # reaper.pyx
    uint64_t doomed_count
    uint64_t changes           # writes of keys since the start: changes.pyx
    uint64_t topics            # keys watched or waited for, in all databases
    Topic* ready               # keys waited for that were changed, in that order
    Topic* ready_last
    Wait** deadlines           # a heap, the earliest first
    size_t deadline_count
    size_t deadline_room
    uint64_t blocked_count     # clients
    bint in_exec               # EXEC is running its block: transaction.pxd
    Effects effects
    void* replication          # replication.pxd; whom this node repeats and who repeats it
    Client* primary            # on a replica: for whom its primary's commands are executed; NULL: this is a primary
    int guard                  # Guard: why some commands are refused just now; 0: none is
    char folder[PATH_ROOM]     # dir
    char log_folder[FILE_ROOM] # appenddirname
    char problem[PATH_ROOM * 4]    # what went wrong at the start, in a sentence
    const char* refusal        # writes are answered with it; NULL: they are served
    char refusal_room[512]
    Child child
    void* fold                 # pages.pyx: what goes on before a fork; NULL: nothing
    uint64_t folded_us         # monotonic: when it ended; 0: since the last fork it has not
    Snapshots snapshots
    Log log
    Loading loading
    Stats stats
    uint64_t rate_commands     # stats.commands at rate_us
    uint64_t rate_us
    uint64_t rate              # commands a second, over the last second or so
