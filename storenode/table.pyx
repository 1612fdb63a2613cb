# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Table: lookup, insertion, removal, incremental resizing and scanning. See table.pxd for the shape."""

from libc.stdint cimport uint8_t, uint64_t
from libc.stdio cimport fprintf, stderr
from libc.stdlib cimport abort, calloc, free, malloc
from libc.string cimport memcmp, memcpy, memset

from storenode.hash cimport hash_bytes
from storenode.types cimport CHAINED, SLOTS, Bucket, Dict, Entry, Place, Table

cdef extern from *:
    """
    #define store_lowest_bit(x) __builtin_ctzll(x)
    #define store_prefetch(p) __builtin_prefetch(p)
    """
    int store_lowest_bit(uint64_t x) noexcept nogil
    void store_prefetch(const void* at) noexcept nogil

cdef extern from "<malloc.h>" nogil:
    size_t malloc_usable_size(void* block)

cdef enum:
    CROWDED = 16               # keys a bucket up to which a table may stay small to keep below maxmemory
    EMPTY_STEPS = 64           # empty buckets passed in one step of a move

cdef uint64_t ONES = 0x0101010101010101
cdef uint64_t TAGS = 0x00FFFFFFFFFFFFFF
cdef uint64_t HIGHS = 0x0080808080808080


cdef inline bint is_volatile(const Dict* dict, const Entry* entry) noexcept nogil:
    return dict.head == sizeof(Entry) and entry.expire_ms != 0


cdef inline uint8_t tag_of(uint64_t hashed) noexcept nogil:
    """Never 0 (a free slot) and never 1: see matches()."""
    cdef uint8_t tag = <uint8_t> (hashed >> 56)
    return tag if tag > 1 else tag + 2


cdef inline uint64_t tags_of(const Bucket* bucket) noexcept nogil:
    cdef uint64_t word
    memcpy(&word, bucket, 8)
    return word & TAGS


cdef inline uint64_t matches(const Bucket* bucket, uint64_t pattern) noexcept nogil:
    """Bit 7 of byte i is set where tag i equals the pattern's byte.

    The lowest one is always right. Above it a tag that differs in its last bit only may be reported too: the caller
    compares keys anyhow, and as no tag is 1 such a slot is never a free one.
    """
    cdef uint64_t word = tags_of(bucket) ^ (pattern & TAGS)
    return (word - ONES) & ~word & HIGHS


cdef void open_table(Dict* dict, Table* table, uint64_t buckets) noexcept nogil:
    """An empty array of cache lines; the kernel gives a large one zeroed, page by page as it is used."""
    table.block = calloc(buckets + 1, sizeof(Bucket))
    if table.block == NULL:
        fprintf(stderr, "quench: out of memory allocating a table of %llu buckets\n", <unsigned long long> buckets)
        abort()
    table.buckets = <Bucket*> ((<size_t> table.block + 63) & ~<size_t> 63)
    table.mask = buckets - 1
    table.bytes = (buckets + 1) * sizeof(Bucket) + 16
    dict.node.memory += table.bytes


cdef void close_table(Dict* dict, Table* table) noexcept nogil:
    if table.block != NULL:
        free(table.block)
        free(table.volatiles)
        dict.node.memory -= table.bytes
    memset(table, 0, sizeof(Table))


