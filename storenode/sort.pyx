# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Sort. See sort.pxd.

The elements are collected as slices, weighed, sorted by the C library and answered, or stored as a list. Slices of
other keys' values stay valid while more keys are looked up: an entry does not move for that.
"""

from libc.errno cimport ERANGE, errno
from libc.stdio cimport fprintf, stderr
from libc.stdlib cimport abort, free, malloc, qsort
from libc.string cimport memchr, memcmp, memcpy

from storenode.answer cimport answer_array, answer_bulk, answer_error, answer_nil, answer_number, answer_syntax
from storenode.arguments cimport is_word, take_integer
from storenode.changes cimport EVENT_DEL, EVENT_SORTSTORE, key_changed
from storenode.collection cimport Elements, collection_count, collection_find, elements_begin, elements_next
from storenode.deque cimport Item, deque_end, deque_new, deque_of, deque_push, deque_step
from storenode.entry cimport entry_slice
from storenode.keyspace cimport entry_build, key_adopt, key_read, key_remove, key_write, type_is, value_point
from storenode.types cimport DEQUE, HASH, INTS, LIST, RAW, SET, STRING, ZSET, Call, Deque, Entry, Place, Slice

cdef extern from "<stdlib.h>" nogil:
    double strtod(const char* text, char** end)

cdef enum:
    DIGITS = 24                # bytes for an integer's text
    KEY_KEPT = 256             # bytes of a key made from a pattern that need no malloc

cdef struct Row:               # one element
    Slice name
    Slice weight               # of BY … ALPHA
    double score
    bint weighed               # there is a weight
    bint alpha
    bint descending

cdef struct Wish:
    long long offset
    long long limit            # negative: none
    const Slice* by
    const Slice* target        # of STORE
    bint unsorted
    bint alpha
    bint descending
    int gets


cdef bint read_wish(Call* call, bint storing, Wish* wish) noexcept nogil:
    """[BY pattern] [LIMIT offset count] [GET pattern …] [ASC|DESC] [ALPHA] [STORE target]."""
    cdef const Slice* word
    cdef int left
    cdef int at = 2
    while at < call.argc:
        word = &call.argv[at]
        left = call.argc - at - 1
        if is_word(word, b"asc"):
            wish.descending = False
        elif is_word(word, b"desc"):
            wish.descending = True
        elif is_word(word, b"alpha"):
            wish.alpha = True
        elif is_word(word, b"limit") and left >= 2:
            if not take_integer(call, word + 1, &wish.offset) or not take_integer(call, word + 2, &wish.limit):
                return False
            at += 2
        elif storing and is_word(word, b"store") and left >= 1:
            wish.target = word + 1
            at += 1
        elif is_word(word, b"by") and left >= 1:
            wish.by = word + 1
            # A pattern that names one and the same key for all is the way to ask for no order.
            wish.unsorted = memchr(wish.by.data, c'*', wish.by.length) == NULL
            at += 1
        elif is_word(word, b"get") and left >= 1:
            wish.gets += 1
            at += 1
        else:
            answer_syntax(call)
            return False
        at += 1
    return True


cdef bint look_up(Call* call, const Slice* pattern, const Slice* name, Slice* value) noexcept nogil:
    """The value that a pattern leads to: `weight_*` a string, `object_*->field` a hash's field, `#` the element."""
    cdef char kept[KEY_KEPT]
    cdef Place place
    cdef Slice key, field
    cdef size_t star, at
    cdef char* room = kept
    cdef bint found = False
    if pattern.length == 1 and pattern.data[0] == c'#':
        value[0] = name[0]
        return True
    star = 0
    while star < pattern.length and pattern.data[star] != c'*':
        star += 1
    if star == pattern.length:
        return False
    key.length = pattern.length
    field.length = 0
    at = star + 1
    while at + 2 < pattern.length:
        if pattern.data[at] == c'-' and pattern.data[at + 1] == c'>':
            key.length = at
            field.data = pattern.data + at + 2
            field.length = pattern.length - at - 2
            break
        at += 1
    if key.length + name.length > KEY_KEPT:
        room = <char*> malloc(key.length + name.length)
        if room == NULL:
            fprintf(stderr, "quench: out of memory for a key of %zu bytes\n", key.length + name.length)
            abort()
    memcpy(room, pattern.data, star)
    memcpy(room + star, name.data, name.length)
    memcpy(room + star + name.length, pattern.data + star + 1, key.length - star - 1)
    key.data = room
    key.length += name.length - 1
    if key_read(call, &key, &place):
        if field.length:
            found = place.entry.type == HASH and collection_find(place.entry, &field, value)
        elif place.entry.type == STRING:
            value[0] = entry_slice(place.entry)
            found = True
    if room != kept:
        free(room)
    return found


