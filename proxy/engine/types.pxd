# cython: language_level=3
"""Every struct and enum that the engine's modules share; those of the compiled tables are in rows.pxd, what it counts is
in counters.pxd, the kinds of orders and events in kinds.pxd, hot keys are in heat.pxd. Read this first.

Who owns what:
  Core owns everything of one engine: pools, clients, the chunk pool, the scratch area. One thread, no locks.
  A Client owns its Input, its Output, its ring of Slots and the replies held in them.
  A Conn (node connection) owns its Input, its Output and its ring of Pending requests.
  A Pending points at a Client, a Slot may own a Merge. A client that leaves is kept as a husk until `references`
  (Pendings and control requests that still point at it) is zero; replies for a husk are dropped.
  Request bytes are borrowed from the client's input until they are appended to a Conn's output; reply bytes are
  borrowed from the Conn's input until they are in the client's output or held. Nothing is borrowed across a turn.
"""

from libc.stdint cimport int8_t, int16_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from proxy.engine.counters cimport *
from proxy.engine.kinds cimport *
from proxy.engine.leaves cimport *
from proxy.engine.ring cimport Ring
from proxy.engine.rows cimport *
from proxy.wire.chunk cimport Chunk, ChunkPool
from proxy.wire.input cimport Input
from proxy.wire.mailbox cimport Mailbox
from proxy.wire.output cimport Output, Trail
from proxy.wire.poll cimport Handle, Poll
from proxy.wire.reply cimport ReplyFrame
from proxy.wire.resp cimport Frame


cdef enum HandleKind:
    DEAD = 0                   # closed; waits for the end of the turn to be freed
    LISTENER = 1
    CLIENT = 2
    CONN = 3
    WAKE = 4                   # eventfd: orders from the control plane
    INBOX = 5                  # pipe: sockets handed over by another engine

cdef enum:
    DATABASES = 16
    CONNS = 2 * DATABASES * 2  # connections of one node: protocol x database x (shared | bulk)
    SCRIPTS = 1024             # bodies of scripts that an engine keeps; a power of two
    GHOSTS = 8                 # lost connections of one node to be killed there
    FLUSH_AT = 65536           # bytes queued on a node connection that are sent before the turn ends


# -- clients ------------------------------------------------------------------------------------------------------

cdef enum SlotState:
    SLOT_WAITING = 0           # the reply is not here; `at` and `length`: what it is to, see fence.pxd
    SLOT_HELD = 1              # in client.held, from offset `at`
    SLOT_CHUNK = 2             # `at` is a Chunk* of its own
    SLOT_MERGING = 3           # waiting; `at` is a Merge*
    SLOT_ADDING = 4            # waiting; `at` is to be added to the integer that comes

cdef struct Slot:              # the place of one owed reply; 24 bytes
    size_t at
    uint32_t length
    uint16_t row
    uint8_t state
    uint32_t key               # of the request's only key: 32 bits of its hash; 0: unknown
    uint8_t doubt              # waiting: see fence.pxd

cdef enum ClientFlag:
    CLIENT_TRUSTED = 1         # authenticated, or no password is asked
    CLIENT_PARKED = 2          # input waits although complete: window, unread output or a barrier
    CLIENT_BARRIER = 4         # nothing starts until every slot is answered
    CLIENT_CLOSING = 8         # close when all that is owed was sent
    CLIENT_READY = 16          # in core.ready
    CLIENT_STARVED = 32        # in core.starved: waits for input memory
    CLIENT_ENDED = 64          # the peer closed its side
    CLIENT_STUCK = 128         # the kernel takes no more bytes: waits for EPOLLOUT
    CLIENT_NO_EVICT = 256
    CLIENT_NO_TOUCH = 512
    CLIENT_MULTI = 1024        # commands are queued: client.transaction
    CLIENT_KNOWN = 2048        # the control plane names it: told with EVENT_GONE when it leaves, ends with ORDER_RELEASE
    CLIENT_SUBSCRIBER = 4096   # in subscribe mode: with RESP2 few commands are allowed
    CLIENT_UNTOLD = 8192       # left, and EVENT_GONE did not fit the box yet
    CLIENT_PAUSED = 16384      # its pool is: some requests wait until that ends
    CLIENT_SILENT = 32768      # CLIENT REPLY OFF, or SKIP for one command: replies are dropped, pushes are not
    CLIENT_SKIP = 65536        # silent until `skip_until`
    CLIENT_BLOCKED = 131072    # waits at a node, on a private connection
    CLIENT_WATCHING = 262144   # holds a WATCH: reads are answered by the key's own node and by nothing else
    CLIENT_TRACKING = 524288   # CLIENT TRACKING ON: everything goes by connections of its own
    CLIENT_BURIED = 1048576    # in core.graveyard
    CLIENT_RESTRICTED = 2097152    # its user may not do everything: see rights.pyx
    CLIENT_MONITORED = 4194304     # its requests are shown to somebody's MONITOR
    CLIENT_COPIED = 33554432       # its requests go to all nodes that have the key: see copying.pxd
    CLIENT_TEACHING = 8388608      # its EVAL waits until all engines have the body: see scripts.pxd
    CLIENT_REROUTED = 67108864     # slots changed their nodes while it was owed replies: these come first, see cluster.pxd
    # Clients whose requests leave the straight road of dispatch: see special() there.
    CLIENT_SPECIAL = (CLIENT_MULTI | CLIENT_SUBSCRIBER | CLIENT_PAUSED | CLIENT_TRACKING | CLIENT_RESTRICTED
                      | CLIENT_MONITORED | CLIENT_COPIED | CLIENT_REROUTED)

