# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Hash commands. See hashes.pxd."""

from libc.limits cimport LLONG_MAX, LLONG_MIN

from proxy.wire.resp cimport read_number, write_number
from storenode.answer cimport (
    LONG_DOUBLE_ROOM, answer_arity, answer_array, answer_bulk, answer_error, answer_map, answer_nil, answer_number,
    answer_ok, answer_syntax, write_long_double,
)
from storenode.arguments cimport is_word, take_float, take_integer
from storenode.changes cimport EVENT_DEL, EVENT_HDEL, EVENT_HINCRBY, EVENT_HINCRBYFLOAT, EVENT_HSET, key_changed
from storenode.collection cimport (
    Elements, collection_count, collection_find, collection_put, collection_remove, elements_begin, elements_next,
    elements_random,
)
from storenode.keyspace cimport ABSENT, MISTYPED, PRESENT, key_create, key_read_as, key_remove, key_write_as
from storenode.sample cimport sample_any, sample_distinct, take_count
from storenode.types cimport HASH, PACK, Call, Place, Slice

cdef extern from "<math.h>" nogil:
    bint isnan(long double value)
    bint isinf(long double value)


cdef bint open_hash(Call* call, Place* place) noexcept nogil:
    """The hash of argument 1, made if there is none; False: answered."""
    cdef int lookup = key_write_as(call, &call.argv[1], HASH, place)
    if lookup == ABSENT:
        key_create(call.database, &call.argv[1], place, HASH, PACK)
    return lookup != MISTYPED


cdef void command_hset(Call* call) noexcept nogil:
    """HSET key field value …; HMSET is the same with another reply."""
    cdef Place place
    cdef long long added = 0
    cdef int index
    if call.argc % 2:
        answer_arity(call)
        return
    if not open_hash(call, &place):
        return
    for index in range(2, call.argc, 2):
        added += collection_put(call.node, &place, &call.argv[index], &call.argv[index + 1])
    key_changed(call.database, &call.argv[1], EVENT_HSET)
    if call.row.handler == command_hmset:
        answer_ok(call)
    else:
        answer_number(call, added)


cdef void command_hmset(Call* call) noexcept nogil:
    command_hset(call)


cdef void command_hsetnx(Call* call) noexcept nogil:
    cdef Place place
    cdef Slice value
    if not open_hash(call, &place):
        return
    if collection_find(place.entry, &call.argv[2], &value):
        answer_number(call, 0)
        return
    collection_put(call.node, &place, &call.argv[2], &call.argv[3])
    key_changed(call.database, &call.argv[1], EVENT_HSET)
    answer_number(call, 1)


cdef void command_hget(Call* call) noexcept nogil:
    cdef Place place
    cdef Slice value
    cdef int lookup = key_read_as(call, &call.argv[1], HASH, &place)
    if lookup == PRESENT and collection_find(place.entry, &call.argv[2], &value):
        answer_bulk(call, value.data, value.length)
    elif lookup != MISTYPED:
        answer_nil(call)


cdef void command_hmget(Call* call) noexcept nogil:
    cdef Place place
    cdef Slice value
    cdef int index
    cdef int lookup = key_read_as(call, &call.argv[1], HASH, &place)
    if lookup == MISTYPED:
        return
    answer_array(call, call.argc - 2)
    for index in range(2, call.argc):
        if lookup == PRESENT and collection_find(place.entry, &call.argv[index], &value):
            answer_bulk(call, value.data, value.length)
        else:
            answer_nil(call)


cdef void command_hdel(Call* call) noexcept nogil:
    cdef Place place
    cdef long long removed = 0
    cdef int index
    cdef int lookup = key_write_as(call, &call.argv[1], HASH, &place)
    if lookup == MISTYPED:
        return
    if lookup == PRESENT:
        for index in range(2, call.argc):
            removed += collection_remove(call.node, &place, &call.argv[index])
        if removed:
            key_changed(call.database, &call.argv[1], EVENT_HDEL)
        if collection_count(place.entry) == 0:
            key_remove(call.database, &place, EVENT_DEL)
    answer_number(call, removed)


cdef void command_hlen(Call* call) noexcept nogil:
    cdef Place place
    cdef int lookup = key_read_as(call, &call.argv[1], HASH, &place)
    if lookup != MISTYPED:
        answer_number(call, <long long> collection_count(place.entry) if lookup == PRESENT else 0)


cdef void command_hstrlen(Call* call) noexcept nogil:
    cdef Place place
    cdef Slice value
    cdef int lookup = key_read_as(call, &call.argv[1], HASH, &place)
    if lookup != MISTYPED:
        if lookup == ABSENT or not collection_find(place.entry, &call.argv[2], &value):
            value.length = 0
        answer_number(call, <long long> value.length)


cdef void command_hexists(Call* call) noexcept nogil:
    cdef Place place
    cdef Slice value
    cdef int lookup = key_read_as(call, &call.argv[1], HASH, &place)
    if lookup != MISTYPED:
        answer_number(call, lookup == PRESENT and collection_find(place.entry, &call.argv[2], &value))


