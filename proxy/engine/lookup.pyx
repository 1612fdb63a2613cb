# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Lookup: building the table, long names, subcommands. See lookup.pxd."""

from libc.stdint cimport uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc
from libc.string cimport memset

from proxy.engine.types cimport Core, Row


cdef bint fold(const char* name, size_t length, uint64_t* word) noexcept nogil:
    """Fold up to 24 bytes into three words; False when the name is longer than any command's."""
    cdef char* out = <char*> word
    cdef size_t index
    memset(word, 0, 24)
    if length == 0 or length > 24:
        return False
    for index in range(length):
        out[index] = name[index] | 0x20
    return True


cdef Table* lookup_new() noexcept nogil:
    return <Table*> calloc(1, sizeof(Table))


cdef bint lookup_add(Table* table, const char* name, size_t length, uint16_t row) noexcept nogil:
    """False when the name cannot be stored."""
    cdef uint64_t word[3]
    cdef uint32_t place
    if not fold(name, length, word):
        return False
    place = lookup_place(word[0], length)
    while table.entries[place].length:
        place = (place + 1) & (LOOKUP_SIZE - 1)
    table.entries[place].word[0] = word[0]
    table.entries[place].word[1] = word[1]
    table.entries[place].word[2] = word[2]
    table.entries[place].length = <unsigned char> length
    table.entries[place].row = row
    return True


cdef Row* lookup_long(Core* core, const char* name, size_t length) noexcept nogil:
    cdef Table* table = <Table*> core.lookup
    cdef uint64_t word[3]
    cdef uint32_t place
    cdef Entry* entry
    if not fold(name, length, word):
        return NULL
    place = lookup_place(word[0], length)
    while True:
        entry = &table.entries[place]
        if entry.length == 0:
            return NULL
        if (entry.word[0] == word[0] and entry.word[1] == word[1] and entry.word[2] == word[2]
                and entry.length == length):
            return &core.rows[entry.row]
        place = (place + 1) & (LOOKUP_SIZE - 1)


cdef bint same_word(const char* name, size_t length, const char* word) noexcept nogil:
    """Is `name` the zero-terminated lower-case `word`, whatever its case?"""
    cdef size_t index
    cdef char byte
    for index in range(length):
        byte = name[index]
        if c'A' <= byte <= c'Z':
            byte += 32
        if word[index] == 0 or byte != word[index]:
            return False
    return word[length] == 0


cdef Row* lookup_child(Core* core, Row* row, const char* name, size_t length) noexcept nogil:
    """The row of a subcommand: a walk over its few siblings, off the fast lane."""
    cdef uint16_t index
    for index in range(row.children, row.children + row.child_count):
        if same_word(name, length, core.rows[index].name):
            return &core.rows[index]
    return NULL
