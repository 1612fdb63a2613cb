# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""String commands. See strings.pxd.

The order of checks in each handler (arguments, key, type, limits) is Redis's, because it decides which error a client
sees when several apply.
"""

from libc.limits cimport LLONG_MAX, LLONG_MIN
from libc.stdint cimport int64_t
from libc.string cimport memcpy, memset

from proxy.wire.resp cimport write_number
from storenode.answer cimport (
    LONG_DOUBLE_ROOM, answer_arity, answer_array, answer_bulk, answer_error, answer_nil, answer_number, answer_ok,
    answer_raw, answer_syntax, write_long_double,
)
from storenode.arguments cimport is_word, take_expiry, take_float, take_integer
from storenode.changes cimport (
    EVENT_APPEND, EVENT_DEL, EVENT_EXPIRE, EVENT_INCRBY, EVENT_INCRBYFLOAT, EVENT_PERSIST, EVENT_SET, EVENT_SETRANGE,
    key_changed, key_missed,
)
from storenode.entry cimport entry_slice, entry_value
from storenode.guards cimport Guard, guard_holds, guard_kind, guard_valid
from storenode.keyspace cimport (
    EMBSTR_MOST, key_expire, key_read, key_remove, key_write, type_is, value_encoding, value_resize, value_set,
)
from storenode.types cimport EMBSTR, INTEGER, RAW, STRING, Call, Entry, Place, Slice

cdef extern from "<math.h>" nogil:
    bint isnan(long double value)
    bint isinf(long double value)

cdef enum:
    STRING_MOST = 512 << 20    # bytes of a string: Redis's proto-max-bulk-len

cdef enum SetFlag:             # options of SET and GETEX
    IF_MISSING = 1             # NX
    IF_PRESENT = 2             # XX
    REPLY_OLD = 4              # GET
    KEEP_EXPIRY = 8            # KEEPTTL
    PERSIST = 16
    EX = 32
    PX = 64
    EXAT = 128
    PXAT = 256
    ANY_EXPIRY = 32 + 64 + 128 + 256
    IF_GUARD = 512             # IFEQ and its kind


cdef inline void answer_value(Call* call, const Entry* entry) noexcept nogil:
    answer_bulk(call, entry_value(entry), entry.value_length)


cdef bint fits(Call* call, long long length) noexcept nogil:
    if length <= STRING_MOST:
        return True
    answer_error(call, b"ERR string exceeds maximum allowed size (proto-max-bulk-len)")
    return False


cdef void command_get(Call* call) noexcept nogil:
    cdef Place place
    if not key_read(call, &call.argv[1], &place):
        answer_nil(call)
    elif type_is(call, place.entry, STRING):
        answer_value(call, place.entry)


cdef bint read_options(Call* call, int at, bint getex, int* flags, const Slice** expiry, Guard* guard) noexcept nogil:
    """Parse SET's or GETEX's options from argument `at` on; False: answered with a syntax error."""
    cdef const Slice* option
    cdef bint more
    cdef int given = 0
    cdef int flag
    while at < call.argc:
        option = &call.argv[at]
        more = at + 1 < call.argc
        flag = 0
        if is_word(option, b"nx") and not getex and not given & (IF_PRESENT | IF_GUARD):
            given |= IF_MISSING
        elif is_word(option, b"xx") and not getex and not given & (IF_MISSING | IF_GUARD):
            given |= IF_PRESENT
        elif not getex and more and not given & (IF_MISSING | IF_PRESENT | IF_GUARD) and guard_kind(option):
            given |= IF_GUARD
            guard.kind = guard_kind(option)
            at += 1
            guard.value = &call.argv[at]
        elif is_word(option, b"get") and not getex:
            given |= REPLY_OLD
        elif is_word(option, b"keepttl") and not getex and not given & (PERSIST | ANY_EXPIRY):
            given |= KEEP_EXPIRY
        elif is_word(option, b"persist") and getex and not given & (KEEP_EXPIRY | ANY_EXPIRY):
            given |= PERSIST
        else:
            if is_word(option, b"ex"):
                flag = EX
            elif is_word(option, b"px"):
                flag = PX
            elif is_word(option, b"exat"):
                flag = EXAT
            elif is_word(option, b"pxat"):
                flag = PXAT
            if not flag or not more or given & (KEEP_EXPIRY | PERSIST | (ANY_EXPIRY & ~flag)):
                answer_syntax(call)
                return False
            given |= flag
            at += 1
            expiry[0] = &call.argv[at]
        at += 1
    flags[0] = given
    return True


cdef void set_string(Call* call, int flags, const Slice* expiry, const Slice* value, const Guard* guard,
                     const char* done, const char* refused) noexcept nogil:
    """SET, SETNX and SETEX in one. `done`, `refused`: the replies; refused NULL is nil. guard: of IF_GUARD."""
    cdef const Slice* key = &call.argv[1]
    cdef Place place
    cdef int64_t expire_ms = 0
    cdef bint found
    if expiry != NULL and not take_expiry(call, expiry, (flags & (EX | EXAT)) != 0, (flags & (EXAT | PXAT)) != 0,
                                          &expire_ms):
        return
    if flags & IF_GUARD and not guard_valid(call, guard):
        return
    found = key_write(call, key, &place)
    if flags & IF_GUARD and found and not type_is(call, place.entry, STRING):
        return
    if flags & REPLY_OLD:
        if not found:
            key_missed(call.database, key)
            answer_nil(call)
        else:
            call.node.stats.hits += 1
            if not type_is(call, place.entry, STRING):
                return
            answer_value(call, place.entry)
    if ((flags & IF_MISSING and found) or (flags & IF_PRESENT and not found)
            or (flags & IF_GUARD and not guard_holds(guard, &place))):
        if not flags & REPLY_OLD:
            if refused == NULL:
                answer_nil(call)
            else:
                answer_raw(call, refused, 4)
        return
    value_set(call.database, key, &place, value, value_encoding(value))
    if expiry != NULL or (found and not flags & KEEP_EXPIRY and place.entry.expire_ms):
        key_expire(call.database, &place, expire_ms)
    key_changed(call.database, key, EVENT_SET)
    if expiry != NULL:
        key_changed(call.database, key, EVENT_EXPIRE)
    if not flags & REPLY_OLD:
        answer_raw(call, done, 5 if done[0] == c'+' else 4)


cdef void command_set(Call* call) noexcept nogil:
    cdef const Slice* expiry = NULL
    cdef Guard guard
    cdef int flags = 0
    if call.argc > 3 and not read_options(call, 3, False, &flags, &expiry, &guard):
        return
    set_string(call, flags, expiry, &call.argv[2], &guard, b"+OK\r\n", NULL)


cdef void command_setnx(Call* call) noexcept nogil:
    set_string(call, IF_MISSING, NULL, &call.argv[2], NULL, b":1\r\n", b":0\r\n")


cdef void command_setex(Call* call) noexcept nogil:
    set_string(call, EX, &call.argv[2], &call.argv[3], NULL, b"+OK\r\n", NULL)


cdef void command_psetex(Call* call) noexcept nogil:
    set_string(call, PX, &call.argv[2], &call.argv[3], NULL, b"+OK\r\n", NULL)


cdef void replace(Call* call, const Slice* key, Place* place, const Slice* value) noexcept nogil:
    """Set a key as a plain SET does: any type goes, any expiry goes."""
    value_set(call.database, key, place, value, value_encoding(value))
    if place.entry.expire_ms:
        key_expire(call.database, place, 0)
    key_changed(call.database, key, EVENT_SET)


cdef void command_getset(Call* call) noexcept nogil:
    cdef Place place
    if key_read(call, &call.argv[1], &place):
        if not type_is(call, place.entry, STRING):
            return
        answer_value(call, place.entry)
    else:
        answer_nil(call)
    replace(call, &call.argv[1], &place, &call.argv[2])


cdef void command_getdel(Call* call) noexcept nogil:
    cdef Place place
    if not key_read(call, &call.argv[1], &place):
        answer_nil(call)
    elif type_is(call, place.entry, STRING):
        answer_value(call, place.entry)
        key_remove(call.database, &place, EVENT_DEL)


cdef void command_getex(Call* call) noexcept nogil:
    cdef Place place
    cdef const Slice* expiry = NULL
    cdef int flags = 0
    cdef int64_t expire_ms = 0
    if not read_options(call, 2, True, &flags, &expiry, NULL):
        return
    if not key_read(call, &call.argv[1], &place):
        answer_nil(call)
        return
    if not type_is(call, place.entry, STRING):
        return
    if expiry != NULL and not take_expiry(call, expiry, (flags & (EX | EXAT)) != 0, (flags & (EXAT | PXAT)) != 0,
                                          &expire_ms):
        return
    answer_value(call, place.entry)
    if expiry != NULL and expire_ms <= call.node.now_ms:
        key_remove(call.database, &place, EVENT_DEL)
    elif expiry != NULL:
        key_expire(call.database, &place, expire_ms)
        key_changed(call.database, &call.argv[1], EVENT_EXPIRE)
    elif flags & PERSIST and place.entry.expire_ms:
        key_expire(call.database, &place, 0)
        key_changed(call.database, &call.argv[1], EVENT_PERSIST)


cdef void command_mget(Call* call) noexcept nogil:
    cdef Place place
    cdef int index
    answer_array(call, call.argc - 1)
    for index in range(1, call.argc):
        if key_read(call, &call.argv[index], &place) and place.entry.type == STRING:
            answer_value(call, place.entry)
        else:
            answer_nil(call)


cdef void command_mset(Call* call) noexcept nogil:
    cdef Place place
    cdef int index
    if call.argc % 2 == 0:
        answer_arity(call)
        return
    for index in range(1, call.argc, 2):
        key_write(call, &call.argv[index], &place)
        replace(call, &call.argv[index], &place, &call.argv[index + 1])
    answer_ok(call)


cdef void command_msetnx(Call* call) noexcept nogil:
    cdef Place place
    cdef int index
    if call.argc % 2 == 0:
        answer_arity(call)
        return
    for index in range(1, call.argc, 2):
        if key_write(call, &call.argv[index], &place):
            answer_number(call, 0)
            return
    for index in range(1, call.argc, 2):
        key_write(call, &call.argv[index], &place)
        replace(call, &call.argv[index], &place, &call.argv[index + 1])
    answer_number(call, 1)


cdef void command_append(Call* call) noexcept nogil:
    cdef const Slice* value = &call.argv[2]
    cdef Place place
    cdef size_t length
    cdef char* at
    if not key_write(call, &call.argv[1], &place):
        value_set(call.database, &call.argv[1], &place, value, value_encoding(value))
    else:
        if not type_is(call, place.entry, STRING):
            return
        length = place.entry.value_length
        if not fits(call, <long long> (length + value.length)):
            return
        at = value_resize(call.database, &place, length + value.length, True)
        memcpy(at + length, value.data, value.length)
        place.entry.encoding = RAW
    key_changed(call.database, &call.argv[1], EVENT_APPEND)
    answer_number(call, place.entry.value_length)


cdef void command_strlen(Call* call) noexcept nogil:
    cdef Place place
    if not key_read(call, &call.argv[1], &place):
        answer_number(call, 0)
    elif type_is(call, place.entry, STRING):
        answer_number(call, place.entry.value_length)


cdef void command_getrange(Call* call) noexcept nogil:
    cdef Place place
    cdef long long start, end, length
    if not take_integer(call, &call.argv[2], &start) or not take_integer(call, &call.argv[3], &end):
        return
    if not key_read(call, &call.argv[1], &place):
        answer_bulk(call, b"", 0)
        return
    if not type_is(call, place.entry, STRING):
        return
    length = place.entry.value_length
    if start < 0 and end < 0 and start > end:
        answer_bulk(call, b"", 0)
        return
    if start < 0:
        start += length
    if end < 0:
        end += length
    if start < 0:
        start = 0
    if end < 0:
        end = 0
    if end >= length:
        end = length - 1
    if start > end or length == 0:
        answer_bulk(call, b"", 0)
    else:
        answer_bulk(call, entry_value(place.entry) + start, end - start + 1)


cdef void command_setrange(Call* call) noexcept nogil:
    cdef const Slice* key = &call.argv[1]
    cdef const Slice* value = &call.argv[3]
    cdef Slice empty
    cdef Place place
    cdef long long offset
    cdef size_t length = 0
    cdef size_t end
    cdef bint found
    cdef char* at
    if not take_integer(call, &call.argv[2], &offset):
        return
    if offset < 0:
        answer_error(call, b"ERR offset is out of range")
        return
    found = key_write(call, key, &place)
    if found:
        if not type_is(call, place.entry, STRING):
            return
        length = place.entry.value_length
    if value.length == 0:
        answer_number(call, <long long> length)
        return
    if not fits(call, offset if offset > STRING_MOST else offset + <long long> value.length):
        return
    if not found:
        empty.data = b""
        empty.length = 0
        value_set(call.database, key, &place, &empty, RAW)
    end = offset + value.length
    at = value_resize(call.database, &place, end if end > length else length, found)
    if <size_t> offset > length:
        memset(at + length, 0, offset - length)
    memcpy(at + offset, value.data, value.length)
    place.entry.encoding = RAW
    key_changed(call.database, key, EVENT_SETRANGE)
    answer_number(call, place.entry.value_length)


cdef void increment(Call* call, long long delta) noexcept nogil:
    cdef const Slice* key = &call.argv[1]
    cdef Place place
    cdef Slice text
    cdef char digits[24]
    cdef long long value = 0
    cdef bint found = key_write(call, key, &place)
    if found:
        if not type_is(call, place.entry, STRING):
            return
        text = entry_slice(place.entry)
        if not take_integer(call, &text, &value):
            return
    if (delta > 0 and value > LLONG_MAX - delta) or (delta < 0 and value < LLONG_MIN - delta):
        answer_error(call, b"ERR increment or decrement would overflow")
        return
    value += delta
    text.data = digits
    text.length = write_number(digits, value) - 2
    value_set(call.database, key, &place, &text, INTEGER)
    key_changed(call.database, key, EVENT_INCRBY)
    answer_number(call, value)


cdef void command_incr(Call* call) noexcept nogil:
    increment(call, 1)


cdef void command_decr(Call* call) noexcept nogil:
    increment(call, -1)


cdef void command_incrby(Call* call) noexcept nogil:
    cdef long long delta
    if take_integer(call, &call.argv[2], &delta):
        increment(call, delta)


cdef void command_decrby(Call* call) noexcept nogil:
    cdef long long delta
    if not take_integer(call, &call.argv[2], &delta):
        return
    if delta == LLONG_MIN:
        answer_error(call, b"ERR decrement would overflow")
        return
    increment(call, -delta)


cdef void command_incrbyfloat(Call* call) noexcept nogil:
    cdef const Slice* key = &call.argv[1]
    cdef Place place
    cdef Slice text
    cdef char digits[LONG_DOUBLE_ROOM]
    cdef long double value = 0
    cdef long double delta
    cdef int length
    cdef bint found = key_write(call, key, &place)
    if found:
        if not type_is(call, place.entry, STRING):
            return
        text = entry_slice(place.entry)
        if not take_float(&text, &value):
            answer_error(call, b"ERR value is not a valid float")
            return
    if not take_float(&call.argv[2], &delta):
        answer_error(call, b"ERR value is not a valid float")
        return
    value += delta
    if isnan(value) or isinf(value):
        answer_error(call, b"ERR increment would produce NaN or Infinity")
        return
    length = write_long_double(digits, value)
    text.data = digits
    text.length = length
    value_set(call.database, key, &place, &text, EMBSTR if length <= EMBSTR_MOST else RAW)
    key_changed(call.database, key, EVENT_INCRBYFLOAT)
    answer_bulk(call, digits, length)
