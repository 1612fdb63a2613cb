# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Expire: the active sweep. See expire.pxd. (Expiry on access is in keyspace.pyx.)

A sample is the next SAMPLE volatile keys in the order of the buckets, found by the table's marks without reading any
other key. While more than a quarter of a sample was past its expiry another one follows, so at most that share of the
volatile keys is dead weight for long; what random sampling cannot promise, the order does: no expired key hides longer
than one pass, and a pass ends within PASS_TICKS calls, if time allows. A database whose table is moving waits: its own
housekeeping ends the move soon.
"""

from libc.stdint cimport int64_t, uint64_t

from proxy.wire.system cimport monotonic_us
from storenode.changes cimport EVENT_EXPIRED
from storenode.entry cimport entry_expired, entry_key
from storenode.keyspace cimport key_remove
from storenode.hash cimport hash_bytes
from storenode.table cimport GROUP, chained, table_clear_group, table_moving, table_next_group
from storenode.types cimport CHAINED, DATABASES, SLOTS, Bucket, Database, Entry, Node, Place, Table

cdef enum:
    SAMPLE = 256               # volatile keys looked at before it is decided whether to go on
    PASS_TICKS = 600           # calls, a minute's worth, after which every volatile key was looked at
    REPEAT_FROM = 4            # go on when at least one in so many was expired


cdef struct Sample:
    uint64_t looked            # volatile keys that were looked at
    uint64_t expired           # and removed
    uint64_t lasting           # and kept; their times to live are in `ttl`, ms
    double ttl


cdef uint64_t look(Node* node, Bucket* bucket, Sample* sample) noexcept nogil:
    """Count the volatile keys of a chain; returns how many are past their expiry."""
    cdef Entry* entry
    cdef uint64_t over = 0
    cdef int slot
    while bucket != NULL:
        if bucket.marks & ~CHAINED:
            for slot in range(SLOTS):
                if not (bucket.marks >> slot) & 1:
                    continue
                entry = <Entry*> bucket.slots[slot]
                sample.looked += 1
                if entry_expired(entry, node.now_ms):
                    over += 1
                else:
                    sample.lasting += 1
                    sample.ttl += <double> (entry.expire_ms - node.now_ms)
        bucket = chained(bucket)
    return over


cdef bint remove_one(Node* node, Database* database, Bucket* bucket) noexcept nogil:
    """Remove the first expired key of a chain. The chain, and even the table, may be another one afterwards."""
    cdef Entry* entry
    cdef Place place
    cdef int slot
    while bucket != NULL:
        for slot in range(SLOTS):
            if (bucket.marks >> slot) & 1 and entry_expired(<Entry*> bucket.slots[slot], node.now_ms):
                entry = <Entry*> bucket.slots[slot]
                place.entry = entry
                place.bucket = bucket
                place.slot = slot
                place.hash = hash_bytes(entry_key(entry), entry.key_length, node.seed)
                key_remove(database, &place, EVENT_EXPIRED)
                node.stats.expired += 1
                return True
        bucket = chained(bucket)
    return False


cdef void sweep_group(Node* node, Database* database, uint64_t group, Sample* sample) noexcept nogil:
    """Look at the volatile keys of a group of buckets and remove the expired ones."""
    cdef Table* table = &database.keys.tables[0]
    cdef uint64_t before = sample.lasting
    cdef uint64_t index = group * GROUP
    cdef uint64_t over
    while index < (group + 1) * GROUP and index <= table.mask:
        over = look(node, &table.buckets[index], sample)
        while over:
            sample.expired += remove_one(node, database, &table.buckets[index])
            over -= 1
            if table_moving(&database.keys) or table.buckets == NULL:
                return
        index += 1
    if sample.lasting == before:
        table_clear_group(table, group)


cdef bint sweep_database(Node* node, Database* database, uint64_t deadline) noexcept nogil:
    """Take samples while they are worth it. False: stopped by the deadline."""
    cdef Table* table = &database.keys.tables[0]
    cdef uint64_t wanted = database.keys.volatile_count // PASS_TICKS
    cdef Sample sample
    cdef Sample whole = Sample(looked=0, expired=0, lasting=0, ttl=0)
    cdef int64_t average
    cdef bint more = True
    cdef bint in_time = True
    if wanted < SAMPLE:
        wanted = SAMPLE
    while more and in_time and database.keys.volatile_count and not table_moving(&database.keys):
        sample = Sample(looked=0, expired=0, lasting=0, ttl=0)
        while sample.looked < wanted and not table_moving(&database.keys):
            if not table_next_group(table, &database.keys.sweep):
                database.keys.sweep = 0
                break
            sweep_group(node, database, database.keys.sweep, &sample)
            database.keys.sweep += 1
            if monotonic_us() > deadline:
                in_time = False
                break
        whole.looked += sample.looked
        whole.expired += sample.expired
        whole.lasting += sample.lasting
        whole.ttl += sample.ttl
        more = sample.expired * REPEAT_FROM > sample.looked
    if whole.lasting:
        average = <int64_t> (whole.ttl / <double> whole.lasting)
        database.ttl_average = (database.ttl_average * 49 + average) // 50 if database.ttl_average else average
    elif database.keys.volatile_count == 0:
        database.ttl_average = 0
    if whole.looked:
        node.stats.expired_stale = (node.stats.expired_stale * 0.95
                                    + 0.05 * <double> whole.expired / <double> whole.looked)
    return in_time


cdef bint expire_sweep(Node* node, uint64_t budget_us) noexcept nogil:
    """Sweep for at most about `budget_us`. True: stopped by the budget, there is more to do."""
    cdef uint64_t deadline = monotonic_us() + budget_us
    cdef Database* database
    cdef int left = DATABASES
    while left:
        database = &node.databases[node.sweep_database]
        if not sweep_database(node, database, deadline):
            node.stats.expiry_capped += 1
            return True
        node.sweep_database = (node.sweep_database + 1) % DATABASES
        left -= 1
    return False
