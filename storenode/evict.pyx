# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Evict: approximate LRU by sampling, with a small pool of good candidates. See evict.pxd.

Each round samples a few keys of every database in use, keeps the longest unused of all that it has seen lately in the
pool and removes the best. With 5 samples a round and 16 places this comes close to true LRU (Redis's own measurements)
and costs no list pointers in the entries. A candidate is kept as the hash of its key and is looked up again when its
turn comes; one that was used or removed meanwhile is passed over.
"""

from libc.string cimport memmove

from storenode.changes cimport EVENT_EVICTED
from storenode.entry cimport entry_key
from storenode.hash cimport hash_bytes
from storenode.keyspace cimport key_remove
from storenode.reaper cimport reap
from storenode.table cimport table_find_hash, table_random, table_sample
from storenode.types cimport DATABASES, NOEVICTION, POOL_SIZE, Candidate, Database, Entry, Node, Place

cdef enum:
    SAMPLES = 5
    REAPED_A_CHECK = 256


cdef void consider(Node* node, Database* database, const Entry* entry) noexcept nogil:
    """Put an entry into the pool, which is sorted by idle time, if it beats one that is there or finds room."""
    cdef unsigned int idle = node.ticks - entry.clock
    cdef unsigned long long hashed
    cdef Candidate* pool = node.candidates
    cdef int at = node.candidate_count
    cdef int index
    if at == POOL_SIZE and idle <= pool[0].idle:
        return
    hashed = hash_bytes(entry_key(entry), entry.key_length, node.seed)
    for index in range(node.candidate_count):
        if pool[index].hash == hashed and pool[index].database == database.number:
            return
    while at > 0 and pool[at - 1].idle > idle:
        at -= 1
    if node.candidate_count == POOL_SIZE:
        at -= 1
        memmove(&pool[0], &pool[1], at * sizeof(Candidate))
    else:
        memmove(&pool[at + 1], &pool[at], (node.candidate_count - at) * sizeof(Candidate))
        node.candidate_count += 1
    pool[at].hash = hashed
    pool[at].idle = idle
    pool[at].database = database.number


cdef bint evict_one(Node* node) noexcept nogil:
    """Remove one key; False when there is none."""
    cdef Entry* sample[SAMPLES]
    cdef Database* database
    cdef Candidate* best
    cdef Place place
    cdef int number, index, count
    for number in range(DATABASES):
        database = &node.databases[number]
        if database.keys.count:
            count = table_sample(&database.keys, sample, SAMPLES)
            for index in range(count):
                consider(node, database, sample[index])
    while node.candidate_count:
        node.candidate_count -= 1
        best = &node.candidates[node.candidate_count]
        database = &node.databases[best.database]
        if table_find_hash(&database.keys, best.hash, &place) and node.ticks - place.entry.clock >= best.idle:
            key_remove(database, &place, EVENT_EVICTED)
            return True
    for number in range(DATABASES):
        database = &node.databases[number]
        if table_random(&database.keys, &place):
            key_remove(database, &place, EVENT_EVICTED)
            return True
    return False


cdef bint evict_for(Node* node, size_t wanted) noexcept nogil:
    """Make room for `wanted` more bytes if the policy allows; False: the keyspace is over maxmemory and stays so.

    Works until there is room, so one huge value pays for what it displaces, and nobody else does.
    """
    if node.primary != NULL:
        # A replica holds what its primary holds, which is who decides what goes.
        return True
    if wanted > node.maxmemory:
        wanted = 0
    while node.doomed != NULL and node.memory + wanted > node.maxmemory:
        reap(node, REAPED_A_CHECK)
    if node.policy != NOEVICTION:
        while node.memory + wanted > node.maxmemory:
            if not evict_one(node):
                break
            node.stats.evicted += 1
    return node.memory <= node.maxmemory