cdef enum TrackingMode:
    TRACKING_OPTIN = 1
    TRACKING_OPTOUT = 2
    TRACKING_BCAST = 4

cdef enum CachingWish:         # CLIENT CACHING, for the request that follows
    CACHING_YES = 1
    CACHING_NO = 2
    CACHING_FRESH = 4          # that request has not come yet

cdef struct Client:
    Handle handle              # must be first
    uint32_t flags             # ClientFlag
    uint8_t protocol           # 2 or 3
    uint8_t database
    uint16_t port              # peer's, host order
    uint8_t address[16]        # peer's, IPv4 in the first four bytes
    uint8_t family             # AF_INET, AF_INET6, AF_UNIX
    uint64_t id
    Pool* pool
    Client* before             # in core.clients
    Client* after
    Client* next_ready         # in core.ready
    Client* next_starved       # in core.starved
    Client* next_grave         # in core.graveyard
    uint32_t references        # Pendings and control requests that point here
    uint32_t head              # number of the oldest unanswered slot
    uint32_t tail              # number of the next slot
    uint32_t mask              # ring size - 1; meaningless while slots is NULL
    Slot* slots                # ring; NULL while nothing is owed
    Chunk* held                # replies that came before their turn
    uint32_t held_count
    size_t held_bytes
    uint32_t reply_mean        # bytes of a reply, smoothed over the last few; 0: none came yet
    Transaction* transaction   # between MULTI and EXEC, else NULL
    Conn* privates             # private connections that it holds
    Conn* watch                # the one of them with its WATCH; NULL while CLIENT_WATCHING: it was lost
    char* tracking             # the request that turned tracking on, for connections opened later; NULL: off
    uint32_t tracking_length
    uint8_t tracking_mode      # TrackingMode
    uint8_t caching            # CachingWish
    uint64_t wrote             # nodes that it sent a write, by the low six bits of their index
    Output output
    Input input
    size_t need                # bytes of the incomplete request, as far as known
    Frame frame
    char* name                 # zero terminated, or NULL
    char* library              # "name version" as CLIENT LIST shows them, or NULL
    char* library_version
    uint64_t since_us          # monotonic
    uint64_t active_us
    uint64_t commands
    uint64_t skip_until        # of `commands`, where CLIENT_SKIP ends
    uint64_t shown             # of `commands`, that MONITOR showed last
    uint64_t taught            # of `commands`, whose script the control plane was told last
    int64_t spent_us           # until when the scripts that it brought are paid for
    uint64_t received
    uint64_t sent
    uint16_t last_row
    uint8_t deferred           # turns that its replies have waited for more of them
    uint8_t write_level        # voices.Level, of what it writes and reads where keys have copies
    uint8_t read_level
    uint8_t once_write         # and of the request that is number `once` of `commands`
    uint8_t once_read
    uint64_t once
    User* user                 # of pool.users
    uint32_t together          # what comes before this slot leaves with the reply of the slot before it
    uint64_t fan_hash          # of the key whose copies on other nodes it waits for,
    uint32_t fan_reads         # how many replies it is owed from there,
    uint8_t fan_place          # and from which Place
    uint32_t write_end         # the slot behind its last request that was no read, where the pool has replicas
    uint32_t apart_end         # and behind its last read that may be answered by a replica
    uint32_t home_end          # the slot behind its last request that asked for hot keys at home,
    uint64_t home_keys         # and a filter over the keys that such requests are for: see fence.pxd
    uint32_t doubts            # how many of its slots are in doubt
    uint64_t slow_us           # a subscriber: since when its unread output is above pubsub_soft; 0: it is not

