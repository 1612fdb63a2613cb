# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Audience: a table of subscriptions with more than one client, by pool. See audience.pxd.

A chained hash table of names, and a list of the patterns, which have to be tried one by one. A subscription with one
client, which most have, is not in it: its correction is nothing. While the table is empty a PUBLISH costs one test.
"""

from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.stdlib cimport abort, calloc, free, malloc
from libc.string cimport memcmp, memcpy

from proxy.engine.types cimport AUDIENCE_PATTERN, AUDIENCE_SHARD, Audience, Audiences, Core, Node, Pool
from proxy.wire.glob cimport glob_match

cdef enum:
    FIRST_BUCKETS = 64         # a power of two


cdef inline uint64_t hash_of(Core* core, int kind, const char* name, size_t length) noexcept nogil:
    """FNV-1a, begun at a number that clients cannot know: they choose the names."""
    cdef uint64_t hash = core.audience_seed + <uint64_t> kind
    cdef size_t index
    for index in range(length):
        hash = (hash ^ <unsigned char> name[index]) * 0x100000001B3ULL
    return hash ^ (hash >> 32)


cdef Audience** find(Audiences* all, uint64_t hash, int kind, const char* name, size_t length) noexcept nogil:
    """Where the entry of this name hangs, or would."""
    cdef Audience** at = &all.buckets[hash & all.mask]
    while at[0] != NULL:
        if at[0].hash == hash and at[0].kind == kind and at[0].length == length and memcmp(at[0].name, name, length) == 0:
            break
        at = &at[0].next
    return at


cdef void grow(Audiences* all) noexcept nogil:
    cdef uint32_t size = 2 * (all.mask + 1) if all.buckets != NULL else FIRST_BUCKETS
    cdef Audience** buckets = <Audience**> calloc(size, sizeof(Audience*))
    cdef Audience* entry
    cdef Audience* following
    cdef uint32_t index
    if buckets == NULL:
        abort()
    if all.buckets != NULL:
        for index in range(all.mask + 1):
            entry = all.buckets[index]
            while entry != NULL:
                following = entry.next
                entry.next = buckets[entry.hash & (size - 1)]
                buckets[entry.hash & (size - 1)] = entry
                entry = following
    free(all.buckets)
    all.buckets = buckets
    all.mask = size - 1


cdef void audience_set(Core* core, Pool* pool, int kind, const char* name, size_t length, uint32_t extra) noexcept nogil:
    """The subscription has `extra` clients besides its first; 0 takes it out. An empty table holds no memory."""
    cdef Audiences* all = &pool.audiences
    cdef Audience** at
    cdef Audience* entry
    cdef uint64_t hash = hash_of(core, kind, name, length)
    if extra == 0 and all.count == 0:
        return
    if all.count >= all.mask:
        grow(all)
    at = find(all, hash, kind, name, length)
    entry = at[0]
    if entry == NULL and extra:
        entry = <Audience*> malloc(sizeof(Audience) + length)
        if entry == NULL:
            abort()
        entry.next = NULL
        entry.hash = hash
        entry.kind = <unsigned char> kind
        entry.length = <uint32_t> length
        entry.name = <char*> (entry + 1)
        memcpy(entry.name, name, length)
        at[0] = entry
        all.count += 1
        if kind == AUDIENCE_PATTERN:
            entry.next_pattern = all.patterns
            entry.before_pattern = NULL
            if all.patterns != NULL:
                all.patterns.before_pattern = entry
            all.patterns = entry
    if entry == NULL:
        return
    entry.extra = extra
    if extra:
        return
    at[0] = entry.next
    if kind == AUDIENCE_PATTERN:
        if entry.before_pattern != NULL:
            entry.before_pattern.next_pattern = entry.next_pattern
        else:
            all.patterns = entry.next_pattern
        if entry.next_pattern != NULL:
            entry.next_pattern.before_pattern = entry.before_pattern
    free(entry)
    all.count -= 1
    if all.count == 0:
        audiences_free(pool)


cdef int64_t audience_extra(Core* core, Node* node, int kind, const char* name, size_t length) noexcept nogil:
    """What the node's count of a message's receivers leaves out. Nothing while our own subscriptions are not there."""
    cdef Audiences* all = &node.pool.audiences
    cdef Audience* entry
    cdef int64_t extra = 0
    if all.count == 0 or not node.subscribed:
        return 0
    entry = find(all, hash_of(core, kind, name, length), kind, name, length)[0]
    if entry != NULL:
        extra = entry.extra
    if kind != AUDIENCE_SHARD:
        entry = all.patterns
        while entry != NULL:
            if glob_match(entry.name, entry.length, name, length, False):
                extra += entry.extra
            entry = entry.next_pattern
    return extra


cdef void audiences_free(Pool* pool) noexcept nogil:
    """Forget every entry, and the table."""
    cdef Audiences* all = &pool.audiences
    cdef Audience* entry
    cdef uint32_t index
    if all.buckets != NULL:
        for index in range(all.mask + 1):
            while all.buckets[index] != NULL:
                entry = all.buckets[index]
                all.buckets[index] = entry.next
                free(entry)
    free(all.buckets)
    all.buckets = NULL
    all.mask = 0
    all.count = 0
    all.patterns = NULL
