# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""List commands. See lists.pxd."""

from libc.limits cimport LLONG_MAX, LLONG_MIN
from libc.stdio cimport fprintf, stderr
from libc.stdlib cimport abort, free, malloc
from libc.string cimport memcpy

from proxy.wire.resp cimport read_number
from storenode.answer cimport (
    answer_arity, answer_array, answer_bulk, answer_error, answer_nil, answer_nil_array, answer_number, answer_ok,
    answer_syntax,
)
from storenode.arguments cimport is_word, same_bytes, take_integer, take_positive
from storenode.changes cimport (
    EVENT_DEL, EVENT_LINSERT, EVENT_LPOP, EVENT_LPUSH, EVENT_LREM, EVENT_LSET, EVENT_LTRIM, EVENT_RPOP, EVENT_RPUSH,
    key_changed,
)
from storenode.deque cimport (
    Item, deque_cut, deque_end, deque_index, deque_insert, deque_new, deque_of, deque_push, deque_remove,
    deque_replace, deque_step,
)
from storenode.keyspace cimport (
    ABSENT, MISTYPED, PRESENT, key_create, key_read_as, key_remove, key_write, key_write_as, value_point,
)
from storenode.types cimport DEQUE, LIST, RAW, Call, Deque, Place, Slice


cdef Deque* make_list(Call* call, const Slice* key, Place* place) noexcept nogil:
    """A new, empty list under a key that a lookup has just missed."""
    key_create(call.database, key, place, LIST, RAW)
    value_point(call.node, place, DEQUE, deque_new(call.node))
    return deque_of(place.entry)


cdef void push(Call* call, bint front, bint only_existing) noexcept nogil:
    cdef Place place
    cdef Deque* deque
    cdef int index
    cdef int lookup = key_write_as(call, &call.argv[1], LIST, &place)
    if lookup == MISTYPED:
        return
    if lookup == ABSENT:
        if only_existing:
            answer_number(call, 0)
            return
        deque = make_list(call, &call.argv[1], &place)
    else:
        deque = deque_of(place.entry)
    for index in range(2, call.argc):
        deque_push(deque, &call.argv[index], front)
    key_changed(call.database, &call.argv[1], EVENT_LPUSH if front else EVENT_RPUSH)
    answer_number(call, <long long> deque.count)


cdef void command_lpush(Call* call) noexcept nogil:
    push(call, True, False)


cdef void command_rpush(Call* call) noexcept nogil:
    push(call, False, False)


cdef void command_lpushx(Call* call) noexcept nogil:
    push(call, True, True)


cdef void command_rpushx(Call* call) noexcept nogil:
    push(call, False, True)


cdef void pop_items(Call* call, const Slice* key, Place* place, bint front, size_t count, bint many) noexcept nogil:
    """Answer and remove up to `count` items from an end; `many`: as an array."""
    cdef Deque* deque = deque_of(place.entry)
    cdef Item item
    cdef size_t left
    if count > deque.count:
        count = deque.count
    if many:
        answer_array(call, <long long> count)
    left = count
    if left:
        deque_end(deque, front, &item)
    while left:
        answer_bulk(call, item.value.data, item.value.length)
        deque_step(&item, not front)
        left -= 1
    if count:
        deque_cut(deque, count, front)
        key_changed(call.database, key, EVENT_LPOP if front else EVENT_RPOP)
    if deque.count == 0:
        key_remove(call.database, place, EVENT_DEL)


cdef void pop(Call* call, bint front) noexcept nogil:
    cdef Place place
    cdef long long count = 1
    cdef bint many = call.argc == 3
    cdef int lookup
    if call.argc > 3:
        answer_arity(call)
        return
    if many and not take_positive(call, &call.argv[2], &count):
        return
    lookup = key_write_as(call, &call.argv[1], LIST, &place)
    if lookup == PRESENT:
        pop_items(call, &call.argv[1], &place, front, <size_t> count, many)
    elif lookup == ABSENT:
        if many:
            answer_nil_array(call)
        else:
            answer_nil(call)


cdef void command_lpop(Call* call) noexcept nogil:
    pop(call, True)


