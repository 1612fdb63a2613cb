# cython: language_level=3
"""Shield: one client loads what is missing, the others wait for it. For GET of keys whose rule has `shield`.

When the node says that a key is missing, a lease is asked for there: the key `<key>\\0#0`, set NX with the shield's time
as its life, so it holds across engines and proxies. Who gets it has one of its clients told nil, which will load the
value; everybody else waits, the key being asked for every tick, until the value is there or the shield's time is over:
then they are told nil, too. With `early` a reader is now and then told nil before a copy expires, the likelier the
nearer that is (Vattani, Chierichetti, Lowenstein: Optimal Probabilistic Cache Stampede Prevention, 2015), and is the
only one: it needs the lease.
"""

from libc.stdint cimport uint64_t

from proxy.engine.heat cimport Copy, Fetch, HotKey, Miss
from proxy.engine.types cimport Client, Conn, Core, HotRule, Pending, Row
from proxy.wire.resp cimport Frame

cdef bint shield_join(Core* core, Client* client, Row* row, uint64_t hash) noexcept nogil
cdef void shield_take(Core* core, Fetch* fetch) noexcept nogil
cdef bint shield_early(Core* core, Client* client, Row* row, HotKey* key, Copy* copy) noexcept nogil
cdef void shield_reply(Core* core, Pending* pending, const char* data, size_t size) noexcept nogil
cdef void shields_tick(Core* core) noexcept nogil
cdef void shields_close(Core* core) noexcept nogil


cdef inline bint is_nil(const char* data) noexcept nogil:
    """Is this GET's reply for a missing key, in either protocol?"""
    return data[0] == c'_' or data[0] == c'$' and data[1] == c'-'