cdef bint read_score(const Slice* text, double* score) noexcept nogil:
    cdef char copy[512]
    cdef char* end
    if text.length >= sizeof(copy):
        return False
    memcpy(copy, text.data, text.length)
    copy[text.length] = 0
    (&errno)[0] = 0
    score[0] = strtod(copy, &end)
    return end[0] == 0 and errno != ERANGE and score[0] == score[0]


cdef int compare_slices(const Slice* one, const Slice* other) noexcept nogil:
    cdef int order = memcmp(one.data, other.data, one.length if one.length < other.length else other.length)
    if order:
        return order
    return (one.length > other.length) - (one.length < other.length)


cdef int compare_rows(const void* left, const void* right) noexcept nogil:
    """What qsort() asks."""
    cdef const Row* one = <const Row*> left
    cdef const Row* other = <const Row*> right
    cdef int order
    if not one.alpha:
        order = (one.score > other.score) - (one.score < other.score)
        if order == 0:
            order = compare_slices(&one.name, &other.name)
    elif one.weighed and other.weighed:
        order = compare_slices(&one.weight, &other.weight)
    else:
        order = one.weighed - other.weighed
    return -order if one.descending else order


cdef Row* collect(const Entry* entry, long long* count, char** digits) noexcept nogil:
    """All elements as rows, in their own order; `digits` is what the names of integers lie in."""
    cdef long long total = <long long> collection_count(entry)
    cdef Row* rows = <Row*> malloc((total + 1) * sizeof(Row))
    cdef Elements elements
    cdef Item item
    cdef long long index = 0
    cdef bint more
    digits[0] = <char*> malloc(total * DIGITS) if entry.encoding == INTS else NULL
    if rows == NULL or (entry.encoding == INTS and digits[0] == NULL):
        fprintf(stderr, "quench: out of memory sorting %lld elements\n", total)
        abort()
    if entry.type == LIST:
        more = deque_end(deque_of(entry), True, &item)
        while more:
            rows[index].name = item.value
            index += 1
            more = deque_step(&item, False)
    else:
        elements_begin(entry, &elements)
        while elements_next(&elements):
            rows[index].name = elements.name
            if entry.encoding == INTS:
                memcpy(digits[0] + index * DIGITS, elements.name.data, elements.name.length)
                rows[index].name.data = digits[0] + index * DIGITS
            index += 1
    count[0] = total
    return rows


cdef bint weigh(Call* call, const Wish* wish, Row* rows, long long count) noexcept nogil:
    """Fill in what the rows are sorted by; False: a weight is no number."""
    cdef Row* row
    cdef long long index
    cdef bint good = True
    for index in range(count):
        row = &rows[index]
        row.score = 0
        row.alpha = wish.alpha
        row.descending = wish.descending
        row.weighed = True
        row.weight = row.name
        if wish.by != NULL:
            row.weighed = look_up(call, wish.by, &row.name, &row.weight)
        if row.weighed and not wish.alpha:
            good = read_score(&row.weight, &row.score) and good
    return good


