# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Config: one row a parameter. See config.pxd.

Fixed parameters exist because clients and tools read them. A number that can be set is a row here and an index of
Node.settings (types.pxd), nothing more; what needs more than that has a kind of its own, in answer_parameter() and apply().
"""

from libc.limits cimport INT_MAX, INT_MIN, LLONG_MAX
from libc.stdio cimport fprintf, snprintf, stderr
from libc.stdlib cimport abort, free, malloc
from libc.string cimport memcpy, memset, strlen

from proxy.wire.glob cimport glob_match
from proxy.wire.resp cimport read_number
from storenode.answer cimport answer_bulk, answer_error, answer_map, answer_ok, answer_syntax, answer_text
from storenode.arguments cimport copy_text, is_word, take_size
from storenode.deque cimport deque_limit
from storenode.evict cimport SAMPLES_MOST, evict_for, evict_policy
from storenode.invalidation cimport tracked_limit
from storenode.keeping cimport (
    KEPT_DIR, KEPT_LOG, KEPT_LOG_FOLDER, KEPT_LOG_NAME, KEPT_ROOM, KEPT_SAVE, KEPT_SNAPSHOT, KEPT_SYNC, keeping_apply,
    keeping_show,
)
from storenode.latency cimport latency_reset
from storenode.limits cimport limits_apply, limits_show
from storenode.notify cimport notify_read, notify_show
from storenode.replicaconf cimport (
    MASTERAUTH, MASTERUSER, REPLICA_ANNOUNCE_IP, replicaconf_answer, replicaconf_apply,
)
from storenode.replication cimport replication_guard
from storenode.slowlog cimport slow_limit, slow_update
from storenode.text cimport Text, text_free
from storenode.types cimport (
    ACLLOG_MOST, ALLKEYS_LFU, ALLKEYS_LRU, ALLKEYS_RANDOM, EVICTION_SAMPLES, HASH_PACK_ENTRIES, HASH_PACK_VALUE,
    IDLE_TIMEOUT, KEEPALIVE, LATENCY_THRESHOLD, LATENCY_TRACKING, LFU_DECAY_TIME, LFU_LOG_FACTOR, LIST_COMPRESS_DEPTH,
    LIST_PIECE_SIZE, LOG_CUT_TAIL, LOG_REWRITE_LEAST, LOG_REWRITE_PERCENT, MIN_REPLICAS, MIN_REPLICAS_LAG, NOEVICTION,
    POLICIES, REPLICA_ANNOUNCE_PORT, REPLICA_PRIORITY, REPLICA_READ_ONLY, REPLICA_SERVE_STALE, REPL_BACKLOG_SIZE,
    REPL_BACKLOG_TTL, REPL_PING_PERIOD, REPL_TIMEOUT, SET_INTS_ENTRIES, SET_PACK_ENTRIES, SET_PACK_VALUE, SLOWLOG_MOST,
    SLOWLOG_SLOWER, STOP_WRITES, TRACKED_MOST, VOLATILE_LFU, VOLATILE_LRU, VOLATILE_RANDOM, VOLATILE_TTL,
    ZSET_PACK_ENTRIES, ZSET_PACK_VALUE, Call, Node, Slice, Stats,
)
from storenode.users cimport user_password

cdef enum:
    PARAMETERS_MOST = 192

cdef enum Kind:
    FIXED = 0                  # a text that only clients and tools read
    NUMBER = 1                 # of Node.settings, from `least` to `most`
    SIZE = 2                   # the same in bytes, with units
    SWITCH = 3                 # the same as yes or no
    MAXMEMORY = 4
    POLICY = 5
    MAXCLIENTS = 6
    PORT = 7
    BIND = 8
    REQUIREPASS = 9
    KEPT = 10                  # of keeping.pyx, which is asked by `setting`
    REPLICATION = 11           # of replicaconf.pyx, the same way
    OUTPUT_LIMITS = 32
    NOTIFY = 33

cdef struct Parameter:
    const char* name
    int kind
    const char* value          # of FIXED
    int setting                # of NUMBER, SIZE and SWITCH, and what follows
    long long least
    long long most
    long long initial

cdef Parameter[PARAMETERS_MOST] table
cdef int parameters = 0

cdef const char* policies[POLICIES]
policies[NOEVICTION] = b"noeviction"
policies[ALLKEYS_LRU] = b"allkeys-lru"
policies[ALLKEYS_LFU] = b"allkeys-lfu"
policies[ALLKEYS_RANDOM] = b"allkeys-random"
policies[VOLATILE_LRU] = b"volatile-lru"
policies[VOLATILE_LFU] = b"volatile-lfu"
policies[VOLATILE_RANDOM] = b"volatile-random"
policies[VOLATILE_TTL] = b"volatile-ttl"


cdef Parameter* add(const char* name, int kind) noexcept nogil:
    global parameters
    cdef Parameter* row = &table[parameters]
    if parameters == PARAMETERS_MOST:
        fprintf(stderr, "quench: PARAMETERS_MOST in storenode/config.pyx is too small\n")
        abort()
    row.name = name
    row.kind = kind
    parameters += 1
    return row


cdef void fixed(const char* name, const char* value) noexcept nogil:
    add(name, FIXED).value = value


cdef void kept(const char* name, int which) noexcept nogil:
    add(name, KEPT).setting = which


cdef void number(const char* name, int setting, long long least, long long most, long long initial,
                 int kind = NUMBER) noexcept nogil:
    cdef Parameter* row = add(name, kind)
    row.setting = setting
    row.least = least
    row.most = most
    row.initial = initial


add(b"maxmemory", MAXMEMORY)
add(b"maxmemory-policy", POLICY)
add(b"maxclients", MAXCLIENTS)
add(b"port", PORT)
add(b"bind", BIND)
add(b"requirepass", REQUIREPASS)
#      name                            setting              least    most           initial
number(b"maxmemory-samples",           EVICTION_SAMPLES,    1,       SAMPLES_MOST,  5)
number(b"lfu-log-factor",              LFU_LOG_FACTOR,      0,       INT_MAX,       10)
number(b"lfu-decay-time",              LFU_DECAY_TIME,      0,       INT_MAX,       1)
number(b"hash-max-listpack-entries",   HASH_PACK_ENTRIES,   0,       LLONG_MAX,     512)
number(b"hash-max-ziplist-entries",    HASH_PACK_ENTRIES,   0,       LLONG_MAX,     512)
number(b"hash-max-listpack-value",     HASH_PACK_VALUE,     0,       LLONG_MAX,     64, SIZE)
number(b"hash-max-ziplist-value",      HASH_PACK_VALUE,     0,       LLONG_MAX,     64, SIZE)
number(b"set-max-intset-entries",      SET_INTS_ENTRIES,    0,       LLONG_MAX,     512)
number(b"set-max-listpack-entries",    SET_PACK_ENTRIES,    0,       LLONG_MAX,     128)
number(b"set-max-listpack-value",      SET_PACK_VALUE,      0,       LLONG_MAX,     64, SIZE)
number(b"zset-max-listpack-entries",   ZSET_PACK_ENTRIES,   0,       LLONG_MAX,     128)
number(b"zset-max-ziplist-entries",    ZSET_PACK_ENTRIES,   0,       LLONG_MAX,     128)
number(b"zset-max-listpack-value",     ZSET_PACK_VALUE,     0,       LLONG_MAX,     64, SIZE)
number(b"zset-max-ziplist-value",      ZSET_PACK_VALUE,     0,       LLONG_MAX,     64, SIZE)
number(b"list-max-listpack-size",      LIST_PIECE_SIZE,     INT_MIN, INT_MAX,       -2)
number(b"list-max-ziplist-size",       LIST_PIECE_SIZE,     INT_MIN, INT_MAX,       -2)
number(b"list-compress-depth",         LIST_COMPRESS_DEPTH, 0,       INT_MAX,       0)
number(b"slowlog-log-slower-than",     SLOWLOG_SLOWER,      -1,      LLONG_MAX,     10000)
number(b"slowlog-max-len",             SLOWLOG_MOST,        0,       LLONG_MAX,     128)
number(b"latency-monitor-threshold",   LATENCY_THRESHOLD,   0,       LLONG_MAX,     0)
number(b"latency-tracking",            LATENCY_TRACKING,    0,       1,             1, SWITCH)
number(b"timeout",                     IDLE_TIMEOUT,        0,       INT_MAX,       0)
number(b"tcp-keepalive",               KEEPALIVE,           0,       INT_MAX,       300)
number(b"tracking-table-max-keys",     TRACKED_MOST,        0,       LLONG_MAX,     1000000)
number(b"acllog-max-len",              ACLLOG_MOST,         0,       LLONG_MAX,     128)
number(b"replica-read-only",           REPLICA_READ_ONLY,      0,  1,         1, SWITCH)
number(b"replica-serve-stale-data",    REPLICA_SERVE_STALE,    0,  1,         1, SWITCH)
number(b"replica-priority",            REPLICA_PRIORITY,       0,  INT_MAX,   100)
number(b"replica-announce-port",       REPLICA_ANNOUNCE_PORT,  0,  65535,     0)
number(b"repl-timeout",                REPL_TIMEOUT,           1,  INT_MAX,   60)
number(b"repl-ping-replica-period",    REPL_PING_PERIOD,       1,  INT_MAX,   10)
number(b"repl-backlog-size",           REPL_BACKLOG_SIZE,      1,  LLONG_MAX, 1 << 20, SIZE)
number(b"repl-backlog-ttl",            REPL_BACKLOG_TTL,       0,  INT_MAX,   3600)
number(b"min-replicas-to-write",       MIN_REPLICAS,           0,  INT_MAX,   0)
number(b"min-replicas-max-lag",        MIN_REPLICAS_LAG,       0,  INT_MAX,   10)
add(b"masteruser", REPLICATION).setting = MASTERUSER
add(b"masterauth", REPLICATION).setting = MASTERAUTH
add(b"replica-announce-ip", REPLICATION).setting = REPLICA_ANNOUNCE_IP
fixed(b"repl-diskless-sync", b"yes")
fixed(b"repl-diskless-sync-delay", b"0")
fixed(b"repl-diskless-load", b"flush-before-load")
fixed(b"databases", b"16")
kept(b"dir", KEPT_DIR)
kept(b"dbfilename", KEPT_SNAPSHOT)
kept(b"save", KEPT_SAVE)
kept(b"appendonly", KEPT_LOG)
kept(b"appendfsync", KEPT_SYNC)
kept(b"appendfilename", KEPT_LOG_NAME)
kept(b"appenddirname", KEPT_LOG_FOLDER)
number(b"auto-aof-rewrite-percentage", LOG_REWRITE_PERCENT, 0,     INT_MAX,       100)
number(b"auto-aof-rewrite-min-size",   LOG_REWRITE_LEAST, 0,       LLONG_MAX,     64 << 20, SIZE)
number(b"aof-load-truncated",          LOG_CUT_TAIL,      0,       1,             1, SWITCH)
number(b"stop-writes-on-bgsave-error", STOP_WRITES,       0,       1,             1, SWITCH)
fixed(b"aof-use-rdb-preamble", b"yes")
fixed(b"no-appendfsync-on-rewrite", b"no")
fixed(b"rdbcompression", b"no")
fixed(b"rdbchecksum", b"yes")
fixed(b"proto-max-bulk-len", b"536870912")
fixed(b"client-query-buffer-limit", b"1073741824")
fixed(b"tcp-backlog", b"4096")
fixed(b"hz", b"10")
fixed(b"io-threads", b"1")
fixed(b"cluster-enabled", b"no")
add(b"client-output-buffer-limit", OUTPUT_LIMITS)
add(b"notify-keyspace-events", NOTIFY)
fixed(b"lazyfree-lazy-eviction", b"no")
fixed(b"lazyfree-lazy-expire", b"no")
fixed(b"lazyfree-lazy-user-del", b"no")
fixed(b"hll-sparse-max-bytes", b"3000")


cdef void config_open(Node* node) noexcept nogil:
    """Every setting as it is unless somebody changes it."""
    cdef int index
    for index in range(parameters):
        if NUMBER <= table[index].kind <= SWITCH:
            node.settings[table[index].setting] = table[index].initial
    settled(node)


cdef void settled(Node* node) noexcept nogil:
    """What follows from the settings is worked out again."""
    deque_limit(node, node.settings[LIST_PIECE_SIZE])
    tracked_limit(node)
    slow_update(node)
    slow_limit(node, node.settings[SLOWLOG_MOST])


cdef const char* policy_name(int policy) noexcept nogil:
    return policies[policy]


cdef void answer_parameter(Call* call, const Parameter* row, const Slice* name) noexcept nogil:
    """Name and value; the name as the client wrote it, if it wrote it out."""
    cdef Node* node = call.node
    cdef Text text = Text(data=NULL, length=0, room=0)
    cdef char digits[24]
    cdef char kept_text[KEPT_ROOM]
    answer_bulk(call, name.data, name.length)
    if row.kind == NUMBER or row.kind == SIZE:
        answer_bulk(call, digits, snprintf(digits, sizeof(digits), b"%lld", <long long> node.settings[row.setting]))
    elif row.kind == SWITCH:
        answer_text(call, b"yes" if node.settings[row.setting] else b"no")
    elif row.kind == MAXMEMORY:
        answer_bulk(call, digits, snprintf(digits, sizeof(digits), b"%zu", node.maxmemory))
    elif row.kind == POLICY:
        answer_text(call, policies[node.policy])
    elif row.kind == KEPT:
        keeping_show(node, row.setting, kept_text)
        answer_text(call, kept_text)
    elif row.kind == MAXCLIENTS:
        answer_bulk(call, digits, snprintf(digits, sizeof(digits), b"%d", node.maxclients))
    elif row.kind == PORT:
        answer_bulk(call, digits, snprintf(digits, sizeof(digits), b"%d", node.port))
    elif row.kind == BIND:
        answer_text(call, node.bind)
    elif row.kind == REQUIREPASS:
        if node.password != NULL:
            answer_text(call, node.password)
        else:
            answer_bulk(call, b"", 0)
    elif row.kind == REPLICATION:
        replicaconf_answer(call, row.setting)
    elif row.kind == OUTPUT_LIMITS:
        limits_show(node, &text)
        answer_bulk(call, text.data, text.length)
    elif row.kind == NOTIFY:
        notify_show(node, &text)
        answer_bulk(call, text.data, text.length)
    else:
        answer_text(call, row.value)
    text_free(&text)


cdef bint asked(Call* call, const char* name, Slice* shown) noexcept nogil:
    """Does one of the patterns cover the parameter? `shown` is then the name to answer with."""
    cdef int index
    shown.data = name
    shown.length = strlen(name)
    for index in range(2, call.argc):
        if is_word(&call.argv[index], name):
            shown[0] = call.argv[index]
            return True
        if glob_match(call.argv[index].data, call.argv[index].length, shown.data, shown.length, True):
            return True
    return False


cdef void command_config_get(Call* call) noexcept nogil:
    cdef bint[PARAMETERS_MOST] chosen
    cdef Slice[PARAMETERS_MOST] names
    cdef int count = 0
    cdef int index
    for index in range(parameters):
        chosen[index] = asked(call, table[index].name, &names[index])
        count += chosen[index]
    answer_map(call, count)
    for index in range(parameters):
        if chosen[index]:
            answer_parameter(call, &table[index], &names[index])


cdef const char* apply_number(Node* node, const Parameter* row, const Slice* value, char* room,
                              bint really) noexcept nogil:
    """apply() for the kinds that live in Node.settings."""
    cdef unsigned long long size = 0
    cdef long long wanted = 0
    if row.kind == SWITCH:
        wanted = is_word(value, b"yes")
        if not wanted and not is_word(value, b"no"):
            return b"argument must be 'yes' or 'no'"
    elif row.kind == SIZE:
        if not take_size(value, &size):
            return b"argument must be a memory value"
        wanted = <long long> size
    elif not read_number(value.data, value.length, &wanted):
        return b"argument couldn't be parsed into an integer"
    if wanted < row.least or wanted > row.most:
        snprintf(room, PROBLEM_ROOM, b"argument must be between %lld and %lld inclusive", row.least, row.most)
        return room
    if really:
        node.settings[row.setting] = wanted
    return NULL


cdef void config_password(Node* node, const Slice* password) noexcept nogil:
    """requirepass: the default user's password, and what CONFIG GET shows."""
    free(node.password)
    node.password = NULL
    if password.length:
        node.password = <char*> malloc(password.length + 1)
        if node.password != NULL:
            memcpy(node.password, password.data, password.length)
            node.password[password.length] = 0
    user_password(node, password)


