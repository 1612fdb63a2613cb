# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Bitfield. See bitfield.pxd. All operations are read before the first is done; the string grows once, to the last bit
that any of them writes."""

from libc.stdint cimport INT64_MAX, INT64_MIN, UINT64_MAX, int64_t, uint64_t
from libc.stdio cimport fprintf, stderr
from libc.stdlib cimport abort, free, malloc
from libc.string cimport memset

from proxy.wire.resp cimport read_number
from storenode.answer cimport answer_array, answer_error, answer_nil, answer_number, answer_syntax
from storenode.arguments cimport is_word, take_integer
from storenode.changes cimport EVENT_SETBIT, key_changed
from storenode.entry cimport entry_value
from storenode.keyspace cimport ABSENT, MISTYPED, key_read_as, key_write_as, value_resize, value_set
from storenode.types cimport RAW, STRING, Call, Place, Slice

cdef enum Kind:
    GET = 0
    SET = 1
    INCRBY = 2

cdef enum Overflow:
    WRAP = 0
    SAT = 1
    FAIL = 2

cdef struct Operation:
    int kind
    int overflow
    bint is_signed
    int width                  # bits
    uint64_t offset            # of the first
    int64_t value              # of SET and INCRBY


cdef bint take_type(Call* call, const Slice* text, Operation* operation) noexcept nogil:
    cdef long long width = 0
    operation.is_signed = text.length > 0 and text.data[0] == c'i'
    if (text.length > 1 and (operation.is_signed or text.data[0] == c'u')
            and read_number(text.data + 1, text.length - 1, &width) and 1 <= width <= (64 if operation.is_signed else 63)):
        operation.width = <int> width
        return True
    answer_error(call, b"ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 "
                       b"is.")
    return False


cdef bint take_place(Call* call, const Slice* text, Operation* operation) noexcept nogil:
    """An offset in bits, or with # in front of it in units of the type's width."""
    cdef bint units = text.length > 0 and text.data[0] == c'#'
    cdef long long offset
    if read_number(text.data + units, text.length - units, &offset) and offset >= 0:
        if not units or offset < (<long long> 1 << 56):
            operation.offset = <uint64_t> offset * (operation.width if units else 1)
            if operation.offset >> 3 < <uint64_t> 512 << 20:
                return True
    answer_error(call, b"ERR bit offset is not an integer or out of range")
    return False


cdef bint read_operations(Call* call, bint only_get, Operation* operations, int* count) noexcept nogil:
    cdef Operation* operation
    cdef long long value
    cdef int overflow = WRAP
    cdef bint writes = False
    cdef int at = 2
    cdef int left
    count[0] = 0
    while at < call.argc:
        left = call.argc - at - 1
        operation = &operations[count[0]]
        operation.value = 0
        if is_word(&call.argv[at], b"get") and left >= 2:
            operation.kind = GET
        elif is_word(&call.argv[at], b"set") and left >= 3:
            operation.kind = SET
        elif is_word(&call.argv[at], b"incrby") and left >= 3:
            operation.kind = INCRBY
        elif is_word(&call.argv[at], b"overflow") and left >= 1:
            if is_word(&call.argv[at + 1], b"wrap"):
                overflow = WRAP
            elif is_word(&call.argv[at + 1], b"sat"):
                overflow = SAT
            elif is_word(&call.argv[at + 1], b"fail"):
                overflow = FAIL
            else:
                answer_error(call, b"ERR Invalid OVERFLOW type specified")
                return False
            at += 2
            continue
        else:
            answer_syntax(call)
            return False
        operation.overflow = overflow
        if not take_type(call, &call.argv[at + 1], operation) or not take_place(call, &call.argv[at + 2], operation):
            return False
        if operation.kind != GET:
            writes = True
            if not take_integer(call, &call.argv[at + 3], &value):
                return False
            operation.value = value
        at += 3 if operation.kind == GET else 4
        count[0] += 1
    if writes and only_get:
        answer_error(call, b"ERR BITFIELD_RO only supports the GET subcommand")
        return False
    return True


cdef uint64_t load(const char* bytes, size_t length, const Operation* operation) noexcept nogil:
    """The bits of a field; those behind the string's end are 0."""
    cdef uint64_t value = 0
    cdef uint64_t at = operation.offset
    cdef int left = operation.width
    while left:
        value <<= 1
        if at >> 3 < length:
            value |= (bytes[at >> 3] >> (7 - (at & 7))) & 1
        at += 1
        left -= 1
    return value


cdef void store(char* bytes, const Operation* operation, uint64_t value) noexcept nogil:
    cdef uint64_t at = operation.offset + operation.width
    cdef int left = operation.width
    cdef int shift
    while left:
        at -= 1
        shift = 7 - <int> (at & 7)
        bytes[at >> 3] = <char> ((bytes[at >> 3] & ~(1 << shift)) | (<int> (value & 1) << shift))
        value >>= 1
        left -= 1


