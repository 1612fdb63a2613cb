# cython: language_level=3
"""Saving: when a snapshot is due, and what happens to it in the background; what is done for durability at the end."""

from storenode.types cimport Node

cdef bint saving_start(Node* node) noexcept nogil
cdef int saving_now(Node* node) noexcept nogil
cdef void saving_tick(Node* node) noexcept nogil
cdef bint saving_end(Node* node, bint save, bint force) noexcept nogil
