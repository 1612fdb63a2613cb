# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Answers: errors and the replies that differ between RESP2 and RESP3. See answer.pxd."""

from libc.stdio cimport snprintf
from libc.string cimport memcpy, strlen

from proxy.wire.output cimport output_append, output_number
from proxy.wire.resp cimport write_number
from storenode.errors cimport error_count
from storenode.types cimport Call

cdef extern from "<math.h>" nogil:
    bint isinf(double value)
    bint signbit(double value)

cdef enum:
    WHOLE_MOST = 1000000000000000  # below it 17 digits are the number itself


cdef void answer_error(Call* call, const char* text) noexcept nogil:
    """An error reply; `text` begins with its code ("ERR …") and has no line end. CR and LF in it become blanks."""
    cdef size_t length = strlen(text)
    cdef size_t index
    cdef char* at
    output_append(call.output, call.pool, b"-", 1)
    at = output_room(call.output, call.pool, length + 2)
    for index in range(length):
        at[index] = text[index] if text[index] != c'\r' and text[index] != c'\n' else c' '
    at[length] = c'\r'
    at[length + 1] = c'\n'
    output_commit(call.output, length + 2)
    call.failed = True
    error_count(call.node, text)


cdef void answer_nil(Call* call) noexcept nogil:
    if call.client.resp == 3:
        output_append(call.output, call.pool, b"_\r\n", 3)
    else:
        output_append(call.output, call.pool, b"$-1\r\n", 5)


cdef void answer_nil_array(Call* call) noexcept nogil:
    """The nil of a command that answers an array."""
    if call.client.resp == 3:
        output_append(call.output, call.pool, b"_\r\n", 3)
    else:
        output_append(call.output, call.pool, b"*-1\r\n", 5)


cdef int write_double(char* text, double value) noexcept nogil:
    """17 significant digits, as redis-server 7.0 has it, into DOUBLE_ROOM bytes; whole numbers the quick way."""
    if isinf(value):
        memcpy(text, b"-inf", 4)
        if value > 0:
            memcpy(text, b"inf", 3)
            return 3
        return 4
    if (-WHOLE_MOST < value < WHOLE_MOST and <double> (<long long> value) == value
            and not (value == 0 and signbit(value))):
        return write_number(text, <long long> value) - 2
    return snprintf(text, DOUBLE_ROOM, b"%.17g", value)


cdef int write_long_double(char* text, long double value) noexcept nogil:
    """"%.17Lf" without its trailing zeros, as Redis on x86-64 writes what INCRBYFLOAT computes."""
    cdef int length = snprintf(text, LONG_DOUBLE_ROOM, b"%.17Lf", value)
    while text[length - 1] == c'0':
        length -= 1
    if text[length - 1] == c'.':
        length -= 1
    if length == 2 and text[0] == c'-' and text[1] == c'0':
        text[0] = c'0'
        length = 1
    return length


cdef void answer_score_text(Call* call, double value) noexcept nogil:
    """A double as a bulk string, in both protocols: what ZSCAN does."""
    cdef char text[DOUBLE_ROOM]
    cdef int length = write_double(text, value)
    if 0 < length < DOUBLE_ROOM:
        answer_bulk(call, text, length)


cdef void answer_double(Call* call, double value) noexcept nogil:
    """A double in RESP3, a bulk string in RESP2."""
    cdef char text[DOUBLE_ROOM + 4]
    cdef int length
    if call.client.resp != 3:
        answer_score_text(call, value)
        return
    text[0] = c','
    length = write_double(text + 1, value) + 1
    text[length] = c'\r'
    text[length + 1] = c'\n'
    output_append(call.output, call.pool, text, length + 2)


cdef void answer_set(Call* call, long long length) noexcept nogil:
    output_number(call.output, call.pool, c'~' if call.client.resp == 3 else c'*', length)


cdef void answer_map(Call* call, long long pairs) noexcept nogil:
    if call.client.resp == 3:
        output_number(call.output, call.pool, c'%', pairs)
    else:
        output_number(call.output, call.pool, c'*', pairs * 2)


cdef void answer_text(Call* call, const char* text) noexcept nogil:
    """A bulk string from a C string."""
    answer_bulk(call, text, strlen(text))


cdef void answer_verbatim(Call* call, const char* text, size_t length) noexcept nogil:
    """Text for people: a verbatim string in RESP3, a bulk string in RESP2."""
    if call.client.resp == 3:
        output_number(call.output, call.pool, c'=', <long long> length + 4)
        output_append(call.output, call.pool, b"txt:", 4)
        if length:
            output_append(call.output, call.pool, text, length)
        output_append(call.output, call.pool, b"\r\n", 2)
    elif length:
        answer_bulk(call, text, length)
    else:
        answer_bulk(call, b"", 0)


cdef void answer_syntax(Call* call) noexcept nogil:
    answer_error(call, b"ERR syntax error")


cdef void answer_not_integer(Call* call) noexcept nogil:
    answer_error(call, b"ERR value is not an integer or out of range")


cdef void answer_arity(Call* call) noexcept nogil:
    cdef char text[128]
    snprintf(text, sizeof(text), b"ERR wrong number of arguments for '%s' command", call.row.name)
    answer_error(call, text)
