# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Set algebra. See setalgebra.pxd.

A result is built as an entry that is in no table, because it may be stored under a name that is also a source. An
intersection goes through its smallest set and asks the others; a difference goes through its first.
"""

from libc.limits cimport LLONG_MAX
from libc.stdint cimport uint64_t
from libc.stdio cimport fprintf, stderr
from libc.stdlib cimport abort, free, malloc

from proxy.wire.resp cimport read_number
from storenode.answer cimport answer_bulk, answer_error, answer_number, answer_set, answer_syntax
from storenode.arguments cimport is_word, take_numkeys
from storenode.changes cimport EVENT_DEL, EVENT_SDIFFSTORE, EVENT_SINTERSTORE, EVENT_SUNIONSTORE, key_changed
from storenode.collection cimport (
    Elements, collection_count, collection_find, elements_begin, elements_next, set_add,
)
from storenode.keyspace cimport (
    MISTYPED, PRESENT, entry_build, entry_discard, key_adopt, key_read_as, key_remove, key_write,
)
from storenode.types cimport INTS, SET, Call, Entry, Place, Slice

cdef enum Operation:
    INTER = 0
    UNION = 1
    DIFF = 2

cdef struct Sources:
    const Entry** sets         # malloc; NULL entries: keys that do not exist
    int count
    int missing


cdef bint open_sources(Call* call, int first, int count, Sources* sources) noexcept nogil:
    """Look all keys up; False: one has another type, which is answered.

    An entry stays where it is while others are looked up, whatever that does to the table.
    """
    cdef Place place
    cdef int index, lookup
    sources.count = count
    sources.missing = 0
    sources.sets = <const Entry**> malloc(count * sizeof(Entry*))
    if sources.sets == NULL:
        fprintf(stderr, "quench: out of memory for %d sets\n", count)
        abort()
    for index in range(count):
        lookup = key_read_as(call, &call.argv[first + index], SET, &place)
        if lookup == MISTYPED:
            free(sources.sets)
            return False
        sources.sets[index] = place.entry if lookup == PRESENT else NULL
        sources.missing += lookup != PRESENT
    return True


cdef bint in_all(const Sources* sources, const Slice* name) noexcept nogil:
    cdef Slice none
    cdef int index
    for index in range(1, sources.count):
        if sources.sets[index] != sources.sets[0] and not collection_find(sources.sets[index], name, &none):
            return False
    return True


cdef bint in_a_later_one(const Sources* sources, const Slice* name) noexcept nogil:
    cdef Slice none
    cdef int index
    for index in range(1, sources.count):
        if sources.sets[index] != NULL and collection_find(sources.sets[index], name, &none):
            return True
    return False


cdef void smallest_first(Sources* sources) noexcept nogil:
    cdef const Entry* first = sources.sets[0]
    cdef int index
    for index in range(1, sources.count):
        if collection_count(sources.sets[index]) < collection_count(sources.sets[0]):
            sources.sets[0] = sources.sets[index]
            sources.sets[index] = first
            first = sources.sets[0]


cdef void combine(Call* call, int operation, Sources* sources, Place* result) noexcept nogil:
    """Fill `result`, an empty set."""
    cdef Elements elements
    cdef int index
    if operation == UNION:
        for index in range(sources.count):
            if sources.sets[index] != NULL:
                elements_begin(sources.sets[index], &elements)
                while elements_next(&elements):
                    set_add(call.node, result, &elements.name)
        return
    if (operation == INTER and sources.missing) or sources.sets[0] == NULL:
        return
    if operation == INTER:
        smallest_first(sources)
    elements_begin(sources.sets[0], &elements)
    while elements_next(&elements):
        if (in_all(sources, &elements.name) if operation == INTER else not in_a_later_one(sources, &elements.name)):
            set_add(call.node, result, &elements.name)


cdef void answer_combined(Call* call, int operation) noexcept nogil:
    cdef Sources sources
    cdef Elements elements
    cdef Place result
    cdef Slice nameless
    if not open_sources(call, 1, call.argc - 1, &sources):
        return
    nameless.data = b""
    nameless.length = 0
    entry_build(call.node, &nameless, &result, SET, INTS)
    combine(call, operation, &sources, &result)
    free(sources.sets)
    answer_set(call, <long long> collection_count(result.entry))
    elements_begin(result.entry, &elements)
    while elements_next(&elements):
        answer_bulk(call, elements.name.data, elements.name.length)
    entry_discard(call.node, &result)


cdef void store_combined(Call* call, int operation, int event) noexcept nogil:
    cdef const Slice* target = &call.argv[1]
    cdef Sources sources
    cdef Place result, old
    cdef long long count
    if not open_sources(call, 2, call.argc - 2, &sources):
        return
    entry_build(call.node, target, &result, SET, INTS)
    combine(call, operation, &sources, &result)
    free(sources.sets)
    count = <long long> collection_count(result.entry)
    if count:
        key_adopt(call.database, &result)
        key_changed(call.database, target, event)
    else:
        entry_discard(call.node, &result)
        if key_write(call, target, &old):
            key_remove(call.database, &old, EVENT_DEL)
    answer_number(call, count)


cdef void command_sinter(Call* call) noexcept nogil:
    answer_combined(call, INTER)


cdef void command_sunion(Call* call) noexcept nogil:
    answer_combined(call, UNION)


cdef void command_sdiff(Call* call) noexcept nogil:
    answer_combined(call, DIFF)


cdef void command_sinterstore(Call* call) noexcept nogil:
    store_combined(call, INTER, EVENT_SINTERSTORE)


cdef void command_sunionstore(Call* call) noexcept nogil:
    store_combined(call, UNION, EVENT_SUNIONSTORE)


cdef void command_sdiffstore(Call* call) noexcept nogil:
    store_combined(call, DIFF, EVENT_SDIFFSTORE)


cdef void command_sintercard(Call* call) noexcept nogil:
    """SINTERCARD numkeys key … [LIMIT n]."""
    cdef Sources sources
    cdef Elements elements
    cdef long long limit = 0
    cdef long long count = 0
    cdef int keys, at
    if not take_numkeys(call, 1, &keys):
        return
    at = keys + 2
    while at < call.argc:
        if not is_word(&call.argv[at], b"limit") or at + 1 >= call.argc:
            answer_syntax(call)
            return
        if not read_number(call.argv[at + 1].data, call.argv[at + 1].length, &limit) or limit < 0:
            answer_error(call, b"ERR LIMIT can't be negative")
            return
        at += 2
    if not open_sources(call, 2, keys, &sources):
        return
    if sources.missing == 0:
        smallest_first(&sources)
        elements_begin(sources.sets[0], &elements)
        while (limit == 0 or count < limit) and elements_next(&elements):
            count += in_all(&sources, &elements.name)
    free(sources.sets)
    answer_number(call, count)