cdef void command_rpop(Call* call) noexcept nogil:
    pop(call, False)


cdef void command_llen(Call* call) noexcept nogil:
    cdef Place place
    cdef int lookup = key_read_as(call, &call.argv[1], LIST, &place)
    if lookup != MISTYPED:
        answer_number(call, <long long> deque_of(place.entry).count if lookup == PRESENT else 0)


cdef void command_lindex(Call* call) noexcept nogil:
    cdef Place place
    cdef Item item
    cdef long long index
    cdef int lookup = key_read_as(call, &call.argv[1], LIST, &place)
    if lookup == ABSENT:
        answer_nil(call)
    elif lookup == PRESENT and take_integer(call, &call.argv[2], &index):
        if deque_index(deque_of(place.entry), index, &item):
            answer_bulk(call, item.value.data, item.value.length)
        else:
            answer_nil(call)


cdef void command_lset(Call* call) noexcept nogil:
    cdef Place place
    cdef Item item
    cdef long long index
    cdef int lookup = key_write_as(call, &call.argv[1], LIST, &place)
    if lookup == ABSENT:
        answer_error(call, b"ERR no such key")
    elif lookup == PRESENT and take_integer(call, &call.argv[2], &index):
        if not deque_index(deque_of(place.entry), index, &item):
            answer_error(call, b"ERR index out of range")
            return
        deque_replace(deque_of(place.entry), &item, &call.argv[3])
        key_changed(call.database, &call.argv[1], EVENT_LSET)
        answer_ok(call)


cdef void command_linsert(Call* call) noexcept nogil:
    """LINSERT key BEFORE|AFTER pivot value."""
    cdef Place place
    cdef Item item
    cdef Deque* deque
    cdef bint behind = is_word(&call.argv[2], b"after")
    cdef bint more
    cdef int lookup
    if not behind and not is_word(&call.argv[2], b"before"):
        answer_syntax(call)
        return
    lookup = key_write_as(call, &call.argv[1], LIST, &place)
    if lookup == ABSENT:
        answer_number(call, 0)
    if lookup != PRESENT:
        return
    deque = deque_of(place.entry)
    more = deque_end(deque, True, &item)
    while more and not same_bytes(&item.value, &call.argv[3]):
        more = deque_step(&item, False)
    if not more:
        answer_number(call, -1)
        return
    deque_insert(deque, &item, &call.argv[4], behind)
    key_changed(call.database, &call.argv[1], EVENT_LINSERT)
    answer_number(call, <long long> deque.count)


cdef bint take_range(Call* call, long long* start, long long* end) noexcept nogil:
    return take_integer(call, &call.argv[2], start) and take_integer(call, &call.argv[3], end)


cdef void fit_range(long long size, long long* start, long long* end) noexcept nogil:
    """Turn two inclusive indices into 0 <= start <= end < size, or start > end: nothing."""
    if start[0] < 0:
        start[0] = start[0] + size if start[0] + size > 0 else 0
    if end[0] < 0:
        end[0] += size
    if end[0] >= size:
        end[0] = size - 1


cdef void command_lrange(Call* call) noexcept nogil:
    cdef Place place
    cdef Item item
    cdef Deque* deque
    cdef long long start, end
    cdef int lookup
    if not take_range(call, &start, &end):
        return
    lookup = key_read_as(call, &call.argv[1], LIST, &place)
    if lookup == ABSENT:
        answer_array(call, 0)
    if lookup != PRESENT:
        return
    deque = deque_of(place.entry)
    fit_range(<long long> deque.count, &start, &end)
    if start > end:
        answer_array(call, 0)
        return
    answer_array(call, end - start + 1)
    deque_index(deque, start, &item)
    while start <= end:
        answer_bulk(call, item.value.data, item.value.length)
        deque_step(&item, False)
        start += 1


