# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Keyspace: looking keys up (expiring them on the way), setting, resizing, renaming, removing. See keyspace.pxd."""

from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.stdio cimport fprintf, stderr
from libc.stdlib cimport abort, free, realloc
from libc.string cimport memcpy

from proxy.wire.resp cimport read_number
from storenode.table cimport table_clear, table_find, table_insert, table_remove
from storenode.types cimport EMBSTR, INTEGER, RAW, SLOTS, STRING, Bucket, Call, CHAINED, Database, Entry, Place, Slice

cdef extern from "<malloc.h>" nogil:
    size_t malloc_usable_size(void* block)
    int malloc_trim(size_t pad)

cdef enum:
    AHEAD_MOST = 1 << 20       # bytes reserved beyond a growing string; below that its own length again
    WASTE_FROM = 128           # blocks from this size on are not kept for a value that fills less than half


cdef size_t entry_bytes(const Entry* entry) noexcept nogil:
    """What an entry takes from the heap, malloc's own word included."""
    return malloc_usable_size(<void*> entry) + sizeof(size_t)


cdef Entry* resize(Database* database, Entry* entry, size_t size) noexcept nogil:
    """realloc() with the accounting; NULL: a new block."""
    if entry != NULL:
        database.node.memory -= entry_bytes(entry)
    entry = <Entry*> realloc(entry, size)
    if entry == NULL:
        fprintf(stderr, "quench: out of memory allocating %zu bytes for a key\n", size)
        abort()
    database.node.memory += entry_bytes(entry)
    return entry


cdef void entry_free(Database* database, Entry* entry) noexcept nogil:
    """The one place where a value dies; other types free their structure here."""
    database.node.memory -= entry_bytes(entry)
    free(entry)


cdef bint key_write(Call* call, const Slice* key, Place* place) noexcept nogil:
    """Find a key that is about to be changed. A key past its expiry is removed and not found."""
    cdef Database* database = call.database
    if not table_find(database, key.data, key.length, key_hash(database, key), place):
        return False
    if entry_expired(place.entry, call.node.now_ms):
        key_remove(database, place)
        call.node.stats.expired += 1
        return False
    if not call.client.no_touch:
        place.entry.clock = call.node.ticks
    return True


cdef bint key_read(Call* call, const Slice* key, Place* place) noexcept nogil:
    """key_write() that counts a hit or a miss."""
    if key_write(call, key, place):
        call.node.stats.hits += 1
        return True
    call.node.stats.misses += 1
    return False


cdef bint key_peek(Database* database, const Slice* key, Place* place) noexcept nogil:
    """Find a key without using it: no LRU clock, no statistics."""
    if not table_find(database, key.data, key.length, key_hash(database, key), place):
        return False
    if entry_expired(place.entry, database.node.now_ms):
        key_remove(database, place)
        database.node.stats.expired += 1
        return False
    return True


cdef void key_remove(Database* database, Place* place) noexcept nogil:
    entry_free(database, table_remove(database, place))


cdef void key_expire(Database* database, Place* place, int64_t expire_ms) noexcept nogil:
    """Set a key's expiry (0: never) and the mark that lets the sweep find it."""
    if (place.entry.expire_ms != 0) != (expire_ms != 0):
        place.bucket.marks ^= 1 << place.slot
        database.volatile_count += 1 if expire_ms else -1
    place.entry.expire_ms = expire_ms


cdef int value_encoding(const Slice* value) noexcept nogil:
    """How Redis would encode a string that was just set."""
    cdef long long number
    if value.length <= 20 and read_number(value.data, value.length, &number):
        return INTEGER
    return EMBSTR if value.length <= EMBSTR_MOST else RAW


cdef void value_set(Database* database, const Slice* key, Place* place, const Slice* value,
                    int encoding) noexcept nogil:
    """Give the key a string value. `place` comes from a lookup of this key just made; an expiry is left as it is.

    The block is reused where the value fits and would not leave most of a large one empty. `value` must not lie in
    the entry itself. (A value of another type will have to be freed here first; there is none yet.)
    """
    cdef Entry* entry = place.entry
    cdef size_t size = sizeof(Entry) + key.length + value.length
    cdef size_t usable
    if entry != NULL:
        usable = malloc_usable_size(entry)
        if size > usable or (usable >= WASTE_FROM and size < usable // 2):
            # The old value is not needed: a fresh block avoids the copy that realloc() would make of it.
            entry = resize(database, NULL, size)
            memcpy(entry, place.entry, sizeof(Entry) + key.length)
            entry_free(database, place.entry)
            place.entry = entry
            place.bucket.slots[place.slot] = entry
    else:
        entry = resize(database, NULL, size)
        entry.expire_ms = 0
        entry.key_length = <uint32_t> key.length
        entry.clock = database.node.ticks
        entry.spare = 0
        memcpy(entry_key(entry), key.data, key.length)
        table_insert(database, entry, place)
    entry.type = STRING
    entry.encoding = encoding
    entry.value_length = <uint32_t> value.length
    memcpy(entry_key(entry) + key.length, value.data, value.length)


cdef char* value_resize(Database* database, Place* place, size_t length, bint ahead) noexcept nogil:
    """Make an existing string `length` bytes long, keeping what it has; returns where the value now is.

    `ahead` reserves for more to come, so that a string built by many APPENDs is copied a constant number of times.
    """
    cdef Entry* entry = place.entry
    cdef size_t size = sizeof(Entry) + entry.key_length + length
    if size > malloc_usable_size(entry):
        if ahead:
            size += length if length < AHEAD_MOST else AHEAD_MOST
        entry = resize(database, entry, size)
        place.entry = entry
        place.bucket.slots[place.slot] = entry
    entry.value_length = <uint32_t> length
    return entry_value(entry)


cdef void key_rename(Database* database, Place* place, Database* target, const Slice* key) noexcept nogil:
    """Move an entry to the name `key`, which must not exist in `target`; value, expiry and clock stay."""
    cdef Entry* old = table_remove(database, place)
    cdef Entry* entry = resize(target, NULL, sizeof(Entry) + key.length + old.value_length)
    cdef Place there
    memcpy(entry, old, sizeof(Entry))
    entry.key_length = <uint32_t> key.length
    memcpy(entry_key(entry), key.data, key.length)
    memcpy(entry_value(entry), entry_value(old), old.value_length)
    # Not entry_free(): a structure that the value points to lives on in the new entry.
    database.node.memory -= entry_bytes(old)
    free(old)
    table_find(target, key.data, key.length, key_hash(target, key), &there)
    table_insert(target, entry, &there)


cdef void database_clear(Database* database) noexcept nogil:
    """Remove every key, in one go, and give the memory back to the kernel: what FLUSHDB does."""
    cdef Bucket* bucket
    cdef uint64_t index
    cdef int which, slot
    if database.tables[0].buckets == NULL:
        return
    for which in range(2):
        if database.tables[which].buckets == NULL:
            continue
        for index in range(database.tables[which].mask + 1):
            bucket = &database.tables[which].buckets[index]
            while bucket != NULL:
                for slot in range(SLOTS):
                    if bucket.tags[slot]:
                        entry_free(database, <Entry*> bucket.slots[slot])
                bucket = <Bucket*> bucket.slots[SLOTS - 1] if bucket.marks & CHAINED else NULL
    table_clear(database)
    malloc_trim(0)
