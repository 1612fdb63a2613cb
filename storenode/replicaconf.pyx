# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Replicaconf. See replicaconf.pxd."""

from libc.string cimport memchr, memcpy

from storenode.answer cimport answer_text
from storenode.replication cimport (
    HOST_MOST, LINK_WISHED, SECRET_MOST, Replication, link_wish, replication_of,
)
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
    cdef size_t room
    answer_text(call, place_of(replication_of(call.node), parameter, &room))


cdef const char* replicaconf_apply(Node* node, int parameter, const Slice* value, bint really) noexcept nogil:
    """Check a new value and, if `really`, use it. NULL: good; otherwise what is wrong with it."""
    cdef Replication* replication = replication_of(node)
    cdef size_t room
    cdef char* place
    place = place_of(replication, parameter, &room)
    if value.length >= room or memchr(value.data, 0, value.length) != NULL:
        return b"argument is too long"
    if really:
        memcpy(place, value.data, value.length)
        place[value.length] = 0
        if replication.link.state == LINK_WISHED:
            link_wish(node)
    return NULL
