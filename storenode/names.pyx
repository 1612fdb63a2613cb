# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Names: found by a hash of the name, eight bytes at a time. See names.pxd."""

from libc.stdint cimport uint16_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset, strchr, strlen

from storenode.arguments cimport is_word
from storenode.types cimport ROW_INDEX, Node, Row, Slice

cdef enum:
    NAME_ROOM = 24             # bytes of the longest command name that is looked up


cdef inline uint64_t name_place(const uint64_t* words) noexcept nogil:
    cdef uint64_t mixed = words[0] ^ (words[1] * <uint64_t> 0x9E3779B97F4A7C15)
    mixed ^= words[2] * <uint64_t> 0xC2B2AE3D27D4EB4F
    return (mixed * <uint64_t> 0xD6E8FEB86659FD93 >> 32) & (ROW_INDEX - 1)


cdef inline void fold_name(const char* name, size_t length, uint64_t* words) noexcept nogil:
    """The name in lower case, padded with zeros, as words. Only letters become letters, so nothing else matches."""
    words[0] = 0
    words[1] = 0
    words[2] = 0
    memcpy(words, name, length)
    words[0] |= <uint64_t> 0x2020202020202020
    words[1] |= <uint64_t> 0x2020202020202020
    words[2] |= <uint64_t> 0x2020202020202020


cdef void index_row(uint16_t* places, const char* name, int row) noexcept nogil:
    cdef uint64_t words[3]
    cdef uint64_t at
    fold_name(name, strlen(name), words)
    at = name_place(words)
    while places[at]:
        at = (at + 1) & (ROW_INDEX - 1)
    places[at] = row + 1


cdef void names_index(Node* node) noexcept nogil:
    cdef Row* row
    cdef int index
    cdef int parent = -1
    memset(node.row_names, 0, sizeof(node.row_names))
    memset(node.row_calls, 0, sizeof(node.row_calls))
    for index in range(node.row_count):
        row = &node.rows[index]
        if strchr(row.name, c'|') != NULL:
            row.parent = parent
            continue
        parent = index
        index_row(node.row_names, row.name, index)
        if row.called_length:
            index_row(node.row_calls, row.called, index)


cdef const char* command_rename(Node* node, const Slice* name, const Slice* called) noexcept nogil:
    """From now on clients call a command so; an empty name: they have no such command, or subcommand (`config|set`).

    Logs, replicas and rules of users go on naming it as ever. Returns why that cannot be, or NULL.
    """
    cdef Row* row
    cdef int index
    cdef char* copy
    for index in range(node.row_count):
        row = &node.rows[index]
        if not is_word(name, row.name):
            continue
        if called.length and row.parent >= 0:
            return b"a subcommand has no name of its own"
        if called.length > NAME_ROOM:
            return b"the new name is too long"
        if called.length and command_find(node, called) != NULL:
            return b"the new name is taken"
        copy = <char*> calloc(called.length + 1, 1)
        if copy == NULL:
            return b"out of memory"
        memcpy(copy, called.data, called.length)
        if row.called != row.name:
            free(<void*> row.called)
        row.called = copy
        row.called_length = <int> called.length
        names_index(node)
        return NULL
    return b"there is no such command"


cdef void names_close(Node* node) noexcept nogil:
    cdef int index
    for index in range(node.row_count):
        if node.rows[index].called != node.rows[index].name:
            free(<void*> node.rows[index].called)


cdef inline Row* look_up(Node* node, const uint16_t* places, const Slice* name, bint calls) noexcept nogil:
    cdef uint64_t words[3]
    cdef uint64_t own[3]
    cdef uint64_t at
    cdef Row* row
    if name.length > NAME_ROOM:
        return NULL
    fold_name(name.data, name.length, words)
    at = name_place(words)
    while places[at]:
        row = &node.rows[places[at] - 1]
        if <size_t> (row.called_length if calls else row.name_length) == name.length:
            fold_name(row.called if calls else row.name, name.length, own)
            if words[0] == own[0] and words[1] == own[1] and words[2] == own[2]:
                return row
        at = (at + 1) & (ROW_INDEX - 1)
    return NULL


cdef Row* command_find(Node* node, const Slice* name) noexcept nogil:
    """The row of what clients call so, in whatever case; NULL: unknown."""
    return look_up(node, node.row_calls, name, True)


cdef Row* command_named(Node* node, const Slice* name) noexcept nogil:
    """The row of a command by its own name, whatever clients call it: in logs, from the primary, in rules of users."""
    return look_up(node, node.row_names, name, False)


cdef Row* command_find_under(Node* node, const Row* container, const Slice* name) noexcept nogil:
    """The row of a subcommand; the few of a container are simply tried."""
    cdef const char* own
    cdef size_t at
    cdef char byte
    cdef Row* row = <Row*> container + 1
    while row < &node.rows[node.row_count] and row.parent >= 0:
        own = row.name + container.name_length + 1
        if <size_t> (row.name_length - container.name_length - 1) == name.length:
            at = 0
            while at < name.length:
                byte = name.data[at]
                if (byte + 32 if c'A' <= byte <= c'Z' else byte) != own[at]:
                    break
                at += 1
            if at == name.length:
                return row if row.called_length else NULL
        row += 1
    return NULL
