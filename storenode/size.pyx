# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Size. See size.pxd."""

from proxy.wire.resp cimport read_number
from storenode.arguments cimport is_word
from storenode.types cimport Slice


cdef bint read_size(const Slice* text, unsigned long long* size) noexcept nogil:
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
