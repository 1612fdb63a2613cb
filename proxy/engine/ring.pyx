# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The ring: which node is the home of a key, and who is next when that one is away.

What it owns: an immutable table of points, built from labels and weights exactly as twemproxy 0.5.0 builds its
continuum, so that a pool can be taken over with its data in place.  Where it stands: after framing, before the request
is appended to a node's buffer.

One table serves the three distributions; they differ only in how a key becomes a position:

    ketama   position = hash                    points = MD5 of "label-0", "label-1", ..., four a digest
    modula   position = hash mod sum(weights)   points = the last slot of each node
    random   position = a draw per request      points = one a node

and a lookup is the same for all: the first point that is not below the position, the first point of all past the end.
twemproxy searches its continuum by bisection, about ten unpredictable branches.  Here the top bits of the position
index a table of starting points, at least as many buckets as points, and a short scan ends the search: MD5 spreads the
points evenly, so the scan takes half a step on average.  The cost is 4 bytes a bucket (8 KiB for 8 nodes).  Modula
weights that differ by orders of magnitude crowd a bucket and lengthen the scan, at worst to one step a node.

Where we leave twemproxy on purpose: it rebuilds the ring without the dead nodes, and unless all weights are equal that
moves keys between living ones.  Here a dead node keeps its points and the walk skips it, so only its own keys move.

    ketama          the points in ring order
    modula, random  PROBES positions drawn at random (modula: seeded by the hash), so that a dead node's keys spread over
                    all the others and not onto its neighbour; then the points in order, to be sure to meet everyone
