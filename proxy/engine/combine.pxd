# cython: language_level=3
"""Combine: increments of one counter gather while one is on its way, and leave as one. Step 4j of a request's life.

    INCR, INCRBY, DECR, DECRBY, HINCRBY ── Tally ── Wave ──► INCRBY key sum ──► R
                                                              each member is told R - sum + the increments up to his own

Exact: members are in the order in which they came, which is the order in which the node would have run them; nobody is
answered before the node has answered. What else names the key sends the wave ahead of itself, on the same connection.
A wave has one sign, and more than one member only while the counter is known to be so far from the ends of 64 bits that
all of them fit: so it overflows as a whole only if somebody else has moved the counter there meanwhile. Then nothing was applied,
and its members are sent one by one; or, if some of them have asked for more since, each is told so.

EXPIRE right behind an increment goes with it: all increments of a wave, then one EXPIRE for all that are the same. A
transaction of an increment, or of one and an EXPIRE, is a unit that gathers with its like: MULTI, the sum, one EXPIRE, EXEC.

A client's own order is kept by key: what it pipelines behind an increment of one key may run before it where it names
others, as it may where it lives on another node. Increments of two fields of one hash are two counters.
"""

from libc.stdint cimport uint32_t

from proxy.engine.tally cimport Shards
from proxy.engine.types cimport Client, Core, Row
from proxy.wire.resp cimport Frame

cdef int combine(Core* core, Client* client, Row* row, Frame* frame) noexcept nogil
cdef int combine_shard(Core* core, Client* client, Row* row, const Frame* frame, Shards* shards,
                       int place) noexcept nogil
cdef int combine_unit(Core* core, Client* client, Row* row) noexcept nogil
cdef uint32_t combine_again(Core* core, Client* client, const char* request, size_t size, size_t behind) noexcept nogil
cdef void combine_ahead(Core* core, Client* client, Row* row, Frame* frame) noexcept nogil
