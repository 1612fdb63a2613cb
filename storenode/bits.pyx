# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Bit commands. See bits.pxd. Bit 0 is the highest bit of byte 0."""

from libc.stdint cimport uint64_t
from libc.string cimport memcpy, memset

from proxy.wire.resp cimport read_number
from storenode.answer cimport answer_error, answer_number, answer_syntax
from storenode.arguments cimport is_word, take_integer
from storenode.changes cimport EVENT_SETBIT, key_changed
from storenode.entry cimport entry_value
from storenode.keyspace cimport key_read, key_write, type_is, value_resize, value_set
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
