# cython: language_level=3
"""Records: what is kept of commands, users, refusals, slow commands, delays and errors; part of types.pxd, which has
what they belong to. The module named beside each owns it."""

from libc.stdint cimport int64_t, uint32_t, uint64_t

cdef enum:
    SPIKES = 160               # of each kind that LATENCY HISTORY remembers
    EVENTS_SEEN = 10           # kinds of delay: LatencyEvent of latency.pxd
    CODES = 64                 # kinds of errors that are counted apart
    CODE_MOST = 32             # bytes of one, with its NUL
    ROW_WORDS = 6              # ROWS_MOST / 64, and one more
    NAME_MOST = 64             # bytes of an address as text, with its port and the final NUL


cdef struct Fact:              # facts.pyx: what is said of a command; every text is a literal
    const char* name           # full, "client|id" for a subcommand
    const char* since          # version of Redis
    const char* group          # as COMMAND DOCS names it
    const char* flags          # as COMMAND INFO names them
    const char* categories     # of ACL
    const char* keys           # where they are and what is done to them: catalog.pyx
    const char* summary


cdef enum:                     # KeySpec.access; 0: only whether the key is there and what it is like
    KEY_READ = 1
    KEY_WRITE = 2
    KEY_VARIES = 4             # the options of SET and BITFIELD decide


cdef struct KeySpec:           # catalog.pyx: where some of a command's keys are
    int kind                   # KeyPlace
    const char* word           # that stands before the key, in the text of the Fact
    int word_length
    int begin                  # argument that the search starts at
    int last                   # from there; negative: from the end
    int step
    int access


cdef struct Word:              # users.pyx: a text in a list, its bytes behind it
    Word* next
    int access                 # of a key pattern: KEY_READ, KEY_WRITE
    size_t length


cdef struct Selector:          # users.pyx: what a user may do; a user has one, and may have more
    Selector* next
    uint64_t commands[ROW_WORDS]           # a bit for each row that may be run; of the last word: for those to come
    bint every_command         # those to come, too
    bint every_key
    bint every_channel
    Word* rules                # on commands, in order, but for the first one, which is +@all or -@all
    Word* keys                 # patterns
    Word* channels


cdef struct User:              # users.pyx
    User* next                 # in node.users, by name
    Word* name
    bint on
    bint nopass
    bint sanitize              # shown in the words of Redis, and of no effect: every dump is checked in full
    bint skip_sanitize
    bint all                   # may do everything: clients of it are not checked
    Word* passwords            # SHA-256, 64 hexadecimal digits
    Selector own               # own.next: further ones


cdef struct Refusal:           # users.pyx: an entry of ACL LOG
    Refusal* next
    uint64_t id
    uint64_t count
    int reason                 # Denied
    bint in_multi
    int64_t created_ms         # Unix time
    int64_t updated_ms
    Word* object               # command, key or channel
    Word* username
    Word* client


cdef struct Slow:              # slowlog.pyx: an entry of SLOWLOG, newest first; its argc arguments follow
    Slow* next
    uint64_t id
    int64_t time               # Unix time, s
    uint64_t usec
    int argc
    Word* words                # the arguments, shortened
    Word* name                 # of the client
    char peer[NAME_MOST]


cdef struct Spike:             # latency.pyx
    uint32_t time              # Unix time, s
    uint32_t ms


cdef struct Event:             # latency.pyx: a kind of delay that LATENCY knows
    uint32_t worst             # ms
    int count                  # of `spikes` in use
    int next                   # the oldest
    Spike spikes[SPIKES]


cdef struct ErrorCount:        # errors.pyx
    char code[CODE_MOST]       # "WRONGTYPE"; empty: free
    uint64_t count


cdef struct Promise:           # acks.pyx: what a client waits for that does not want to lose what it wrote
    long long replicas         # that have to be as far as
    uint64_t position          # of the stream:
    bint synced                # on disk, which WAITAOF is about, or at least executed;
    bint local                 # and is the log here to be as far as
    uint64_t written           # of the effects?
