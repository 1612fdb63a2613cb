# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Guards: reading and checking one; DELEX and DIGEST. See guards.pxd."""

from libc.stdio cimport snprintf

from storenode.answer cimport answer_arity, answer_bulk, answer_error, answer_nil, answer_number, answer_syntax
from storenode.arguments cimport is_word, same_bytes
from storenode.call cimport call_becomes
from storenode.entry cimport entry_slice
from storenode.keys cimport command_del
from storenode.keyspace cimport ABSENT, MISTYPED, PRESENT, key_read_as, key_write_as
from storenode.types cimport STRING, Call, Entry, Place, Slice
from storenode.xxh3 cimport xxh3

cdef enum:
    DIGITS = 16


cdef int guard_kind(const Slice* option) noexcept nogil:
    if is_word(option, b"ifeq"):
        return IFEQ
    if is_word(option, b"ifne"):
        return IFNE
    if is_word(option, b"ifdeq"):
        return IFDEQ
    if is_word(option, b"ifdne"):
        return IFDNE
    return UNGUARDED


cdef bint guard_valid(Call* call, const Guard* guard) noexcept nogil:
    """Answers an error and returns False if a digest cannot be one."""
    cdef size_t index
    cdef char byte
    cdef bint good
    if guard.kind != IFDEQ and guard.kind != IFDNE:
        return True
    good = guard.value.length == DIGITS
    for index in range(guard.value.length if good else 0):
        byte = guard.value.data[index] | 0x20
        good = good and (c'0' <= guard.value.data[index] <= c'9' or c'a' <= byte <= c'f')
    if not good:
        answer_error(call, b"ERR digest must be exactly 16 hexadecimal characters")
    return good


cdef void write_digest(const Entry* entry, char* text) noexcept nogil:
    """DIGITS and a NUL."""
    cdef Slice value = entry_slice(entry)
    snprintf(text, DIGITS + 1, b"%016llx", <unsigned long long> xxh3(value.data, value.length))


cdef bint guard_holds(const Guard* guard, const Place* place) noexcept nogil:
    """May the string at `place` be replaced or removed? `place` without an entry: there is none."""
    cdef char digest[DIGITS + 1]
    cdef Slice value
    cdef bint equal = False
    if guard.kind == UNGUARDED:
        return True
    if place.entry != NULL:
        if guard.kind == IFEQ or guard.kind == IFNE:
            value = entry_slice(place.entry)
            equal = same_bytes(&value, guard.value)
        else:
            write_digest(place.entry, digest)
            equal = is_word(guard.value, digest)
    return equal == (guard.kind == IFEQ or guard.kind == IFDEQ)


cdef void command_delex(Call* call) noexcept nogil:
    """DELEX key [IFEQ value | IFNE value | IFDEQ digest | IFDNE digest]. Its effect is a DEL."""
    cdef Guard guard
    cdef Place place
    cdef int lookup
    if call.argc != 2:
        if call.argc != 4:
            answer_arity(call)
            return
        guard.kind = guard_kind(&call.argv[2])
        guard.value = &call.argv[3]
        if guard.kind == UNGUARDED:
            answer_syntax(call)
            return
        if not guard_valid(call, &guard):
            return
        lookup = key_write_as(call, &call.argv[1], STRING, &place)
        if lookup == MISTYPED:
            return
        if lookup == ABSENT or not guard_holds(&guard, &place):
            answer_number(call, 0)
            return
    call.argv[0].data = b"DEL"
    call.argv[0].length = 3
    call.argc = 2
    call_becomes(call, command_del)
    command_del(call)


cdef void command_digest(Call* call) noexcept nogil:
    cdef Place place
    cdef char digest[DIGITS + 1]
    cdef int lookup = key_read_as(call, &call.argv[1], STRING, &place)
    if lookup == PRESENT:
        write_digest(place.entry, digest)
        answer_bulk(call, digest, DIGITS)
    elif lookup == ABSENT:
        answer_nil(call)
