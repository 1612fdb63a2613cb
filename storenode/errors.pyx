# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Errors: a short table, searched from the front. See errors.pxd."""

from libc.string cimport memcmp, memcpy

from storenode.types cimport CODE_MOST, CODES, ErrorCount, Node


cdef void error_count(Node* node, const char* text) noexcept nogil:
    """Count an error reply by its first word. When the table is full, which only clients that make codes up could bring
    about, further codes are counted in the total alone."""
    cdef ErrorCount* row
    cdef size_t length = 0
    cdef int index
    node.stats.errors += 1
    while length < CODE_MOST - 1 and text[length] and text[length] != c' ':
        length += 1
    for index in range(CODES):
        row = &node.errors[index]
        if row.code[0] == 0:
            memcpy(row.code, text, length)
            row.code[length] = 0
        if memcmp(row.code, text, length) == 0 and row.code[length] == 0:
            row.count += 1
            return
