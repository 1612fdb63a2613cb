# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Key commands. See keys.pxd; replies are those of redis-server 7.0."""

from libc.errno cimport ERANGE, errno
from libc.limits cimport LLONG_MAX, LLONG_MIN
from libc.stdint cimport int64_t, uint64_t
from libc.stdio cimport fprintf, snprintf, stderr
from libc.stdlib cimport abort, free, realloc, strtoul
from libc.string cimport memcmp

from proxy.wire.glob cimport glob_match
from proxy.wire.resp cimport read_number
from storenode.answer cimport (
    answer_array, answer_bulk, answer_error, answer_nil, answer_not_integer, answer_number, answer_ok, answer_raw,
    answer_syntax, answer_text,
)
from storenode.arguments cimport copy_text, is_word, take_integer
from storenode.keyspace cimport (
    database_clear, entry_bytes, entry_expired, entry_key, entry_slice, key_expire, key_peek, key_read,
    key_remove, key_rename, key_write, value_set,
)
from storenode.table cimport table_find, table_random, table_scan
from storenode.types cimport (
    DATABASES, EMBSTR, INTEGER, NOEVICTION, Call, Database, Entry, Place, Slice,
)

cdef enum:
    SHARED_INTEGERS = 10000    # Redis shares the objects of 0 … 9999 and reports this as their REFCOUNT
    RANDOM_TRIES = 100         # expired keys that RANDOMKEY skips before it answers one of them

cdef enum ExpireFlag:
    NX = 1
    XX = 2
    GT = 4
    LT = 8

cdef struct Found:             # what SCAN and KEYS collect: Entry pointers, valid until a key is removed
    Entry** entries
    size_t count
    size_t room
    const Slice* pattern       # NULL: any
    int64_t now_ms
    size_t seen                # entries visited, matching or not


cdef void command_del(Call* call) noexcept nogil:
    cdef Place place
    cdef long long count = 0
    cdef int index
    for index in range(1, call.argc):
        if key_write(call, &call.argv[index], &place):
            key_remove(call.database, &place)
            count += 1
    answer_number(call, count)


cdef void command_exists(Call* call) noexcept nogil:
    cdef Place place
    cdef long long count = 0
    cdef int index
    for index in range(1, call.argc):
        if key_peek(call.database, &call.argv[index], &place):
            count += 1
            call.node.stats.hits += 1
        else:
            call.node.stats.misses += 1
    answer_number(call, count)


cdef void command_touch(Call* call) noexcept nogil:
    cdef Place place
    cdef long long count = 0
    cdef int index
    for index in range(1, call.argc):
        count += key_read(call, &call.argv[index], &place)
    answer_number(call, count)


cdef void command_type(Call* call) noexcept nogil:
    cdef Place place
    if key_peek(call.database, &call.argv[1], &place):
        answer_raw(call, b"+string\r\n", 9)
    else:
        answer_raw(call, b"+none\r\n", 7)


cdef bint read_conditions(Call* call, int* flags) noexcept nogil:
    cdef char option[128]
    cdef char text[192]
    cdef int index
    flags[0] = 0
    for index in range(3, call.argc):
        if is_word(&call.argv[index], b"nx"):
            flags[0] |= NX
        elif is_word(&call.argv[index], b"xx"):
            flags[0] |= XX
        elif is_word(&call.argv[index], b"gt"):
            flags[0] |= GT
        elif is_word(&call.argv[index], b"lt"):
            flags[0] |= LT
        else:
            copy_text(option, sizeof(option), &call.argv[index])
            snprintf(text, sizeof(text), b"ERR Unsupported option %s", option)
            answer_error(call, text)
            return False
    if flags[0] & NX and flags[0] & (XX | GT | LT):
        answer_error(call, b"ERR NX and XX, GT or LT options at the same time are not compatible")
        return False
    if flags[0] & GT and flags[0] & LT:
        answer_error(call, b"ERR GT and LT options at the same time are not compatible")
        return False
    return True


