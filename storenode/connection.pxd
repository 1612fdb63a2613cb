# cython: language_level=3
"""Connection: a client's record from accept to close."""

from libc.stdint cimport uint64_t

from storenode.types cimport Client, Node

cdef Client* client_open(Node* node, int fd) noexcept nogil
cdef void client_close(Node* node, Client* client) noexcept nogil
cdef void clients_bury(Node* node) noexcept nogil
cdef void client_reset(Node* node, Client* client) noexcept nogil


cdef inline Client* client_find(Node* node, uint64_t id) noexcept nogil:
    """The client of that id; NULL: there is none, or it is gone."""
    cdef Client* client = node.ids[id & node.ids_mask] if node.ids != NULL else NULL
    while client != NULL and client.id != id:
        client = client.next_id
    return client
