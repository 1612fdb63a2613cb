# cython: language_level=3
"""Replicaconf: the parameters of replication that are not plain numbers (those are in Node.settings)."""

from storenode.types cimport Call, Node, Slice

cdef enum ReplicationParameter:
    MASTERUSER = 0
    MASTERAUTH = 1
    REPLICA_ANNOUNCE_IP = 2

cdef void replicaconf_answer(Call* call, int parameter) noexcept nogil
cdef const char* replicaconf_apply(Node* node, int parameter, const Slice* value, bint really) noexcept nogil
