# cython: language_level=3
"""The storage node's structures: what a key is in memory, what a client is, what one command sees.

    Node ── databases[16] ── Table ── Bucket (7 slots, 64 bytes) ── Entry (header, key, value in one block)
      └──── clients (a list) ── Client ── Input, Frame, Output of proxy.wire

Everything belongs to one Node and one thread; there is no lock. Types only: the module named beside each owns it.
"""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from proxy.wire.chunk cimport ChunkPool
from proxy.wire.input cimport Input
from proxy.wire.output cimport Output
from proxy.wire.poll cimport Handle, Poll
from proxy.wire.resp cimport Frame

cdef enum:
    DATABASES = 16
    SLOTS = 7                  # entries of a bucket; a chained bucket has one fewer
    CHAINED = 0x80             # Bucket.marks: the last slot is the next bucket of the chain
    ROWS_MOST = 160            # rows of the command table, subcommands included
    ROW_INDEX = 512            # places of the index over the names; a power of two, well above ROWS_MOST
    POOL_SIZE = 16             # candidates kept between evictions
    NAME_MOST = 64             # bytes of an address as text, with its port and the final NUL

cdef enum ValueType:
    STRING = 0                 # Redis's numbering, as in its dump format: list 1, set 2, zset 3, hash 4

cdef enum Encoding:            # what OBJECT ENCODING answers; a string's bytes are stored alike in all three
    RAW = 0
    EMBSTR = 1
    INTEGER = 2

cdef enum Policy:
    NOEVICTION = 0
    ALLKEYS_LRU = 1

cdef enum HandleKind:
    DEAD = 0                   # as proxy.wire.poll wants it
    LISTENER = 1
    WAKER = 2
    CLIENT = 3

cdef enum RowFlag:
    WRITE = 1
    READONLY = 2
    DENYOOM = 4                # makes memory grow: refused when nothing more can be evicted
    FAST = 8                   # its time is sampled, not measured each time
    NO_AUTH = 16               # allowed before AUTH
    ADMIN = 32
    CONTAINER = 64             # its first argument names a row of its own, "client|id"


cdef struct Entry:             # keyspace.pyx; followed by the key's bytes, then the value's
    int64_t expire_ms          # Unix time in ms; 0: never
    uint32_t key_length        # bytes
    uint32_t value_length      # bytes of a string's value; of another type: 8, a pointer to its structure
    uint32_t clock             # last use in ticks (node.ticks); an LFU policy may use it as counter and minutes
    uint8_t type               # ValueType
    uint8_t encoding           # Encoding
    uint16_t spare


cdef struct Bucket:            # table.pyx; one cache line
    uint8_t tags[SLOTS]        # 8 bits of each entry's hash, never 0; 0: the slot is free
    uint8_t marks              # bit i: slot i has an expiry; CHAINED
    void* slots[SLOTS]         # Entry*, owned; the last one is a Bucket* when CHAINED


cdef struct Table:
    Bucket* buckets            # aligned inside `block`; NULL: no table
    void* block                # what calloc returned
    uint64_t mask              # buckets - 1; a power of two
    size_t bytes               # charged for the array


cdef struct Database:          # table.pyx, keyspace.pyx
    Table tables[2]            # [1] exists only while entries move there from [0]
    uint64_t moved             # buckets of tables[0] that are empty for good while moving
    uint64_t count             # keys
    uint64_t volatile_count    # keys with an expiry
    uint64_t sweep             # expire.pyx: next bucket to look at
    int number
    Node* node


cdef struct Place:             # where a key is, valid until the table changes
    Entry* entry               # NULL: not there
    Bucket* bucket
    int slot
    uint64_t hash              # filled in even if the key is not there


cdef struct Candidate:         # evict.pyx
    uint64_t hash              # of the key; found again by it, so that no pointer can dangle
    uint32_t idle              # ticks since its last use, when sampled
    int database


cdef struct Slice:             # bytes borrowed from the request or an entry
    const char* data
    size_t length


ctypedef void (*Handler)(Call* call) noexcept nogil


cdef struct Row:               # commands.pyx: one command
    const char* name           # lower case; "client|id" for a subcommand
    int name_length
    int arity                  # arguments with the name; negative: at least
    int flags                  # RowFlag
    int first                  # position of the first key; 0: none
    int last                   # of the last; negative: from the end
    int step
    Handler handler
    int parent                 # row of the container, or -1
    uint64_t calls
    uint64_t usec              # time in the handler; for FAST rows projected from every 64th call
    uint64_t rejected          # refused before the handler
    uint64_t failed            # answered with an error by the handler


cdef struct Client:            # connection.pyx
    Handle handle              # first: what epoll hands back
    Input input
    Output output
    Frame frame
    Client* next               # in node.clients or node.dead
    Client* previous
    uint64_t id
    Database* database
    int resp                   # 2 or 3
    bint authenticated
    bint closing               # executes nothing more; closed when its output is sent
    bint ended                 # the peer sends nothing more; closed when all is executed and sent
    bint parked                # complete requests wait because too much output is unread
    bint no_evict
    bint no_touch              # its commands leave the LRU clocks alone
    uint64_t created_us        # monotonic
    uint64_t used_us
    Row* row                   # last command
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
    uint64_t evicted
    uint64_t errors


cdef struct Node:              # node.pyx
    Poll poll
    Handle listener
    Handle waker
    ChunkPool chunks
    char* scratch              # SCRATCH bytes that every client's input is received into
    Database databases[DATABASES]
    Client* clients
    Client* dead               # closed this turn; freed at its end
    uint64_t client_count
    uint64_t client_next       # id of the next client
    Call call                  # the one command being executed
    Slice* argv                # room for its arguments, grown as needed
    size_t argv_room
    Output rewritten           # canonical form of an inline request
    Row rows[ROWS_MOST]
    int row_count
    uint8_t row_index[ROW_INDEX]   # hash of the name -> row + 1
    Candidate candidates[POOL_SIZE]    # most idle last
    int candidate_count
    size_t memory              # bytes of keys, values and tables, malloc's own included
    size_t memory_peak
    size_t memory_start        # of the empty keyspace
    size_t input_memory        # bytes reserved for unfinished requests
    size_t maxmemory           # bytes; 0: no limit
    int policy
    int maxclients
    int port
    int sweep_database         # expire.pyx
    bint stopping
    bint accept_paused         # out of descriptors: tried again at the next tick
    uint64_t now_us            # monotonic, of this turn
    uint64_t start_us
    uint64_t tick_us           # of the last housekeeping
    int64_t now_ms             # Unix time, of the client being served
    uint32_t ticks             # monotonic time in units of 2^16 us (65.5 ms): the LRU clock
    uint64_t random
    uint64_t seed              # of the hash
    char* password             # malloc; NULL: none
    char* bind
    char run_id[41]
    Stats stats
    uint64_t rate_commands     # stats.commands at rate_us
    uint64_t rate_us
    uint64_t rate              # commands a second, over the last second or so
