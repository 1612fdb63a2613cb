# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Table: lookup, insertion, removal, incremental resizing, scanning and sampling. See table.pxd for the shape."""

from libc.stdint cimport uint8_t, uint64_t
from libc.stdio cimport fprintf, stderr
from libc.stdlib cimport abort, calloc, free, malloc
from libc.string cimport memcmp, memcpy, memset

from storenode.hash cimport hash_bytes
from storenode.types cimport CHAINED, SLOTS, Bucket, Database, Entry, Place, Table

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


cdef inline Bucket* chained(Bucket* bucket) noexcept nogil:
    return <Bucket*> bucket.slots[SLOTS - 1] if bucket.marks & CHAINED else NULL


cdef void open_table(Database* database, Table* table, uint64_t buckets) noexcept nogil:
    """An empty array of cache lines; the kernel gives a large one zeroed, page by page as it is used."""
    table.block = calloc(buckets + 1, sizeof(Bucket))
    if table.block == NULL:
        fprintf(stderr, "quench: out of memory allocating a table of %llu buckets\n", <unsigned long long> buckets)
        abort()
    table.buckets = <Bucket*> ((<size_t> table.block + 63) & ~<size_t> 63)
    table.mask = buckets - 1
    table.bytes = (buckets + 1) * sizeof(Bucket) + 16
    database.node.memory += table.bytes


cdef void close_table(Database* database, Table* table) noexcept nogil:
    if table.block != NULL:
        free(table.block)
        database.node.memory -= table.bytes
    memset(table, 0, sizeof(Table))


cdef Bucket* extend(Database* database, Bucket* bucket) noexcept nogil:
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
    database.node.memory += malloc_usable_size(following) + sizeof(size_t)
    return following


cdef inline void drop_bucket(Database* database, Bucket* bucket) noexcept nogil:
    database.node.memory -= malloc_usable_size(bucket) + sizeof(size_t)
    free(bucket)


cdef void put(Database* database, Table* table, Entry* entry, uint64_t hashed, Place* place) noexcept nogil:
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
        bucket = following if following != NULL else extend(database, bucket)
    slot = store_lowest_bit(vacant) >> 3
    bucket.tags[slot] = tag_of(hashed)
    bucket.slots[slot] = entry
    if entry.expire_ms:
        bucket.marks |= 1 << slot
    place.entry = entry
    place.bucket = bucket
    place.slot = slot
    place.hash = hashed


cdef bint table_find(Database* database, const char* key, size_t length, uint64_t hashed,
                     Place* place) noexcept nogil:
    """Find `key`, whose hash is `hashed`; fills in `place` either way."""
    cdef uint64_t pattern = ONES * tag_of(hashed)
    cdef uint64_t found
    cdef Bucket* bucket
    cdef Entry* entry
    cdef int which, slot
    place.hash = hashed
    for which in range(2):
        if database.tables[which].buckets == NULL:
            break
        bucket = &database.tables[which].buckets[hashed & database.tables[which].mask]
        while bucket != NULL:
            found = matches(bucket, pattern)
            while found:
                slot = store_lowest_bit(found) >> 3
                entry = <Entry*> bucket.slots[slot]
                if entry.key_length == length and memcmp(<char*> (entry + 1), key, length) == 0:
                    place.entry = entry
                    place.bucket = bucket
                    place.slot = slot
                    return True
                found &= found - 1
            bucket = chained(bucket)
    place.entry = NULL
    return False


cdef void table_prefetch(Database* database, uint64_t hashed) noexcept nogil:
    """Ask for the bucket of a key that will be looked up soon. A hint: of two arrays only the one that fills up."""
    cdef Table* table = &database.tables[1 if table_moving(database) else 0]
    if table.buckets != NULL:
        store_prefetch(&table.buckets[hashed & table.mask])


cdef void table_prefetch_entry(Database* database, uint64_t hashed) noexcept nogil:
    """The second step, once the bucket has arrived: ask for the entry whose tag agrees, two cache lines of it."""
    cdef Table* table = &database.tables[1 if table_moving(database) else 0]
    cdef Bucket* bucket
    cdef uint64_t found
    if table.buckets == NULL:
        return
    bucket = &table.buckets[hashed & table.mask]
    found = matches(bucket, ONES * tag_of(hashed))
    if found:
        store_prefetch(bucket.slots[store_lowest_bit(found) >> 3])
        store_prefetch(<char*> bucket.slots[store_lowest_bit(found) >> 3] + 64)


