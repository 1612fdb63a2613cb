# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Sample: with repetition, or so many different ones. See sample.pxd."""

from libc.limits cimport LLONG_MAX
from libc.stdint cimport uint64_t
from libc.stdio cimport fprintf, stderr
from libc.stdlib cimport abort, calloc, free

from storenode.answer cimport answer_error
from storenode.arguments cimport take_integer
from storenode.collection cimport Elements, collection_count, elements_begin, elements_next, elements_random
from storenode.random cimport random_below
from storenode.types cimport TABLE, Call, Entry

cdef enum:
    SPARSE = 8                 # draw and draw again if fewer than one in so many is wanted, else walk over all


cdef bint take_count(Call* call, bint payloads, long long* count) noexcept nogil:
    """The count of argument 2; answers and returns False if it is none. `payloads`: two replies are due for each."""
    if not take_integer(call, &call.argv[2], count):
        return False
    if count[0] < -LLONG_MAX:
        answer_error(call, b"ERR value is out of range, value must between -9223372036854775807 and "
                           b"9223372036854775807")
        return False
    if payloads and not -(LLONG_MAX // 2) <= count[0] <= LLONG_MAX // 2:
        answer_error(call, b"ERR value is out of range")
        return False
    return True


cdef void sample_any(Call* call, const Entry* entry, size_t count, Taker take) noexcept nogil:
    """`count` elements, each drawn from all."""
    cdef Elements element
    while count:
        elements_random(call.node, entry, &element)
        take(call, &element)
        count -= 1


cdef void draw(Call* call, const Entry* entry, size_t count, Taker take) noexcept nogil:
    """Different elements of a large collection, a few of many: what was drawn is kept in a table by its address."""
    cdef Elements element
    cdef size_t room = 16
    cdef size_t at
    cdef const void** drawn
    while room < count * 2:
        room *= 2
    drawn = <const void**> calloc(room, sizeof(void*))
    if drawn == NULL:
        fprintf(stderr, "quench: out of memory drawing %zu elements\n", count)
        abort()
    while count:
        elements_random(call.node, entry, &element)
        at = (<uint64_t> <size_t> element.name.data * <uint64_t> 0x9E3779B97F4A7C15 >> 32) & (room - 1)
        while drawn[at] != NULL and drawn[at] != <const void*> element.name.data:
            at = (at + 1) & (room - 1)
        if drawn[at] == NULL:
            drawn[at] = element.name.data
            take(call, &element)
            count -= 1
    free(drawn)


cdef void sample_distinct(Call* call, const Entry* entry, size_t count, Taker take) noexcept nogil:
    """`count` different elements, at most as many as there are; each subset is as likely as any other.

    One pass with Knuth's selection sampling (algorithm S): an element is taken with the probability of what is wanted
    over what is left.
    """
    cdef Elements element
    cdef uint64_t left = collection_count(entry)
    if entry.encoding >= TABLE and count < left // SPARSE:
        draw(call, entry, count, take)
        return
    elements_begin(entry, &element)
    while count and elements_next(&element):
        if count >= left or random_below(call.node, left) < count:
            take(call, &element)
            count -= 1
        left -= 1
