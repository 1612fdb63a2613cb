# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Audit: what has to hold of hot keys and hot counters between any two calls of a Probe; each function says in words
what does not. See probe.pyx.
"""

from libc.stdint cimport uint32_t, uint64_t

from proxy.engine.heat cimport (
    ROLE_LIFE, ROLE_MARK, ROLE_SET, ROLE_TRACKING, ROLE_WAVE, Copy, Fetch, Heat, HotKey, Waiters, heat_of,
)
from proxy.engine.marks cimport EVERY, ONE, OPENED, STRIPES, Stripes, numbers
from proxy.engine.shards cimport table_of
from proxy.engine.tally cimport SHARD_BUCKETS, Shards, ShardWaiters, Wave
from proxy.engine.types cimport Core, Pending
from proxy.engine.waves cimport tallies_of


cdef list audit_heat(Core* core, dict pointed, dict fetches, dict open_marks):
    """Marks are open for as many writes as are on their way; copies take the room that is noted; fetches are named."""
    cdef Heat* heat = heat_of(core)
    cdef HotKey* key
    cdef Copy* copy
    cdef Fetch* fetch
    cdef uint32_t index
    cdef size_t size = 0
    cdef uint32_t keys = 0
    cdef uint64_t held
    wrong = []
    marked = {}
    for index in range(STRIPES):
        held = core.peers.marks[core.index][index] & (OPENED - 1)
        if held:
            marked[index] = held
    open_marks.pop(EVERY, None)    # those are not counted, only that there was one
    if marked != open_marks:
        wrong.append(f"marks are open by stripe: {marked}; writes on their way: {open_marks}")
    for at, named in fetches.items():
        fetch = <Fetch*> <size_t> at
        if fetch.pendings != named:
            wrong.append(f"a fetch is named by {named} pending requests, not {fetch.pendings}")
        count_waiters(&fetch.waiters, pointed)
    if heat == NULL:
        return wrong
    key = heat.first
    while key != NULL:
        keys += 1
        index = 0
        copy = key.copies
        while copy != NULL:
            size += sizeof(Copy) + copy.asked + copy.length
            index += 1
            copy = copy.next
        if index != key.copy_count:
            wrong.append(f"a hot key has {index} copies, not {key.copy_count}")
        fetch = key.fetches
        while fetch != NULL:
            if <size_t> fetch not in fetches or fetch.key != key:
                wrong.append("a fetch of a hot key is on no connection, or is another key's")
            fetch = fetch.next
        key = key.after
    if keys != heat.count or size != heat.bytes or size > heat.byte_limit:
        wrong.append(f"{keys} hot keys with copies of {size} bytes, not {heat.count} with {heat.bytes}")
    return wrong


cdef list audit_waves(Core* core, dict pointed, set waves):
    """Every wave gathers or is on its way, its members are clients, its sum is what is not gone."""
    cdef Wave* wave = NULL if core.tallies == NULL else tallies_of(core).waves
    cdef uint32_t index
    wrong = []
    flying = {}
    early = 0
    while wave != NULL:
        if wave.tally.gathered == NULL or wave != wave.tally.gathered and wave != wave.tally.gathered.life:
            flying[<size_t> wave.tally] = flying.get(<size_t> wave.tally, 0) + 1
            if <size_t> wave not in waves:
                wrong.append("a wave neither gathers nor is on its way")
        total = 0
        for index in range(wave.gone, wave.count):
            total += wave.members[index].delta * wave.members[index].times
            if index >= wave.told and wave.members[index].client != NULL:
                at = <size_t> wave.members[index].client
                pointed[at] = pointed.get(at, 0) + wave.members[index].times - wave.members[index].done
        if total != wave.sum or not wave.gone <= wave.told <= wave.count:
            wrong.append(f"a wave of {wave.count} has the sum {wave.sum}, not {total}")
        if wave.tally.flying < flying.get(<size_t> wave.tally, 0):
            wrong.append(f"a tally has {wave.tally.flying} waves on their way, not more")
        early += wave.early
        wave = wave.after
    if early != core.early_owed:
        wrong.append(f"waves carry {early} that were answered early, not {core.early_owed}")
    return wrong


cdef audit_shards(Core* core, dict pointed):
    """Who waits for counters that are spread holds references."""
    cdef Shards* shards
    cdef ShardWaiters* waiters
    cdef int index, place
    cdef uint32_t number
    if core.shards == NULL:
        return
    for index in range(SHARD_BUCKETS):
        shards = table_of(core).buckets[index]
        while shards != NULL:
            for place in range(3):
                waiters = &shards.now if place == 0 else &shards.soon if place == 1 else &shards.parked
                for number in range(waiters.count):
                    pointed[<size_t> waiters.list[number].client] = pointed.get(
                        <size_t> waiters.list[number].client, 0) + 1
            shards = shards.next


cdef audit_pending(Pending* pending, dict pointed, dict fetches, dict open_marks):
    """Note what a pending request names: its client, its fetch, the marks that it holds open."""
    cdef uint64_t opened = (<Fetch*> pending.cool).opened if pending.role == ROLE_SET else pending.cool
    cdef Stripes* stripes = <Stripes*> opened
    cdef uint32_t index
    found = []
    if pending.client != NULL:
        pointed[<size_t> pending.client] = pointed.get(<size_t> pending.client, 0) + 1
    if pending.role == ROLE_WAVE and (<Wave*> pending.cool).marks:
        found.append((<Wave*> pending.cool).marks >> 1)
    elif pending.role == ROLE_MARK or pending.role == ROLE_SET:
        if opened & ONE:
            found.append(opened >> 1)
        elif not stripes.waits:
            for index in range(stripes.count):
                found.append(numbers(stripes)[index])
    for stripe in found:
        open_marks[stripe] = open_marks.get(stripe, 0) + 1
    if ROLE_TRACKING <= pending.role <= ROLE_LIFE or pending.role == ROLE_SET:
        fetches[pending.cool] = fetches.get(pending.cool, 0) + 1


cdef count_waiters(Waiters* waiters, dict pointed):
    cdef uint32_t index
    for index in range(waiters.count):
        if waiters.list[index].again != NULL:
            continue
        at = <size_t> waiters.list[index].client
        pointed[at] = pointed.get(at, 0) + 1
