# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Route: the place of all keys of a request. See route.pxd."""

from proxy.engine.cluster cimport node_at
from proxy.engine.keys cimport keys_find
from proxy.engine.refusals cimport refuse
from proxy.engine.ring cimport ring_candidates, ring_node
from proxy.engine.types cimport ERROR_CROSSSLOT, ERROR_NO_NODE, Client, Core, Node, Row
from proxy.engine.voices cimport COPIES
from proxy.wire.resp cimport Frame


cdef int first_copy(Pool* pool, const char* key, size_t length) noexcept nogil:
    """The first node that has the key and serves, or NODE_NONE."""
    cdef int nodes[COPIES]
    cdef int index, count
    nodes[0] = ring_node(pool.ring, key, length, NULL)
    if pool.live[nodes[0]]:
        return nodes[0]
    count = ring_candidates(pool.ring, key, length, nodes, pool.copies)
    for index in range(1, count):
        if pool.live[nodes[index]]:
            return nodes[index]
    return NODE_NONE


cdef int place_of(Core* core, Client* client, Row* row, Frame* frame) noexcept nogil:
    """The place where all keys of a request live, or one of the NODE_ constants."""
    cdef int count, index, at, found
    if row.key:
        return key_place(core, client.pool, frame.data + frame.args[row.key].offset, frame.args[row.key].length)
    count = keys_find(core, row, frame)
    if count <= 0:
        return NODE_ANY
    found = NODE_ANY
    for index in range(count):
        at = key_place(core, client.pool, core.keys[index].data, core.keys[index].length)
        if at < 0:
            return NODE_NONE
        if found >= 0 and at != found:
            return NODE_SEVERAL
        found = at
    return found


cdef Node* only_node(Core* core, Client* client, Row* row, Frame* frame) noexcept nogil:
    """The node that a request has to itself, for one that cannot be split; NULL after it was refused."""
    cdef int index = place_of(core, client, row, frame)
    if index == NODE_ANY:
        index = key_place(core, client.pool, b"", 0)
    index = node_at(client.pool, index)
    if index >= 0:
        return &client.pool.nodes[index]
    refuse(core, client, row, ERROR_CROSSSLOT if index == NODE_SEVERAL else ERROR_NO_NODE, NULL, NULL)
    return NULL