cdef const char* apply(Node* node, const Parameter* row, const Slice* value, char* room, bint really) noexcept nogil:
    """Check a new value and, if `really`, use it. NULL: good; otherwise what is wrong with it, maybe in `room`."""
    cdef unsigned long long size
    cdef int policy = 0
    if NUMBER <= row.kind <= SWITCH:
        return apply_number(node, row, value, room, really)
    if row.kind == KEPT:
        return keeping_apply(node, row.setting, value, really)
    if row.kind == MAXMEMORY:
        if not take_size(value, &size):
            return b"argument must be a memory value"
        if really:
            node.maxmemory = size
    elif row.kind == REQUIREPASS:
        if really:
            config_password(node, value)
    elif row.kind == POLICY:
        while policy < POLICIES and not is_word(value, policies[policy]):
            policy += 1
        if policy == POLICIES:
            return (b"argument(s) must be one of the following: volatile-lru, volatile-lfu, "
                    b"volatile-random, volatile-ttl, allkeys-lru, allkeys-lfu, "
                    b"allkeys-random, noeviction")
        if really:
            evict_policy(node, policy)
    elif row.kind == REPLICATION:
        return replicaconf_apply(node, row.setting, value, really)
    elif row.kind == OUTPUT_LIMITS:
        return limits_apply(node, value, really)
    elif row.kind == NOTIFY:
        if not notify_read(value, &policy):
            return b"Invalid event class character. Use 'Ag$lshzxeKEtmdn'."
        if really:
            node.notify = policy
    else:
        return b"can't set immutable config"
    return NULL