cdef void reverse(Row* rows, long long count) noexcept nogil:
    cdef Row row
    cdef long long index
    for index in range(count // 2):
        row = rows[index]
        rows[index] = rows[count - 1 - index]
        rows[count - 1 - index] = row


cdef void answer_rows(Call* call, const Wish* wish, const Row* rows, long long count) noexcept nogil:
    cdef Slice value
    cdef long long index
    cdef int at
    answer_array(call, count * (wish.gets if wish.gets else 1))
    for index in range(count):
        if wish.gets == 0:
            answer_bulk(call, rows[index].name.data, rows[index].name.length)
            continue
        at = next_get(call, 2)
        while at:
            if look_up(call, &call.argv[at], &rows[index].name, &value):
                answer_bulk(call, value.data, value.length)
            else:
                answer_nil(call)
            at = next_get(call, at + 1)


cdef int next_get(Call* call, int at) noexcept nogil:
    """The argument with the pattern of the next GET from argument `at` on; 0: there is none."""
    while at + 1 < call.argc:
        if is_word(&call.argv[at], b"get"):
            return at + 1
        if is_word(&call.argv[at], b"limit"):
            at += 2
        elif is_word(&call.argv[at], b"by") or is_word(&call.argv[at], b"store"):
            at += 1
        at += 1
    return 0


cdef void store_rows(Call* call, const Wish* wish, const Row* rows, long long count) noexcept nogil:
    cdef Place result
    cdef Deque* deque
    cdef Slice value
    cdef long long index
    cdef int at
    if count == 0:
        if key_write(call, wish.target, &result):
            key_remove(call.database, &result, EVENT_DEL)
        answer_number(call, 0)
        return
    deque = deque_new(call.node)
    for index in range(count):
        if wish.gets == 0:
            deque_push(deque, &rows[index].name, False)
            continue
        at = next_get(call, 2)
        while at:
            if not look_up(call, &call.argv[at], &rows[index].name, &value):
                value.data = b""
                value.length = 0
            deque_push(deque, &value, False)
            at = next_get(call, at + 1)
    entry_build(call.node, wish.target, &result, LIST, RAW)
    value_point(call.node, &result, DEQUE, deque)
    key_adopt(call.database, &result)
    key_changed(call.database, wish.target, EVENT_SORTSTORE)
    answer_number(call, <long long> deque.count)


cdef void sort_entry(Call* call, Wish* wish, const Entry* entry) noexcept nogil:
    cdef Row* rows = NULL
    cdef char* digits = NULL
    cdef long long count = 0
    cdef long long start, length
    if entry != NULL:
        rows = collect(entry, &count, &digits)
        if wish.unsorted and entry.type == SET and wish.target != NULL:
            # A set has no order to keep, and what is stored should not be a matter of chance.
            wish.unsorted = False
            wish.alpha = True
            wish.by = NULL
        if wish.unsorted and entry.type != SET and wish.descending:
            reverse(rows, count)
    if not wish.unsorted and count:
        if not weigh(call, wish, rows, count):
            answer_error(call, b"ERR One or more scores can't be converted into double")
            free(rows)
            free(digits)
            return
        qsort(rows, count, sizeof(Row), compare_rows)
    start = wish.offset if wish.offset > 0 else 0
    if start > count:
        start = count
    length = count - start
    if 0 <= wish.limit < length:
        length = wish.limit
    if wish.target != NULL:
        store_rows(call, wish, rows + start, length)
    else:
        answer_rows(call, wish, rows + start, length)
    free(rows)
    free(digits)


cdef void sort(Call* call, bint storing) noexcept nogil:
    cdef Wish wish = Wish(offset=0, limit=-1, by=NULL, target=NULL, unsorted=False, alpha=False, descending=False, gets=0)
    cdef Place place
    cdef bint found
    if not read_wish(call, storing, &wish):
        return
    found = key_read(call, &call.argv[1], &place)
    if found and place.entry.type != LIST and place.entry.type != SET and not type_is(call, place.entry, ZSET):
        return
    sort_entry(call, &wish, place.entry if found else NULL)


cdef void command_sort(Call* call) noexcept nogil:
    sort(call, True)


cdef void command_sort_ro(Call* call) noexcept nogil:
    sort(call, False)
