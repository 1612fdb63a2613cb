# cython: language_level=3
"""Connection: a client's record from accept to close."""

from libc.stdint cimport uint64_t

from storenode.types cimport Client, Node

cdef Client* client_open(Node* node, int fd) noexcept nogil
cdef void client_close(Node* node, Client* client) noexcept nogil
cdef void clients_bury(Node* node) noexcept nogil
cdef Client* client_find(Node* node, uint64_t id) noexcept nogil
cdef void client_reset(Node* node, Client* client) noexcept nogil
