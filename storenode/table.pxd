# cython: language_level=3
"""Table: the hash table of a Dict: from key to Entry in a database, from name to Member in a large value.

A bucket is one cache line: seven tags (8 bits of the hash), seven pointers, a byte of marks. A lookup compares all
tags of a bucket at once and touches an entry only where the tag agrees, so a hit costs two cache misses and a miss
about one. A full bucket grows a chain. An entry always lives in the chain of bucket `hash & mask`, never in a
neighbour's: that is what makes SCAN's promise possible.

Growing and shrinking are incremental: a second array appears and every change moves one more bucket to it. A mark per
slot tells which entries have an expiry, and a bit for every 8 buckets whether any of theirs may, so expiry and the
volatile policies find their keys without reading the others, even when they are few among millions.
"""

from libc.stdint cimport uint64_t

from storenode.types cimport CHAINED, SLOTS, Bucket, Dict, Entry, Place, Table

ctypedef void (*Visitor)(void* context, Entry* entry) noexcept nogil

cdef struct Walk:              # over all entries of a table that does not change meanwhile
    Dict* dict
    Bucket* bucket
    uint64_t index
    int which
    int slot

cdef enum:
    GROUP = 8                  # buckets that share a bit of Table.volatiles
    KEYS_A_BUCKET = 5          # average that a table grows at: 13 bytes of table a key, 13 % of the buckets chained
    KEYS_A_BUCKET_LARGE = 8    # of a large one: 9 bytes and half of them chained, 5 more; halves what growing costs
    LARGE_FROM = 1 << 17       # buckets: 8 MiB, beyond any cache
    BUCKETS_LEAST = 4          # of a table that holds anything

cdef bint table_find(Dict* dict, const char* key, size_t length, uint64_t hashed,
                     Place* place) noexcept nogil
cdef bint table_find_hash(Dict* dict, uint64_t hashed, Place* place) noexcept nogil
cdef void table_insert(Dict* dict, Entry* entry, Place* place) noexcept nogil
cdef Entry* table_remove(Dict* dict, Place* place) noexcept nogil
cdef void table_move(Dict* dict, uint64_t buckets) noexcept nogil
cdef void table_fit(Dict* dict) noexcept nogil
cdef uint64_t table_scan(Dict* dict, uint64_t cursor, Visitor visit, void* context) noexcept nogil
cdef void table_prefetch(Dict* dict, uint64_t hashed) noexcept nogil
cdef void table_prefetch_entry(Dict* dict, uint64_t hashed) noexcept nogil
cdef void table_mark(Dict* dict, const Place* place, bint expires) noexcept nogil
cdef bint table_next_group(Table* table, uint64_t* group) noexcept nogil
cdef void table_clear_group(Table* table, uint64_t group) noexcept nogil
cdef Entry* table_next(Walk* walk) noexcept nogil
cdef bint table_drain(Dict* dict, size_t* budget, Visitor visit, void* context) noexcept nogil


cdef inline Bucket* chained(const Bucket* bucket) noexcept nogil:
    """The next bucket of a chain, NULL: none."""
    return <Bucket*> bucket.slots[SLOTS - 1] if bucket.marks & CHAINED else NULL


cdef inline char* key_of(const Dict* dict, const Entry* entry) noexcept nogil:
    return <char*> entry + dict.head


cdef inline void table_walk(Dict* dict, Walk* walk) noexcept nogil:
    walk.dict = dict
    walk.bucket = NULL
    walk.index = 0
    walk.which = 0
    walk.slot = 0


cdef inline uint64_t keys_most(uint64_t buckets) noexcept nogil:
    """Entries that a table of so many buckets holds before it grows."""
    return buckets * (KEYS_A_BUCKET if buckets < LARGE_FROM else KEYS_A_BUCKET_LARGE)


cdef inline bint table_moving(const Dict* dict) noexcept nogil:
    return dict.tables[1].buckets != NULL
