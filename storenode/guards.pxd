# cython: language_level=3
"""Guards: writing or deleting a string only if it is (or is not) what the client believes: SET … IFEQ, DELEX, DIGEST.

As in Redis 8.4. A guard names the value itself or its digest, XXH3 as 16 hexadecimal digits. A missing key is equal to
nothing; a key of another type is an error.
"""

from storenode.types cimport Call, Place, Slice

cdef enum GuardKind:
    UNGUARDED = 0
    IFEQ = 1
    IFNE = 2
    IFDEQ = 3
    IFDNE = 4

cdef struct Guard:
    int kind
    const Slice* value         # to compare with; borrowed from the request

cdef int guard_kind(const Slice* option) noexcept nogil
cdef bint guard_valid(Call* call, const Guard* guard) noexcept nogil
cdef bint guard_holds(const Guard* guard, const Place* place) noexcept nogil
cdef void command_delex(Call* call) noexcept nogil
cdef void command_digest(Call* call) noexcept nogil
