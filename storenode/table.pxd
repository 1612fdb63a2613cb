# cython: language_level=3
"""Table: the hash table of one database, from key to Entry.

A bucket is one cache line: seven tags (8 bits of the hash), seven pointers, a byte of marks. A lookup compares all
tags of a bucket at once and touches an entry only where the tag agrees, so a hit costs two cache misses and a miss
about one. A full bucket grows a chain. An entry always lives in the chain of bucket `hash & mask`, never in a
neighbour's: that is what makes SCAN's promise possible.

Growing and shrinking are incremental: a second array appears and every change moves one more bucket to it. A mark per
slot tells which entries have an expiry, so expiry and the volatile policies find their keys without reading the others.
"""

from libc.stdint cimport uint64_t

from storenode.types cimport Database, Entry, Place

ctypedef void (*Visitor)(void* context, Entry* entry) noexcept nogil

cdef enum:
    KEYS_A_BUCKET = 5          # average that a table grows at: 13 bytes of table a key, 13 % of the buckets chained
    BUCKETS_LEAST = 4          # of a table that holds anything

cdef bint table_find(Database* database, const char* key, size_t length, uint64_t hashed,
                     Place* place) noexcept nogil
cdef bint table_find_hash(Database* database, uint64_t hashed, Place* place) noexcept nogil
cdef void table_insert(Database* database, Entry* entry, Place* place) noexcept nogil
cdef Entry* table_remove(Database* database, Place* place) noexcept nogil
cdef void table_move(Database* database, uint64_t buckets) noexcept nogil
cdef void table_fit(Database* database) noexcept nogil
cdef uint64_t table_scan(Database* database, uint64_t cursor, Visitor visit, void* context) noexcept nogil
cdef bint table_random(Database* database, Place* place) noexcept nogil
cdef void table_prefetch(Database* database, uint64_t hashed) noexcept nogil
cdef void table_prefetch_entry(Database* database, uint64_t hashed) noexcept nogil
cdef int table_sample(Database* database, Entry** entries, int most) noexcept nogil
cdef void table_clear(Database* database) noexcept nogil


cdef inline bint table_moving(const Database* database) noexcept nogil:
    return database.tables[1].buckets != NULL
