# cython: language_level=3
"""Early: increments that are answered before their node has them. Step 4j of a request's life, where a rule wants it.

    INCR key ──► known value + what gathers + 1 ──► the client
                 └── Wave ── once in each window ──► INCRBY key sum ──► R, from which the next ones go on

A counter is known once a first increment was answered by the node, and no longer than one window after its last wave
landed: so one that is incremented now and then is exact. What another proxy adds is seen when a wave lands. GET and HGET
are told the running value while the node has not confirmed it; all else that names the key sends the wave ahead of itself.
EXPIRE of a counter that gathers is answered at once, too, and goes with the wave.

What is promised: an increment that was answered is lost only with this process, or where its wave's fate is unknown or
the node refuses it; both are counted. A wave of a node that cannot be reached is kept for the pool's timeout.

Reads have to see what gathers, so one engine has all clients of a pool that does this: to another one's requests the
wave could not be sent ahead. Its price is that such a pool has one core. RESP2 and RESP3 have connections of their own,
and are to each other as two proxies are.

A wave carries what it owes nobody an answer for as a Member without a client.
"""

from libc.stdint cimport int64_t

from proxy.engine.tally cimport Tally, Wave
from proxy.engine.types cimport Client, Core, Row
from proxy.wire.resp cimport Frame

cdef bint early_may(Core* core, const Tally* tally, int64_t delta) noexcept nogil
cdef void early_join(Core* core, Client* client, Row* row, Wave* wave, int64_t delta) noexcept nogil
cdef void early_life(Core* core, Client* client, Row* row, Wave* wave) noexcept nogil
cdef int early_read(Core* core, Client* client, Row* row, const Frame* frame) noexcept nogil
