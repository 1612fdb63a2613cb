# cython: language_level=3
"""Answers: the replies of commands, in the client's RESP version."""

from libc.string cimport memcpy

from proxy.wire.output cimport output_append, output_commit, output_number, output_room
from proxy.wire.resp cimport write_number
from storenode.types cimport Call

cdef enum:
    DOUBLE_ROOM = 32           # "-1.7976931348623157e+308" and to spare
    LONG_DOUBLE_ROOM = 5120    # the largest long double written out

cdef void answer_error(Call* call, const char* text) noexcept nogil
cdef void answer_nil(Call* call) noexcept nogil
cdef void answer_nil_array(Call* call) noexcept nogil
cdef void answer_double(Call* call, double value) noexcept nogil
cdef void answer_score_text(Call* call, double value) noexcept nogil
cdef void answer_set(Call* call, long long length) noexcept nogil
cdef int write_double(char* text, double value) noexcept nogil
cdef int write_long_double(char* text, long double value) noexcept nogil
cdef void answer_map(Call* call, long long pairs) noexcept nogil
cdef void answer_text(Call* call, const char* text) noexcept nogil
cdef void answer_verbatim(Call* call, const char* text, size_t length) noexcept nogil
cdef void answer_syntax(Call* call) noexcept nogil
cdef void answer_not_integer(Call* call) noexcept nogil
cdef void answer_arity(Call* call) noexcept nogil


cdef inline void answer_raw(Call* call, const char* text, size_t length) noexcept nogil:
    output_append(call.output, call.pool, text, length)


cdef inline void answer_ok(Call* call) noexcept nogil:
    output_append(call.output, call.pool, b"+OK\r\n", 5)


cdef inline void answer_number(Call* call, long long value) noexcept nogil:
    output_number(call.output, call.pool, c':', value)


cdef inline void answer_array(Call* call, long long length) noexcept nogil:
    output_number(call.output, call.pool, c'*', length)


cdef inline void answer_bulk(Call* call, const char* data, size_t length) noexcept nogil:
    """A bulk string in one piece: header, bytes and CRLF are laid down with one check for room."""
    cdef char* start
    cdef char* at
    if length <= 4096:
        start = output_room(call.output, call.pool, length + 32)
        start[0] = c'$'
        at = start + 1 + write_number(start + 1, <long long> length)
        memcpy(at, data, length)
        at += length
        at[0] = c'\r'
        at[1] = c'\n'
        output_commit(call.output, at + 2 - start)
    else:
        output_number(call.output, call.pool, c'$', <long long> length)
        output_append(call.output, call.pool, data, length)
        output_append(call.output, call.pool, b"\r\n", 2)