"""
from libc.math cimport floorf
from libc.stdlib cimport free, malloc, qsort
from libc.string cimport memchr, memcpy, memset
from posix.time cimport CLOCK_MONOTONIC, clock_gettime, timespec

from proxy.engine.colocate cimport Prefix, groups_build, groups_find, groups_free
from proxy.engine.hashes cimport hash_key, md5_words

import random

from proxy.engine.hashes import HASHES, hash_name_to_kind

DISTRIBUTIONS = ("ketama", "modula", "random")

cdef enum:
    POINTS_PER_NODE = 160  # of a node of average weight
    POINTS_PER_DIGEST = 4
    MOST_LABEL = 272  # bytes of "label-k" that twemproxy hashes
    SEEN_WORDS = 1024  # 64 nodes a word; MOST_NODES of them


# ---- lookup ----------------------------------------------------------------------------------------------------------

cdef inline unsigned int draw(unsigned long long* state, unsigned int span) noexcept nogil:
    # splitmix64 (Steele, Lea, Flood): any seed will do, zero included.  Returns a position in [0, span).
    cdef unsigned long long z
    state[0] += 0x9e3779b97f4a7c15ULL
    z = state[0]
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL
    z = z ^ (z >> 31)
    return <unsigned int>(((z >> 32) * span) >> 32)


cdef inline unsigned int find(const Ring* ring, unsigned int position) noexcept nogil:
    # The index of the owner's point; may be that of the sentinel.
    cdef unsigned int i = ring.first[position >> ring.shift]
    while ring.points[i].value < position:
        i += 1
    return i


cdef inline unsigned int hash_of(const Ring* ring, const char* key, size_t length) noexcept nogil:
    cdef const char* opening
    cdef const char* closing
    cdef const Prefix* prefix
    if ring.marked and length > 0:
        if ring.groups != NULL:
            prefix = groups_find(ring.groups, key, length)
            if prefix != NULL:
                return prefix.hash
        opening = <const char*>memchr(key, ring.tag_open, length) if ring.tagged else NULL
        if opening != NULL:
            opening += 1
            closing = <const char*>memchr(opening, ring.tag_close, length - (opening - key))
            if closing != NULL and closing > opening:
                key, length = opening, closing - opening
    if length == 0:
        return 0
    return hash_key(ring.hash_kind, <const unsigned char*>key, length)


cdef inline unsigned int home(
    const Ring* ring, const char* key, size_t length, unsigned long long* seed
) noexcept nogil:
    # The index of the home's point.  `seed` is the random state to draw from; for modula it is set to the hash, ready
    # for the probes of the walk.
    cdef unsigned int h
    if ring.distribution == DISTRIBUTION_RANDOM:
        return draw(seed, ring.span)
    h = hash_of(ring, key, length)
    if ring.distribution == DISTRIBUTION_KETAMA:
        return find(ring, h)
    if seed != NULL:
        seed[0] = h
    return find(ring, h % ring.span)


cdef unsigned int ring_hash(const Ring* ring, const char* key, size_t length) noexcept nogil:
    return hash_of(ring, key, length)


cdef int ring_node(
    const Ring* ring, const char* key, size_t length, unsigned long long* random_state
) noexcept nogil:
    if ring.nodes == 1:
        return 0
    return ring.points[
        home(ring, key, length, random_state if ring.distribution == DISTRIBUTION_RANDOM else NULL)
    ].node


# ---- the walk --------------------------------------------------------------------------------------------------------

cdef struct Walk:
    const Ring* ring
    unsigned int at  # index of a point
    unsigned int probes  # random steps left
    unsigned int steps  # steps in ring order left: one pass
    unsigned long long seed  # of the probes


cdef inline void walk_from(Walk* walk, const Ring* ring, unsigned int at, unsigned long long seed) noexcept nogil:
    walk.ring = ring
    walk.at = at if at < ring.size else 0
    walk.probes = 0 if ring.distribution == DISTRIBUTION_KETAMA else PROBES
    walk.steps = ring.size - 1
    walk.seed = seed


cdef inline int walk_next(Walk* walk) noexcept nogil:
    # The node of the next point, often one seen before; -1 after the last.
    if walk.probes > 0:
        walk.probes -= 1
        return walk.ring.points[find(walk.ring, draw(&walk.seed, walk.ring.span))].node
    if walk.steps == 0:
        return -1
    walk.steps -= 1
    walk.at += 1
    if walk.at == walk.ring.size:
        walk.at = 0
    return walk.ring.points[walk.at].node


cdef int ring_live_node(
    const Ring* ring, const char* key, size_t length, const unsigned char* live, unsigned long long* random_state
) noexcept nogil:
    cdef Walk walk
    cdef unsigned long long seed = 0
    cdef unsigned int at
    cdef int node
    if ring.nodes == 1:
        return 0 if live[0] else -1
    at = home(ring, key, length, random_state if ring.distribution == DISTRIBUTION_RANDOM else &seed)
    node = ring.points[at].node
    if live[node]:
        return node
    walk_from(&walk, ring, at, random_state[0] if ring.distribution == DISTRIBUTION_RANDOM else seed)
    while node >= 0 and not live[node]:
        node = walk_next(&walk)
    return node


cdef int ring_candidates(const Ring* ring, const char* key, size_t length, int* out, int most) noexcept nogil:
    cdef Walk walk
    cdef unsigned long long seen[SEEN_WORDS]  # one bit a node
    cdef unsigned long long seed = 0
    cdef unsigned long long bit
    cdef unsigned int at
    cdef int node, found = 0
    if most <= 0:
        return 0
    if ring.nodes == 1:
        out[0] = 0
        return 1
    if ring.distribution == DISTRIBUTION_RANDOM:
        seed = hash_of(ring, key, length)
    at = home(ring, key, length, &seed)
    walk_from(&walk, ring, at, seed)
    memset(seen, 0, (ring.nodes // 64 + 1) * sizeof(unsigned long long))
    most = min(most, <int>ring.reachable)
    node = ring.points[at].node
    while True:  # ends: one pass over the points meets every reachable node
        bit = 1ULL << (node & 63)
        if not seen[node >> 6] & bit:
            seen[node >> 6] |= bit
            out[found] = node
            found += 1
            if found == most:
                return found
        node = walk_next(&walk)


# ---- building --------------------------------------------------------------------------------------------------------

cdef unsigned int ketama_points(unsigned int weight, unsigned int total, unsigned int nodes) noexcept nogil:
    # Every step is rounded to 32-bit floating point, as in the original.  That is why equal nodes get 156 points each,
    # not 160, when there are 25, 47, 50, 55, 61, 71, 94 or 100 of them.
    cdef float digests = <float>weight / <float>total
    digests = digests * <float>POINTS_PER_NODE
    digests = digests / <float>POINTS_PER_DIGEST
    digests = digests * <float>nodes
    digests = <float>(<double>digests + 1e-10)
    return <unsigned int>floorf(digests) * POINTS_PER_DIGEST


cdef int ascending(const void* a, const void* b) noexcept nogil:
    cdef unsigned long long x = (<const unsigned long long*>a)[0]
    cdef unsigned long long y = (<const unsigned long long*>b)[0]
    return (x > y) - (x < y)


cdef int fill_ketama(Ring* ring, list labels, list weights, list order) except -1:
    # Sorting value and rank as one number is the stable sort by value of points that were made in rank order.
    cdef unsigned char text[MOST_LABEL + 32]
    cdef unsigned int words[4]
    cdef unsigned int rank, k, i, digests, made = 0, total = sum(weights)
    cdef unsigned long long* keys = <unsigned long long*>malloc(ring.size * sizeof(unsigned long long))
    cdef bytes label, suffix
    cdef Py_ssize_t stem, length
    if keys == NULL:
        raise MemoryError
    try:
        for rank in range(ring.nodes):
            label = labels[order[rank]][:MOST_LABEL]
            stem = len(label)
            memcpy(text, <const char*>label, stem)
            digests = ketama_points(weights[order[rank]], total, ring.nodes) // POINTS_PER_DIGEST
            for k in range(digests):
                suffix = b"-%d" % k
                length = stem + len(suffix)
                memcpy(text + stem, <const char*>suffix, len(suffix))
                md5_words(text, min(length, MOST_LABEL), words)
                for i in range(<unsigned int>POINTS_PER_DIGEST):
                    keys[made] = (<unsigned long long>words[i] << 32) | rank
                    made += 1
        qsort(keys, made, sizeof(unsigned long long), ascending)
        for i in range(made):
            ring.points[i].value = <unsigned int>(keys[i] >> 32)
            ring.points[i].node = order[<unsigned int>keys[i]]
    finally:
        free(keys)
    return 0


cdef int fill_slots(Ring* ring, list weights, list order) except -1:
    cdef unsigned int rank, end = 0
    for rank in range(ring.nodes):
        end += <unsigned int>weights[order[rank]] if ring.distribution == DISTRIBUTION_MODULA else 1
        ring.points[rank].value = end - 1
        ring.points[rank].node = order[rank]
    return 0


cdef int fill_buckets(Ring* ring) except -1:
    cdef unsigned int highest = ring.span - 1  # ketama: wraps to 2**32 - 1
    cdef unsigned int bucket, buckets, i = 0
    while ring.shift > 0 and (highest >> (ring.shift - 1)) < 2 * ring.size:
        ring.shift -= 1
    buckets = (highest >> ring.shift) + 1
    ring.first = <unsigned int*>malloc(buckets * sizeof(unsigned int))
    if ring.first == NULL:
        raise MemoryError
    for bucket in range(buckets):
        while i < ring.size and (ring.points[i].value >> ring.shift) < bucket:
            i += 1
        ring.first[bucket] = i
    return 0


cdef check_nodes(list labels, list weights):
    if not labels:
        raise ValueError("a ring needs at least one node: list the servers of the pool")
    if len(labels) > MOST_NODES:
        raise ValueError(f"{len(labels)} nodes in one ring: split the pool, a ring takes at most {MOST_NODES}")
    if len(weights) != len(labels):
        raise ValueError(f"{len(labels)} labels but {len(weights)} weights: give one weight to each node")
    seen = set()
    for label, weight in zip(labels, weights):
        if not isinstance(label, bytes) or not label:
            raise ValueError(f"node label {label!r}: give a name, or host:port, as non-empty bytes")
        if label in seen:
            raise ValueError(f"node label {label!r} appears twice: give each node a name of its own")
        seen.add(label)
        if not isinstance(weight, int) or not 1 <= weight < 2**31:
            raise ValueError(f"weight {weight!r} of node {label!r}: use a whole number from 1 to 2147483647")
    if sum(weights) >= 2**32:
        raise ValueError(f"the weights add up to {sum(weights)}: divide them all, only their ratio counts")


cdef Ring* ring_build(
    object labels, object weights, int distribution, int hash_kind, bytes hash_tag, dict colocate
) except NULL:
    cdef Ring* ring
    cdef unsigned int node
    labels, weights = list(labels), list(weights)
    check_nodes(labels, weights)
    if not 0 <= distribution < len(DISTRIBUTIONS):
        raise ValueError(f"unknown distribution number {distribution}: use 0 to {len(DISTRIBUTIONS) - 1}")
    if not 0 <= hash_kind < len(HASHES):
        raise ValueError(f"unknown hash number {hash_kind}: use 0 to {len(HASHES) - 1}")
    if hash_tag is not None and len(hash_tag) != 2:
        raise ValueError(f"hash_tag {hash_tag!r}: give two characters, the opening and the closing one, such as {{}}")

    # twemproxy sorts its servers by name, the shorter first, while it looks for duplicates, and numbers them after that:
    # not as written, the order of modula's slots and of equal ketama points.  Node indices stay those of the caller.
    order = sorted(range(len(labels)), key=lambda node: (len(labels[node]), labels[node]))

    ring = <Ring*>malloc(sizeof(Ring))
    if ring == NULL:
        raise MemoryError
    memset(ring, 0, sizeof(Ring))
    try:
        ring.distribution = distribution
        ring.hash_kind = hash_kind
        if hash_tag is not None:
            ring.tagged, ring.tag_open, ring.tag_close = 1, hash_tag[0], hash_tag[1]
        if colocate:
            ring.groups = groups_build(colocate, hash_kind)
        ring.marked = ring.tagged or ring.groups != NULL
        ring.nodes = len(labels)
        if distribution == DISTRIBUTION_KETAMA:
            total = sum(weights)
            for node in range(ring.nodes):
                made = ketama_points(weights[node], total, ring.nodes)
                ring.size += made
                ring.reachable += made > 0
        else:
            ring.size = ring.reachable = ring.nodes
            ring.span = sum(weights) if distribution == DISTRIBUTION_MODULA else ring.nodes
        ring.shift = 31
        ring.points = <Point*>malloc((ring.size + 1) * sizeof(Point))
        if ring.points == NULL:
            raise MemoryError
        if distribution == DISTRIBUTION_KETAMA:
            fill_ketama(ring, labels, weights, order)
        else:
            fill_slots(ring, weights, order)
        ring.points[ring.size].value = 0xffffffffU
        ring.points[ring.size].node = ring.points[0].node
        fill_buckets(ring)
    except BaseException:
        ring_free(ring)
        raise
    return ring


cdef void ring_free(Ring* ring) noexcept nogil:
    if ring != NULL:
        groups_free(ring.groups)
        free(ring.points)
        free(ring.first)
        free(ring)


# ---- for Python ------------------------------------------------------------------------------------------------------

cdef class Placement:
    def __cinit__(self, labels, weights, distribution="ketama", hash="murmur", bytes hash_tag=None, colocate=None):
        if distribution not in DISTRIBUTIONS:
            raise ValueError(f"unknown distribution {distribution!r}: use one of {', '.join(DISTRIBUTIONS)}")
        groups = dict(colocate or {})
        self.ring = ring_build(
            labels, weights, DISTRIBUTIONS.index(distribution), hash_name_to_kind(hash), hash_tag, groups
        )
        self.names = tuple(groups)
        self.random_state = random.getrandbits(64)

    def __dealloc__(self):
        ring_free(self.ring)

    def __len__(self):
        return self.ring.nodes

    def hash(self, bytes key not None):
        return ring_hash(self.ring, key, len(key))

    def group(self, bytes key not None):
        cdef const Prefix* prefix = NULL
        if self.ring.groups != NULL:
            prefix = groups_find(self.ring.groups, key, len(key))
        return None if prefix == NULL else self.names[prefix.group]

    def node(self, bytes key not None):
        return ring_node(self.ring, key, len(key), &self.random_state)

    def live_node(self, bytes key not None, bytes live not None):
        if <unsigned int>len(live) != self.ring.nodes:
            raise ValueError(f"{len(live)} live flags for {self.ring.nodes} nodes: give one byte a node")
        node = ring_live_node(self.ring, key, len(key), <const unsigned char*>live, &self.random_state)
        return None if node < 0 else node

    def candidates(self, bytes key not None, most):
        cdef int room = max(0, min(most, self.ring.nodes))
        cdef int* out = <int*>malloc((room + 1) * sizeof(int))
        if out == NULL:
            raise MemoryError
        try:
            return [out[i] for i in range(ring_candidates(self.ring, key, len(key), out, room))]
        finally:
            free(out)

    def points(self):
        return [(self.ring.points[i].value, self.ring.points[i].node) for i in range(self.ring.size)]

    def shares(self):
        cdef unsigned int i
        cdef unsigned int below = 0xffffffffU  # the position before 0; modula and random do not wrap
        if self.ring.nodes == 1:
            return [1.0]
        if self.ring.distribution == DISTRIBUTION_KETAMA:  # the arc of point 0 begins behind the last point, across 0
            below = self.ring.points[self.ring.size - 1].value
        owned = [0] * self.ring.nodes
        for i in range(self.ring.size):
            owned[self.ring.points[i].node] += <unsigned int>(self.ring.points[i].value - below)
            below = self.ring.points[i].value
        whole = self.ring.span or 2**32
        return [width / whole for width in owned]


def _time_nodes(Placement placement not None, list keys not None, unsigned int rounds):
    cdef Ring* ring = placement.ring
    cdef unsigned long long state = 1
    cdef unsigned int count = len(keys), round_number, i
    cdef long long checksum = 0
    cdef timespec begin, end
    cdef bytes key
    cdef const char** texts = <const char**>malloc((count + 1) * sizeof(char*))
    cdef size_t* lengths = <size_t*>malloc((count + 1) * sizeof(size_t))
    try:
        if texts == NULL or lengths == NULL:
            raise MemoryError
        if count == 0 or rounds == 0:
            raise ValueError("nothing to time: give at least one key and one round")
        for i in range(count):
            key = keys[i]  # the list keeps the bytes alive
            texts[i] = key
            lengths[i] = len(key)
        with nogil:
            clock_gettime(CLOCK_MONOTONIC, &begin)
            for round_number in range(rounds):
                for i in range(count):
                    checksum += ring_node(ring, texts[i], lengths[i], &state)
            clock_gettime(CLOCK_MONOTONIC, &end)
        if checksum < 0:  # never; keeps the loop from being optimised away
            raise AssertionError
        return ((end.tv_sec - begin.tv_sec) * 1e9 + (end.tv_nsec - begin.tv_nsec)) / (<double>count * rounds)
    finally:
        free(texts)
        free(lengths)
