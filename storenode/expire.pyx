# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Expire: the active sweep. See expire.pxd. (Expiry on access is in keyspace.pyx.)

Instead of sampling, the sweep walks the buckets in order and reads only the entries that a bucket's marks name as
volatile: a million keys without expiry are passed in about a millisecond, and no expired key can hide from it longer
than one pass takes. Each call is bounded in time and goes on where the last one stopped. A database whose table is
moving waits: its own housekeeping ends the move soon.
"""

from libc.stdint cimport uint64_t

from proxy.wire.system cimport monotonic_us
from storenode.changes cimport EVENT_EXPIRED
from storenode.entry cimport entry_expired, entry_key
from storenode.keyspace cimport key_remove
from storenode.hash cimport hash_bytes
from storenode.table cimport table_moving
from storenode.types cimport CHAINED, DATABASES, SLOTS, Bucket, Database, Entry, Node, Place

cdef enum:
    BUCKETS_A_CHECK = 128      # between two looks at the clock


cdef void sweep_chain(Node* node, Database* database, uint64_t index) noexcept nogil:
    """Remove the expired entries of one chain.

    After a removal the chain is looked up and walked again: it may be shorter, its buckets may be gone with the table's
    last key, and the table may have begun to shrink.
    """
    cdef Bucket* bucket
    cdef Entry* entry
    cdef Place place
    cdef int slot
    cdef bint again = True
    while again and not table_moving(&database.keys) and database.keys.tables[0].buckets != NULL \
            and index <= database.keys.tables[0].mask:
        again = False
        bucket = &database.keys.tables[0].buckets[index]
        while bucket != NULL and not again:
            if bucket.marks & ~CHAINED:
                for slot in range(SLOTS):
                    if not (bucket.marks >> slot) & 1:
                        continue
                    entry = <Entry*> bucket.slots[slot]
                    if not entry_expired(entry, node.now_ms):
                        continue
                    place.entry = entry
                    place.bucket = bucket
                    place.slot = slot
                    place.hash = hash_bytes(entry_key(entry), entry.key_length, node.seed)
                    key_remove(database, &place, EVENT_EXPIRED)
                    node.stats.expired += 1
                    again = True
                    break
            if not again:
                bucket = <Bucket*> bucket.slots[SLOTS - 1] if bucket.marks & CHAINED else NULL


cdef bint expire_sweep(Node* node, uint64_t budget_us) noexcept nogil:
    """Sweep for at most about `budget_us`. True: stopped by the budget, there is more to look at."""
    cdef uint64_t deadline = monotonic_us() + budget_us
    cdef Database* database
    cdef int left = DATABASES
    cdef int checked = 0
    while left:
        database = &node.databases[node.sweep_database]
        if database.keys.volatile_count and not table_moving(&database.keys):
            while database.keys.tables[0].buckets != NULL and database.keys.sweep <= database.keys.tables[0].mask:
                sweep_chain(node, database, database.keys.sweep)
                database.keys.sweep += 1
                checked += 1
                if checked == BUCKETS_A_CHECK:
                    checked = 0
                    if monotonic_us() > deadline:
                        return True
        database.keys.sweep = 0
        node.sweep_database = (node.sweep_database + 1) % DATABASES
        left -= 1
    return False
