# cython: language_level=3
"""Rows: the structs that proxy/commands.py and proxy/errors.py are compiled into (tables.pyx), as types.pxd passes on."""

from libc.stdint cimport int8_t, int16_t, uint8_t, uint16_t, uint32_t, uint64_t


cdef enum:
    NAME_ROOM = 32             # bytes of a command or subcommand name, zero padded
    SPECS = 3                  # key specs of one command
    OPTIONS = 6                # options with operands of one command


# -- commands -----------------------------------------------------------------------------------------------------

cdef enum Lane:                # commands.Lane
    LANE_FAST = 0
    LANE_MGET = 1
    LANE_MSET = 2
    LANE_SUM = 3
    LANE_ENGINE = 4
    LANE_CONTROL = 5
    LANE_LATER = 6
    LANE_REFUSED = 7

cdef enum RowFlag:
    ROW_WRITE = 1
    ROW_BEFORE_AUTH = 2        # may run before AUTH
    ROW_CONTAINER = 4          # has subcommands
    ROW_BARRIER = 8            # starts when all earlier slots are answered
    ROW_MULTI = 16             # opens a transaction
    ROW_EXEC = 32              # runs it
    ROW_DISCARD = 64           # drops it
    ROW_RESET = 128            # drops it, and everything else that a client has set
    ROW_QUIT = 256             # ends the connection, in a transaction too
    ROW_WATCH = 512
    ROW_UNWATCH = 1024
    ROW_NO_MULTI = 2048        # not allowed in a transaction
    ROW_ONE_NODE = 4096        # in a transaction, the only node of a pool may run it
    ROW_BLOCKS = 8192          # waits at the node: takes a private connection
    ROW_WAIT = 16384           # waits for replicas: a private connection to every node written to
    ROW_PAUSES = 32768         # waits while writes are paused
    ROW_TRACKING = 65536       # CLIENT TRACKING and what belongs to it
    ROW_EVALSHA = 131072       # names a script by its digest: see scripts.pxd
    ROW_PUBLISH = 262144       # its key is a channel, its reply the number of receivers
    ROW_SHARD = 524288         # a shard channel
    ROW_SUBSCRIBED = 1048576   # allowed in RESP2's subscribe mode
    ROW_SCRIPT = 2097152       # runs code at the node, where the rights of a client's user do not hold
    ROW_KEYLESS = 4194304      # has key specs, and may do without a key
    ROW_UNSEEN = 8388608       # administration: MONITOR does not show it
    ROW_EVAL = 16777216        # brings a script's body: see scripts.pxd
    ROW_CACHEABLE = 33554432   # a deterministic read of one key
    ROW_GET = 67108864
    ROW_READ = 134217728       # a read that a replica can answer
    # Rows that leave the straight road of dispatch: see special() there.
    ROW_SPECIAL = (ROW_MULTI | ROW_EXEC | ROW_DISCARD | ROW_RESET | ROW_WATCH | ROW_UNWATCH | ROW_BLOCKS | ROW_WAIT
                   | ROW_TRACKING | ROW_EVAL)

cdef enum Begin:               # how a key spec says where to begin
    BEGIN_INDEX = 0            # at a position
    BEGIN_KEYWORD = 1          # behind the first argument that is this word
    BEGIN_OPTION = 2           # behind the last option of this name, options being read with their operands

cdef enum KeyUse:              # what a request does to the content of a key; neither: it asks about the key only
    USE_READ = 1
    USE_WRITE = 2

cdef enum Varies:              # what a request does that its key specs do not tell, but its options
    VARIES_NOT = 0
    VARIES_SET = 1             # reads with GET
    VARIES_BITFIELD = 2        # writes unless it has GET alone
    VARIES_SORT = 3            # BY and GET read keys that are named by elements

cdef enum Channels:            # which arguments are channels that need a right
    CHANNELS_NONE = 0
    CHANNELS_ONE = 1           # the first
    CHANNELS_ALL = 2
    CHANNELS_PATTERNS = 3      # all, and they are patterns

cdef struct KeySpec:
    uint8_t begin              # Begin
    uint8_t by_number          # find: keys counted by an argument; else a range
    int index                  # begin: position, or where the search starts (negative: from the end)
    int last                   # range: relative to the first key; negative: from the end
    int step
    int limit
    int number_index           # keynum: where the count is, relative to the begin
    int first                  # keynum: where the first key is, relative to the begin
    uint8_t use                # KeyUse
    char keyword[NAME_ROOM]    # lower case

