# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Evict: approximate LRU, LFU and TTL by sampling, with a small pool of good candidates. See evict.pxd.

Each round samples a few keys of every database in use (with an expiry, if the policy asks for that: table.pxd says how
they are found), keeps the best to go of all that it has seen lately in the pool and removes the best of those. With 5
samples a round and 16 places this comes close to true LRU (Redis's own measurements) and costs no list pointers in the
entries. A candidate is kept as the hash of its key and is looked up again when its turn comes; one that was used or
removed meanwhile is passed over. The random policies need no pool.
"""

from libc.stdint cimport UINT64_MAX, uint64_t
from libc.string cimport memmove

from storenode.changes cimport EVENT_EVICTED
from storenode.entry cimport entry_key
from storenode.hash cimport hash_bytes
from storenode.keyspace cimport key_remove
from storenode.latency cimport LATENCY_EVICTION, latency_begin, latency_end
from storenode.pick cimport table_random, table_sample, table_sample_volatile
from storenode.random cimport random_below
from storenode.reaper cimport reap
from storenode.table cimport table_find_hash
from storenode.types cimport (
    ALLKEYS_LFU, ALLKEYS_RANDOM, DATABASES, EVICTION_SAMPLES, NOEVICTION, POOL_SIZE, VOLATILE_LFU, VOLATILE_LRU,
    VOLATILE_RANDOM, VOLATILE_TTL, Candidate, Database, Entry, Node, Place,
)
from storenode.usage cimport LFU_MOST, usage_count, usage_idle

cdef enum:
    REAPED_A_CHECK = 256


cdef void evict_policy(Node* node, int policy) noexcept nogil:
    """Use another policy from now on."""
    node.policy = policy
    node.lfu = policy == ALLKEYS_LFU or policy == VOLATILE_LFU
    node.candidate_count = 0


cdef inline bint volatile_only(const Node* node) noexcept nogil:
    return node.policy >= VOLATILE_LRU


cdef inline uint64_t score_of(const Node* node, const Entry* entry) noexcept nogil:
    """The higher, the sooner the key goes."""
    if node.policy == VOLATILE_TTL:
        return UINT64_MAX - <uint64_t> entry.expire_ms
    if node.lfu:
        return LFU_MOST - usage_count(node, entry)
    return usage_idle(node, entry)


cdef inline int sample(Node* node, Database* database, Entry** entries, int most) noexcept nogil:
    if volatile_only(node):
        return table_sample_volatile(&database.keys, entries, most)
    return table_sample(&database.keys, entries, most)


cdef void consider(Node* node, Database* database, const Entry* entry) noexcept nogil:
    """Put an entry into the pool, which is sorted by score, if it beats one that is there or finds room."""
    cdef uint64_t score = score_of(node, entry)
    cdef uint64_t hashed
    cdef Candidate* pool = node.candidates
    cdef int at = node.candidate_count
    cdef int index
    if at == POOL_SIZE and score <= pool[0].score:
        return
    hashed = hash_bytes(entry_key(entry), entry.key_length, node.seed)
    for index in range(node.candidate_count):
        if pool[index].hash == hashed and pool[index].database == database.number:
            return
    # Among equals the one that was sampled first goes first: the others have time to be used meanwhile.
    while at > 0 and pool[at - 1].score >= score:
        at -= 1
    if node.candidate_count == POOL_SIZE:
        at -= 1
        memmove(&pool[0], &pool[1], at * sizeof(Candidate))
    else:
        memmove(&pool[at + 1], &pool[at], (node.candidate_count - at) * sizeof(Candidate))
        node.candidate_count += 1
    pool[at].hash = hashed
    pool[at].score = score
    pool[at].database = database.number


cdef bint evict_random(Node* node) noexcept nogil:
    """Remove any key that the policy lets go, of the databases in turn; False when there is none."""
    cdef Entry* entries[SAMPLES_MOST]
    cdef Database* database
    cdef Entry* entry
    cdef Place place
    cdef int count
    cdef int left = DATABASES
    while left:
        left -= 1
        node.evict_database = (node.evict_database + 1) % DATABASES
        database = &node.databases[node.evict_database]
        if volatile_only(node):
            count = table_sample_volatile(&database.keys, entries, SAMPLES_MOST)
            if count == 0:
                continue
            entry = entries[random_below(node, count)]
            table_find_hash(&database.keys, hash_bytes(entry_key(entry), entry.key_length, node.seed), &place)
        elif not table_random(&database.keys, &place):
            continue
        key_remove(database, &place, EVENT_EVICTED)
        return True
    return False


cdef bint evict_one(Node* node) noexcept nogil:
    """Remove one key; False when there is none."""
    cdef Entry* entries[SAMPLES_MOST]
    cdef Database* database
    cdef Candidate* best
    cdef Place place
    cdef int number, index, count
    if node.policy == ALLKEYS_RANDOM or node.policy == VOLATILE_RANDOM:
        return evict_random(node)
    for number in range(DATABASES):
        database = &node.databases[number]
        if database.keys.count:
            count = sample(node, database, entries, <int> node.settings[EVICTION_SAMPLES])
            for index in range(count):
                consider(node, database, entries[index])
    while node.candidate_count:
        node.candidate_count -= 1
        best = &node.candidates[node.candidate_count]
        database = &node.databases[best.database]
        if (table_find_hash(&database.keys, best.hash, &place) and score_of(node, place.entry) >= best.score
                and (place.entry.expire_ms or not volatile_only(node))):
            key_remove(database, &place, EVENT_EVICTED)
            return True
    return evict_random(node)


cdef bint evict_for(Node* node, size_t wanted) noexcept nogil:
    """Make room for `wanted` more bytes if the policy allows; False: the keyspace is over maxmemory and stays so.

    Works until there is room, so one huge value pays for what it displaces, and nobody else does.
    """
    cdef uint64_t begun
    if node.primary != NULL:
        # A replica holds what its primary holds, which is who decides what goes.
        return True
    if wanted > node.maxmemory:
        wanted = 0
    while node.doomed != NULL and node.memory + wanted > node.maxmemory:
        reap(node, REAPED_A_CHECK)
    if node.policy != NOEVICTION and node.memory + wanted > node.maxmemory:
        begun = latency_begin(node)
        while node.memory + wanted > node.maxmemory:
            if not evict_one(node):
                break
            node.stats.evicted += 1
        latency_end(node, LATENCY_EVICTION, begun)
    return node.memory <= node.maxmemory
