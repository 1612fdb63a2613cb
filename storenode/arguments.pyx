# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Arguments: words, integers, floats and expiry times. See arguments.pxd."""

from libc.errno cimport EINVAL, ERANGE, errno
from libc.limits cimport LLONG_MAX
from libc.stdint cimport int64_t
from libc.stdio cimport snprintf
from libc.string cimport memchr, memcpy

from proxy.wire.resp cimport read_number
from storenode.answer cimport answer_error, answer_not_integer
from storenode.types cimport Call, Slice

cdef extern from "<math.h>" nogil:
    bint isnan(long double value)
    bint isinf(long double value)

cdef extern from "<stdlib.h>" nogil:
    long double strtold(const char* text, char** end)


cdef bint is_word(const Slice* argument, const char* word) noexcept nogil:
    """Is the argument this lower-case word, in whatever case?"""
    cdef size_t index = 0
    cdef char byte
    while index < argument.length:
        byte = argument.data[index]
        if c'A' <= byte <= c'Z':
            byte += 32
        if word[index] == 0 or byte != word[index]:
            return False
        index += 1
    return word[index] == 0


cdef bint take_integer(Call* call, const Slice* argument, long long* value) noexcept nogil:
    """Read a 64-bit integer, or answer the usual error and return False."""
    if read_number(argument.data, argument.length, value):
        return True
    answer_not_integer(call)
    return False


cdef bint take_float(const Slice* argument, long double* value) noexcept nogil:
    """Read a long double as Redis does: the C library's grammar, no leading blank, nothing behind it, not NaN."""
    cdef char text[5120]
    cdef char* end
    if argument.length == 0 or argument.length >= sizeof(text):
        return False
    memcpy(text, argument.data, argument.length)
    text[argument.length] = 0
    if text[0] == c' ' or c'\t' <= text[0] <= c'\r':
        return False
    (&errno)[0] = 0
    value[0] = strtold(text, &end)
    if end != text + argument.length or isnan(value[0]) or errno == EINVAL:
        return False
    if errno == ERANGE and (isinf(value[0]) or value[0] == 0):
        return False
    return True


cdef bint take_expiry(Call* call, const Slice* argument, bint seconds, bint absolute,
                      int64_t* expire_ms) noexcept nogil:
    """Read the expiry of SET, SETEX and GETEX: positive, as Unix time in ms. Answers an error and returns False."""
    cdef char text[128]
    cdef long long value
    if not take_integer(call, argument, &value):
        return False
    if value > 0 and not (seconds and value > LLONG_MAX // 1000):
        if seconds:
            value *= 1000
        if absolute or value <= LLONG_MAX - call.node.now_ms:
            expire_ms[0] = value if absolute else value + call.node.now_ms
            return True
    snprintf(text, sizeof(text), b"ERR invalid expire time in '%s' command", call.row.name)
    answer_error(call, text)
    return False


cdef int copy_text(char* target, size_t room, const Slice* text) noexcept nogil:
    """Copy what fits of `text` up to its first NUL as a C string, for error messages."""
    cdef size_t length = text.length
    cdef const char* nul = <const char*> memchr(text.data, 0, length)
    if nul != NULL:
        length = nul - text.data
    if length >= room:
        length = room - 1
    memcpy(target, text.data, length)
    target[length] = 0
    return <int> length


cdef bint is_plain(const Slice* text) noexcept nogil:
    """No blank, no control character, nothing beyond ASCII: what a client's name may be made of."""
    cdef size_t index
    for index in range(text.length):
        if not c'!' <= text.data[index] <= c'~':
            return False
    return True
