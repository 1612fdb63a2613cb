# cython: language_level=3
"""Arguments: reading words and numbers from a command's arguments, with Redis's words where they are wrong."""

from libc.string cimport strlen
from libc.stdint cimport int64_t

from storenode.types cimport Call, Slice

cdef bint is_word(const Slice* argument, const char* word) noexcept nogil
cdef bint take_integer(Call* call, const Slice* argument, long long* value) noexcept nogil
cdef bint take_positive(Call* call, const Slice* argument, long long* value) noexcept nogil
cdef bint take_numkeys(Call* call, int at, int* keys) noexcept nogil
cdef bint take_double(Call* call, const Slice* argument, double* value, const char* problem) noexcept nogil
cdef bint same_bytes(const Slice* one, const Slice* other) noexcept nogil
cdef bint take_float(const Slice* argument, long double* value) noexcept nogil
cdef bint take_expiry(Call* call, const Slice* argument, bint seconds, bint absolute, int64_t* expire_ms) noexcept nogil
cdef int copy_text(char* target, size_t room, const Slice* text) noexcept nogil
cdef bint is_plain(const Slice* text) noexcept nogil
cdef bint take_size(const Slice* text, unsigned long long* size) noexcept nogil
