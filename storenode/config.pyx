# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Config: one row a parameter. See config.pxd.

Fixed parameters exist because clients and tools read them. A number that can be set is a row here and an index of
Node.settings (types.pxd), nothing more; what needs more than that has a kind of its own, in answer_parameter() and apply().
"""

from libc.limits cimport INT_MAX, LLONG_MAX
from libc.stdio cimport fprintf, snprintf, stderr
from libc.stdlib cimport abort
from libc.string cimport memset, strlen

from proxy.wire.glob cimport glob_match
from proxy.wire.resp cimport read_number
from storenode.answer cimport answer_arity, answer_bulk, answer_error, answer_map, answer_ok, answer_text
from storenode.arguments cimport copy_text, is_word
from storenode.evict cimport SAMPLES_MOST, evict_for, evict_policy
from storenode.invalidation cimport tracked_limit
from storenode.types cimport (
    ALLKEYS_LFU, ALLKEYS_LRU, ALLKEYS_RANDOM, EVICTION_SAMPLES, LFU_DECAY_TIME, LFU_LOG_FACTOR, NOEVICTION, POLICIES,
    TRACKED_MOST, VOLATILE_LFU, VOLATILE_LRU, VOLATILE_RANDOM, VOLATILE_TTL, Call, Node, Slice, Stats,
)

cdef enum:
    PARAMETERS_MOST = 192
    PROBLEM_ROOM = 128         # bytes of a sentence on what is wrong with a value

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
#      name                            setting            least    most           initial
number(b"maxmemory-samples",           EVICTION_SAMPLES,  1,       SAMPLES_MOST,  5)
number(b"lfu-log-factor",              LFU_LOG_FACTOR,    0,       INT_MAX,       10)
number(b"lfu-decay-time",              LFU_DECAY_TIME,    0,       INT_MAX,       1)
number(b"tracking-table-max-keys",     TRACKED_MOST,      0,       LLONG_MAX,     1000000)
fixed(b"databases", b"16")
fixed(b"save", b"")
fixed(b"appendonly", b"no")
fixed(b"appendfsync", b"everysec")
fixed(b"proto-max-bulk-len", b"536870912")
fixed(b"client-query-buffer-limit", b"1073741824")
fixed(b"timeout", b"0")
fixed(b"tcp-keepalive", b"300")
fixed(b"tcp-backlog", b"4096")
fixed(b"hz", b"10")
fixed(b"io-threads", b"1")
fixed(b"cluster-enabled", b"no")
fixed(b"notify-keyspace-events", b"")
fixed(b"lazyfree-lazy-eviction", b"no")
fixed(b"lazyfree-lazy-expire", b"no")
fixed(b"lazyfree-lazy-user-del", b"no")
fixed(b"replica-read-only", b"yes")
fixed(b"slowlog-log-slower-than", b"-1")
fixed(b"hash-max-listpack-entries", b"512")
fixed(b"hash-max-listpack-value", b"64")
fixed(b"set-max-intset-entries", b"512")
fixed(b"zset-max-listpack-entries", b"128")
fixed(b"zset-max-listpack-value", b"64")
fixed(b"list-max-listpack-size", b"-2")
fixed(b"hll-sparse-max-bytes", b"3000")


cdef void config_open(Node* node) noexcept nogil:
    """Every setting as it is unless somebody changes it."""
    cdef int index
    for index in range(parameters):
        if NUMBER <= table[index].kind <= SWITCH:
            node.settings[table[index].setting] = table[index].initial


cdef const char* policy_name(int policy) noexcept nogil:
    return policies[policy]


cdef void answer_parameter(Call* call, const Parameter* row, const Slice* name) noexcept nogil:
    """Name and value; the name as the client wrote it, if it wrote it out."""
    cdef Node* node = call.node
    cdef char digits[24]
    answer_bulk(call, name.data, name.length)
    if row.kind == NUMBER or row.kind == SIZE:
        answer_bulk(call, digits, snprintf(digits, sizeof(digits), b"%lld", <long long> node.settings[row.setting]))
    elif row.kind == SWITCH:
        answer_text(call, b"yes" if node.settings[row.setting] else b"no")
    elif row.kind == MAXMEMORY:
        answer_bulk(call, digits, snprintf(digits, sizeof(digits), b"%zu", node.maxmemory))
    elif row.kind == POLICY:
        answer_text(call, policies[node.policy])
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
    else:
        answer_text(call, row.value)


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


cdef bint read_size(const Slice* text, unsigned long long* size) noexcept nogil:
    """`100`, `100k`, `100kb` … : powers of 1000 without the b, of 1024 with it, as in redis.conf."""
    cdef Slice unit
    cdef long long number
    cdef size_t digits = 0
    cdef unsigned long long factor
    while digits < text.length and c'0' <= text.data[digits] <= c'9':
        digits += 1
    if not read_number(text.data, digits, &number):
        return False
    unit.data = text.data + digits
    unit.length = text.length - digits
    if unit.length == 0 or is_word(&unit, b"b"):
        factor = 1
    elif is_word(&unit, b"k"):
        factor = 1000
    elif is_word(&unit, b"kb"):
        factor = 1024
    elif is_word(&unit, b"m"):
        factor = 1000000
    elif is_word(&unit, b"mb"):
        factor = 1 << 20
    elif is_word(&unit, b"g"):
        factor = 1000000000
    elif is_word(&unit, b"gb"):
        factor = 1 << 30
    else:
        return False
    if <unsigned long long> number > 9223372036854775807ULL // factor:
        return False
    size[0] = <unsigned long long> number * factor
    return True


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
        if not read_size(value, &size):
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


cdef const char* apply(Node* node, const Parameter* row, const Slice* value, char* room, bint really) noexcept nogil:
    """Check a new value and, if `really`, use it. NULL: good; otherwise what is wrong with it, maybe in `room`."""
    cdef unsigned long long size
    cdef int policy = 0
    if NUMBER <= row.kind <= SWITCH:
        return apply_number(node, row, value, room, really)
    if row.kind == MAXMEMORY:
        if not read_size(value, &size):
            return b"argument must be a memory value"
        if really:
            node.maxmemory = size
    elif row.kind == POLICY:
        while policy < POLICIES and not is_word(value, policies[policy]):
            policy += 1
        if policy == POLICIES:
            return (b"argument(s) must be one of the following: volatile-lru, volatile-lfu, "
                    b"volatile-random, volatile-ttl, allkeys-lru, allkeys-lfu, "
                    b"allkeys-random, noeviction")
        if really:
            evict_policy(node, policy)
    else:
        return b"can't set immutable config"
    return NULL


cdef const Parameter* find(const Slice* name) noexcept nogil:
    cdef int index
    for index in range(parameters):
        if is_word(name, table[index].name):
            return &table[index]
    return NULL


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
        answer_arity(call)
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
    tracked_limit(call.node)
    if call.node.maxmemory:
        evict_for(call.node, 0)
    answer_ok(call)


cdef void command_config_resetstat(Call* call) noexcept nogil:
    cdef int index
    memset(&call.node.stats, 0, sizeof(Stats))
    for index in range(call.node.row_count):
        call.node.rows[index].calls = 0
        call.node.rows[index].usec = 0
        call.node.rows[index].rejected = 0
        call.node.rows[index].failed = 0
    call.node.rate_commands = 0
    call.node.memory_peak = call.node.memory
    answer_ok(call)
