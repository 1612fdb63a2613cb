# cython: language_level=3
"""Evict: making room when the keyspace has reached maxmemory, by one of Redis's eight policies."""

from storenode.types cimport Node

cdef enum:
    SAMPLES_MOST = 64          # of maxmemory-samples

cdef bint evict_for(Node* node, size_t wanted) noexcept nogil
cdef void evict_policy(Node* node, int policy) noexcept nogil
