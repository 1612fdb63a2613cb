# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Bit commands. See bits.pxd. Bit 0 is the highest bit of byte 0."""

from libc.stdint cimport uint64_t
from libc.stdio cimport fprintf, stderr
from libc.stdlib cimport abort, free, malloc
from libc.string cimport memcpy, memset

from proxy.wire.resp cimport read_number
from storenode.answer cimport answer_error, answer_number, answer_syntax
from storenode.arguments cimport is_word, take_integer
from storenode.changes cimport EVENT_DEL, EVENT_SET, EVENT_SETBIT, key_changed
from storenode.entry cimport entry_slice, entry_value
from storenode.keyspace cimport (
    ABSENT, MISTYPED, PRESENT, entry_build, key_adopt, key_read, key_read_as, key_remove, key_write, type_is,
    value_resize, value_set, value_splice,
)
from storenode.types cimport RAW, STRING, Call, Place, Slice

cdef extern from *:
    """
    #define store_ones(x) __builtin_popcountll(x)
    """
    int store_ones(uint64_t x) noexcept nogil


cdef bint take_offset(Call* call, const Slice* argument, long long* offset) noexcept nogil:
    if (read_number(argument.data, argument.length, offset) and 0 <= offset[0]
            and offset[0] >> 3 < <long long> 512 << 20):
        return True
    answer_error(call, b"ERR bit offset is not an integer or out of range")
    return False


cdef void command_setbit(Call* call) noexcept nogil:
    cdef const Slice* key = &call.argv[1]
    cdef Slice empty
    cdef Place place
    cdef long long offset, bit
    cdef size_t length, needed
    cdef char* at
    cdef int shift, old
    if not take_offset(call, &call.argv[2], &offset):
        return
    if not read_number(call.argv[3].data, call.argv[3].length, &bit) or bit < 0 or bit > 1:
        answer_error(call, b"ERR bit is not an integer or out of range")
        return
    if not key_write(call, key, &place):
        empty.data = b""
        empty.length = 0
        value_set(call.database, key, &place, &empty, RAW)
    elif not type_is(call, place.entry, STRING):
        return
    length = place.entry.value_length
    needed = <size_t> (offset >> 3) + 1
    at = value_resize(call.database, &place, needed if needed > length else length, length > 0)
    if needed > length:
        memset(at + length, 0, needed - length)
    place.entry.encoding = RAW
    shift = 7 - <int> (offset & 7)
    at += offset >> 3
    old = (at[0] >> shift) & 1
    at[0] = <char> ((at[0] & ~(1 << shift)) | (<int> bit << shift))
    key_changed(call.database, key, EVENT_SETBIT)
    answer_number(call, old)


cdef void command_getbit(Call* call) noexcept nogil:
    cdef Place place
    cdef long long offset
    if not take_offset(call, &call.argv[2], &offset):
        return
    if not key_read(call, &call.argv[1], &place):
        answer_number(call, 0)
    elif type_is(call, place.entry, STRING):
        if offset >> 3 >= place.entry.value_length:
            answer_number(call, 0)
        else:
            answer_number(call, (entry_value(place.entry)[offset >> 3] >> (7 - (offset & 7))) & 1)


cdef long long ones(const char* at, size_t length) noexcept nogil:
    cdef long long count = 0
    cdef uint64_t word
    while length >= 8:
        memcpy(&word, at, 8)
        count += store_ones(word)
        at += 8
        length -= 8
    while length:
        count += store_ones(<unsigned char> at[0])
        at += 1
        length -= 1
    return count


cdef void command_bitcount(Call* call) noexcept nogil:
    """BITCOUNT key [start end [BYTE | BIT]]."""
    cdef Place place
    cdef long long start = 0
    cdef long long end = 0
    cdef long long total, count
    cdef bint bits = False
    cdef bint found = key_read(call, &call.argv[1], &place)
    cdef const char* at
    if not found:
        answer_number(call, 0)
        return
    if not type_is(call, place.entry, STRING):
        return
    total = place.entry.value_length
    at = entry_value(place.entry)
    if call.argc == 2:
        answer_number(call, ones(at, total))
        return
    if call.argc != 4 and call.argc != 5:
        answer_syntax(call)
        return
    if not take_integer(call, &call.argv[2], &start) or not take_integer(call, &call.argv[3], &end):
        return
    if start < 0 and end < 0 and start > end:
        answer_number(call, 0)
        return
    if call.argc == 5:
        bits = is_word(&call.argv[4], b"bit")
        if not bits and not is_word(&call.argv[4], b"byte"):
            answer_syntax(call)
            return
    if bits:
        total *= 8
    if start < 0:
        start += total
    if end < 0:
        end += total
    if start < 0:
        start = 0
    if end < 0:
        end = 0
    if end >= total:
        end = total - 1
    if start > end:
        answer_number(call, 0)
        return
    if not bits:
        answer_number(call, ones(at + start, end - start + 1))
        return
    count = ones(at + (start >> 3), (end >> 3) - (start >> 3) + 1)
    count -= store_ones((<unsigned char> at[start >> 3]) >> (8 - (start & 7)))
    count -= store_ones((<unsigned char> at[end >> 3]) & ((1 << (7 - (end & 7))) - 1))
    answer_number(call, count)


