# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Parts: numbering the places of a split command, writing each its part. See parts.pxd."""

from libc.stdint cimport uint16_t, uint32_t
from libc.stdlib cimport abort, calloc, free, malloc

from proxy.engine.cluster cimport cluster_of, node_at
from proxy.engine.types cimport LANE_MSET, Core, KeyRef, Pool, Row
from proxy.wire.output cimport output_bulk, output_number
from proxy.wire.resp cimport Frame, args_next


cdef Part* parts_find(Core* core, Pool* pool, int count, uint32_t* used) noexcept nogil:
    """The parts of a command whose keys are core.keys, in the order in which their places first occur; the caller frees.

    Each key's `node`, its place, is replaced by the number of its part. Costs one pass over the keys, and one over the
    nodes of a ring.
    """
    cdef int most = pool.node_count if pool.cluster == NULL else count
    cdef Part* parts = <Part*> malloc(most * sizeof(Part) + count * sizeof(int))
    # By place: its part's number, from 1. Of a cluster, whose slots are many, all of it is 0 between two requests.
    cdef uint32_t* numbers = (<uint32_t*> calloc(pool.node_count, sizeof(uint32_t)) if pool.cluster == NULL
                              else cluster_of(pool).numbers)
    cdef int* following
    cdef KeyRef* key
    cdef Part* part
    cdef int index
    if parts == NULL or numbers == NULL:
        abort()
    following = <int*> (parts + most)
    used[0] = 0
    for index in range(count):
        key = &core.keys[index]
        if numbers[key.node] == 0:
            part = &parts[used[0]]
            part.place = key.node
            part.node = &pool.nodes[node_at(pool, key.node)]
            part.conn = NULL
            part.output = NULL
            part.length = 0
            part.keys = 0
            part.first = index
            part.following = following
            used[0] += 1
            numbers[key.node] = used[0]
        key.node = <int> numbers[key.node] - 1
        part = &parts[key.node]
        if part.keys:
            following[part.last] = index
        following[index] = -1
        part.last = index
        part.keys += 1
    if pool.cluster == NULL:
        free(numbers)
    else:
        for index in range(<int> used[0]):
            numbers[parts[index].place] = 0
    return parts


cdef void parts_write(Core* core, Row* row, Frame* frame, int count, Part* parts, uint32_t used,
                      uint16_t* part_of) noexcept nogil:
    """Append every part to its output, and say by key in `part_of` where it went."""
    cdef uint32_t number
    cdef int index
    cdef Part* part
    cdef KeyRef* key
    cdef const char* value
    cdef size_t value_length
    for number in range(used):
        part = &parts[number]
        part.length = part.output.length
        output_number(part.output, &core.chunks, c'*',
                      1 + <long long> part.keys * (2 if row.lane == LANE_MSET else 1))
        output_bulk(part.output, &core.chunks, frame.data + frame.args[0].offset, frame.args[0].length)
        index = part.first
        while index >= 0:
            key = &core.keys[index]
            part_of[index] = <uint16_t> number
            output_bulk(part.output, &core.chunks, key.data, key.length)
            if row.lane == LANE_MSET:
                # The value is the next argument: behind the key's CRLF.
                args_next(key.data + key.length + 2, &value, &value_length)
                output_bulk(part.output, &core.chunks, value, value_length)
            index = part.following[index]
        part.length = part.output.length - part.length