cdef enum:
    PLACE_SPLIT = 0xFFFE       # of a queued command of which several blocks have a part
    PLACE_LOCAL = 0xFFFF       # of a queued command that the proxy answers by itself

cdef struct Block:             # what one place gets of a transaction
    int place                  # where its keys live: see route.pxd
    Output bytes               # MULTI and the queued commands
    uint32_t commands

cdef struct Transaction:       # what a client has queued
    Block* blocks
    uint32_t block_count
    uint32_t queued
    uint32_t room              # of `places`
    uint32_t locals
    uint16_t* places           # by queued command: its block, PLACE_SPLIT or PLACE_LOCAL
    Merge* splits              # the commands at PLACE_SPLIT, in the order of queueing
    Merge* last_split
    Output local               # the replies of commands that the proxy answers by itself
    size_t bytes               # of all that is queued; charged to core.input_reserved
    uint8_t broken             # something was refused: EXEC runs nothing
    uint8_t movable            # the only block is of commands without keys: it goes to the node of the first key
    uint8_t pauses             # something of it waits while writes are paused
    uint16_t* notes            # stripes of the keys that it may write
    uint32_t noted
    uint32_t note_room
    int* copies                # where keys have copies: their nodes, which are the same for all; NULL: no key came yet
    int copy_count
    Output keys                # that it writes there: a uint32_t length and the bytes, each
    uint32_t key_count


# -- nodes --------------------------------------------------------------------------------------------------------

cdef enum ConnState:
    CONN_IDLE = 0              # not wanted yet, or closed for idleness: opens on use
    CONN_LOST = 1              # was fine a moment ago: requests queue while the control plane reconnects
    CONN_DOWN = 2              # could not be opened: requests are refused until it can
    CONN_CONNECTING = 3
    CONN_GREETING = 4          # AUTH, SELECT, names, CLIENT KILL of the predecessor
    CONN_OPEN = 5

cdef enum GreetingStep:
    STEP_END = 0
    STEP_AUTH = 1              # HELLO or AUTH: must succeed
    STEP_SELECT = 2            # must succeed
    STEP_ANY = 3               # its answer does not matter
    STEP_ID = 4
    STEP_RUN = 5               # INFO server: run_id
    STEP_KILL = 6

cdef enum Hold:                # what a private connection is taken for
    HOLD_WAIT = 0
    HOLD_WATCH = 1
    HOLD_TRACK = 2

cdef struct Pending:           # one request on its way, or one transaction; 40 bytes
    Client* client             # NULL: a tombstone
    uint32_t slot
    uint32_t part              # of a Merge; of an EVALSHA: the script's number
    uint32_t start             # low 32 bits of the clock (us) when it was queued
    uint32_t size              # bytes
    uint32_t skip              # replies before the one that answers: those to MULTI and to what it queues
    uint16_t row
    uint8_t role               # heat.Role: what else hangs on its reply
    uint8_t hops               # times that a node of a cluster sent it on
    uint64_t cool              # of that role: marks that are open, or a Fetch*

