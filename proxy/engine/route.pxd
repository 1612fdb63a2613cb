# cython: language_level=3
"""Route: from the keys of a request to the node where they live.

Keys that have the same *place* may be in one command: the place is a node of the ring, by its index, or a slot of a
cluster, whose nodes insist on one slot a command.
"""

from proxy.engine.cluster cimport node_at, slot_of
from proxy.engine.ring cimport ring_live_node, ring_node
from proxy.engine.types cimport Client, Core, Node, Pool, Row
from proxy.wire.resp cimport Frame

cdef enum:
    NODE_NONE = -1             # the pool ejects dead nodes, and none is left
    NODE_SEVERAL = -2          # the keys have several places
    NODE_ANY = -3              # there is no key, or the request is malformed: the node that gets it has the right words

cdef Node* only_node(Core* core, Client* client, Row* row, Frame* frame) noexcept nogil
cdef int first_copy(Pool* pool, const char* key, size_t length) noexcept nogil
cdef int place_of(Core* core, Client* client, Row* row, Frame* frame) noexcept nogil


cdef inline int key_place(Core* core, Pool* pool, const char* key, size_t length) noexcept nogil:
    """The place of a key, or NODE_NONE."""
    if pool.cluster != NULL:
        return slot_of(key, length)
    if pool.auto_eject:
        if pool.copies:
            return first_copy(pool, key, length)
        return ring_live_node(pool.ring, key, length, pool.live, &core.random_state)
    return ring_node(pool.ring, key, length, &core.random_state)


cdef inline int home(Core* core, Pool* pool, const char* key, size_t length) noexcept nogil:
    """The node of a key, or NODE_NONE."""
    return node_at(pool, key_place(core, pool, key, length))
