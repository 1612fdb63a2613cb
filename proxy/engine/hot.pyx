# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Hot: counting, promoting, demoting. See hot.pxd."""

from libc.stdint cimport int64_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcmp, memcpy

from proxy.engine.copies cimport copies_drop
from proxy.engine.fans cimport fan_copies, fan_new, fan_retire, fans_close
from proxy.engine.fetch cimport fetches_detach
from proxy.engine.heat cimport CHECK_EVERY, FILTER, HOT_BUCKETS, Heat, HotKey, heat_of, random_next
from proxy.engine.mail cimport event_post
from proxy.engine.sketch cimport sketch_count
from proxy.engine.types cimport EVENT_HOT, ROW_WRITE, Core, HotRule, Pool, Row
from proxy.wire.output cimport Output, output_append

cdef enum:
    TICK_US = 100000           # between two looks at the rates
    SMOOTH = 4                 # a rate moves this part of the way to what the last tick saw
    COLD_US = 1000000          # a key is demoted when it was cold for so long
    FIRST_NOTES = 64
    UNKNOWN_SIZE = 16384       # what a reply is taken to have before the first one came
    GAPS_MOST = 64             # the longest mean distance between two requests that are counted


cdef bint hot_open(Core* core, size_t byte_limit, size_t largest, uint32_t most) noexcept nogil:
    """Once, before the engine runs."""
    cdef Heat* heat = <Heat*> calloc(1, sizeof(Heat))
    core.note_room = FIRST_NOTES
    core.notes = <uint16_t*> malloc(FIRST_NOTES * sizeof(uint16_t))
    if heat == NULL or core.notes == NULL:
        free(heat)
        return False
    heat.left = 1
    heat.most = most
    heat.byte_limit = byte_limit
    heat.largest = largest
    heat.sampling = core.random_state | 1
    heat.unchecked = CHECK_EVERY
    core.heat = heat
    return True


cdef void hot_close(Core* core) noexcept nogil:
    hot_forget_all(core)
    if core.heat != NULL:
        fans_close(core)
    free(core.heat)
    core.heat = NULL


cdef inline HotKey** bucket_of(Heat* heat, uint64_t hash) noexcept nogil:
    return &heat.buckets[hash >> 20 & (HOT_BUCKETS - 1)]


cdef HotKey* hot_find(Heat* heat, Pool* pool, uint64_t hash) noexcept nogil:
    """The hot key of this hash, or NULL. Two keys of one hash (one in 2^64) are one here, which costs nothing but
    attention: a copy is found by its whole request."""
    cdef HotKey* key = bucket_of(heat, hash)[0]
    while key != NULL and (key.hash != hash or key.pool != pool):
        key = key.next
    return key


cdef const HotRule* hot_rule(Pool* pool, const char* key, size_t length) noexcept nogil:
    """The rule with the longest prefix; the first rule has none."""
    cdef const HotRule* found = &pool.hot_rules[0]
    cdef const HotRule* rule
    cdef int index
    for index in range(pool.hot_rule_count):
        rule = &pool.hot_rules[index]
        if (rule.length >= found.length and rule.length <= length
                and memcmp(rule.prefix, key, rule.length) == 0):
            found = rule
    return found


cdef bint hot_promote(Core* core, Pool* pool, const char* key, size_t length, uint64_t hash, bint told) noexcept nogil:
    """The key is hot. `told`: another engine said so, or another proxy. False: it was already, or too many are."""
    cdef Heat* heat = heat_of(core)
    cdef HotKey* hot
    cdef HotKey** bucket = bucket_of(heat, hash)
    if heat.count >= heat.most or hot_find(heat, pool, hash) != NULL:
        return False
    hot = <HotKey*> calloc(1, sizeof(HotKey) + length)
    if hot == NULL:
        return False
    hot.pool = pool
    hot.rule = hot_rule(pool, key, length)
    hot.hash = hash
    hot.length = <uint32_t> length
    memcpy(hot + 1, key, length)
    hot.read_rate = pool.hot_threshold
    hot.size = UNKNOWN_SIZE
    hot.since_us = core.now_us
    hot.next = bucket[0]
    bucket[0] = hot
    hot.after = heat.first
    if heat.first != NULL:
        heat.first.before = hot
    heat.first = hot
    heat.count += 1
    # Saturating, and then never counted down: a look too many is only slower.
    if heat.filter[hash & (FILTER - 1)] < 255:
        heat.filter[hash & (FILTER - 1)] += 1
    core.counters.hot_promoted += 1
    if hot.rule.fan_out:
        hot.fan = fan_new(core, hot)
    if not told:
        event_post(core, EVENT_HOT, pool.index, 0, 0, NULL, 0, 0, key, <uint32_t> length)
    return True