cdef struct Conn:
    Handle handle              # must be first
    Node* node
    uint8_t protocol
    uint8_t database
    uint8_t bulk               # carries large requests only
    uint8_t private            # serves one client at a time, and is none of node.conns
    uint8_t blocking           # private: its client waits, without a deadline
    uint8_t watching           # private: its client's WATCH is on it
    uint8_t tracking           # private: it tells its client what was changed
    uint8_t retains            # what it sends is kept until it is answered, see retained.pxd
    uint8_t released           # private: the node was asked to end the wait
    uint8_t ear                # private, nobody's: it hears of keys that were changed, see ear.pxd
    uint8_t keeps              # what is not answered is kept, to be sent to another node: see redirect.pxd
    uint8_t reader             # READONLY was said on it: a replica of a cluster answers reads
    Client* owner              # private: who holds it; NULL: spare
    Conn* next_owned           # in client.privates
    Conn* next_private         # in node.privates
    Conn* last_private
    Conn* next_spare           # in node.spares
    Conn* next_lost            # in core.lost_privates
    uint8_t state              # ConnState
    uint8_t untold             # the control plane does not know yet that it is lost: its mailbox was full
    uint8_t refusing           # requests are refused until it is open again
    uint8_t touched            # in core.touched
    uint8_t stuck              # waits for EPOLLOUT
    uint8_t deferred           # turns that its requests have waited for more of them
    Conn* next_touched
    Output output              # requests
    char* told                 # keeps: where a command that it queues for EXEC belongs, in the node's words; or NULL
    Trail trail                # those that were sent
    uint32_t seen[2]           # requests before these need not be looked at for being late: by the hedge's time, and by
    uint64_t seen_offset[2]    # half of the deadline
    Output greeting
    Input input
    ReplyFrame frame
    Pending* pending           # ring
    uint32_t mask
    uint32_t head
    uint32_t tail
    uint32_t expired           # tombstones at the head
    uint32_t failures          # in a row
    uint32_t flushes           # times that something was given to the kernel
    int64_t tracked            # id of the ear that hears of what is read here after CLIENT CACHING YES; 0: none
    uint64_t head_offset       # place of the oldest Pending in the stream of request bytes
    uint64_t queued            # bytes of requests ever appended; minus output.length: given to the kernel
    uint64_t progress_us       # last time the kernel took or brought bytes
    uint64_t proved_us         # it was alive at the node then or later: a request queued at that time was answered
    uint64_t used_us           # last request
    uint64_t since_us          # state entered
    uint8_t steps[24]          # greeting answers to come
    uint8_t step
    uint8_t kills              # ghosts that its greeting asked the node to kill
    int64_t killing[GHOSTS]    # their ids
    int64_t id                 # CLIENT ID at the node; 0: unknown
    uint64_t failed_us         # when requests timing out last counted as a failure
    uint64_t told_us           # last EVENT_SICK or report of timeouts
    char why[96]               # why it is down, for the errors of refused requests
    char run[41]               # run_id of the node; empty: unknown

cdef struct Node:
    Pool* pool
    int index
    int primary                # index of the member that it is a replica of; of a member its own
    int first_replica          # of a member: where its replicas begin in pool.replicas,
    int replica_count          # and how many they are
    uint8_t readable           # of a replica: it may be asked for reads, as far as the control plane knows
    uint64_t fresh_us          # of a replica: it has all that its primary had at this time
    char* name
    char* address              # for people
    uint8_t socket_address[128]
    uint32_t socket_length     # 0: not resolved yet
    uint8_t ejected
    uint8_t patient            # requests wait for a connection rather than being refused: see seats.pxd
    char expected_run[41]      # run_id of the process that has to be behind it; empty: any
    char seat[128]             # its address for people, where it was changed
    uint8_t member             # has keys of its own; of a cluster: is there, and holds slots
    uint8_t away               # voices.Away: it misses, or has missed, what is written
    uint8_t subscribed         # all that our clients subscribed to here is confirmed by the node
    uint8_t ghost_count
    int64_t ghosts[GHOSTS]     # ids of lost connections whose requests may still be executed; killed before new ones
    char ghost_run[41]         # run_id of the node that knew them
    uint8_t scripts[SCRIPTS >> 3]   # bits: the scripts that it holds, see scripts.pxd
    char scripts_run[41]       # run_id of the process that does
    Conn* conns[CONNS]
    Conn* privates             # all private connections
    Conn* spares               # those that nobody holds
    uint32_t* blocked          # clients that wait here, of all engines; atomic
    uint32_t* watching         # clients that hold a WATCH here or track keys; atomic
    Conn* ear                  # NULL: no copy of this node's keys is tracked
    uint64_t ear_wanted_us     # until when it is to be kept awake
    uint64_t ear_retry_us      # from when it may be opened again
    uint64_t ping_us           # when the ear's PING that is on its way was sent; 0: none is
    uint64_t pinged_us         # when the last one was
    uint64_t live_until_us     # until when it is as good as certain that the ear hears
    uint64_t forgets           # times that all copies of this node's keys became void
    uint64_t* copied           # until when it may have copies of other nodes' keys, of all engines; atomic
    uint64_t out_until_us      # it gets none before: it did not take a tombstone
    uint64_t requests
    uint64_t errors            # error replies
    uint64_t timeouts
    uint64_t losses
    uint64_t retries           # reads that it was asked for after another node, of core.counters.retries,
    uint64_t hedges            # of hedges,
    uint64_t hedges_won        # and of hedges_won
    uint64_t hints             # writes that it was said to have missed
    uint64_t bytes_out
    uint64_t bytes_in
    uint64_t latency_us        # sum
    uint32_t smooth_us         # eight times its latency, smoothed; 0: not known yet
    uint32_t slow_us           # what 95 of 100 replies took no longer than, about