cdef inline uint64_t group_words(const Table* table) noexcept nogil:
    return (table.mask // GROUP >> 6) + 1


cdef void mark_group(Dict* dict, Table* table, uint64_t hashed) noexcept nogil:
    """Note that the bucket of `hashed` may hold a key with an expiry."""
    cdef uint64_t group = (hashed & table.mask) // GROUP
    if table.volatiles == NULL:
        table.volatiles = <uint64_t*> calloc(group_words(table), sizeof(uint64_t))
        if table.volatiles == NULL:
            fprintf(stderr, "quench: out of memory noting which keys expire\n")
            abort()
        table.bytes += group_words(table) * sizeof(uint64_t)
        dict.node.memory += group_words(table) * sizeof(uint64_t)
    table.volatiles[group >> 6] |= <uint64_t> 1 << (group & 63)


cdef void table_mark(Dict* dict, const Place* place, bint expires) noexcept nogil:
    """The key of a place has just got an expiry, or lost it: its mark, its group's bit, the count.

    The bit is set in both arrays, since which of them has the bucket is not known here; one too many costs a look.
    """
    place.bucket.marks ^= 1 << place.slot
    if not expires:
        dict.volatile_count -= 1
        return
    dict.volatile_count += 1
    mark_group(dict, &dict.tables[0], place.hash)
    if table_moving(dict):
        mark_group(dict, &dict.tables[1], place.hash)


cdef Bucket* extend(Dict* dict, Bucket* bucket) noexcept nogil:
    """Give a full bucket a successor, which takes over what was in its last slot."""
    cdef Bucket* following = <Bucket*> malloc(sizeof(Bucket))
    if following == NULL:
        fprintf(stderr, "quench: out of memory extending a bucket\n")
        abort()
    memset(following, 0, sizeof(Bucket))
    following.tags[0] = bucket.tags[SLOTS - 1]
    following.slots[0] = bucket.slots[SLOTS - 1]
    following.marks = (bucket.marks >> (SLOTS - 1)) & 1
    bucket.tags[SLOTS - 1] = 0
    bucket.slots[SLOTS - 1] = following
    bucket.marks = (bucket.marks & ((1 << (SLOTS - 1)) - 1)) | CHAINED
    dict.node.memory += malloc_usable_size(following) + sizeof(size_t)
    return following


cdef inline void drop_bucket(Dict* dict, Bucket* bucket) noexcept nogil:
    dict.node.memory -= malloc_usable_size(bucket) + sizeof(size_t)
    free(bucket)


cdef void put(Dict* dict, Table* table, Entry* entry, uint64_t hashed, Place* place) noexcept nogil:
    """Place an entry that is not in the table into the first free slot of its chain."""
    cdef Bucket* bucket = &table.buckets[hashed & table.mask]
    cdef Bucket* following
    cdef uint64_t vacant
    cdef int slot
    while True:
        vacant = matches(bucket, 0)
        if bucket.marks & CHAINED:
            vacant &= ~(<uint64_t> 0x80 << (8 * (SLOTS - 1)))
        if vacant:
            break
        following = chained(bucket)
        bucket = following if following != NULL else extend(dict, bucket)
    slot = store_lowest_bit(vacant) >> 3
    bucket.tags[slot] = tag_of(hashed)
    bucket.slots[slot] = entry
    if is_volatile(dict, entry):
        bucket.marks |= 1 << slot
        mark_group(dict, table, hashed)
    place.entry = entry
    place.bucket = bucket
    place.slot = slot
    place.hash = hashed


cdef bint table_find(Dict* dict, const char* key, size_t length, uint64_t hashed,
                     Place* place) noexcept nogil:
    """Find `key`, whose hash is `hashed`; fills in `place` either way."""
    cdef uint64_t pattern = ONES * tag_of(hashed)
    cdef uint64_t found
    cdef Bucket* bucket
    cdef Entry* entry
    cdef int which, slot
    place.hash = hashed
    for which in range(2):
        if dict.tables[which].buckets == NULL:
            break
        bucket = &dict.tables[which].buckets[hashed & dict.tables[which].mask]
        while bucket != NULL:
            found = matches(bucket, pattern)
            while found:
                slot = store_lowest_bit(found) >> 3
                entry = <Entry*> bucket.slots[slot]
                if entry.key_length == length and memcmp(key_of(dict, entry), key, length) == 0:
                    place.entry = entry
                    place.bucket = bucket
                    place.slot = slot
                    return True
                found &= found - 1
            bucket = chained(bucket)
    place.entry = NULL
    return False


cdef void table_prefetch(Dict* dict, uint64_t hashed) noexcept nogil:
    """Ask for the bucket of a key that will be looked up soon. A hint: of two arrays only the one that fills up."""
    cdef Table* table = &dict.tables[1 if table_moving(dict) else 0]
    if table.buckets != NULL:
        store_prefetch(&table.buckets[hashed & table.mask])


cdef void table_prefetch_entry(Dict* dict, uint64_t hashed) noexcept nogil:
    """The second step, once the bucket has arrived: ask for the entry whose tag agrees, two cache lines of it."""
    cdef Table* table = &dict.tables[1 if table_moving(dict) else 0]
    cdef Bucket* bucket
    cdef uint64_t found
    if table.buckets == NULL:
        return
    bucket = &table.buckets[hashed & table.mask]
    found = matches(bucket, ONES * tag_of(hashed))
    if found:
        store_prefetch(bucket.slots[store_lowest_bit(found) >> 3])
        store_prefetch(<char*> bucket.slots[store_lowest_bit(found) >> 3] + 64)


cdef bint table_find_hash(Dict* dict, uint64_t hashed, Place* place) noexcept nogil:
    """Find a key by nothing but its hash: recomputes those of the entries whose tag agrees."""
    cdef uint64_t pattern = ONES * tag_of(hashed)
    cdef uint64_t found
    cdef Bucket* bucket
    cdef Entry* entry
    cdef int which, slot
    place.hash = hashed
    for which in range(2):
        if dict.tables[which].buckets == NULL:
            break
        bucket = &dict.tables[which].buckets[hashed & dict.tables[which].mask]
        while bucket != NULL:
            found = matches(bucket, pattern)
            while found:
                slot = store_lowest_bit(found) >> 3
                entry = <Entry*> bucket.slots[slot]
                if hash_bytes(key_of(dict, entry), entry.key_length, dict.node.seed) == hashed:
                    place.entry = entry
                    place.bucket = bucket
                    place.slot = slot
                    return True
                found &= found - 1
            bucket = chained(bucket)
    place.entry = NULL
    return False


cdef void table_insert(Dict* dict, Entry* entry, Place* place) noexcept nogil:
    """Add an entry whose key table_find() has just missed (place.hash is its hash)."""
    if dict.tables[0].buckets == NULL:
        open_table(dict, &dict.tables[0], BUCKETS_LEAST)
    dict.count += 1
    if is_volatile(dict, entry):
        dict.volatile_count += 1
    if table_moving(dict):
        table_move(dict, 1)
    elif dict.count > keys_most(dict.tables[0].mask + 1):
        table_fit(dict)
    put(dict, &dict.tables[1 if table_moving(dict) else 0], entry, place.hash, place)


cdef Entry* table_remove(Dict* dict, Place* place) noexcept nogil:
    """Take the entry out and give it to the caller. """
    cdef Entry* entry = place.entry
    place.bucket.tags[place.slot] = 0
    place.bucket.slots[place.slot] = NULL
    place.bucket.marks &= ~(1 << place.slot)
    place.entry = NULL
    dict.count -= 1
    if is_volatile(dict, entry):
        dict.volatile_count -= 1
    shorten(dict, place.hash)
    if table_moving(dict):
        table_move(dict, 1)
    return entry


cdef void shorten(Dict* dict, uint64_t hashed) noexcept nogil:
    """Drop the empty successors in the chain of `hashed`; one test where there is no chain, the usual case."""
    cdef Bucket* bucket
    cdef Bucket* following
    cdef int which
    for which in range(2):
        if dict.tables[which].buckets == NULL:
            break
        bucket = &dict.tables[which].buckets[hashed & dict.tables[which].mask]
        while bucket.marks & CHAINED:
            following = chained(bucket)
            if tags_of(following):
                bucket = following
                continue
            bucket.slots[SLOTS - 1] = following.slots[SLOTS - 1]
            if not following.marks & CHAINED:
                bucket.marks &= ~CHAINED
            drop_bucket(dict, following)


cdef void empty_chain(Dict* dict, Bucket* bucket) noexcept nogil:
    """Move every entry of a chain of the old array to the new one and drop the chain's successors."""
    cdef Bucket* first = bucket
    cdef Bucket* following
    cdef Entry* entry
    cdef Place place
    cdef int slot
    while bucket != NULL:
        for slot in range(SLOTS):
            if bucket.tags[slot]:
                entry = <Entry*> bucket.slots[slot]
                put(dict, &dict.tables[1], entry,
                    hash_bytes(key_of(dict, entry), entry.key_length, dict.node.seed), &place)
        following = chained(bucket)
        if bucket != first:
            drop_bucket(dict, bucket)
        bucket = following
    memset(first, 0, sizeof(Bucket))


cdef void table_move(Dict* dict, uint64_t buckets) noexcept nogil:
    """Move `buckets` chains that hold something; long runs of empty ones end the step early."""
    cdef uint64_t passed = buckets * EMPTY_STEPS
    cdef Table* old = &dict.tables[0]
    cdef Bucket* bucket
    while buckets and passed:
        if dict.moved > old.mask:
            close_table(dict, old)
            dict.tables[0] = dict.tables[1]
            memset(&dict.tables[1], 0, sizeof(Table))
            dict.moved = 0
            dict.sweep = 0
            return
        bucket = &old.buckets[dict.moved]
        dict.moved += 1
        passed -= 1
        if tags_of(bucket) or bucket.marks & CHAINED:
            empty_chain(dict, bucket)
            buckets -= 1


cdef void table_fit(Dict* dict) noexcept nogil:
    """Start moving to a table of the right size if this one is too small or far too large.

    A table is not doubled past maxmemory while its chains are bearable: chains cost about as many bytes a key as a
    larger array does, and evicting keys to make room for the array would be absurd.
    """
    cdef uint64_t size = dict.tables[0].mask + 1
    cdef uint64_t wanted = size
    cdef size_t limit = dict.node.maxmemory
    if dict.tables[0].buckets == NULL or table_moving(dict):
        return
    if dict.count > keys_most(size):
        wanted = size * 2
        if limit and dict.count < size * CROWDED and dict.node.memory + wanted * sizeof(Bucket) > limit:
            return
    elif size > BUCKETS_LEAST and dict.count < size // 2:
        while wanted > BUCKETS_LEAST and dict.count < wanted // 2:
            wanted //= 2
    if wanted == size:
        return
    open_table(dict, &dict.tables[1], wanted)
    dict.moved = 0


cdef void visit_chain(Bucket* bucket, Visitor visit, void* context) noexcept nogil:
    cdef int slot
    while bucket != NULL:
        for slot in range(SLOTS):
            if bucket.tags[slot]:
                visit(context, <Entry*> bucket.slots[slot])
        bucket = chained(bucket)


cdef inline uint64_t next_cursor(uint64_t cursor, uint64_t mask) noexcept nogil:
    """Add one to the cursor's bits under `mask`, counting from the highest of them down."""
    cdef uint64_t bit = (mask >> 1) + 1
    cursor &= mask
    while bit and cursor & bit:
        cursor ^= bit
        bit >>= 1
    return cursor | bit


cdef uint64_t table_scan(Dict* dict, uint64_t cursor, Visitor visit, void* context) noexcept nogil:
    """Visit one bucket of the smaller array and what corresponds to it in the larger; returns the next cursor, 0: done.

    The cursor counts in reversed binary (Pieter Noordhuis's method): the buckets of a larger table that share their
    low bits follow each other, so a table that grows or shrinks between two calls never hides an entry that was
    there all along, though it may show one twice. `visit` must not change the table.
    """
    cdef Table* small = &dict.tables[0]
    cdef Table* large = &dict.tables[1]
    cdef Table* other
    cdef uint64_t index
    if small.buckets == NULL:
        return 0
    if large.buckets == NULL:
        visit_chain(&small.buckets[cursor & small.mask], visit, context)
        return next_cursor(cursor, small.mask)
    if small.mask > large.mask:
        other = small
        small = large
        large = other
    index = cursor & small.mask
    visit_chain(&small.buckets[index], visit, context)
    while index <= large.mask:
        visit_chain(&large.buckets[index], visit, context)
        index += small.mask + 1
    return next_cursor(cursor, small.mask)


cdef bint table_next_group(Table* table, uint64_t* group) noexcept nogil:
    """Go to the first group of buckets from `group` on that may hold volatile keys; False: none up to the end.

    With one bit for 8 buckets, a hundred volatile keys among ten million are found by reading 4,096 words at most.
    """
    cdef uint64_t word = group[0] >> 6
    cdef uint64_t bits
    if table.volatiles == NULL or group[0] > table.mask // GROUP:
        return False
    bits = table.volatiles[word] >> (group[0] & 63) << (group[0] & 63)
    while not bits:
        word += 1
        if word == group_words(table):
            return False
        bits = table.volatiles[word]
    group[0] = (word << 6) + store_lowest_bit(bits)
    return True


cdef void table_clear_group(Table* table, uint64_t group) noexcept nogil:
    """A group was looked through and holds no volatile key."""
    table.volatiles[group >> 6] &= ~(<uint64_t> 1 << (group & 63))


cdef Entry* table_next(Walk* walk) noexcept nogil:
    """The next entry of a walk, NULL at its end."""
    cdef Table* table
    cdef int slot
    while True:
        while walk.bucket != NULL:
            while walk.slot < SLOTS:
                slot = walk.slot
                walk.slot += 1
                if walk.bucket.tags[slot]:
                    return <Entry*> walk.bucket.slots[slot]
            walk.bucket = chained(walk.bucket)
            walk.slot = 0
        table = &walk.dict.tables[walk.which]
        if table.buckets == NULL or walk.index > table.mask:
            if walk.which or table.buckets == NULL:
                return NULL
            walk.which = 1
            walk.index = 0
            continue
        walk.bucket = &table.buckets[walk.index]
        walk.index += 1
        walk.slot = 0


cdef bint table_drain(Dict* dict, size_t* budget, Visitor visit, void* context) noexcept nogil:
    """Hand entries of a table that nobody uses any more to `visit`, which frees them, chain by chain until the budget
    of entries is used up. True: the table is empty and its arrays are freed."""
    cdef Bucket* first
    cdef Bucket* bucket
    cdef Bucket* following
    cdef int which, slot
    for which in range(2):
        if dict.tables[which].buckets == NULL:
            continue
        while dict.sweep <= dict.tables[which].mask:
            if budget[0] == 0:
                return False
            first = &dict.tables[which].buckets[dict.sweep]
            dict.sweep += 1
            bucket = first
            while bucket != NULL:
                for slot in range(SLOTS):
                    if bucket.tags[slot]:
                        visit(context, <Entry*> bucket.slots[slot])
                        budget[0] -= budget[0] != 0
                following = chained(bucket)
                if bucket != first:
                    drop_bucket(dict, bucket)
                bucket = following
        close_table(dict, &dict.tables[which])
        dict.sweep = 0
    dict.count = 0
    dict.volatile_count = 0
    dict.moved = 0
    return True