cdef void demote(Core* core, HotKey* key) noexcept nogil:
    cdef Heat* heat = heat_of(core)
    cdef HotKey** place = bucket_of(heat, key.hash)
    while place[0] != key:
        place = &place[0].next
    place[0] = key.next
    if key.before != NULL:
        key.before.after = key.after
    else:
        heat.first = key.after
    if key.after != NULL:
        key.after.before = key.before
    heat.count -= 1
    if heat.filter[key.hash & (FILTER - 1)] < 255:
        heat.filter[key.hash & (FILTER - 1)] -= 1
    core.counters.hot_demoted += 1
    copies_drop(heat, key)
    fetches_detach(key)
    if key.fan != NULL:
        fan_retire(heat, key.fan)
    free(key)


cdef void hot_forget_all(Core* core) noexcept nogil:
    """Every key is cold, and nothing is copied."""
    while heat_of(core) != NULL and heat_of(core).first != NULL:
        demote(core, heat_of(core).first)


cdef inline uint32_t next_gap(Heat* heat, uint32_t mean) noexcept nogil:
    """Requests until the next one that is counted: random, or a pipeline's rhythm would hide a key from the count."""
    return 1 + <uint32_t> (random_next(heat) >> 33) % (2 * mean - 1)


cdef HotKey* hot_ask(Core* core, Pool* pool, Row* row, const char* key, size_t length, uint64_t hash) noexcept nogil:
    """Count a request that hot_look() found worth it; returns its key if that is hot."""
    cdef Heat* heat = heat_of(core)
    cdef HotKey* found
    cdef uint32_t mean = pool.hot_count // 12
    if heat.left == 0:
        mean = 1 if mean == 0 else (mean if mean < GAPS_MOST else GAPS_MOST)
        heat.left = next_gap(heat, mean)
        if sketch_count(&heat.sketch, hash ^ <uint64_t> pool.index, row.flags & ROW_WRITE, mean,
                        core.now_us) >= pool.hot_count:
            hot_promote(core, pool, key, length, hash, False)
    if heat.filter[hash & (FILTER - 1)] == 0:
        return NULL
    found = hot_find(heat, pool, hash)
    if found == NULL:
        return NULL
    if row.flags & ROW_WRITE:
        found.writes += 1
    else:
        found.reads += 1
    return found


cdef void hot_describe(Core* core, Output* text) noexcept nogil:
    """Every hot key: eleven numbers of 64 bits, the last of them the length of the key, then the key."""
    cdef HotKey* key = NULL if core.heat == NULL else heat_of(core).first
    cdef uint64_t[11] numbers
    while key != NULL:
        numbers[0] = key.pool.index
        numbers[1] = key.read_rate
        numbers[2] = key.write_rate
        numbers[3] = key.all_reads + key.reads
        numbers[4] = key.all_writes + key.writes
        numbers[5] = key.hits
        numbers[6] = key.joined
        numbers[7] = key.bytes
        numbers[8] = core.now_us - key.since_us
        numbers[9] = fan_copies(core, key.fan)
        numbers[10] = key.length
        output_append(text, &core.chunks, <const char*> numbers, sizeof(numbers))
        output_append(text, &core.chunks, <const char*> (key + 1), key.length)
        key = key.after


cdef inline uint32_t smooth(uint32_t rate, uint32_t seen, uint64_t passed_us) noexcept nogil:
    cdef int64_t now = <int64_t> (<uint64_t> seen * 1000000 // passed_us)
    return <uint32_t> (rate + (now - <int64_t> rate) // SMOOTH)


cdef void hot_tick(Core* core) noexcept nogil:
    """Ten times a second: what the rates are, and who is hot no longer. With few places left, colder keys go at once."""
    cdef Heat* heat = heat_of(core)
    cdef HotKey* key
    cdef HotKey* following
    cdef uint64_t passed
    cdef bint crowded
    if heat == NULL or core.now_us - heat.tick_us < TICK_US:
        return
    passed = core.now_us - heat.tick_us
    heat.tick_us = core.now_us
    crowded = heat.count > heat.most - heat.most // 8
    key = heat.first
    while key != NULL:
        following = key.after
        key.all_reads += key.reads
        key.all_writes += key.writes
        key.read_rate = smooth(key.read_rate, key.reads, passed)
        key.write_rate = smooth(key.write_rate, key.writes, passed)
        key.reads = 0
        key.writes = 0
        if key.read_rate + key.write_rate >= key.pool.hot_threshold // (1 if crowded else 2):
            key.cold_us = 0
        elif key.cold_us == 0 and not crowded:
            key.cold_us = core.now_us
        elif crowded or core.now_us - key.cold_us >= COLD_US:
            demote(core, key)
        key = following
