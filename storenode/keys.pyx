# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Key commands. See keys.pxd; replies are those of redis-server 7.0."""

from libc.limits cimport INT_MAX, INT_MIN, LLONG_MAX, LLONG_MIN
from libc.stdint cimport int64_t
from libc.stdio cimport snprintf

from proxy.wire.resp cimport read_number
from storenode.answer cimport answer_error, answer_number, answer_ok, answer_syntax
from storenode.arguments cimport copy_text, is_word, same_bytes, take_integer
from storenode.changes cimport (
    EVENT_COPY_TO, EVENT_DEL, EVENT_EXPIRE, EVENT_MOVE_FROM, EVENT_MOVE_TO, EVENT_PERSIST, EVENT_RENAME_FROM,
    EVENT_RENAME_TO, QUIET, databases_swapped, everything_changed, key_born, key_changed, key_missed,
)
from storenode.clone cimport entry_clone
from storenode.keyspace cimport (
    database_clear, key_adopt, key_expire, key_peek, key_read, key_remove, key_remove_lazily, key_rename, key_write,
)
from storenode.table cimport table_find
from storenode.types cimport DATABASES, Call, Database, Dict, Place, Slice

cdef enum ExpireFlag:
    NX = 1
    XX = 2
    GT = 4
    LT = 8

cdef void remove_all(Call* call, bint lazily) noexcept nogil:
    cdef Place place
    cdef long long count = 0
    cdef int index
    for index in range(1, call.argc):
        if key_write(call, &call.argv[index], &place):
            if lazily:
                key_remove_lazily(call.database, &place, EVENT_DEL)
            else:
                key_remove(call.database, &place, EVENT_DEL)
            count += 1
    answer_number(call, count)


cdef void command_del(Call* call) noexcept nogil:
    remove_all(call, False)


cdef void command_unlink(Call* call) noexcept nogil:
    remove_all(call, True)


cdef void command_exists(Call* call) noexcept nogil:
    cdef Place place
    cdef long long count = 0
    cdef int index
    for index in range(1, call.argc):
        if key_peek(call.database, &call.argv[index], &place):
            count += 1
            call.node.stats.hits += 1
        else:
            key_missed(call.database, &call.argv[index])
    answer_number(call, count)


cdef void command_touch(Call* call) noexcept nogil:
    cdef Place place
    cdef long long count = 0
    cdef int index
    for index in range(1, call.argc):
        count += key_read(call, &call.argv[index], &place)
    answer_number(call, count)


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
        key_remove(call.database, &place, EVENT_DEL)
    else:
        key_expire(call.database, &place, value)
        key_changed(call.database, &call.argv[1], EVENT_EXPIRE)
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
        key_missed(call.database, &call.argv[1])
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
        key_changed(call.database, &call.argv[1], EVENT_PERSIST)
        answer_number(call, 1)
    else:
        answer_number(call, 0)


cdef void rename(Call* call, bint only_new) noexcept nogil:
    cdef Place source, target
    if not key_write(call, &call.argv[1], &source):
        answer_error(call, b"ERR no such key")
        return
    if same_bytes(&call.argv[1], &call.argv[2]):
        if only_new:
            answer_number(call, 0)
        else:
            answer_ok(call)
        return
    if key_write(call, &call.argv[2], &target):
        if only_new:
            answer_number(call, 0)
            return
        key_remove(call.database, &target, QUIET)
    table_find(&call.database.keys, call.argv[1].data, call.argv[1].length, source.hash, &source)
    key_rename(call.database, &source, call.database, &call.argv[2])
    key_changed(call.database, &call.argv[1], EVENT_RENAME_FROM)
    key_changed(call.database, &call.argv[2], EVENT_RENAME_TO)
    if only_new:
        answer_number(call, 1)
    else:
        answer_ok(call)


cdef void command_rename(Call* call) noexcept nogil:
    rename(call, False)


cdef void command_renamenx(Call* call) noexcept nogil:
    rename(call, True)


cdef Database* take_database(Call* call, const Slice* text) noexcept nogil:
    """A database by its number; NULL: answered."""
    cdef long long number
    if not take_integer(call, text, &number):
        return NULL
    if number > 2147483647 or number < -2147483648:
        answer_error(call, b"ERR value is out of range, value must between -2147483648 and 2147483647")
        return NULL
    if number < 0 or number >= DATABASES:
        answer_error(call, b"ERR DB index is out of range")
        return NULL
    return &call.node.databases[number]


