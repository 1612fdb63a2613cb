# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""LCS. See lcs.pxd. The textbook table of lengths, (n + 1) * (m + 1) numbers, then the way back through it; where two
ways are as good, the one that Redis takes."""

from libc.stdint cimport uint32_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memset

from storenode.answer cimport answer_array, answer_bulk, answer_error, answer_map, answer_number, answer_syntax, answer_text
from storenode.arguments cimport is_word, take_integer
from storenode.entry cimport entry_slice
from storenode.keyspace cimport key_read
from storenode.types cimport STRING, Call, Place, Slice

cdef enum:
    TABLE_MOST = 512 << 20     # bytes of the table: Redis's proto-max-bulk-len

cdef struct Task:
    Slice one
    Slice other
    uint32_t* lengths          # calloc, row by row
    char* common               # where the subsequence is written, or NULL
    long long least            # MINMATCHLEN
    bint show_lengths          # WITHMATCHLEN


cdef inline uint32_t* cell(const Task* task, size_t row, size_t column) noexcept nogil:
    return &task.lengths[row * (task.other.length + 1) + column]


cdef void fill(Task* task) noexcept nogil:
    cdef size_t row, column
    cdef uint32_t up, left
    for row in range(1, task.one.length + 1):
        for column in range(1, task.other.length + 1):
            if task.one.data[row - 1] == task.other.data[column - 1]:
                cell(task, row, column)[0] = cell(task, row - 1, column - 1)[0] + 1
            else:
                up = cell(task, row - 1, column)[0]
                left = cell(task, row, column - 1)[0]
                cell(task, row, column)[0] = up if up > left else left


cdef void answer_match(Call* call, const Task* task, long long row, long long column, long long length) noexcept nogil:
    answer_array(call, 3 if task.show_lengths else 2)
    answer_array(call, 2)
    answer_number(call, row)
    answer_number(call, row + length - 1)
    answer_array(call, 2)
    answer_number(call, column)
    answer_number(call, column + length - 1)
    if task.show_lengths:
        answer_number(call, length)


cdef long long walk(Call* call, const Task* task, bint answering) noexcept nogil:
    """Go back through the table; returns the number of matches that are long enough, answered if wanted."""
    cdef size_t row = task.one.length
    cdef size_t column = task.other.length
    cdef size_t place = cell(task, row, column)[0]
    cdef long long length = 0      # of the run of equal bytes that is being followed
    cdef long long matches = 0
    cdef bint over
    while row and column:
        if task.one.data[row - 1] == task.other.data[column - 1]:
            row -= 1
            column -= 1
            place -= 1
            if task.common != NULL:
                task.common[place] = task.one.data[row]
            length += 1
            over = row == 0 or column == 0
            if not over:
                continue
            if length >= task.least:
                matches += 1
                if answering:
                    answer_match(call, task, row, column, length)
            length = 0
            continue
        if length:
            if length >= task.least:
                matches += 1
                if answering:
                    answer_match(call, task, row, column, length)
            length = 0
        if cell(task, row - 1, column)[0] > cell(task, row, column - 1)[0]:
            row -= 1
        else:
            column -= 1
    return matches


cdef bint open_strings(Call* call, Task* task) noexcept nogil:
    cdef Place place
    cdef Slice* value
    cdef int index
    for index in range(2):
        value = &task.other if index else &task.one
        value.data = b""
        value.length = 0
        if key_read(call, &call.argv[1 + index], &place):
            if place.entry.type != STRING:
                answer_error(call, b"ERR The specified keys must contain string values")
                return False
            value[0] = entry_slice(place.entry)
    return True


cdef void answer_task(Call* call, Task* task, bint only_length, bint indexes) noexcept nogil:
    cdef uint32_t total
    fill(task)
    total = cell(task, task.one.length, task.other.length)[0]
    if only_length:
        answer_number(call, total)
    elif indexes:
        answer_map(call, 2)
        answer_text(call, b"matches")
        answer_array(call, walk(call, task, False))
        walk(call, task, True)
        answer_text(call, b"len")
        answer_number(call, total)
    else:
        task.common = <char*> malloc(total + 1)
        if task.common == NULL:
            answer_error(call, b"ERR Insufficient memory, failed allocating transient memory for LCS")
            return
        walk(call, task, False)
        answer_bulk(call, task.common, total)
        free(task.common)


cdef void command_lcs(Call* call) noexcept nogil:
    """LCS key key [LEN] [IDX] [MINMATCHLEN n] [WITHMATCHLEN]."""
    cdef Task task
    cdef bint only_length = False
    cdef bint indexes = False
    cdef int at = 3
    memset(&task, 0, sizeof(Task))
    if not open_strings(call, &task):
        return
    while at < call.argc:
        if is_word(&call.argv[at], b"idx"):
            indexes = True
        elif is_word(&call.argv[at], b"len"):
            only_length = True
        elif is_word(&call.argv[at], b"withmatchlen"):
            task.show_lengths = True
        elif is_word(&call.argv[at], b"minmatchlen") and at + 1 < call.argc:
            at += 1
            if not take_integer(call, &call.argv[at], &task.least):
                return
        else:
            answer_syntax(call)
            return
        at += 1
    if only_length and indexes:
        answer_error(call, b"ERR If you want both the length and indexes, please just use IDX.")
        return
    if (task.one.length + 1) > TABLE_MOST // sizeof(uint32_t) // (task.other.length + 1):
        answer_error(call, b"ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len")
        return
    task.lengths = <uint32_t*> calloc((task.one.length + 1) * (task.other.length + 1), sizeof(uint32_t))
    if task.lengths == NULL:
        answer_error(call, b"ERR Insufficient memory, failed allocating transient memory for LCS")
        return
    answer_task(call, &task, only_length, indexes)
    free(task.lengths)