cdef struct PoolLimits:
    uint32_t window            # requests of one client that are at nodes
    uint32_t most_clients      # 0: any number
    uint64_t output_soft
    uint64_t output_hard
    uint64_t pubsub_hard       # unread output of a subscriber, from where it is closed
    uint64_t pubsub_soft       # and from where it is closed after pubsub_soft_us
    uint64_t pubsub_soft_us
    uint64_t query_buffer
    uint64_t backlog           # unsent bytes of one node connection
    uint64_t bulk              # requests of this size take the bulk connection
    uint64_t max_bulk          # bytes of one argument
    uint32_t timeout_us        # 0: none
    uint32_t connect_timeout_us
    uint32_t most_blocked      # clients that wait at one node
    uint32_t most_watching     # clients that hold a WATCH at one node or track keys
    uint32_t most_tombstones
    uint32_t tombstone_us      # age of the oldest tombstone that ends a connection
    uint64_t idle_us           # clients that are silent for so long are closed; 0: none

cdef struct Pool:
    Handle listener            # must be first
    Core* core
    int index
    char* name
    Ring* ring                 # owned by the Python object that the facade keeps
    void* cluster              # cluster.Cluster; NULL: keys are placed by the ring
    Node* nodes                # the members of the ring, then their replicas
    int node_count             # members; of a cluster: places for any node
    int node_total             # and replicas
    int* replicas              # indexes of nodes, those of one member together
    uint8_t* live              # by node: 0 when ejected and auto_eject
    uint8_t auto_eject
    uint8_t leased             # a write is acknowledged only under a lease: see lease.pxd
    const char* late           # the error reply to a write whose acknowledgement waited until the lease was over
    size_t late_length
    uint16_t generation        # of the seats
    uint8_t retains            # it has replicas, or copies on the ring: reads may be asked again
    ReadRules reads
    uint8_t copies             # nodes that have a key, with `replication: ring`; 0: its home alone
    uint8_t write_level        # voices.Level
    uint8_t read_level
    uint8_t nil_on_error
    uint8_t split_transactions # a transaction may have a block for each of several nodes
    uint8_t unix_socket
    uint8_t database           # where its clients start
    uint8_t paused             # PauseMode
    uint64_t paused_until_us
    uint8_t monitored
    char path[112]             # of its unix socket, for MONITOR
    Output shown               # lines for MONITOR, of this turn
    uint64_t unseen            # requests that MONITOR did not show, since it was told
    uint32_t client_flags      # ClientFlags that all its clients have, those to come included
    uint32_t clients
    User* users                # who its clients may be; owned by the Python object that the facade keeps
    User* default_user         # whom they are before they say
    uint32_t user_count
    char* node_auth            # "AUTH …" or the AUTH part of HELLO, as RESP arguments; NULL: none
    uint32_t node_auth_length
    uint32_t node_auth_args
    PoolLimits limits
    Audiences audiences
    uint8_t cools              # its hot keys are looked for
    uint8_t shields            # some of its rules has a shield
    uint8_t fans               # some of them have copies on other nodes
    uint32_t hot_threshold     # requests a second, for this engine alone, that make a key hot
    uint32_t hot_count         # what the sketch counts then
    HotRule* hot_rules         # the first one is for every key; owned by the Python object that the facade keeps
    int hot_rule_count
    uint8_t merges             # the most that one of its rules does: MergeMode
    uint8_t sharded            # some of its counters are spread over several nodes: see shards.pxd
    uint8_t alone              # all of its clients belong to one engine: see early.pxd
    CounterRule* counter_rules # the first one is for every key; owned by the Python object that the facade keeps
    int counter_rule_count


# -- the engine ---------------------------------------------------------------------------------------------------

cdef struct Peers:             # shared by the engines of one process
    int count
    int* inbox                 # write ends of the pipes
    uint32_t* clients          # connected clients by engine; atomics
    uint64_t* ids              # next client id; atomic
    uint32_t* held             # two a node, pool after pool: clients that wait there, clients that watch there; atomics
    uint64_t** marks           # by engine: see marks.pxd
    uint64_t forgets           # times that all copies became void; atomic
    uint64_t seed              # of the hashes of keys
    uint64_t* fans             # by stripe: until when copies of such keys may be on other nodes; atomic. NULL: never
    uint64_t* copied           # by node, pool after pool: see Node.copied
    uint64_t* leases           # by pool: see lease.pxd; atomic

