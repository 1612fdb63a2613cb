# cython: language_level=3
"""Shards: a counter that is spread over several nodes. See spread.pxd for what becomes of its requests.

    INCR key ── by client ──► the name of one shard, at one node ── Tally ── Wave ──► R ──► R + what the others have
    GET key ────────────────► GET of every shard ──► the sum, for all who wait for it

The shards are on the first nodes of the key's walk round the ring: the first one under the key itself, so a counter may
begin to be spread at any time, the others under it and a zero byte, `#` and their number, which clients may not name and
are not shown. A client's increments all go to one shard, so that they keep their order.

An increment is told the sum as last heard of: exact for its own shard, and for the others not older than a second and
a round trip. GET asks all of them, and whoever asks meanwhile waits for the next time: what was acknowledged before a
GET began is in what it is told. It is a barrier for its client. What else can be done to such a counter is done by the
control plane (proxy/lanes/sharded.py), node by node; all else is refused.

What is known of such counters and who waits for them stands here, below the connections, which bring errors; asking the
shards is the job of spread.pyx, and combine.pyx gathers the increments of one shard as of any counter.
"""

from libc.stdint cimport uint32_t

from proxy.engine.tally cimport Shards, ShardTable, ShardWaiters
from proxy.engine.types cimport Client, Core, CounterRule, Pool, Row
from proxy.wire.resp cimport Frame

cdef enum:
    SUFFIX = 4                 # bytes behind the key: 0, `#`, two digits

cdef bint shards_open(Core* core) noexcept nogil
cdef void shards_close(Core* core) noexcept nogil
cdef void shards_tick(Core* core) noexcept nogil
cdef const CounterRule* counter_rule(const Pool* pool, const char* key, size_t length) noexcept nogil
cdef bint shards_named(Core* core, Client* client, Row* row, Frame* frame) noexcept nogil
cdef Shards* shards_of(Core* core, Client* client, const char* key, size_t length) noexcept nogil
cdef void shards_forget(Core* core, Client* client, const char* key, size_t length) noexcept nogil
cdef void shards_keep(ShardWaiters* waiters, Client* client, uint32_t slot) noexcept nogil
cdef void shards_heard(Core* core, Shards* shards, int place, const char* data, size_t length) noexcept nogil


cdef inline ShardTable* table_of(Core* core) noexcept nogil:
    return <ShardTable*> core.shards


cdef inline const char* shard_name(const Shards* shards, int place) noexcept nogil:
    return <const char*> (shards + 1) + <size_t> place * (shards.length + SUFFIX)


cdef inline size_t shard_length(const Shards* shards, int place) noexcept nogil:
    return shards.length + (0 if place == 0 else 3 if place < 10 else 4)