cdef void command_copy(Call* call) noexcept nogil:
    """COPY source target [DB n] [REPLACE]."""
    cdef Database* home = call.database
    cdef Database* target_home = home
    cdef Place source, target
    cdef int64_t expire_ms
    cdef bint replace = False
    cdef bint there
    cdef int index = 3
    while index < call.argc:
        if is_word(&call.argv[index], b"replace"):
            replace = True
        elif is_word(&call.argv[index], b"db") and index + 1 < call.argc:
            index += 1
            target_home = take_database(call, &call.argv[index])
            if target_home == NULL:
                return
        else:
            answer_syntax(call)
            return
        index += 1
    if target_home == home and same_bytes(&call.argv[1], &call.argv[2]):
        answer_error(call, b"ERR source and destination objects are the same")
        return
    if not key_read(call, &call.argv[1], &source):
        answer_number(call, 0)
        return
    there = key_peek(target_home, &call.argv[2], &target)
    if there and not replace:
        answer_number(call, 0)
        return
    # Expiring the target may have moved buckets of the same table.
    table_find(&home.keys, call.argv[1].data, call.argv[1].length, source.hash, &source)
    expire_ms = source.entry.expire_ms
    entry_clone(call.node, source.entry, &call.argv[2], &target)
    key_adopt(target_home, &target)
    if there:
        key_born(target_home, &call.argv[2])  # it is removed first, says Redis
    key_expire(target_home, &target, expire_ms)
    key_changed(target_home, &call.argv[2], EVENT_COPY_TO)
    answer_number(call, 1)


cdef void command_move(Call* call) noexcept nogil:
    """MOVE key db."""
    cdef Database* home = call.database
    cdef Database* target_home = take_database(call, &call.argv[2])
    cdef Place source, target
    if target_home == NULL:
        return
    if target_home == home:
        answer_error(call, b"ERR source and destination objects are the same")
    elif not key_write(call, &call.argv[1], &source) or key_peek(target_home, &call.argv[1], &target):
        answer_number(call, 0)
    else:
        key_rename(home, &source, target_home, &call.argv[1])
        key_changed(home, &call.argv[1], EVENT_MOVE_FROM)
        key_changed(target_home, &call.argv[1], EVENT_MOVE_TO)
        answer_number(call, 1)


cdef void command_swapdb(Call* call) noexcept nogil:
    """SWAPDB n m. Clients stay where they are and see the other keys."""
    cdef long long one, other
    cdef Dict keys
    if not read_number(call.argv[1].data, call.argv[1].length, &one) or not INT_MIN <= one <= INT_MAX:
        answer_error(call, b"ERR invalid first DB index")
    elif not read_number(call.argv[2].data, call.argv[2].length, &other) or not INT_MIN <= other <= INT_MAX:
        answer_error(call, b"ERR invalid second DB index")
    elif not (0 <= one < DATABASES and 0 <= other < DATABASES):
        answer_error(call, b"ERR DB index is out of range")
    else:
        if one != other:
            keys = call.node.databases[one].keys
            call.node.databases[one].keys = call.node.databases[other].keys
            call.node.databases[other].keys = keys
            call.node.candidate_count = 0
            databases_swapped(&call.node.databases[one], &call.node.databases[other])
        answer_ok(call)


cdef void command_dbsize(Call* call) noexcept nogil:
    answer_number(call, <long long> call.database.keys.count)


cdef bint read_flush(Call* call, bint* lazily) noexcept nogil:
    lazily[0] = call.argc == 2 and is_word(&call.argv[1], b"async")
    if call.argc > 2 or (call.argc == 2 and not lazily[0] and not is_word(&call.argv[1], b"sync")):
        answer_syntax(call)
        return False
    return True


cdef void command_flushdb(Call* call) noexcept nogil:
    cdef bint lazily
    if read_flush(call, &lazily):
        database_clear(call.database, lazily)
        everything_changed(call.node)
        answer_ok(call)


cdef void command_flushall(Call* call) noexcept nogil:
    cdef bint lazily
    cdef int number
    if read_flush(call, &lazily):
        for number in range(DATABASES):
            database_clear(&call.node.databases[number], lazily)
        everything_changed(call.node)
        answer_ok(call)