cdef struct Core:
    Poll poll
    int index                  # of this engine
    Peers* peers
    Handle wake                # orders
    int event_fd               # written when events were posted
    Handle inbox
    Mailbox orders             # Order*
    Mailbox events             # Event*
    uint8_t posted             # events of this turn
    uint8_t draining
    uint8_t stopped
    int reserve_fd             # given up to refuse a client when descriptors run out
    uint64_t now_us
    uint64_t tick_us
    uint64_t trim_us           # when memory was last looked at
    size_t peak                # most bytes of chunks since the last trim
    uint8_t busy               # something happened since the last tick: tick again soon
    ChunkPool chunks
    char* scratch              # SCRATCH + SLACK bytes
    Output rewritten
    Frame rewritten_frame
    uint8_t fenced             # what was just received may not be acknowledged
    Output fence               # the error in its place
    uint8_t moved              # the request being dispatched was taken over as a chunk
    size_t input_reserved      # bytes: the meter of all client inputs
    size_t input_limit
    size_t output_limit        # bytes of chunks beyond which a client gets one reply at a time
    Pool* pools
    int pool_count
    int paused_pools
    int monitored_pools
    uint64_t monitor_backlog   # bytes of lines in the box of events; atomic
    Row* rows
    int row_count
    void* lookup               # lookup.Table
    RowStats* row_stats
    Template errors[ERROR_KINDS]
    Client* clients
    uint32_t client_count
    Client* ready
    Client* starved_first
    Client* starved_last
    Client* privileged         # the one that may exceed input_limit
    uint64_t privileged_us     # when it was admitted, or last sent something
    Conn* touched
    Conn* lost_privates        # private connections to be freed when nothing names them any more
    Client* graveyard          # closed in this turn: freed at its end, when no list or event can name them
    KeyRef* keys
    KeyRef* args               # all arguments, in the same block; valid after keys_find
    size_t key_room
    uint32_t key               # Slot.key of the request at hand
    uint8_t spread             # the request at hand is a read of a hot key, to be spread over replicas
    uint8_t asks_again         # reads of some pool may be asked again
    uint8_t hedges             # some pool hedges: late reads are looked for every millisecond or so
    uint64_t late_us           # when they were,
    uint64_t late_second_us    # and when the second began in which reads are counted
    void* agains               # again.Again, the oldest first: reads that are asked again
    void* last_again
    uint8_t agains_due         # some are to be asked now
    char* kept                 # room for a request that lies in several chunks
    size_t kept_room
    uint64_t random_state
    void* scripts              # scripts.Scripts; NULL: none was learned
    void* undecided            # voices.Quorum: requests that a connection told something of
    void* heat                 # heat.Heat; NULL: no pool cools its hot keys
    uint64_t asked             # of the request at hand, for its slot: see fence.pxd
    uint32_t order             # the highest so far: see fence.pxd
    void* tallies              # tally.Tallies; NULL: no pool merges increments
    void* shards               # tally.ShardTable; NULL: no pool spreads counters
    uint32_t tallied           # counters in it
    uint64_t early_owed        # requests that were answered and that the node has not confirmed
    uint64_t gather_due_us     # when the next wave has gathered long enough; 0: none waits for that
    void* joined               # tally.Wave that the request at hand joined, which may come again; else NULL
    void* served               # heat.Copy that answered the request at hand, which may come again; else NULL
    uint16_t* notes            # stripes of the keys that the request at hand may write: see marks.pxd
    uint32_t noted
    uint32_t note_room
    uint64_t audience_seed
    uint64_t denied_us         # when the second began that the next counts
    uint32_t denied            # events of refused requests in it
    char* agent                # "quench:<proxy>:<engine>"
    Counters counters


# -- orders and events ----------------------------------------------------------------------------------------------

cdef struct Order:
    int kind
    int pool
    int node
    int flag
    Client* client
    uint32_t slot
    uint32_t length
    uint64_t tag
    char* data                 # behind this struct

cdef struct Event:
    int kind
    int pool
    int node
    int code                   # EVENT_NODE: failures in a row; EVENT_REQUEST: protocol (`node` is the database);
                               # EVENT_DENIED: Denial; data is the user's name (`slot` bytes), what was refused
                               # (`node` bytes) and a line of client_describe(); `tag`: in a transaction
    Client* client
    uint32_t slot
    uint32_t length
    uint64_t tag
    char* data                 # behind this struct