cdef void command_ltrim(Call* call) noexcept nogil:
    cdef Place place
    cdef Deque* deque
    cdef long long start, end, size
    cdef int lookup
    if not take_range(call, &start, &end):
        return
    lookup = key_write_as(call, &call.argv[1], LIST, &place)
    if lookup == MISTYPED:
        return
    if lookup == PRESENT:
        deque = deque_of(place.entry)
        size = <long long> deque.count
        fit_range(size, &start, &end)
        if start > end:
            deque_cut(deque, deque.count, True)
        else:
            deque_cut(deque, start, True)
            deque_cut(deque, size - 1 - end, False)
        key_changed(call.database, &call.argv[1], EVENT_LTRIM)
        if deque.count == 0:
            key_remove(call.database, &place, EVENT_DEL)
    answer_ok(call)


cdef void command_lrem(Call* call) noexcept nogil:
    """LREM key count value: count 0 removes all, a negative one goes from the end."""
    cdef Place place
    cdef Item item
    cdef Deque* deque
    cdef long long count
    cdef long long removed = 0
    cdef bint backwards, more
    cdef int lookup
    if not take_integer(call, &call.argv[2], &count):
        return
    lookup = key_write_as(call, &call.argv[1], LIST, &place)
    if lookup == MISTYPED:
        return
    if lookup == PRESENT:
        deque = deque_of(place.entry)
        backwards = count < 0
        if count == 0 or count == LLONG_MIN:
            count = LLONG_MAX
        elif backwards:
            count = -count
        more = deque_end(deque, not backwards, &item)
        while more and removed < count:
            if same_bytes(&item.value, &call.argv[3]):
                deque_remove(deque, &item, backwards)
                more = item.piece != NULL
                removed += 1
            else:
                more = deque_step(&item, backwards)
        if removed:
            key_changed(call.database, &call.argv[1], EVENT_LREM)
        if deque.count == 0:
            key_remove(call.database, &place, EVENT_DEL)
    answer_number(call, removed)


cdef bint read_lpos(Call* call, long long* rank, long long* count, long long* most) noexcept nogil:
    cdef bint more
    cdef int at = 3
    while at < call.argc:
        more = at + 1 < call.argc
        if is_word(&call.argv[at], b"rank") and more:
            if not take_integer(call, &call.argv[at + 1], rank):
                return False
            if rank[0] == 0:
                answer_error(call, b"ERR RANK can't be zero: use 1 to start from the first match, 2 from the second "
                                   b"... or use negative to start from the end of the list")
                return False
        elif is_word(&call.argv[at], b"count") and more:
            if not read_number(call.argv[at + 1].data, call.argv[at + 1].length, count) or count[0] < 0:
                answer_error(call, b"ERR COUNT can't be negative")
                return False
        elif is_word(&call.argv[at], b"maxlen") and more:
            if not read_number(call.argv[at + 1].data, call.argv[at + 1].length, most) or most[0] < 0:
                answer_error(call, b"ERR MAXLEN can't be negative")
                return False
        else:
            answer_syntax(call)
            return False
        at += 2
    return True


cdef void command_lpos(Call* call) noexcept nogil:
    """LPOS key value [RANK r] [COUNT n] [MAXLEN m]. Counted first, then answered: an array begins with its length."""
    cdef Place place
    cdef Item item
    cdef Deque* deque
    cdef long long rank = 1
    cdef long long count = -1
    cdef long long most = 0
    cdef long long index, seen, found, skip
    cdef bint backwards, more
    cdef int lookup, turn
    if not read_lpos(call, &rank, &count, &most):
        return
    lookup = key_read_as(call, &call.argv[1], LIST, &place)
    if lookup == ABSENT:
        if count >= 0:
            answer_array(call, 0)
        else:
            answer_nil(call)
    if lookup != PRESENT:
        return
    deque = deque_of(place.entry)
    backwards = rank < 0
    found = 0
    for turn in range(2 if count >= 0 else 1):
        if turn:
            answer_array(call, found)
        found = 0
        seen = 0
        skip = -(rank + 1) if backwards else rank - 1
        more = deque_end(deque, not backwards, &item)
        while more and (most == 0 or seen < most) and (count <= 0 or found < count):
            if same_bytes(&item.value, &call.argv[2]):
                if skip:
                    skip -= 1
                else:
                    found += 1
                    index = <long long> deque.count - 1 - seen if backwards else seen
                    if turn or count < 0:
                        answer_number(call, index)
                    if count < 0:
                        return
            seen += 1
            more = deque_step(&item, backwards)
    if count < 0:
        answer_nil(call)


