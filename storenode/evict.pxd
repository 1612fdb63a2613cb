# cython: language_level=3
"""Evict: making room when the keyspace has reached maxmemory."""

from storenode.types cimport Node

cdef bint evict_for(Node* node, size_t wanted) noexcept nogil