cdef enum Adds:                # what a request adds to a counter
    ADDS_NOTHING = 0
    ADDS_ONE = 1
    ADDS_LESS_ONE = 2
    ADDS_ARGUMENT = 3
    ADDS_LESS_ARGUMENT = 4     # as much as the argument, and the other way
    ADDS_FIELD = 5             # the argument, to a field of a hash
    ADDS_LIFE = 6              # nothing, but it may travel behind increments: EXPIRE
    ADDS_ELEMENTS = 7          # elements to a set: the same ones may travel together
    ADDS_LOGGED = 8            # elements to a HyperLogLog

cdef enum Tells:               # which counter a read tells of
    TELLS_NOTHING = 0
    TELLS_KEY = 1              # GET
    TELLS_FIELD = 2            # HGET

cdef struct Row:
    char name[NAME_ROOM]       # lower case, of a subcommand without its container
    char full_name[2 * NAME_ROOM]  # as errors show it: "client|id"
    uint16_t index             # position in core.rows
    int16_t arity              # negative: at least
    uint32_t flags             # RowFlag
    uint8_t lane
    uint8_t key                # position of the only key, when it is fixed; else 0
    uint8_t answer             # LANE_ENGINE: Answer
    uint8_t kind               # latency class: LatencyClass
    uint8_t varies             # Varies
    uint8_t effect             # effects.Effect
    uint8_t channels           # Channels
    uint8_t adds               # Adds: increments of one key may travel together
    uint8_t tells              # Tells
    uint8_t shardable          # of a sharded counter the control plane answers it
    uint8_t spec_count
    uint16_t children          # first subcommand row; 0: none
    uint16_t child_count
    char blocks_with[NAME_ROOM]    # option that makes the command blocking; empty: none
    uint8_t option_count
    int8_t operands[OPTIONS]   # arguments of an option; negative: all the rest
    char options[OPTIONS][NAME_ROOM]
    const char* refusal        # LANE_LATER, LANE_REFUSED: the whole error reply
    uint32_t refusal_length
    KeySpec specs[SPECS]

cdef enum Answer:              # LANE_ENGINE rows; the names are in answers.ANSWERS
    ANSWER_PING = 1
    ANSWER_ECHO = 2
    ANSWER_QUIT = 3
    ANSWER_RESET = 4
    ANSWER_HELLO = 5
    ANSWER_AUTH = 6
    ANSWER_SELECT = 7
    ANSWER_TIME = 8
    ANSWER_CLIENT_ID = 9
    ANSWER_CLIENT_SETNAME = 10
    ANSWER_CLIENT_GETNAME = 11
    ANSWER_CLIENT_SETINFO = 12
    ANSWER_CLIENT_FLAG = 13    # NO-EVICT, NO-TOUCH
    ANSWER_CLIENT_OK = 14      # MAINT_NOTIFICATIONS
    ANSWER_NOT_CLUSTER = 15    # READONLY, READWRITE, ASKING, CLUSTER
    ANSWER_SPECIAL = 16        # answered before, by special() of dispatch.pyx
    ANSWER_CLIENT_REPLY = 17
    ANSWER_TRACKING = 18       # these four by tracking.pyx
    ANSWER_CACHING = 19
    ANSWER_GETREDIR = 20
    ANSWER_TRACKINGINFO = 21
    ANSWER_ACL_WHOAMI = 22
    ANSWER_QUENCH = 40         # CLIENT QUENCH

cdef enum LatencyClass:
    CLASS_READ = 0
    CLASS_WRITE = 1
    CLASS_SPLIT = 2
    CLASS_LOCAL = 3
    CLASSES = 4

cdef struct KeyRef:
    const char* data
    size_t length
    uint32_t argument          # its position in the request
    int node                   # after keys_find: the key spec that found it


# -- hot keys -----------------------------------------------------------------------------------------------------

cdef enum CopyMode:
    COPIES_OFF = 0
    COPIES_TRACKED = 1         # while the node tells what was changed
    COPIES_TTL = 2             # for a time, whatever happens

cdef struct HotRule:           # what is done for hot keys of a prefix
    const char* prefix
    uint32_t length
    uint8_t copies             # CopyMode
    uint64_t life_us           # of a copy, at most
    uint64_t stale_us          # and how much longer while the node is down
    uint64_t shield_us         # that others wait while one client loads what is missing; 0: nobody waits
    uint8_t early              # one loads it before it expires
    uint8_t fan_out            # copies on other nodes
    uint64_t fan_life_us       # of one of them, at most


# -- hot counters -----------------------------------------------------------------------------------------------------

cdef enum MergeMode:           # which increments travel together
    MERGE_OFF = 0
    MERGE_HOT = 1              # of hot keys
    MERGE_ALL = 2

cdef struct CounterRule:       # what is done for counters of a prefix
    const char* prefix
    uint32_t length
    uint8_t merges             # MergeMode
    uint8_t early              # they are answered before the node has them: see early.pxd
    uint8_t shards             # nodes that one counter is spread over; 1: it is not
    uint32_t most              # increments that travel together
    uint64_t window_us         # that they wait for others