cdef bint table_find_hash(Database* database, uint64_t hashed, Place* place) noexcept nogil:
    """Find a key by nothing but its hash: recomputes those of the entries whose tag agrees."""
    cdef uint64_t pattern = ONES * tag_of(hashed)
    cdef uint64_t found
    cdef Bucket* bucket
    cdef Entry* entry
    cdef int which, slot
    place.hash = hashed
    for which in range(2):
        if database.tables[which].buckets == NULL:
            break
        bucket = &database.tables[which].buckets[hashed & database.tables[which].mask]
        while bucket != NULL:
            found = matches(bucket, pattern)
            while found:
                slot = store_lowest_bit(found) >> 3
                entry = <Entry*> bucket.slots[slot]
                if hash_bytes(<char*> (entry + 1), entry.key_length, database.node.seed) == hashed:
                    place.entry = entry
                    place.bucket = bucket
                    place.slot = slot
                    return True
                found &= found - 1
            bucket = chained(bucket)
    place.entry = NULL
    return False


cdef void table_insert(Database* database, Entry* entry, Place* place) noexcept nogil:
    """Add an entry whose key table_find() has just missed (place.hash is its hash)."""
    if database.tables[0].buckets == NULL:
        open_table(database, &database.tables[0], BUCKETS_LEAST)
    database.count += 1
    if entry.expire_ms:
        database.volatile_count += 1
    if table_moving(database):
        table_move(database, 1)
    elif database.count > (database.tables[0].mask + 1) * KEYS_A_BUCKET:
        table_fit(database)
    put(database, &database.tables[1 if table_moving(database) else 0], entry, place.hash, place)


cdef Entry* table_remove(Database* database, Place* place) noexcept nogil:
    """Take the entry out and give it to the caller. """
    cdef Entry* entry = place.entry
    place.bucket.tags[place.slot] = 0
    place.bucket.slots[place.slot] = NULL
    place.bucket.marks &= ~(1 << place.slot)
    place.entry = NULL
    database.count -= 1
    if entry.expire_ms:
        database.volatile_count -= 1
    shorten(database, place.hash)
    if table_moving(database):
        table_move(database, 1)
    return entry


cdef void shorten(Database* database, uint64_t hashed) noexcept nogil:
    """Drop the empty successors in the chain of `hashed`; one test where there is no chain, the usual case."""
    cdef Bucket* bucket
    cdef Bucket* following
    cdef int which
    for which in range(2):
        if database.tables[which].buckets == NULL:
            break
        bucket = &database.tables[which].buckets[hashed & database.tables[which].mask]
        while bucket.marks & CHAINED:
            following = chained(bucket)
            if tags_of(following):
                bucket = following
                continue
            bucket.slots[SLOTS - 1] = following.slots[SLOTS - 1]
            if not following.marks & CHAINED:
                bucket.marks &= ~CHAINED
            drop_bucket(database, following)


cdef void empty_chain(Database* database, Bucket* bucket) noexcept nogil:
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
                put(database, &database.tables[1], entry,
                    hash_bytes(<char*> (entry + 1), entry.key_length, database.node.seed), &place)
        following = chained(bucket)
        if bucket != first:
            drop_bucket(database, bucket)
        bucket = following
    memset(first, 0, sizeof(Bucket))


cdef void table_move(Database* database, uint64_t buckets) noexcept nogil:
    """Move `buckets` chains that hold something; long runs of empty ones end the step early."""
    cdef uint64_t passed = buckets * EMPTY_STEPS
    cdef Table* old = &database.tables[0]
    cdef Bucket* bucket
    while buckets and passed:
        if database.moved > old.mask:
            close_table(database, old)
            database.tables[0] = database.tables[1]
            memset(&database.tables[1], 0, sizeof(Table))
            database.moved = 0
            database.sweep = 0
            return
        bucket = &old.buckets[database.moved]
        database.moved += 1
        passed -= 1
        if tags_of(bucket) or bucket.marks & CHAINED:
            empty_chain(database, bucket)
            buckets -= 1


