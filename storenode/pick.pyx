# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Pick: random buckets, and what is taken from them. See pick.pxd."""

from libc.stdint cimport uint64_t

from storenode.hash cimport hash_bytes
from storenode.random cimport random_below
from storenode.table cimport GROUP, chained, key_of, table_clear_group, table_moving, table_next_group
from storenode.types cimport CHAINED, SLOTS, Bucket, Dict, Entry, Place, Table

cdef enum:
    FAIR_TRIES = 200
    FAIR_CHAIN = 12            # entries of a chain among which table_random() draws fairly; hardly any has more
    MANY = 1 << 30


cdef inline Bucket* random_bucket(Dict* dict) noexcept nogil:
    """One of the buckets that may hold something, of both arrays."""
    cdef uint64_t old = dict.tables[0].mask + 1 - dict.moved
    cdef uint64_t size = old
    cdef uint64_t chosen
    if table_moving(dict):
        size += dict.tables[1].mask + 1
    chosen = random_below(dict.node, size)
    if chosen < old:
        return &dict.tables[0].buckets[dict.moved + chosen]
    return &dict.tables[1].buckets[chosen - old]


cdef inline uint64_t held_by(Bucket* bucket) noexcept nogil:
    """Entries of a bucket and of its chain."""
    cdef uint64_t held = 0
    cdef int slot
    while bucket != NULL:
        for slot in range(SLOTS):
            held += bucket.tags[slot] != 0
        bucket = chained(bucket)
    return held


cdef bint table_random(Dict* dict, Place* place) noexcept nogil:
    """An entry at random: a random bucket, and one of FAIR_CHAIN places in its chain, again and again until there is an
    entry in that place. So an entry that is alone in its bucket is drawn no more often than one among seven. A table
    that is all but empty, just before it shrinks, gets fewer tries than that would take."""
    cdef Bucket* first
    cdef Bucket* bucket
    cdef uint64_t held, chosen
    cdef int tries = FAIR_TRIES
    cdef int slot
    place.entry = NULL
    if dict.count == 0:
        return False
    while True:
        tries -= tries > 0
        first = random_bucket(dict)
        held = held_by(first)
        if held == 0:
            continue
        chosen = random_below(dict.node, FAIR_CHAIN if tries and held < FAIR_CHAIN else held)
        if chosen >= held:
            continue
        bucket = first
        while bucket != NULL:
            for slot in range(SLOTS):
                if bucket.tags[slot]:
                    if chosen == 0:
                        place.entry = <Entry*> bucket.slots[slot]
                        place.bucket = bucket
                        place.slot = slot
                        place.hash = hash_bytes(key_of(dict, place.entry), place.entry.key_length, dict.node.seed)
                        return True
                    chosen -= 1
            bucket = chained(bucket)


cdef int table_sample(Dict* dict, Entry** entries, int most) noexcept nogil:
    """Up to `most` entries from random buckets; gives up after 16 * `most` buckets.

    Of a chain a run that begins anywhere is taken: were it always the first slots, keys in the others would stay for
    ever.
    """
    cdef int count = 0
    cdef int tries = 16 * most
    cdef int slot, held, first, at
    cdef Bucket* start
    cdef Bucket* bucket
    if dict.count == 0:
        return 0
    while count < most and tries:
        tries -= 1
        start = random_bucket(dict)
        held = <int> held_by(start)
        first = <int> random_below(dict.node, held) if held > most - count else 0
        at = 0
        bucket = start
        while bucket != NULL and count < most:
            for slot in range(SLOTS):
                if bucket.tags[slot]:
                    if at >= first and count < most:
                        entries[count] = <Entry*> bucket.slots[slot]
                        count += 1
                    at += 1
            bucket = chained(bucket)
    return count


cdef int volatile_of(Bucket* bucket, Entry** entries, int skip, int most) noexcept nogil:
    """The volatile entries of a chain but for the first `skip`, at most `most`; NULL: only count them."""
    cdef int count = 0
    cdef int slot
    while bucket != NULL and bucket.marks:
        for slot in range(SLOTS):
            if (bucket.marks & ~CHAINED) >> slot & 1:
                if skip:
                    skip -= 1
                    continue
                if count == most:
                    return count
                if entries != NULL:
                    entries[count] = <Entry*> bucket.slots[slot]
                count += 1
        bucket = chained(bucket)
    return count


cdef int take_volatile(Dict* dict, Table* table, uint64_t group, uint64_t start, Entry** entries,
                       int most) noexcept nogil:
    """Up to `most` volatile entries of a group: from anywhere in the chain of its bucket `start`, then of the next ones
    in turn. A group without any is struck off."""
    cdef uint64_t size = GROUP if table.mask >= GROUP else table.mask + 1
    cdef uint64_t step
    cdef Bucket* bucket = &table.buckets[group * GROUP + start % size]
    cdef int held = volatile_of(bucket, NULL, 0, MANY)
    cdef int count = volatile_of(bucket, entries, <int> random_below(dict.node, held) if held > most else 0, most)
    for step in range(1, size):
        if count == most:
            break
        bucket = &table.buckets[group * GROUP + (start + step) % size]
        count += volatile_of(bucket, entries + count, 0, most - count)
    if count == 0:
        table_clear_group(table, group)
    return count


cdef int table_sample_volatile(Dict* dict, Entry** entries, int most) noexcept nogil:
    """Up to `most` entries with an expiry, from random groups of buckets that hold such; at least one if there is any.

    Every step either finds entries or clears a bit that was out of date, so it ends.
    """
    cdef uint64_t old = dict.tables[0].mask + 1
    cdef uint64_t start, group
    cdef Table* table
    cdef int count = 0
    cdef int tries = most
    cdef int found
    while dict.volatile_count and count < most and tries:
        start = random_below(dict.node, old + (dict.tables[1].mask + 1 if table_moving(dict) else 0))
        table = &dict.tables[1 if start >= old else 0]
        start -= old if start >= old else 0
        group = start // GROUP
        if not table_next_group(table, &group):
            group = 0
            if not table_next_group(table, &group):
                # All of them are in the other array.
                table = &dict.tables[0 if table == &dict.tables[1] else 1]
                group = 0
                if not table_next_group(table, &group):
                    return count
        found = take_volatile(dict, table, group, start, entries + count, most - count)
        count += found
        tries -= found != 0
    return count
