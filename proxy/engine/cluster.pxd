# cython: language_level=3
"""Cluster: which node of a Redis Cluster holds a key. Step 4b of a request's life, in place of the ring.

A key has one of 16384 slots, by Redis's own rule; the table from slots to nodes is the control plane's to give
(proxy/control/cluster.py) and is replaced as a whole between two requests. It may be behind the nodes' own: then a node
says where the slot is, and redirect.pyx sends the request there. Following the table's change, a client that is owed
replies gets these before anything else of it starts (CLIENT_REROUTED), because they may still come by way of the old
node: so its commands on one key stay in order, whatever moves. A pool has room for a fixed number of nodes; which place
is which node changes at run time.
"""

from libc.string cimport memchr, strcmp

from proxy.engine.hashes cimport crc16
from proxy.engine.types cimport CLUSTER_SLOTS, NO_NODE, Cluster, Core, Node, Order, Pool

cdef Cluster* cluster_new(int nodes) noexcept nogil
cdef void cluster_free(Cluster* cluster) noexcept nogil
cdef void cluster_member(Core* core, Order* order) noexcept nogil
cdef void cluster_slots(Core* core, Order* order) noexcept nogil
cdef int cluster_slot_at(const Cluster* cluster, int node) noexcept nogil


cdef inline int slot_of(const char* key, size_t length) noexcept nogil:
    """CRC16 (XMODEM) of the key, or of what stands between its first { and the next } if that is not nothing."""
    cdef const char* opening = <const char*> memchr(key, c'{', length) if length else NULL
    cdef const char* closing
    if opening != NULL:
        opening += 1
        closing = <const char*> memchr(opening, c'}', length - (opening - key))
        if closing != NULL and closing > opening:
            key, length = opening, closing - opening
    return <int> (crc16(<const unsigned char*> key, length) & (CLUSTER_SLOTS - 1))


cdef inline Node* cluster_find(Pool* pool, const char* address) noexcept nogil:
    """The node with this address, as nodes write it; NULL: the control plane has not said that it is there. A pass over
    the nodes: redirections are few."""
    cdef int index
    for index in range(pool.node_count):
        if pool.nodes[index].address[0] and strcmp(pool.nodes[index].address, address) == 0:
            return &pool.nodes[index]
    return NULL


cdef inline int cluster_node(const Cluster* cluster, int slot) noexcept nogil:
    """The index of the node that holds a slot, or -1."""
    cdef int node = cluster.slots[slot]
    return -1 if node == NO_NODE else node