cdef void table_fit(Database* database) noexcept nogil:
    """Start moving to a table of the right size if this one is too small or far too large.

    A table is not doubled past maxmemory while its chains are bearable: chains cost about as many bytes a key as a
    larger array does, and evicting keys to make room for the array would be absurd.
    """
    cdef uint64_t size = database.tables[0].mask + 1
    cdef uint64_t wanted = size
    cdef size_t limit = database.node.maxmemory
    if database.tables[0].buckets == NULL or table_moving(database):
        return
    if database.count > size * KEYS_A_BUCKET:
        wanted = size * 2
        if limit and database.count < size * CROWDED and database.node.memory + wanted * sizeof(Bucket) > limit:
            return
    elif size > BUCKETS_LEAST and database.count < size // 2:
        while wanted > BUCKETS_LEAST and database.count < wanted // 2:
            wanted //= 2
    if wanted == size:
        return
    open_table(database, &database.tables[1], wanted)
    database.moved = 0


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


cdef uint64_t table_scan(Database* database, uint64_t cursor, Visitor visit, void* context) noexcept nogil:
    """Visit one bucket of the smaller array and what corresponds to it in the larger; returns the next cursor, 0: done.

    The cursor counts in reversed binary (Pieter Noordhuis's method): the buckets of a larger table that share their
    low bits follow each other, so a table that grows or shrinks between two calls never hides an entry that was
    there all along, though it may show one twice. `visit` must not change the table.
    """
    cdef Table* small = &database.tables[0]
    cdef Table* large = &database.tables[1]
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


cdef inline uint64_t random_next(uint64_t* state) noexcept nogil:
    """xorshift64*: for sampling only."""
    cdef uint64_t x = state[0]
    x ^= x >> 12
    x ^= x << 25
    x ^= x >> 27
    state[0] = x
    return x * <uint64_t> 0x2545F4914F6CDD1D


cdef inline Bucket* random_bucket(Database* database) noexcept nogil:
    """One of the buckets that may hold something, of both arrays."""
    cdef uint64_t old = database.tables[0].mask + 1 - database.moved
    cdef uint64_t size = old
    cdef uint64_t chosen
    if table_moving(database):
        size += database.tables[1].mask + 1
    chosen = (random_next(&database.node.random) >> 16) % size
    if chosen < old:
        return &database.tables[0].buckets[database.moved + chosen]
    return &database.tables[1].buckets[chosen - old]


cdef bint table_random(Database* database, Place* place) noexcept nogil:
    """A key at random: a random non-empty bucket, then a random entry of its chain; slightly favours short chains."""
    cdef Bucket* first
    cdef Bucket* bucket
    cdef int slot, held, chosen
    place.entry = NULL
    if database.count == 0:
        return False
    while True:
        first = random_bucket(database)
        held = 0
        bucket = first
        while bucket != NULL:
            for slot in range(SLOTS):
                held += bucket.tags[slot] != 0
            bucket = chained(bucket)
        if held == 0:
            continue
        chosen = <int> ((random_next(&database.node.random) >> 33) % held)
        bucket = first
        while bucket != NULL:
            for slot in range(SLOTS):
                if bucket.tags[slot]:
                    if chosen == 0:
                        place.entry = <Entry*> bucket.slots[slot]
                        place.bucket = bucket
                        place.slot = slot
                        place.hash = hash_bytes(<char*> (place.entry + 1), place.entry.key_length, database.node.seed)
                        return True
                    chosen -= 1
            bucket = chained(bucket)


cdef int table_sample(Database* database, Entry** entries, int most) noexcept nogil:
    """Up to `most` entries from random buckets, whole buckets at a time; gives up after 16 * `most` buckets."""
    cdef int count = 0
    cdef int tries = 16 * most
    cdef int slot
    cdef Bucket* bucket
    if database.count == 0:
        return 0
    while count < most and tries:
        tries -= 1
        bucket = random_bucket(database)
        while bucket != NULL and count < most:
            for slot in range(SLOTS):
                if bucket.tags[slot] and count < most:
                    entries[count] = <Entry*> bucket.slots[slot]
                    count += 1
            bucket = chained(bucket)
    return count


cdef void table_clear(Database* database) noexcept nogil:
    """Free both arrays and all chains; the entries must have been freed by the caller."""
    cdef Bucket* bucket
    cdef Bucket* following
    cdef uint64_t index
    cdef int which
    for which in range(2):
        if database.tables[which].buckets == NULL:
            continue
        for index in range(database.tables[which].mask + 1):
            bucket = chained(&database.tables[which].buckets[index])
            while bucket != NULL:
                following = chained(bucket)
                drop_bucket(database, bucket)
                bucket = following
        close_table(database, &database.tables[which])
    database.count = 0
    database.volatile_count = 0
    database.moved = 0
    database.sweep = 0