cdef void drop_if_empty(Call* call, Place* place) noexcept nogil:
    """A command that failed must not leave the empty hash that it opened."""
    if collection_count(place.entry) == 0:
        key_remove(call.database, place, EVENT_DEL)


cdef void command_hincrby(Call* call) noexcept nogil:
    cdef Place place
    cdef Slice text
    cdef char digits[24]
    cdef long long value = 0
    cdef long long delta
    if not take_integer(call, &call.argv[3], &delta) or not open_hash(call, &place):
        return
    if collection_find(place.entry, &call.argv[2], &text) and not read_number(text.data, text.length, &value):
        answer_error(call, b"ERR hash value is not an integer")
        return
    if (delta > 0 and value > LLONG_MAX - delta) or (delta < 0 and value < LLONG_MIN - delta):
        answer_error(call, b"ERR increment or decrement would overflow")
        return
    value += delta
    text.data = digits
    text.length = write_number(digits, value) - 2
    collection_put(call.node, &place, &call.argv[2], &text)
    key_changed(call.database, &call.argv[1], EVENT_HINCRBY)
    answer_number(call, value)


cdef void command_hincrbyfloat(Call* call) noexcept nogil:
    cdef Place place
    cdef Slice text
    cdef char digits[LONG_DOUBLE_ROOM]
    cdef long double value = 0
    cdef long double delta
    if not take_float(&call.argv[3], &delta):
        answer_error(call, b"ERR value is not a valid float")
        return
    if isinf(delta):
        answer_error(call, b"ERR value is NaN or Infinity")
        return
    if not open_hash(call, &place):
        return
    if collection_find(place.entry, &call.argv[2], &text) and not take_float(&text, &value):
        answer_error(call, b"ERR hash value is not a float")
        return
    value += delta
    if isnan(value) or isinf(value):
        answer_error(call, b"ERR increment would produce NaN or Infinity")
        drop_if_empty(call, &place)
        return
    text.data = digits
    text.length = write_long_double(digits, value)
    collection_put(call.node, &place, &call.argv[2], &text)
    key_changed(call.database, &call.argv[1], EVENT_HINCRBYFLOAT)
    answer_bulk(call, digits, text.length)


cdef void answer_all(Call* call, bint names, bint values) noexcept nogil:
    cdef Place place
    cdef Elements elements
    cdef long long count = 0
    cdef int lookup = key_read_as(call, &call.argv[1], HASH, &place)
    if lookup == MISTYPED:
        return
    if lookup == PRESENT:
        count = <long long> collection_count(place.entry)
    if names and values:
        answer_map(call, count)
    else:
        answer_array(call, count)
    if lookup == ABSENT:
        return
    elements_begin(place.entry, &elements)
    while elements_next(&elements):
        if names:
            answer_bulk(call, elements.name.data, elements.name.length)
        if values:
            answer_bulk(call, elements.payload.data, elements.payload.length)


cdef void command_hkeys(Call* call) noexcept nogil:
    answer_all(call, True, False)


cdef void command_hvals(Call* call) noexcept nogil:
    answer_all(call, False, True)


cdef void command_hgetall(Call* call) noexcept nogil:
    answer_all(call, True, True)


cdef void answer_field(Call* call, Elements* element) noexcept nogil:
    answer_bulk(call, element.name.data, element.name.length)


cdef void answer_pair(Call* call, Elements* element) noexcept nogil:
    if call.client.resp == 3:
        answer_array(call, 2)
    answer_bulk(call, element.name.data, element.name.length)
    answer_bulk(call, element.payload.data, element.payload.length)


cdef void command_hrandfield(Call* call) noexcept nogil:
    """HRANDFIELD key [count [WITHVALUES]]."""
    cdef Place place
    cdef Elements element
    cdef long long count = 0
    cdef long long size
    cdef int lookup
    cdef bint values = call.argc == 4
    if call.argc > 2 and not take_count(call, False, &count):
        return
    if call.argc > 4 or (values and not is_word(&call.argv[3], b"withvalues")):
        answer_syntax(call)
        return
    if values and not take_count(call, True, &count):
        return
    lookup = key_read_as(call, &call.argv[1], HASH, &place)
    if lookup == MISTYPED:
        return
    if call.argc == 2:
        if lookup == ABSENT:
            answer_nil(call)
        else:
            elements_random(call.node, place.entry, &element)
            answer_field(call, &element)
        return
    if lookup == ABSENT or count == 0:
        answer_array(call, 0)
        return
    size = <long long> collection_count(place.entry)
    if count > size:
        count = size
    answer_array(call, (-count if count < 0 else count) * (2 if values and call.client.resp == 2 else 1))
    if count < 0:
        sample_any(call, place.entry, <size_t> -count, answer_pair if values else answer_field)
    else:
        sample_distinct(call, place.entry, <size_t> count, answer_pair if values else answer_field)
