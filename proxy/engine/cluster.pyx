# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Cluster: the table of slots, and whose they are. See cluster.pxd."""

from libc.stdlib cimport abort, calloc, free
from libc.string cimport memset


cdef Cluster* cluster_new(int nodes) noexcept nogil:
    """Room for so many nodes, none of which is there; no slot is held."""
    cdef Cluster* cluster = <Cluster*> calloc(1, sizeof(Cluster))
    if cluster == NULL:
        abort()
    memset(cluster.slots, 0xFF, sizeof(cluster.slots))
    cluster.addresses = <char*> calloc(nodes, NODE_TEXT)
    if cluster.addresses == NULL:
        abort()
    return cluster


cdef void cluster_free(Cluster* cluster) noexcept nogil:
    if cluster != NULL:
        free(cluster.addresses)
        free(cluster)


cdef int cluster_slot_at(const Cluster* cluster, int node) noexcept nogil:
    """A slot that the node holds, or -1. A pass over the slots, for transactions that begin without a key."""
    cdef int slot
    for slot in range(CLUSTER_SLOTS):
        if cluster.slots[slot] == node:
            return slot
    return -1
