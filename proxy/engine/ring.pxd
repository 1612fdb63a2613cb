# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# The ring: from a key to its home node, and to the nodes that come after it.
#
# A Ring is built once, by the control plane, and never written again, so any number of engine threads may read it
# without a lock; whoever holds the Placement object keeps it alive.  In a request's life: after framing, before the
# request is appended to a node's buffer.

from proxy.engine.colocate cimport Groups


cdef enum Distribution:  # the order of DISTRIBUTIONS in ring.pyx
    DISTRIBUTION_KETAMA = 0
    DISTRIBUTION_MODULA = 1
    DISTRIBUTION_RANDOM = 2


cdef enum:
    MOST_NODES = 65535  # of one ring; bounds the set of seen nodes that ring_candidates keeps on its stack (8 KiB)
    PROBES = 16  # random steps of a modula or random walk before it goes on in ring order


# A node owns the positions from its point down to, not including, the point before it.
cdef struct Point:
    unsigned int value  # position; ketama: in the hash space, modula and random: in [0, span)
    unsigned int node  # index into the pool's nodes


cdef struct Ring:
    int distribution  # Distribution
    int hash_kind  # HashKind
    unsigned char marked  # 1: some keys are not hashed as they stand; they have a tag, or begin like a group
    unsigned char tagged  # 1: hash only what stands between the two bytes below
    unsigned char tag_open
    unsigned char tag_close
    Groups* groups  # owned; keys placed by how they begin, or NULL
    unsigned int nodes  # of the pool, 1..MOST_NODES
    unsigned int reachable  # nodes that have a point; a very light ketama node may have none
    unsigned int span  # modula: sum of weights; random: nodes; ketama: 0, for all of 2**32
    unsigned int size  # points, without the sentinel
    unsigned int shift  # position >> shift is a bucket
    Point* points  # owned; ascending by value; points[size] is a sentinel: the highest value, the node of points[0]
    unsigned int* first  # owned; bucket -> the first point that is not below it


# From Python data; holds the GIL.  Raises ValueError, saying what to change, or MemoryError.
cdef Ring* ring_build(
    object labels, object weights, int distribution, int hash_kind, bytes hash_tag, dict colocate
) except NULL
cdef void ring_free(Ring* ring) noexcept nogil

# The hash that places a key: of its group's name if it begins like one, of its tag if it has one; 0 for the empty key.
cdef unsigned int ring_hash(const Ring* ring, const char* key, size_t length) noexcept nogil

# The home node.  `random_state` belongs to the calling engine, starts with any value, and is used by the random
# distribution alone (it may be NULL for the others).
cdef int ring_node(
    const Ring* ring, const char* key, size_t length, unsigned long long* random_state
) noexcept nogil

# The first node of the walk with live[node] != 0, or -1.  All nodes live: ring_node.  Costs what ring_node costs while
# the home is live; up to one pass over the points when nobody is.
cdef int ring_live_node(
    const Ring* ring, const char* key, size_t length, const unsigned char* live, unsigned long long* random_state
) noexcept nogil

# Up to `most` distinct nodes in the order of the walk, the home first; returns how many.  Under the random distribution
# a key has no home and the hash of the key seeds the draw instead, so that its copies can be found again.
cdef int ring_candidates(const Ring* ring, const char* key, size_t length, int* out, int most) noexcept nogil


cdef class Placement:
    cdef Ring* ring  # owned; valid as long as this object is
    cdef tuple names  # of the groups, by number
    cdef public unsigned long long random_state  # of the methods below; an engine brings its own
