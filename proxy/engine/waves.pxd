# cython: language_level=3
"""Waves: tallies and waves, kept and freed. Stands below the connection, which brings errors; combine.pyx gathers them,
sends them and hands out what they bring.
"""

from libc.stdint cimport int64_t, uint32_t, uint64_t

from proxy.engine.tally cimport TALLY_BUCKETS, WAVE_ADD, WAVE_UNIT, Tallies, Tally, Wave
from proxy.engine.types cimport Client, Conn, Core, CounterRule, Pending, Pool

cdef bint tallies_open(Core* core) noexcept nogil
cdef void tallies_forget(Core* core) noexcept nogil
cdef void tallies_close(Core* core) noexcept nogil
cdef void tallies_doubt(Core* core, const Pool* pool) noexcept nogil
cdef Tally* tally_find(Core* core, const Conn* conn, uint64_t hash, const char* key, size_t length, int form,
                       const char* field, size_t field_length) noexcept nogil
cdef Tally* tally_new(Core* core, Conn* conn, const CounterRule* rule, uint64_t hash, const char* key, size_t length,
                      int form, const char* field, size_t field_length) noexcept nogil
cdef void tally_gather(Core* core, Tally* tally) noexcept nogil
cdef Wave* tally_let_go(Core* core, Tally* tally) noexcept nogil
cdef Wave* wave_new(Core* core, Tally* tally, int kind) noexcept nogil
cdef void wave_expires(Wave* wave, const char* expiry, size_t length, bint once) noexcept nogil
cdef void wave_add(Wave* wave, Client* client, uint32_t slot, uint32_t row, uint32_t start, int64_t delta) noexcept nogil
cdef bint wave_value(const Wave* wave, const char* data, size_t length, long long* value,
                     long long* life) noexcept nogil
cdef bint wave_next(Wave* wave, Pending* one) noexcept nogil
cdef void wave_deliver(Core* core, Wave* wave, const char* data, size_t length) noexcept nogil
cdef void wave_landed(Core* core, Wave* wave) noexcept nogil
cdef void wave_confirmed(Core* core, Wave* wave) noexcept nogil
cdef void wave_lose(Core* core, Wave* wave, uint32_t count) noexcept nogil
cdef void wave_free(Core* core, Wave* wave) noexcept nogil
cdef void wave_settle(Core* core, Wave* wave) noexcept nogil


cdef inline Tallies* tallies_of(Core* core) noexcept nogil:
    return <Tallies*> core.tallies


cdef inline Tally* tally_bucket(Core* core, uint64_t hash) noexcept nogil:
    """The first tally that may be one of this key."""
    return tallies_of(core).buckets[hash >> 20 & (TALLY_BUCKETS - 1)]


cdef inline bint wave_adds(const Wave* wave) noexcept nogil:
    """Does it change a counter?"""
    return wave.kind == WAVE_ADD or wave.kind == WAVE_UNIT


cdef inline const char* tally_key(const Tally* tally) noexcept nogil:
    return <const char*> (tally + 1)


cdef inline const char* tally_field(const Tally* tally) noexcept nogil:
    return <const char*> (tally + 1) + tally.length