cdef void move(Call* call, bint from_front, bint to_front) noexcept nogil:
    """LMOVE and RPOPLPUSH. The source is looked up again for its end: making the target may have moved the table."""
    cdef const Slice* source_key = &call.argv[1]
    cdef const Slice* target_key = &call.argv[2]
    cdef Place source, target
    cdef Deque* deque
    cdef Deque* other
    cdef Item item
    cdef Slice value
    cdef char* copy
    cdef int lookup = key_write_as(call, source_key, LIST, &source)
    if lookup == ABSENT:
        answer_nil(call)
    if lookup != PRESENT:
        return
    deque = deque_of(source.entry)
    lookup = key_write_as(call, target_key, LIST, &target)
    if lookup == MISTYPED:
        return
    other = deque_of(target.entry) if lookup == PRESENT else make_list(call, target_key, &target)
    deque_end(deque, from_front, &item)
    value.length = item.value.length
    copy = <char*> malloc(value.length + 1)
    if copy == NULL:
        fprintf(stderr, "quench: out of memory moving an item of %zu bytes\n", value.length)
        abort()
    memcpy(copy, item.value.data, value.length)
    value.data = copy
    deque_cut(deque, 1, from_front)
    deque_push(other, &value, to_front)
    answer_bulk(call, value.data, value.length)
    free(copy)
    key_changed(call.database, target_key, EVENT_LPUSH if to_front else EVENT_RPUSH)
    key_changed(call.database, source_key, EVENT_LPOP if from_front else EVENT_RPOP)
    if deque.count == 0 and key_write(call, source_key, &source):
        key_remove(call.database, &source, EVENT_DEL)


cdef bint take_end(Call* call, const Slice* argument, bint* front) noexcept nogil:
    front[0] = is_word(argument, b"left")
    if front[0] or is_word(argument, b"right"):
        return True
    answer_syntax(call)
    return False


cdef void command_lmove(Call* call) noexcept nogil:
    cdef bint from_front, to_front
    if take_end(call, &call.argv[3], &from_front) and take_end(call, &call.argv[4], &to_front):
        move(call, from_front, to_front)


cdef void command_rpoplpush(Call* call) noexcept nogil:
    move(call, False, True)


cdef bint read_lmpop(Call* call, int at, int* keys, bint* front, long long* count) noexcept nogil:
    """Read `numkeys key … LEFT|RIGHT [COUNT n]` from argument `at` on; False: answered with what is wrong."""
    cdef long long number
    count[0] = 1
    if not read_number(call.argv[at].data, call.argv[at].length, &number) or number < 1:
        answer_error(call, b"ERR numkeys should be greater than 0")
        return False
    if number > call.argc - at - 2:
        answer_syntax(call)
        return False
    keys[0] = <int> number
    at += keys[0] + 1
    if not take_end(call, &call.argv[at], front):
        return False
    if at + 1 < call.argc:
        if at + 2 == call.argc or not is_word(&call.argv[at + 1], b"count"):
            answer_syntax(call)
            return False
        if not read_number(call.argv[at + 2].data, call.argv[at + 2].length, count) or count[0] < 1:
            answer_error(call, b"ERR count should be greater than 0")
            return False
        if at + 3 != call.argc:
            answer_syntax(call)
            return False
    return True


cdef void command_lmpop(Call* call) noexcept nogil:
    """LMPOP numkeys key … LEFT|RIGHT [COUNT n]."""
    cdef Place place
    cdef long long count
    cdef bint front
    cdef int keys, index, lookup
    if not read_lmpop(call, 1, &keys, &front, &count):
        return
    for index in range(2, keys + 2):
        lookup = key_write_as(call, &call.argv[index], LIST, &place)
        if lookup == MISTYPED:
            return
        if lookup == PRESENT:
            answer_array(call, 2)
            answer_bulk(call, call.argv[index].data, call.argv[index].length)
            pop_items(call, &call.argv[index], &place, front, <size_t> count, True)
            return
    answer_nil_array(call)
