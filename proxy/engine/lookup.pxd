# cython: language_level=3
"""Lookup: from a command's name to its row. Step 3 of a request's life.

A hash table of folded names: eight bytes at a time with bit 5 set, which maps letters to lower case and leaves the
few other characters of command names distinct enough (the full name is compared).
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

from proxy.engine.types cimport Core, Row

cdef enum:
    LOOKUP_SIZE = 2048         # a power of two, four times the commands there are

cdef struct Entry:
    uint64_t word[3]           # folded name, zero padded
    uint8_t length             # 0: empty
    uint16_t row

cdef struct Table:
    Entry entries[LOOKUP_SIZE]


cdef Table* lookup_new() noexcept nogil
cdef bint lookup_add(Table* table, const char* name, size_t length, uint16_t row) noexcept nogil
cdef Row* lookup_long(Core* core, const char* name, size_t length) noexcept nogil
cdef Row* lookup_child(Core* core, Row* row, const char* name, size_t length) noexcept nogil
cdef bint same_word(const char* name, size_t length, const char* word) noexcept nogil


cdef inline uint32_t lookup_place(uint64_t word, size_t length) noexcept nogil:
    return <uint32_t> (((word + length) * 0x9E3779B97F4A7C15ULL) >> 53)


cdef inline Row* lookup(Core* core, const char* name, size_t length) noexcept nogil:
    """The row of a top-level command, or NULL. Reads eight bytes whatever the length: inputs have that slack."""
    cdef Table* table = <Table*> core.lookup
    cdef uint64_t word
    cdef uint32_t place
    cdef Entry* entry
    if length > 8 or length == 0:
        return lookup_long(core, name, length)
    memcpy(&word, name, 8)
    word = (word | 0x2020202020202020ULL) & (0xFFFFFFFFFFFFFFFFULL >> (8 * (8 - length)))
    place = lookup_place(word, length)
    while True:
        entry = &table.entries[place]
        if entry.length == 0:
            return NULL
        if entry.word[0] == word and entry.length == length:
            return &core.rows[entry.row]
        place = (place + 1) & (LOOKUP_SIZE - 1)
