# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Replicaconf. See replicaconf.pxd."""

from libc.stdio cimport snprintf
from libc.string cimport memchr, memcpy

from proxy.wire.resp cimport read_number
from storenode.answer cimport answer_text
from storenode.arguments cimport is_word
from storenode.replication cimport (
    HOST_MOST, LINK_WISHED, SECRET_MOST, Replication, link_wish, replication_of,
)
from storenode.size cimport read_size
from storenode.types cimport Call, Node, Slice


cdef char* place_of(Replication* replication, int parameter, size_t* room) noexcept nogil:
    """Where a text is kept, and how many bytes fit there with the final NUL."""
    room[0] = SECRET_MOST
    if parameter == MASTERUSER:
        return replication.user
    if parameter == MASTERAUTH:
        return replication.password
    room[0] = HOST_MOST
    return replication.announce_host


cdef void replicaconf_answer(Call* call, int parameter) noexcept nogil:
    """The value, as CONFIG GET shows it."""
    cdef Replication* replication = replication_of(call.node)
    cdef char text[192]
    cdef size_t room
    if parameter != REPLICA_OUTPUT_LIMIT:
        answer_text(call, place_of(replication, parameter, &room))
        return
    snprintf(text, sizeof(text), b"normal 0 0 0 slave %llu %llu %llu pubsub 0 0 0",
             <unsigned long long> replication.output_hard, <unsigned long long> replication.output_soft,
             <unsigned long long> replication.output_soft_s)
    answer_text(call, text)


cdef bint next_word(Slice* rest, Slice* word) noexcept nogil:
    """Take a word off the front of a line; False: there is none."""
    while rest.length and rest.data[0] == c' ':
        rest.data += 1
        rest.length -= 1
    word.data = rest.data
    word.length = 0
    while rest.length and rest.data[0] != c' ':
        rest.data += 1
        rest.length -= 1
        word.length += 1
    return word.length != 0


cdef const char* apply_limit(Replication* replication, const Slice* value, bint really) noexcept nogil:
    """`replica <hard> <soft> <seconds>`: the one class of clients that has a limit."""
    cdef Slice rest = value[0]
    cdef Slice name, first, second, third, more
    cdef unsigned long long hard, soft
    cdef long long seconds
    if not next_word(&rest, &name) or not next_word(&rest, &first) or not next_word(&rest, &second) \
            or not next_word(&rest, &third) or next_word(&rest, &more):
        return b"Wrong number of arguments in buffer limit configuration."
    if not is_word(&name, b"replica") and not is_word(&name, b"slave"):
        return b"Invalid client class specified in buffer limit configuration."
    if not read_size(&first, &hard) or not read_size(&second, &soft) \
            or not read_number(third.data, third.length, &seconds) or seconds < 0:
        return b"Error in hard, soft or soft_seconds setting in buffer limit configuration."
    if really:
        replication.output_hard = hard
        replication.output_soft = soft
        replication.output_soft_s = <unsigned long long> seconds
    return NULL


cdef const char* replicaconf_apply(Node* node, int parameter, const Slice* value, bint really) noexcept nogil:
    """Check a new value and, if `really`, use it. NULL: good; otherwise what is wrong with it."""
    cdef Replication* replication = replication_of(node)
    cdef size_t room
    cdef char* place
    if parameter == REPLICA_OUTPUT_LIMIT:
        return apply_limit(replication, value, really)
    place = place_of(replication, parameter, &room)
    if value.length >= room or memchr(value.data, 0, value.length) != NULL:
        return b"argument is too long"
    if really:
        memcpy(place, value.data, value.length)
        place[value.length] = 0
        if replication.link.state == LINK_WISHED:
            link_wish(node)
    return NULL
