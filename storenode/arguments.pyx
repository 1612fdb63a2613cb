# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Arguments: words, integers, floats and expiry times. See arguments.pxd."""

from libc.errno cimport EINVAL, ERANGE, errno
from libc.limits cimport LLONG_MAX
from libc.stdint cimport int64_t
from libc.stdio cimport snprintf
from libc.string cimport memchr, memcmp, memcpy

from proxy.wire.resp cimport read_number
from storenode.answer cimport answer_error, answer_not_integer
from storenode.types cimport Call, Slice

cdef extern from "<math.h>" nogil:
    bint isnan(long double value)
    bint isinf(long double value)
    double HUGE_VAL

cdef extern from "<stdlib.h>" nogil:
    long double strtold(const char* text, char** end)
    double strtod(const char* text, char** end)


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


cdef bint same_bytes(const Slice* one, const Slice* other) noexcept nogil:
    return one.length == other.length and memcmp(one.data, other.data, one.length) == 0


cdef bint take_positive(Call* call, const Slice* argument, long long* value) noexcept nogil:
    """Read a count of 0 or more, or answer and return False."""
    if read_number(argument.data, argument.length, value) and value[0] >= 0:
        return True
    answer_error(call, b"ERR value is out of range, must be positive")
    return False


cdef bint take_numkeys(Call* call, int at, int* keys) noexcept nogil:
    """Read the number of keys at argument `at`, which are to follow it; or answer and return False."""
    cdef long long value
    if not read_number(call.argv[at].data, call.argv[at].length, &value) or value < 1:
        answer_error(call, b"ERR numkeys should be greater than 0")
        return False
    if value > call.argc - at - 1:
        answer_error(call, b"ERR Number of keys can't be greater than number of args")
        return False
    keys[0] = <int> value
    return True


cdef bint take_double(Call* call, const Slice* argument, double* value, const char* problem) noexcept nogil:
    """Read a double by the C library's grammar, no NaN; whole numbers the quick way. Or answer `problem`."""
    cdef char text[256]
    cdef char* end
    cdef long long whole
    if argument.length < 16 and read_number(argument.data, argument.length, &whole):
        value[0] = <double> whole
        return True
    if 0 < argument.length < sizeof(text) and argument.data[0] != c' ' and not c'\t' <= argument.data[0] <= c'\r':
        memcpy(text, argument.data, argument.length)
        text[argument.length] = 0
        (&errno)[0] = 0
        value[0] = strtod(text, &end)
        if end == text + argument.length and value[0] == value[0] and not (
                errno == ERANGE and (value[0] == 0 or value[0] == HUGE_VAL or value[0] == -HUGE_VAL)):
            return True
    answer_error(call, problem)
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


cdef bint take_size(const Slice* text, unsigned long long* size) noexcept nogil:
    """`100`, `100k`, `100kb` … : powers of 1000 without the b, of 1024 with it, as in redis.conf."""
    cdef Slice unit
    cdef long long number
    cdef size_t digits = 0
    cdef unsigned long long factor
    while digits < text.length and c'0' <= text.data[digits] <= c'9':
        digits += 1
    if not read_number(text.data, digits, &number):
        return False
    unit.data = text.data + digits
    unit.length = text.length - digits
    if unit.length == 0 or is_word(&unit, b"b"):
        factor = 1
    elif is_word(&unit, b"k"):
        factor = 1000
    elif is_word(&unit, b"kb"):
        factor = 1024
    elif is_word(&unit, b"m"):
        factor = 1000000
    elif is_word(&unit, b"mb"):
        factor = 1 << 20
    elif is_word(&unit, b"g"):
        factor = 1000000000
    elif is_word(&unit, b"gb"):
        factor = 1 << 30
    else:
        return False
    if <unsigned long long> number > 9223372036854775807ULL // factor:
        return False
    size[0] = <unsigned long long> number * factor
    return True
