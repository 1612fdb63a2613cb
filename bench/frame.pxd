# cython: language_level=3
"""The two things done once a request: the digits of a key are written, and the end of a reply is found."""
from libc.stdint cimport int64_t, uint32_t

cdef inline void write_digits(char* end, uint32_t number) noexcept nogil:
    """A decimal number that ends before `end`; the zeros in front of it are there already."""
    while number:
        end -= 1
        end[0] = <char>(48 + number % 10)
        number //= 10

cdef inline int64_t frame_size(const char* data, const char* end) noexcept nogil:
    """The bytes of the RESP2 reply at data; 0 when it is not all here, -1 when it is not RESP2."""
    cdef const char* at = data
    cdef int64_t owed = 1
    cdef int64_t number
    cdef bint negative
    cdef char kind
    while owed > 0:
        if at >= end:
            return 0
        kind = at[0]
        at += 1
        owed -= 1
        if kind == b"$" or kind == b"*":
            negative = at < end and at[0] == b"-"
            at += negative
            number = 0
            while at < end and 48 <= at[0] <= 57:
                number = number * 10 + (at[0] - 48)
                at += 1
            if end - at < 2:
                return 0
            if at[0] != b"\r" or number > (<int64_t>1 << 40):
                return -1
            at += 2
            if kind == b"*":
                owed += 0 if negative else number
            elif not negative:
                if end - at < number + 2:
                    return 0
                at += number + 2
        elif kind == b"+" or kind == b"-" or kind == b":":
            while at < end and at[0] != b"\n":
                at += 1
            if at >= end:
                return 0
            at += 1
        else:
            return -1
    return at - data
