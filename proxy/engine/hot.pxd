# cython: language_level=3
"""Hot: which keys are hot. Step 4 of a request's life for a pool that cools its hot keys.

Every so many requests the sketch counts one; a key that passes the threshold of its pool becomes a HotKey of this
engine, and the control plane tells the other engines. From then on each request for it is counted, until it has been
below half of the threshold for a while. The filter keeps the price for all other keys at one look at one byte.
"""

from libc.stdint cimport uint32_t, uint64_t

from proxy.engine.heat cimport FILTER, Heat, HotKey
from proxy.engine.types cimport Core, HotRule, Pool, Row
from proxy.wire.output cimport Output

cdef bint hot_open(Core* core, size_t byte_limit, size_t largest, uint32_t most) noexcept nogil
cdef void hot_close(Core* core) noexcept nogil
cdef const HotRule* hot_rule(Pool* pool, const char* key, size_t length) noexcept nogil
cdef HotKey* hot_find(Heat* heat, Pool* pool, uint64_t hash) noexcept nogil
cdef bint hot_promote(Core* core, Pool* pool, const char* key, size_t length, uint64_t hash, bint told) noexcept nogil
cdef HotKey* hot_ask(Core* core, Pool* pool, Row* row, const char* key, size_t length, uint64_t hash) noexcept nogil
cdef void hot_forget_all(Core* core) noexcept nogil
cdef void hot_describe(Core* core, Output* text) noexcept nogil
cdef void hot_tick(Core* core) noexcept nogil


cdef inline bint hot_look(Heat* heat, uint64_t hash) noexcept nogil:
    """Has this request to be counted, or may its key be hot? Then hot_ask()."""
    heat.left -= 1
    return heat.left == 0 or heat.filter[hash & (FILTER - 1)] != 0
