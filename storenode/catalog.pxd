# cython: language_level=3
"""Catalog: commands with their facts: ACL categories as bits, and where the keys of a request are.

The key specification of a Fact is one or more of `<begin> <find> <access>`, joined by "; ":

    begin   index:N                argument N
            keyword:WORD,N         behind the first WORD from argument N on
            option:WORD,N          the same, of the last WORD: later options win
    find    range:LAST,STEP,LIMIT  up to LAST further on; negative: up to that many from the end
            keynum:AT,FIRST,STEP   as many as the number there says, from FIRST on
    access  r and w, or n for neither; v: as the options of SET and BITFIELD say
"""

from libc.stdint cimport uint32_t

from storenode.types cimport KeySpec, Node, Row, Slice

cdef enum:
    CATEGORIES = 21

cdef enum KeyPlace:
    PLACE_INDEX = 0
    PLACE_KEYWORD = 1
    PLACE_OPTION = 2
    PLACE_KEYNUM = 3           # an index, and a number of keys there

cdef struct KeyWalk:           # over the keys of a request
    const Row* row
    const Slice* argv
    int argc
    int spec                   # the one that is being walked
    int at                     # next key of it
    int last                   # its last key; below `at`: take the next spec
    bint wrong                 # a number of keys that is none, or more keys than arguments

cdef void catalog_open(Node* node) noexcept nogil
cdef void keys_begin(KeyWalk* walk, const Row* row, const Slice* argv, int argc) noexcept nogil
cdef bint keys_next(KeyWalk* walk, int* index, int* access) noexcept nogil
cdef bint has_keys(const Row* row) noexcept nogil
cdef const char* category_name(int category) noexcept nogil
cdef int category_find(const char* name, size_t length) noexcept nogil
