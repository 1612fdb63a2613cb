# cython: language_level=3
"""Cluster: which node of a Redis Cluster holds a key. Step 4b of a request's life, in place of the ring.

A key has one of 16384 slots, by Redis's own rule; the table from slots to nodes is the control plane's to give
(proxy/control/cluster.py, members.pyx) and is replaced as a whole between two requests. It may be behind the nodes' own: then a node
says where the slot is, and redirect.pyx sends the request there. Following the table's change, a client that is owed
replies gets these before anything else of it starts (CLIENT_REROUTED), because they may still come by way of the old
node: so its commands on one key stay in order, whatever moves. A pool has room for a fixed number of nodes; which place
is which node changes at run time.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memchr, strcmp

from proxy.engine.hashes cimport crc16
from proxy.engine.types cimport Node, Pending, Pool

cdef enum:
    CLUSTER_SLOTS = 16384
    NO_NODE = 0xFFFF           # in place of a node's index: nobody holds the slot
    NODE_TEXT = 288            # bytes of a node's address as nodes of a cluster write it, and a zero

cdef struct Detour:            # redirect.pyx: a request that a node did not run and that waits; its bytes follow
    Detour* next               # in cluster.first
    Pending pending            # as it was; it holds its reference to the client
    Node* node                 # that did not run it
    uint8_t protocol           # of the connection that it came on
    uint8_t database
    uint8_t asking             # to be preceded by ASKING
    uint8_t private            # was on a connection of its client's
    uint8_t tracking           # and that one tells the client of changes
    uint64_t due_us            # to be tried again from here on; 0: when `target` is known
    size_t length
    int slot                   # that has moved to `target`; -1: it is not said to have
    char target[NODE_TEXT]

cdef struct Cluster:           # cluster.pyx: what a pool in front of a Redis Cluster has instead of a ring
    uint16_t slots[CLUSTER_SLOTS]  # the index of the node that holds it, or NO_NODE
    uint32_t numbers[CLUSTER_SLOTS]    # of parts.pyx: by slot; 0 between two requests
    char* addresses            # NODE_TEXT bytes a node; empty: it is not there
    Detour* first
    Detour* last
    size_t waiting             # bytes of detours
    uint64_t told_us           # when the control plane was last told of a redirection


cdef Cluster* cluster_new(int nodes) noexcept nogil
cdef void cluster_free(Cluster* cluster) noexcept nogil
cdef int cluster_slot_at(const Cluster* cluster, int node) noexcept nogil


cdef inline Cluster* cluster_of(const Pool* pool) noexcept nogil:
    return <Cluster*> pool.cluster


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


cdef inline int node_at(Pool* pool, int place) noexcept nogil:
    """The index of the node of a place (see route.pxd), or a negative number: what the place is, or -1 for none."""
    cdef int node
    if pool.cluster == NULL or place < 0:
        return place
    node = cluster_of(pool).slots[place]
    return -1 if node == NO_NODE else node
