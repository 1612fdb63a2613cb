# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Catalog: reading the facts once, at the start; walking the keys of a request. See catalog.pxd."""

from libc.stdint cimport uint32_t
from libc.stdlib cimport atoi
from libc.string cimport strchr, strlen

from proxy.wire.resp cimport read_number
from storenode.arguments cimport is_word
from storenode.facts cimport fact_find
from storenode.types cimport KEY_READ, KEY_VARIES, KEY_WRITE, KeySpec, Node, Row, Slice

cdef const char* categories[CATEGORIES]
categories[0] = b"keyspace"
categories[1] = b"read"
categories[2] = b"write"
categories[3] = b"set"
categories[4] = b"sortedset"
categories[5] = b"list"
categories[6] = b"hash"
categories[7] = b"string"
categories[8] = b"bitmap"
categories[9] = b"hyperloglog"
categories[10] = b"geo"
categories[11] = b"stream"
categories[12] = b"pubsub"
categories[13] = b"admin"
categories[14] = b"fast"
categories[15] = b"slow"
categories[16] = b"blocking"
categories[17] = b"dangerous"
categories[18] = b"connection"
categories[19] = b"transaction"
categories[20] = b"scripting"


cdef const char* category_name(int category) noexcept nogil:
    return categories[category]


cdef int category_find(const char* name, size_t length) noexcept nogil:
    """The number of a category, in whatever case; -1: there is none of that name."""
    cdef size_t at
    cdef int index
    for index in range(CATEGORIES):
        if strlen(categories[index]) != length:
            continue
        at = 0
        while at < length and (name[at] | 32) == categories[index][at]:
            at += 1
        if at == length:
            return index
    return -1


cdef uint32_t read_categories(const char* text) noexcept nogil:
    cdef uint32_t bits = 0
    cdef size_t length
    cdef int found
    while text[0]:
        length = 0
        while text[length] and text[length] != c' ':
            length += 1
        found = category_find(text, length)
        if found >= 0:
            bits |= <uint32_t> 1 << found
        text += length + (text[length] == c' ')
    return bits


cdef const char* read_spec(const char* text, KeySpec* spec) noexcept nogil:
    """Read one key specification; returns where the next one begins."""
    cdef const char* colon = strchr(text, c':')
    cdef const char* find = strchr(text, c' ') + 1
    cdef const char* access = strchr(find, c' ') + 1
    cdef const char* comma
    cdef const char* numbers = strchr(find, c':') + 1
    spec.kind = PLACE_INDEX
    spec.word = colon + 1
    spec.word_length = 0
    if text[0] == c'i':
        spec.begin = atoi(colon + 1)
    else:
        comma = strchr(colon, c',')
        spec.kind = PLACE_KEYWORD if text[0] == c'k' else PLACE_OPTION
        spec.word_length = <int> (comma - spec.word)
        spec.begin = atoi(comma + 1)
    spec.last = atoi(numbers)
    spec.step = atoi(strchr(numbers, c',') + 1)
    if find[0] == c'k':
        # Every command that has it counts the keys right in front of them, and takes them one by one.
        spec.kind = PLACE_KEYNUM
        spec.step = 1
    spec.access = 0
    while access[0] and access[0] != c';':
        spec.access |= (KEY_READ if access[0] == c'r' else KEY_WRITE if access[0] == c'w'
                        else KEY_VARIES if access[0] == c'v' else 0)
        access += 1
    return access + 2 if access[0] else access


cdef void catalog_open(Node* node) noexcept nogil:
    """Give each row of the command table what is said of its command."""
    cdef const char* text
    cdef Row* row
    cdef int index
    for index in range(node.row_count):
        row = &node.rows[index]
        row.fact = fact_find(row.name)
        row.spec_count = 0
        if row.fact == NULL:
            continue
        row.categories = read_categories(row.fact.categories)
        text = row.fact.keys
        while text[0] and row.spec_count < 3:
            text = read_spec(text, &row.specs[row.spec_count])
            row.spec_count += 1


cdef bint has_keys(const Row* row) noexcept nogil:
    return row.spec_count > 0


cdef bint is_option(const Slice* argument, const KeySpec* spec) noexcept nogil:
    cdef int at
    if argument.length != <size_t> spec.word_length:
        return False
    for at in range(spec.word_length):
        if (argument.data[at] & ~32) != spec.word[at]:
            return False
    return True


cdef void keys_begin(KeyWalk* walk, const Row* row, const Slice* argv, int argc) noexcept nogil:
    walk.row = row
    walk.argv = argv
    walk.argc = argc
    walk.spec = -1
    walk.at = 0
    walk.last = -1
    walk.wrong = False


cdef void locate(KeyWalk* walk, const KeySpec* spec) noexcept nogil:
    """Find the first and the last key of a specification; none: the last one is before the first."""
    cdef long long count
    cdef int at
    walk.last = -1
    walk.at = spec.begin
    if spec.kind == PLACE_KEYWORD or spec.kind == PLACE_OPTION:
        walk.at = 0
        for at in range(spec.begin, walk.argc - 1):
            if is_option(&walk.argv[at], spec):
                walk.at = at + 1
                if spec.kind == PLACE_KEYWORD:
                    break
        if walk.at == 0:
            return
    elif spec.kind == PLACE_KEYNUM:
        if (walk.at >= walk.argc or not read_number(walk.argv[walk.at].data, walk.argv[walk.at].length, &count)
                or count < 1 or count > walk.argc - walk.at - 1):
            walk.wrong = True
            return
        walk.at += 1
        walk.last = walk.at + <int> count - 1
        return
    walk.last = walk.at + spec.last if spec.last >= 0 else walk.argc + spec.last
    if walk.last >= walk.argc:
        walk.wrong = walk.at >= walk.argc or walk.wrong
        walk.last = walk.argc - 1


cdef int access_by_options(const KeyWalk* walk) noexcept nogil:
    """SET reads only with GET; BITFIELD writes only with SET or INCRBY."""
    cdef bint is_set = walk.row.name[0] == c's'
    cdef int at
    for at in range(3 if is_set else 2, walk.argc):
        if is_set and is_word(&walk.argv[at], b"get"):
            return KEY_READ | KEY_WRITE
        if not is_set and (is_word(&walk.argv[at], b"set") or is_word(&walk.argv[at], b"incrby")):
            return KEY_READ | KEY_WRITE
    return KEY_WRITE if is_set else KEY_READ


cdef bint keys_next(KeyWalk* walk, int* index, int* access) noexcept nogil:
    """Go to the next key: its argument and what is done to it. False: there is none."""
    while walk.at > walk.last:
        walk.spec += 1
        if walk.spec >= walk.row.spec_count:
            return False
        locate(walk, &walk.row.specs[walk.spec])
    index[0] = walk.at
    access[0] = walk.row.specs[walk.spec].access
    if access[0] & KEY_VARIES:
        access[0] = access_by_options(walk)
    walk.at += walk.row.specs[walk.spec].step
    return True