cdef const Parameter* find(const Slice* name) noexcept nogil:
    cdef int index
    for index in range(parameters):
        if is_word(name, table[index].name):
            return &table[index]
    return NULL


cdef const char* config_apply(Node* node, const Slice* name, const Slice* value, char* room) noexcept nogil:
    """Set a parameter before the node serves. NULL: done; otherwise what is wrong, maybe in `room`."""
    cdef const Parameter* row = find(name)
    cdef const char* problem = b"there is no such parameter"
    if row != NULL:
        problem = apply(node, row, value, room, False)
    return problem if problem != NULL else apply(node, row, value, room, True)


cdef void refuse(Call* call, int at, const char* problem) noexcept nogil:
    cdef char name[96]
    cdef char text[512]
    copy_text(name, sizeof(name), &call.argv[at])
    snprintf(text, sizeof(text), b"ERR CONFIG SET failed (possibly related to argument '%s') - %s", name, problem)
    answer_error(call, text)


cdef void command_config_set(Call* call) noexcept nogil:
    """CONFIG SET name value …: all of them or none."""
    cdef const Parameter* row
    cdef const char* problem
    cdef char name[96]
    cdef char text[256]
    cdef char room[PROBLEM_ROOM]
    cdef int index, other
    if call.argc % 2:
        answer_syntax(call)
        return
    for index in range(2, call.argc, 2):
        row = find(&call.argv[index])
        if row == NULL:
            copy_text(name, sizeof(name), &call.argv[index])
            snprintf(text, sizeof(text), b"ERR Unknown option or number of arguments for CONFIG SET - '%s'", name)
            answer_error(call, text)
            return
        for other in range(2, index, 2):
            if find(&call.argv[other]) == row:
                refuse(call, index, b"duplicate parameter")
                return
    for index in range(2, call.argc, 2):
        problem = apply(call.node, find(&call.argv[index]), &call.argv[index + 1], room, False)
        if problem != NULL:
            refuse(call, index, problem)
            return
    for index in range(2, call.argc, 2):
        apply(call.node, find(&call.argv[index]), &call.argv[index + 1], room, True)
    settled(call.node)
    replication_guard(call.node)
    if call.node.maxmemory:
        evict_for(call.node, 0)
    answer_ok(call)


cdef void command_config_resetstat(Call* call) noexcept nogil:
    cdef int index
    memset(&call.node.stats, 0, sizeof(Stats))
    memset(call.node.errors, 0, sizeof(call.node.errors))
    for index in range(call.node.row_count):
        call.node.rows[index].calls = 0
        call.node.rows[index].cycles = 0
        latency_reset(&call.node.rows[index])
        call.node.rows[index].rejected = 0
        call.node.rows[index].failed = 0
    call.node.rate_commands = 0
    call.node.memory_peak = call.node.memory
    answer_ok(call)


cdef void command_config_rewrite(Call* call) noexcept nogil:
    """Settings come from the command line and from CONFIG SET; there is no file to write them to."""
    answer_error(call, b"ERR The server is running without a config file")