cdef void expire(Call* call, int64_t base_ms, bint seconds) noexcept nogil:
    cdef Place place
    cdef char text[128]
    cdef long long value
    cdef int64_t current
    cdef int flags
    if not read_conditions(call, &flags) or not take_integer(call, &call.argv[2], &value):
        return
    if ((seconds and (value > LLONG_MAX // 1000 or value < LLONG_MIN // 1000))
            or (value * 1000 if seconds else value) > LLONG_MAX - base_ms):
        snprintf(text, sizeof(text), b"ERR invalid expire time in '%s' command", call.row.name)
        answer_error(call, text)
        return
    if seconds:
        value *= 1000
    value += base_ms
    if not key_write(call, &call.argv[1], &place):
        answer_number(call, 0)
        return
    current = place.entry.expire_ms
    if ((flags & NX and current) or (flags & XX and not current) or (flags & GT and (not current or value <= current))
            or (flags & LT and current and value >= current)):
        answer_number(call, 0)
        return
    if value <= call.node.now_ms:
        key_remove(call.database, &place)
    else:
        key_expire(call.database, &place, value)
    answer_number(call, 1)


cdef void command_expire(Call* call) noexcept nogil:
    expire(call, call.node.now_ms, True)


cdef void command_pexpire(Call* call) noexcept nogil:
    expire(call, call.node.now_ms, False)


cdef void command_expireat(Call* call) noexcept nogil:
    expire(call, 0, True)


cdef void command_pexpireat(Call* call) noexcept nogil:
    expire(call, 0, False)


cdef void answer_expiry(Call* call, int64_t base_ms, bint seconds) noexcept nogil:
    """-2: no key, -1: no expiry, else its time from `base_ms` on, seconds being rounded to the nearest."""
    cdef Place place
    cdef int64_t left
    if not key_peek(call.database, &call.argv[1], &place):
        call.node.stats.misses += 1
        answer_number(call, -2)
        return
    call.node.stats.hits += 1
    if place.entry.expire_ms == 0:
        answer_number(call, -1)
        return
    left = place.entry.expire_ms - base_ms
    if left < 0:
        left = 0
    answer_number(call, (left + 500) // 1000 if seconds else left)


cdef void command_ttl(Call* call) noexcept nogil:
    answer_expiry(call, call.node.now_ms, True)


cdef void command_pttl(Call* call) noexcept nogil:
    answer_expiry(call, call.node.now_ms, False)


cdef void command_expiretime(Call* call) noexcept nogil:
    answer_expiry(call, 0, True)


cdef void command_pexpiretime(Call* call) noexcept nogil:
    answer_expiry(call, 0, False)


cdef void command_persist(Call* call) noexcept nogil:
    cdef Place place
    if key_write(call, &call.argv[1], &place) and place.entry.expire_ms:
        key_expire(call.database, &place, 0)
        answer_number(call, 1)
    else:
        answer_number(call, 0)


cdef inline bint same_key(const Slice* one, const Slice* other) noexcept nogil:
    return one.length == other.length and memcmp(one.data, other.data, one.length) == 0


cdef void rename(Call* call, bint only_new) noexcept nogil:
    cdef Place source, target
    if not key_write(call, &call.argv[1], &source):
        answer_error(call, b"ERR no such key")
        return
    if same_key(&call.argv[1], &call.argv[2]):
        if only_new:
            answer_number(call, 0)
        else:
            answer_ok(call)
        return
    if key_write(call, &call.argv[2], &target):
        if only_new:
            answer_number(call, 0)
            return
        key_remove(call.database, &target)
    table_find(call.database, call.argv[1].data, call.argv[1].length, source.hash, &source)
    key_rename(call.database, &source, call.database, &call.argv[2])
    if only_new:
        answer_number(call, 1)
    else:
        answer_ok(call)


cdef void command_rename(Call* call) noexcept nogil:
    rename(call, False)


cdef void command_renamenx(Call* call) noexcept nogil:
    rename(call, True)


cdef void command_copy(Call* call) noexcept nogil:
    """COPY source target [DB n] [REPLACE]."""
    cdef Database* home = call.database
    cdef Database* target_home = home
    cdef Place source, target
    cdef Slice value
    cdef long long number
    cdef bint replace = False
    cdef int index = 3
    while index < call.argc:
        if is_word(&call.argv[index], b"replace"):
            replace = True
        elif is_word(&call.argv[index], b"db") and index + 1 < call.argc:
            index += 1
            if not read_number(call.argv[index].data, call.argv[index].length, &number):
                answer_not_integer(call)
                return
            if number > 2147483647 or number < -2147483648:
                answer_error(call, b"ERR value is out of range, value must between -2147483648 and 2147483647")
                return
            if number < 0 or number >= DATABASES:
                answer_error(call, b"ERR DB index is out of range")
                return
            target_home = &call.node.databases[number]
        else:
            answer_syntax(call)
            return
        index += 1
    if target_home == home and same_key(&call.argv[1], &call.argv[2]):
        answer_error(call, b"ERR source and destination objects are the same")
        return
    if not key_read(call, &call.argv[1], &source):
        answer_number(call, 0)
        return
    if key_peek(target_home, &call.argv[2], &target):
        if not replace:
            answer_number(call, 0)
            return
        key_remove(target_home, &target)
        table_find(target_home, call.argv[2].data, call.argv[2].length, target.hash, &target)
        # Removing may have moved buckets of the same table.
        table_find(home, call.argv[1].data, call.argv[1].length, source.hash, &source)
    value = entry_slice(source.entry)
    value_set(target_home, &call.argv[2], &target, &value, source.entry.encoding)
    key_expire(target_home, &target, source.entry.expire_ms)
    answer_number(call, 1)


cdef void command_randomkey(Call* call) noexcept nogil:
    cdef Place place
    cdef int tries = RANDOM_TRIES
    while table_random(call.database, &place):
        if not entry_expired(place.entry, call.node.now_ms) or tries == 0:
            answer_bulk(call, entry_key(place.entry), place.entry.key_length)
            return
        tries -= 1
        key_remove(call.database, &place)
        call.node.stats.expired += 1
    answer_nil(call)


cdef void command_dbsize(Call* call) noexcept nogil:
    answer_number(call, <long long> call.database.count)


cdef bint read_flush(Call* call) noexcept nogil:
    """ASYNC and SYNC are accepted and mean the same: nothing is left when the reply is written."""
    if call.argc > 2 or (call.argc == 2 and not is_word(&call.argv[1], b"sync")
                         and not is_word(&call.argv[1], b"async")):
        answer_syntax(call)
        return False
    return True


cdef void command_flushdb(Call* call) noexcept nogil:
    if read_flush(call):
        database_clear(call.database)
        answer_ok(call)


cdef void command_flushall(Call* call) noexcept nogil:
    cdef int number
    if read_flush(call):
        for number in range(DATABASES):
            database_clear(&call.node.databases[number])
        answer_ok(call)


cdef void collect(void* context, Entry* entry) noexcept nogil:
    """A table visitor: remember a live entry that matches."""
    cdef Found* found = <Found*> context
    cdef Entry** entries
    found.seen += 1
    if entry_expired(entry, found.now_ms):
        return
    if found.pattern != NULL:
        if not glob_match(found.pattern.data, found.pattern.length, entry_key(entry), entry.key_length, False):
            return
    if found.count == found.room:
        entries = <Entry**> realloc(found.entries, (found.room * 2 + 64) * sizeof(Entry*))
        if entries == NULL:
            fprintf(stderr, "quench: out of memory collecting %zu keys\n", found.room)
            abort()
        found.entries = entries
        found.room = found.room * 2 + 64
    found.entries[found.count] = entry
    found.count += 1


cdef void answer_found(Call* call, Found* found) noexcept nogil:
    cdef size_t index
    answer_array(call, <long long> found.count)
    for index in range(found.count):
        answer_bulk(call, entry_key(found.entries[index]), found.entries[index].key_length)
    free(found.entries)


cdef void command_keys(Call* call) noexcept nogil:
    """All at once, like Redis: for small keyspaces and debugging."""
    cdef Found found = Found(entries=NULL, count=0, room=0, pattern=&call.argv[1], now_ms=call.node.now_ms, seen=0)
    cdef uint64_t cursor = 0
    while True:
        cursor = table_scan(call.database, cursor, collect, &found)
        if cursor == 0:
            break
    answer_found(call, &found)


cdef void command_scan(Call* call) noexcept nogil:
    """SCAN cursor [MATCH pattern] [COUNT n] [TYPE type]."""
    cdef Found found = Found(entries=NULL, count=0, room=0, pattern=NULL, now_ms=call.node.now_ms, seen=0)
    cdef char text[32]
    cdef char* end
    cdef const Slice* cursor_text = &call.argv[1]
    cdef uint64_t cursor
    cdef long long wanted = 10
    cdef long long steps
    cdef bint strings = True
    cdef int index = 2
    copy_text(text, sizeof(text), cursor_text)
    (&errno)[0] = 0
    cursor = strtoul(text, &end, 10)
    if (text[0] == c' ' or c'\t' <= text[0] <= c'\r' or end[0] != 0 or errno == ERANGE
            or cursor_text.length >= sizeof(text)):
        answer_error(call, b"ERR invalid cursor")
        return
    while index < call.argc:
        if is_word(&call.argv[index], b"count") and index + 1 < call.argc:
            if not take_integer(call, &call.argv[index + 1], &wanted):
                return
            if wanted < 1:
                answer_syntax(call)
                return
        elif is_word(&call.argv[index], b"match") and index + 1 < call.argc:
            found.pattern = &call.argv[index + 1]
        elif is_word(&call.argv[index], b"type") and index + 1 < call.argc:
            strings = is_word(&call.argv[index + 1], b"string")
        else:
            answer_syntax(call)
            return
        index += 2
    # A bucket holds a handful of keys; empty ones are passed, but not without end.
    steps = wanted
    if steps < LLONG_MAX // 10:
        steps *= 10
    while steps:
        cursor = table_scan(call.database, cursor, collect, &found)
        steps -= 1
        if cursor == 0 or found.seen >= <size_t> wanted:
            break
    if not strings:
        found.count = 0
    answer_array(call, 2)
    answer_bulk(call, text, snprintf(text, sizeof(text), b"%llu", <unsigned long long> cursor))
    answer_found(call, &found)


cdef bint find_object(Call* call, Place* place) noexcept nogil:
    if key_peek(call.database, &call.argv[2], place):
        return True
    answer_nil(call)
    return False


cdef void command_object_encoding(Call* call) noexcept nogil:
    cdef Place place
    if find_object(call, &place):
        if place.entry.encoding == INTEGER:
            answer_text(call, b"int")
        elif place.entry.encoding == EMBSTR:
            answer_text(call, b"embstr")
        else:
            answer_text(call, b"raw")


cdef void command_object_idletime(Call* call) noexcept nogil:
    cdef Place place
    if find_object(call, &place):
        answer_number(call, (<long long> (call.node.ticks - place.entry.clock) << 16) // 1000000)


cdef void command_object_refcount(Call* call) noexcept nogil:
    """1, or the number that Redis gives to the small integers that it shares."""
    cdef Place place
    cdef Slice value
    cdef long long number = -1
    if find_object(call, &place):
        value = entry_slice(place.entry)
        if (place.entry.encoding == INTEGER and (call.node.maxmemory == 0 or call.node.policy == NOEVICTION)
                and read_number(value.data, value.length, &number) and 0 <= number < SHARED_INTEGERS):
            answer_number(call, 2147483647)
        else:
            answer_number(call, 1)


cdef void command_object_freq(Call* call) noexcept nogil:
    cdef Place place
    if find_object(call, &place):
        answer_error(call, b"ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note "
                           b"that when switching between policies at runtime LRU and LFU data will take some time to "
                           b"adjust.")


cdef void command_memory_usage(Call* call) noexcept nogil:
    """MEMORY USAGE key [SAMPLES n]: the key's block and its share of a bucket."""
    cdef Place place
    cdef long long samples
    if call.argc == 5 and is_word(&call.argv[3], b"samples"):
        if not take_integer(call, &call.argv[4], &samples):
            return
        if samples < 0:
            answer_syntax(call)
            return
    elif call.argc != 3:
        answer_syntax(call)
        return
    if find_object(call, &place):
        answer_number(call, <long long> entry_bytes(place.entry) + <long long> sizeof(void*) + 1)