# -- users --------------------------------------------------------------------------------------------------------

cdef struct Pattern:           # keys or channels that are open
    const char* text           # a glob
    uint32_t length
    uint8_t use                # keys: KeyUse that it allows

cdef struct FirstArgument:     # a command that is permitted with this first argument
    const char* word           # lower case, zero terminated
    uint16_t row

cdef struct Selector:          # a request is permitted when one selector permits all of it
    uint64_t* commands         # a bit for each row
    FirstArgument* first
    Pattern* keys
    Pattern* channels
    uint32_t first_count
    uint32_t key_count
    uint32_t channel_count
    uint8_t all_keys
    uint8_t all_channels

cdef struct User:
    const char* name           # zero terminated
    uint32_t name_length
    uint32_t index             # in pool.users
    uint8_t enabled
    uint8_t any_password
    uint8_t restricted         # its requests are checked
    uint8_t scripts            # may run ROW_SCRIPT all the same
    uint32_t hash_count
    uint32_t selector_count
    const uint8_t* hashes      # SHA-256 of its passwords, 32 bytes each
    Selector* selectors


# -- errors -------------------------------------------------------------------------------------------------------

cdef enum ErrorKind:           # rows of errors.ENGINE_ERRORS, in this order
    ERROR_UNKNOWN_COMMAND = 0
    ERROR_UNKNOWN_SUBCOMMAND = 1
    ERROR_ARITY = 2
    ERROR_NOAUTH = 3
    ERROR_CROSSSLOT = 4
    ERROR_NODE_DOWN = 5
    ERROR_NO_NODE = 6
    ERROR_TIMEOUT_NOT_SENT = 7
    ERROR_TIMEOUT_READ = 8
    ERROR_TIMEOUT_WRITE = 9
    ERROR_LOST_NOT_SENT = 10
    ERROR_LOST_READ = 11
    ERROR_LOST_WRITE = 12
    ERROR_BACKLOG = 13
    ERROR_MAX_CLIENTS = 14
    ERROR_BUSY = 15
    ERROR_BLOCKED = 16         # as many wait at the node as may
    ERROR_WATCHED = 17         # as many hold a WATCH there as may
    ERROR_IN_MULTI = 18        # not in a transaction
    ERROR_WATCH_NODE = 19      # not on the node of the watched keys
    ERROR_TRANSACTION = 20     # a transaction that is too large
    ERROR_REDIRECT = 21        # CLIENT TRACKING … REDIRECT
    ERROR_SUBSCRIBED = 22      # not in RESP2's subscribe mode
    ERROR_NOPERM_COMMAND = 23
    ERROR_NOPERM_KEY = 24
    ERROR_NOPERM_CHANNEL = 25
    ERROR_NOPERM_SCRIPT = 26
    ERROR_NOPERM_SORT_BY = 27  # with keys that the user may not read
    ERROR_NOPERM_SORT_GET = 28
    ERROR_RESERVED_KEY = 29    # the name of a copy on another node
    ERROR_QUORUM_NOT_SENT = 30     # too few nodes that have the keys can be asked
    ERROR_QUORUM_UNKNOWN = 31      # too few of them confirmed a write
    ERROR_QUORUM_READ = 32         # too few of them answered a read
    ERROR_COPIES_REFUSED = 33      # not where keys have copies
    ERROR_COPIES_HIDDEN = 34       # the name of a key of our own
    ERROR_NO_SLOT = 35         # of a cluster: nobody is known to hold the key's slot
    ERROR_CLUSTER_DOWN = 36    # a node of a cluster serves nobody
    ERROR_NOT_REDIRECTED = 37  # it belongs to another node of the cluster, and did not get there
    ERROR_FENCED = 38          # a write was answered when the lease was over
    ERROR_SHARDED = 39         # not for a counter that is spread over several nodes
    ERROR_KINDS = 40

cdef enum ErrorField:
    FIELD_NONE = 0
    FIELD_COMMAND = 1
    FIELD_ARGUMENTS = 2
    FIELD_POOL = 3
    FIELD_NODE = 4
    FIELD_ADDRESS = 5
    FIELD_REASON = 6
    FIELD_ELAPSED = 7
    FIELD_LIMIT = 8
    FIELDS = 9

cdef enum:
    PIECES = 12

cdef struct Template:          # literal, field, literal, field … of one error text
    int count
    const char* literal[PIECES]
    uint32_t length[PIECES]
    uint8_t field[PIECES]      # what follows the literal; FIELD_NONE: nothing
    uint64_t made              # how often (statistics)

cdef struct ErrorArgs:
    const char* text[FIELDS]
    uint32_t length[FIELDS]