cdef bint add_unsigned(uint64_t value, int64_t delta, const Operation* operation, uint64_t* sum) noexcept nogil:
    """value + delta in the field's range; True: it did not fit, and `sum` is what WRAP or SAT make of it."""
    cdef uint64_t most = (<uint64_t> 1 << operation.width) - 1
    cdef bint over = value > most or (delta > 0 and <uint64_t> delta > most - value)
    cdef bint under = not over and delta < 0 and (delta == INT64_MIN or <uint64_t> -delta > value)
    sum[0] = (value + <uint64_t> delta) & most
    if over and operation.overflow == SAT:
        sum[0] = most
    elif under and operation.overflow == SAT:
        sum[0] = 0
    return over or under


cdef bint add_signed(int64_t value, int64_t delta, const Operation* operation, int64_t* sum) noexcept nogil:
    cdef int64_t most = INT64_MAX if operation.width == 64 else (<int64_t> 1 << (operation.width - 1)) - 1
    cdef int64_t least = -most - 1
    cdef uint64_t mask = UINT64_MAX if operation.width == 64 else ((<uint64_t> 1 << operation.width) - 1)
    cdef uint64_t wrapped = (<uint64_t> value + <uint64_t> delta) & mask
    cdef bint over = value > most or (delta > 0 and value > most - delta)
    cdef bint under = not over and (value < least or (delta < 0 and value < least - delta))
    if wrapped > <uint64_t> most:
        wrapped |= ~mask
    sum[0] = <int64_t> wrapped
    if operation.overflow == SAT and (over or under):
        sum[0] = most if over else least
    return over or under


cdef bint perform(Call* call, const Operation* operation, char* bytes, size_t length) noexcept nogil:
    """Do one operation and answer it; True: the string was written."""
    cdef uint64_t old = load(bytes, length, operation)
    cdef uint64_t fresh = 0
    cdef int64_t signed_old = <int64_t> old
    cdef int64_t signed_fresh = 0
    cdef bint overflow
    if operation.is_signed and operation.width < 64 and old >> (operation.width - 1):
        signed_old = <int64_t> (old | (UINT64_MAX << operation.width))
    if operation.kind == GET:
        answer_number(call, signed_old)
        return False
    if operation.is_signed:
        if operation.kind == INCRBY:
            overflow = add_signed(signed_old, operation.value, operation, &signed_fresh)
        else:
            overflow = add_signed(operation.value, 0, operation, &signed_fresh)
        fresh = <uint64_t> signed_fresh
    else:
        if operation.kind == INCRBY:
            overflow = add_unsigned(old, operation.value, operation, &fresh)
        else:
            overflow = add_unsigned(<uint64_t> operation.value, 0, operation, &fresh)
        signed_fresh = <int64_t> fresh
    if overflow and operation.overflow == FAIL:
        answer_nil(call)
        return False
    answer_number(call, signed_fresh if operation.kind == INCRBY else signed_old)
    store(bytes, operation, fresh)
    return True


cdef void run(Call* call, const Operation* operations, int count) noexcept nogil:
    cdef Place place
    cdef Slice empty
    cdef uint64_t end = 0
    cdef size_t length = 0
    cdef char* bytes = NULL
    cdef bint changed = False
    cdef int index, lookup
    for index in range(count):
        if operations[index].kind != GET and operations[index].offset + operations[index].width > end:
            end = operations[index].offset + operations[index].width
    end = (end + 7) >> 3
    lookup = key_write_as(call, &call.argv[1], STRING, &place) if end else \
        key_read_as(call, &call.argv[1], STRING, &place)
    if lookup == MISTYPED:
        return
    if lookup == ABSENT and end:
        empty.data = b""
        empty.length = 0
        value_set(call.database, &call.argv[1], &place, &empty, RAW)
    if lookup != ABSENT or end:
        length = place.entry.value_length
        bytes = entry_value(place.entry)
        if end > length:
            bytes = value_resize(call.database, &place, end, length > 0)
            memset(bytes + length, 0, end - length)
            length = end
        if end:
            place.entry.encoding = RAW
    answer_array(call, count)
    for index in range(count):
        changed |= perform(call, &operations[index], bytes, length)
    if changed:
        key_changed(call.database, &call.argv[1], EVENT_SETBIT)


cdef void bitfield(Call* call, bint only_get) noexcept nogil:
    cdef Operation* operations = <Operation*> malloc((call.argc // 3 + 1) * sizeof(Operation))
    cdef int count
    if operations == NULL:
        fprintf(stderr, "quench: out of memory for the operations of a BITFIELD\n")
        abort()
    if read_operations(call, only_get, operations, &count):
        run(call, operations, count)
    free(operations)


cdef void command_bitfield(Call* call) noexcept nogil:
    """BITFIELD key [GET type offset] [SET type offset value] [INCRBY type offset delta] [OVERFLOW WRAP|SAT|FAIL] …."""
    bitfield(call, False)


cdef void command_bitfield_ro(Call* call) noexcept nogil:
    bitfield(call, True)
