# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Config: one row a parameter. See config.pxd.

Fixed parameters exist because clients and tools read them; those that can be set have a row in `apply`.
"""

from libc.stdio cimport snprintf
from libc.string cimport memset, strlen

from proxy.wire.glob cimport glob_match
from proxy.wire.resp cimport read_number
from storenode.answer cimport answer_arity, answer_bulk, answer_error, answer_map, answer_ok, answer_text
from storenode.arguments cimport copy_text, is_word
from storenode.evict cimport evict_for
from storenode.invalidation cimport tracked_limit
from storenode.types cimport ALLKEYS_LRU, NOEVICTION, Call, Node, Slice, Stats

cdef enum:
    PARAMETERS = 33

cdef enum Kind:
    FIXED = 0
    MAXMEMORY = 1
    POLICY = 2
    MAXCLIENTS = 3
    PORT = 4
    BIND = 5
    REQUIREPASS = 6
    TRACKING_MOST = 7

cdef struct Parameter:
    const char* name
    int kind
    const char* value          # of FIXED

cdef Parameter[PARAMETERS] table
table[0] = Parameter(b"maxmemory", MAXMEMORY, NULL)
table[1] = Parameter(b"maxmemory-policy", POLICY, NULL)
table[2] = Parameter(b"maxmemory-samples", FIXED, b"5")
table[3] = Parameter(b"maxclients", MAXCLIENTS, NULL)
table[4] = Parameter(b"port", PORT, NULL)
table[5] = Parameter(b"bind", BIND, NULL)
table[6] = Parameter(b"requirepass", REQUIREPASS, NULL)
table[7] = Parameter(b"databases", FIXED, b"16")
table[8] = Parameter(b"save", FIXED, b"")
table[9] = Parameter(b"appendonly", FIXED, b"no")
table[10] = Parameter(b"appendfsync", FIXED, b"everysec")
table[11] = Parameter(b"proto-max-bulk-len", FIXED, b"536870912")
table[12] = Parameter(b"client-query-buffer-limit", FIXED, b"1073741824")
table[13] = Parameter(b"timeout", FIXED, b"0")
table[14] = Parameter(b"tcp-keepalive", FIXED, b"300")
table[15] = Parameter(b"tcp-backlog", FIXED, b"4096")
table[16] = Parameter(b"hz", FIXED, b"10")
table[17] = Parameter(b"io-threads", FIXED, b"1")
table[18] = Parameter(b"cluster-enabled", FIXED, b"no")
table[19] = Parameter(b"notify-keyspace-events", FIXED, b"")
table[20] = Parameter(b"lazyfree-lazy-eviction", FIXED, b"no")
table[21] = Parameter(b"lazyfree-lazy-expire", FIXED, b"no")
table[22] = Parameter(b"replica-read-only", FIXED, b"yes")
table[23] = Parameter(b"slowlog-log-slower-than", FIXED, b"-1")
table[24] = Parameter(b"hash-max-listpack-entries", FIXED, b"512")
table[25] = Parameter(b"hash-max-listpack-value", FIXED, b"64")
table[26] = Parameter(b"set-max-intset-entries", FIXED, b"512")
table[27] = Parameter(b"zset-max-listpack-entries", FIXED, b"128")
table[28] = Parameter(b"zset-max-listpack-value", FIXED, b"64")
table[29] = Parameter(b"list-max-listpack-size", FIXED, b"-2")
table[30] = Parameter(b"hll-sparse-max-bytes", FIXED, b"3000")
table[31] = Parameter(b"lazyfree-lazy-user-del", FIXED, b"no")
table[32] = Parameter(b"tracking-table-max-keys", TRACKING_MOST, NULL)


cdef void answer_parameter(Call* call, const Parameter* row, const Slice* name) noexcept nogil:
    """Name and value; the name as the client wrote it, if it wrote it out."""
    cdef Node* node = call.node
    cdef char digits[24]
    answer_bulk(call, name.data, name.length)
    if row.kind == MAXMEMORY:
        answer_bulk(call, digits, snprintf(digits, sizeof(digits), b"%zu", node.maxmemory))
    elif row.kind == POLICY:
        answer_text(call, b"allkeys-lru" if node.policy == ALLKEYS_LRU else b"noeviction")
    elif row.kind == MAXCLIENTS:
        answer_bulk(call, digits, snprintf(digits, sizeof(digits), b"%d", node.maxclients))
    elif row.kind == TRACKING_MOST:
        answer_bulk(call, digits, snprintf(digits, sizeof(digits), b"%llu", <unsigned long long> node.tracked_most))
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
    cdef bint[PARAMETERS] chosen
    cdef Slice[PARAMETERS] names
    cdef int count = 0
    cdef int index
    for index in range(PARAMETERS):
        chosen[index] = asked(call, table[index].name, &names[index])
        count += chosen[index]
    answer_map(call, count)
    for index in range(PARAMETERS):
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


cdef const char* apply(Node* node, const Parameter* row, const Slice* value, bint really) noexcept nogil:
    """Check a new value and, if `really`, use it. NULL: good; otherwise what is wrong with it."""
    cdef unsigned long long size
    cdef long long number
    if row.kind == MAXMEMORY:
        if not read_size(value, &size):
            return b"argument must be a memory value"
        if really:
            node.maxmemory = size
    elif row.kind == POLICY:
        if not is_word(value, b"allkeys-lru") and not is_word(value, b"noeviction"):
            return b"argument(s) must be one of the following: \"allkeys-lru\", \"noeviction\""
        if really:
            node.policy = ALLKEYS_LRU if is_word(value, b"allkeys-lru") else NOEVICTION
    elif row.kind == TRACKING_MOST:
        if not read_number(value.data, value.length, &number):
            return b"argument couldn't be parsed into an integer"
        if number < 0:
            return b"argument must be between 0 and 9223372036854775807 inclusive"
        if really:
            node.tracked_most = <unsigned long long> number
            tracked_limit(node)
    else:
        return b"can't set immutable config"
    return NULL


cdef const Parameter* find(const Slice* name) noexcept nogil:
    cdef int index
    for index in range(PARAMETERS):
        if is_word(name, table[index].name):
            return &table[index]
    return NULL


cdef void command_config_set(Call* call) noexcept nogil:
    """CONFIG SET name value …: all of them or none."""
    cdef const Parameter* row
    cdef const char* problem
    cdef char name[96]
    cdef char text[256]
    cdef int index
    if call.argc % 2:
        answer_arity(call)
        return
    for index in range(2, call.argc, 2):
        row = find(&call.argv[index])
        copy_text(name, sizeof(name), &call.argv[index])
        if row == NULL:
            snprintf(text, sizeof(text), b"ERR Unknown option or number of arguments for CONFIG SET - '%s'", name)
            answer_error(call, text)
            return
        problem = apply(call.node, row, &call.argv[index + 1], False)
        if problem != NULL:
            snprintf(text, sizeof(text), b"ERR CONFIG SET failed (possibly related to argument '%s') - %s", name,
                     problem)
            answer_error(call, text)
            return
    for index in range(2, call.argc, 2):
        apply(call.node, find(&call.argv[index]), &call.argv[index + 1], True)
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
