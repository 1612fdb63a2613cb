# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Set commands. See sets.pxd."""

from storenode.answer cimport answer_array, answer_bulk, answer_nil, answer_number, answer_set, answer_syntax
from storenode.arguments cimport same_bytes, take_positive
from storenode.changes cimport EVENT_DEL, EVENT_SADD, EVENT_SPOP, EVENT_SREM, key_changed
from storenode.collection cimport (
    Elements, collection_count, collection_find, collection_remove, elements_begin, elements_next, elements_random,
    set_add,
)
from storenode.effects cimport effects_member
from storenode.keyspace cimport ABSENT, MISTYPED, PRESENT, key_create, key_read_as, key_remove, key_write_as
from storenode.sample cimport answer_random, sample_any, sample_distinct, take_count
from storenode.types cimport INTS, SET, Call, Place, Slice


cdef void command_sadd(Call* call) noexcept nogil:
    cdef Place place
    cdef long long added = 0
    cdef int index
    cdef int lookup = key_write_as(call, &call.argv[1], SET, &place)
    if lookup == MISTYPED:
        return
    if lookup == ABSENT:
        key_create(call.database, &call.argv[1], &place, SET, INTS)
    for index in range(2, call.argc):
        added += set_add(call.node, &place, &call.argv[index])
    if added:
        key_changed(call.database, &call.argv[1], EVENT_SADD)
    answer_number(call, added)


cdef void command_srem(Call* call) noexcept nogil:
    cdef Place place
    cdef long long removed = 0
    cdef int index
    cdef int lookup = key_write_as(call, &call.argv[1], SET, &place)
    if lookup == MISTYPED:
        return
    if lookup == PRESENT:
        for index in range(2, call.argc):
            removed += collection_remove(call.node, &place, &call.argv[index])
        if removed:
            key_changed(call.database, &call.argv[1], EVENT_SREM)
        if collection_count(place.entry) == 0:
            key_remove(call.database, &place, EVENT_DEL)
    answer_number(call, removed)


cdef void command_sismember(Call* call) noexcept nogil:
    cdef Place place
    cdef Slice none
    cdef int lookup = key_read_as(call, &call.argv[1], SET, &place)
    if lookup != MISTYPED:
        answer_number(call, lookup == PRESENT and collection_find(place.entry, &call.argv[2], &none))


cdef void command_smismember(Call* call) noexcept nogil:
    cdef Place place
    cdef Slice none
    cdef int index
    cdef int lookup = key_read_as(call, &call.argv[1], SET, &place)
    if lookup == MISTYPED:
        return
    answer_array(call, call.argc - 2)
    for index in range(2, call.argc):
        answer_number(call, lookup == PRESENT and collection_find(place.entry, &call.argv[index], &none))


cdef void command_scard(Call* call) noexcept nogil:
    cdef Place place
    cdef int lookup = key_read_as(call, &call.argv[1], SET, &place)
    if lookup != MISTYPED:
        answer_number(call, <long long> collection_count(place.entry) if lookup == PRESENT else 0)


cdef void answer_members(Call* call, const Place* place) noexcept nogil:
    cdef Elements elements
    answer_set(call, <long long> collection_count(place.entry))
    elements_begin(place.entry, &elements)
    while elements_next(&elements):
        answer_bulk(call, elements.name.data, elements.name.length)


cdef void command_smembers(Call* call) noexcept nogil:
    cdef Place place
    cdef int lookup = key_read_as(call, &call.argv[1], SET, &place)
    if lookup == PRESENT:
        answer_members(call, &place)
    elif lookup == ABSENT:
        answer_set(call, 0)


cdef void command_smove(Call* call) noexcept nogil:
    """SMOVE source target member. The keys are looked up again after each change, which may move the table."""
    cdef const Slice* member = &call.argv[3]
    cdef Place place
    cdef Slice none
    cdef int target
    cdef int lookup = key_write_as(call, &call.argv[1], SET, &place)
    if lookup == ABSENT:
        answer_number(call, 0)
    if lookup != PRESENT:
        return
    target = key_write_as(call, &call.argv[2], SET, &place)
    if target == MISTYPED:
        return
    key_write_as(call, &call.argv[1], SET, &place)
    if not collection_find(place.entry, member, &none):
        answer_number(call, 0)
        return
    if same_bytes(&call.argv[1], &call.argv[2]):
        answer_number(call, 1)
        return
    collection_remove(call.node, &place, member)
    key_changed(call.database, &call.argv[1], EVENT_SREM)
    if collection_count(place.entry) == 0:
        key_remove(call.database, &place, EVENT_DEL)
    if key_write_as(call, &call.argv[2], SET, &place) == ABSENT:
        key_create(call.database, &call.argv[2], &place, SET, INTS)
    if set_add(call.node, &place, member):
        key_changed(call.database, &call.argv[2], EVENT_SADD)
    answer_number(call, 1)


cdef void take_one(Call* call, Elements* element) noexcept nogil:
    answer_bulk(call, element.name.data, element.name.length)


cdef void command_spop(Call* call) noexcept nogil:
    """SPOP key [count]."""
    cdef Place place
    cdef Elements element
    cdef long long count = 1
    cdef bint many = call.argc > 2
    cdef int lookup
    if call.argc > 3:
        answer_syntax(call)
        return
    if many and not take_positive(call, &call.argv[2], &count):
        return
    lookup = key_write_as(call, &call.argv[1], SET, &place)
    if lookup == MISTYPED:
        return
    if lookup == ABSENT or count == 0:
        if many:
            answer_set(call, 0)
        else:
            answer_nil(call)
        return
    if many and <unsigned long long> count >= collection_count(place.entry):
        answer_members(call, &place)
        key_changed(call.database, &call.argv[1], EVENT_SPOP)
        key_remove(call.database, &place, EVENT_DEL)
        return
    if many:
        answer_set(call, count)
    while count:
        elements_random(call.node, place.entry, &element)
        take_one(call, &element)
        effects_member(call.node, &element.name)
        collection_remove(call.node, &place, &element.name)
        count -= 1
    key_changed(call.database, &call.argv[1], EVENT_SPOP)
    if collection_count(place.entry) == 0:
        key_remove(call.database, &place, EVENT_DEL)


cdef void command_srandmember(Call* call) noexcept nogil:
    """SRANDMEMBER key [count]."""
    if call.argc > 3:
        answer_syntax(call)
        return
    answer_random(call, SET, NULL, take_one, NULL)