cdef bint take_bit(Call* call, const Slice* argument, long long* bit) noexcept nogil:
    if not take_integer(call, argument, bit):
        return False
    if bit[0] == 0 or bit[0] == 1:
        return True
    answer_error(call, b"ERR The bit argument must be 1 or 0.")
    return False


cdef long long find_bit(const char* at, long long start, long long end, int bit) noexcept nogil:
    """The first place of a bit between two places, both included; -1: there is none. Whole bytes are skipped."""
    cdef unsigned char skipped = 0 if bit else 255
    while start <= end:
        if start & 7 == 0:
            while start + 7 <= end and <unsigned char> at[start >> 3] == skipped:
                start += 8
            if start > end:
                break
        if (at[start >> 3] >> (7 - (start & 7))) & 1 == bit:
            return start
        start += 1
    return -1


cdef void command_bitpos(Call* call) noexcept nogil:
    """BITPOS key bit [start [end [BYTE | BIT]]]. Without an end a string goes on with zeros."""
    cdef Place place
    cdef long long bit, total, found
    cdef long long start = 0
    cdef long long end = -1
    cdef int lookup
    cdef bint bits = False
    if not take_bit(call, &call.argv[2], &bit):
        return
    lookup = key_read_as(call, &call.argv[1], STRING, &place)
    if lookup == ABSENT:
        answer_number(call, -1 if bit else 0)
    if lookup != PRESENT:
        return
    if call.argc > 6:
        answer_syntax(call)
        return
    if call.argc > 3 and not take_integer(call, &call.argv[3], &start):
        return
    if call.argc == 6:
        bits = is_word(&call.argv[5], b"bit")
        if not bits and not is_word(&call.argv[5], b"byte"):
            answer_syntax(call)
            return
    if call.argc > 4 and not take_integer(call, &call.argv[4], &end):
        return
    total = place.entry.value_length
    if bits:
        total *= 8
    if start < 0:
        start = start + total if start + total > 0 else 0
    if end < 0:
        end = end + total if end + total > 0 else 0
    if end >= total:
        end = total - 1
    if start > end:
        answer_number(call, -1)
        return
    if not bits:
        start *= 8
        end = end * 8 + 7
    found = find_bit(entry_value(place.entry), start, end, <int> bit)
    if found < 0 and bit == 0 and call.argc < 5:
        found = end + 1
    answer_number(call, found)


cdef bint open_operands(Call* call, Slice* values, size_t* most) noexcept nogil:
    """The values of BITOP's sources, which stay where they are while others are looked up; False: answered."""
    cdef Place place
    cdef int index, lookup
    most[0] = 0
    for index in range(3, call.argc):
        lookup = key_read_as(call, &call.argv[index], STRING, &place)
        if lookup == MISTYPED:
            return False
        values[index - 3].length = 0
        if lookup == PRESENT:
            values[index - 3] = entry_slice(place.entry)
        if values[index - 3].length > most[0]:
            most[0] = values[index - 3].length
    return True


cdef void operate(int operation, const Slice* values, int count, char* result, size_t length) noexcept nogil:
    """One operand after the other into the result, bytes that a compiler turns into vectors."""
    cdef size_t at, shared
    cdef int index
    memset(result, 0, length)
    memcpy(result, values[0].data, values[0].length)
    if operation == c'n':
        for at in range(length):
            result[at] = ~result[at]
    for index in range(1, count):
        shared = values[index].length
        if operation == c'a':
            for at in range(shared):
                result[at] &= values[index].data[at]
            memset(result + shared, 0, length - shared)
        elif operation == c'o':
            for at in range(shared):
                result[at] |= values[index].data[at]
        else:
            for at in range(shared):
                result[at] ^= values[index].data[at]


cdef void command_bitop(Call* call) noexcept nogil:
    """BITOP AND|OR|XOR|NOT target key …."""
    cdef const Slice* name = &call.argv[1]
    cdef Slice* values
    cdef Place place, result
    cdef size_t length
    cdef int operation = 0
    if is_word(name, b"and") or is_word(name, b"or") or is_word(name, b"xor") or is_word(name, b"not"):
        operation = name.data[0] | 32
    if operation == 0:
        answer_syntax(call)
        return
    if operation == c'n' and call.argc != 4:
        answer_error(call, b"ERR BITOP NOT must be called with a single source key.")
        return
    values = <Slice*> malloc((call.argc - 3) * sizeof(Slice))
    if values == NULL:
        fprintf(stderr, "quench: out of memory for %d operands\n", call.argc - 3)
        abort()
    if open_operands(call, values, &length):
        if length:
            entry_build(call.node, &call.argv[2], &result, STRING, RAW)
            operate(operation, values, call.argc - 3, value_splice(call.node, &result, 0, 0, length), length)
            key_adopt(call.database, &result)
            key_changed(call.database, &call.argv[2], EVENT_SET)
        elif key_write(call, &call.argv[2], &place):
            key_remove(call.database, &place, EVENT_DEL)
        answer_number(call, <long long> length)
    free(values)
