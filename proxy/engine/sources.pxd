# cython: language_level=3
"""Sources: the nodes that can answer a read, and what can be expected of each now.

Of a pool with replicas these are a key's own node and its replicas; with `replication: ring` the nodes that have a copy of
every key of the request, in the order of the walk, of which those serve that have missed nothing.
"""

from libc.stdint cimport uint8_t

from proxy.engine.types cimport Conn, Core, Node
from proxy.engine.voices cimport COPIES

cdef struct Sources:
    Node* home                 # with replicas: 0 is this one, the others follow
    Node* nodes                # of the pool
    uint8_t copied             # with `replication: ring`:
    int count                  # so many,
    int copies[COPIES]         # and which ones, by index

cdef enum Standing:            # what can be expected of a node
    STANDING_NOT = 0           # it is down, ejected, or not to be read from
    STANDING_HOPE = 1          # its connection is lost, and may be back in a moment
    STANDING_SOON = 2          # it can be asked, and is being connected, or will be
    STANDING_OPEN = 3

cdef int standing(Core* core, Node* node, int protocol, int database) noexcept nogil
cdef void sources_of(Core* core, Node* node, int row, const char* data, size_t length, Sources* sources) noexcept nogil
cdef bint anybody(Core* core, const Sources* sources, int protocol, int database) noexcept nogil


cdef inline Node* home_or_replica(Node* home, int number) noexcept nogil:
    """0: a member itself, from 1 on: its replicas."""
    return home if number == 0 else &home.pool.nodes[home.pool.replicas[home.first_replica + number - 1]]


cdef inline Node* source_home(const Sources* sources) noexcept nogil:
    """Nodes of a cluster change places: it may be a replica by now, and whose is to be asked then."""
    return &sources.nodes[sources.home.primary]


cdef inline int source_count(const Sources* sources) noexcept nogil:
    return sources.count if sources.copied else source_home(sources).replica_count + 1


cdef inline Node* source(const Sources* sources, int index) noexcept nogil:
    if sources.copied:
        return &sources.nodes[sources.copies[index]]
    return home_or_replica(source_home(sources), index)
