# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Algebra of sorted sets. See zalgebra.pxd.

Sources are taken smallest first, as in Redis: sums of doubles depend on their order.
"""

from libc.stdint cimport uint64_t
from libc.stdio cimport fprintf, snprintf, stderr
from libc.stdlib cimport abort, free, malloc

from proxy.wire.resp cimport read_number
from storenode.answer cimport answer_array, answer_bulk, answer_double, answer_error, answer_number, answer_syntax
from storenode.arguments cimport is_word, take_double, take_integer
from storenode.changes cimport (
    EVENT_DEL, EVENT_ZDIFFSTORE, EVENT_ZINTERSTORE, EVENT_ZUNIONSTORE, key_changed,
)
from storenode.collection cimport Elements, collection_count, collection_find, elements_begin, elements_next
from storenode.keyspace cimport (
    entry_build, entry_discard, key_adopt, key_read, key_remove, key_write, type_is,
)
from storenode.sortedset cimport Ladder, ladder_begin, ladder_next, score_of, zset_put, zset_score
from storenode.types cimport PACK, SET, ZSET, Call, Entry, Place, Slice

cdef enum Operation:
    UNION = 0
    INTER = 1
    DIFF = 2

cdef enum Aggregate:
    SUM = 0
    LEAST = 1
    MOST = 2

cdef struct Source:
    const Entry* entry         # NULL: no such key
    double weight

cdef struct Query:
    Source* sources            # malloc
    int count
    int operation
    int aggregate
    bint scores
    bint counting              # ZINTERCARD
    long long limit            # of it; 0: none


cdef inline double weighed(double score, double weight) noexcept nogil:
    """Infinity times nothing counts as nothing."""
    cdef double product = score * weight
    return product if product == product else 0


cdef inline double joined(double one, double other, int aggregate) noexcept nogil:
    cdef double sum
    if aggregate == LEAST:
        return other if other < one else one
    if aggregate == MOST:
        return other if other > one else one
    sum = one + other
    return sum if sum == sum else 0


cdef bint open_sources(Call* call, int at, Query* query) noexcept nogil:
    """Read numkeys at argument `at` and look the keys up; False: answered, and nothing is held."""
    cdef Place place
    cdef char text[128]
    cdef long long keys
    cdef int index
    if not take_integer(call, &call.argv[at], &keys):
        return False
    if keys < 1:
        snprintf(text, sizeof(text), b"ERR at least 1 input key is needed for '%s' command", call.row.name)
        answer_error(call, text)
        return False
    if keys > call.argc - at - 1:
        answer_syntax(call)
        return False
    query.count = <int> keys
    query.sources = <Source*> malloc(keys * sizeof(Source))
    if query.sources == NULL:
        fprintf(stderr, "quench: out of memory for %lld sorted sets\n", keys)
        abort()
    for index in range(query.count):
        query.sources[index].entry = NULL
        query.sources[index].weight = 1
        if key_read(call, &call.argv[at + 1 + index], &place):
            if place.entry.type != SET and not type_is(call, place.entry, ZSET):
                free(query.sources)
                return False
            query.sources[index].entry = place.entry
    return True


cdef bint read_options(Call* call, int at, bint storing, Query* query) noexcept nogil:
    cdef int left, index
    while at < call.argc:
        left = call.argc - at
        if (query.operation != DIFF and not query.counting and left > query.count
                and is_word(&call.argv[at], b"weights")):
            for index in range(query.count):
                if not take_double(call, &call.argv[at + 1 + index], &query.sources[index].weight,
                                   b"ERR weight value is not a float"):
                    return False
            at += 1 + query.count
        elif query.operation != DIFF and not query.counting and left > 1 and is_word(&call.argv[at], b"aggregate"):
            if is_word(&call.argv[at + 1], b"sum"):
                query.aggregate = SUM
            elif is_word(&call.argv[at + 1], b"min"):
                query.aggregate = LEAST
            elif is_word(&call.argv[at + 1], b"max"):
                query.aggregate = MOST
            else:
                answer_syntax(call)
                return False
            at += 2
        elif not storing and not query.counting and is_word(&call.argv[at], b"withscores"):
            query.scores = True
            at += 1
        elif query.counting and left > 1 and is_word(&call.argv[at], b"limit"):
            if not read_number(call.argv[at + 1].data, call.argv[at + 1].length, &query.limit) or query.limit < 0:
                answer_error(call, b"ERR LIMIT can't be negative")
                return False
            at += 2
        else:
            answer_syntax(call)
            return False
    return True


cdef inline uint64_t size_of(const Source* source) noexcept nogil:
    return collection_count(source.entry) if source.entry != NULL else 0


cdef void smallest_first(Query* query) noexcept nogil:
    """An insertion sort, which leaves equals in their order; the sources of one command are few."""
    cdef Source source
    cdef int index, place
    for index in range(1, query.count):
        source = query.sources[index]
        place = index
        while place and size_of(&query.sources[place - 1]) > size_of(&source):
            query.sources[place] = query.sources[place - 1]
            place -= 1
        query.sources[place] = source


cdef inline double element_score(const Entry* entry, const Elements* elements) noexcept nogil:
    """Members of a plain set have the score 1."""
    return score_of(&elements.payload) if entry.type == ZSET else 1


cdef bint find_score(const Entry* entry, const Slice* name, double* score) noexcept nogil:
    cdef Slice none
    if entry.type == ZSET:
        return zset_score(entry, name, score)
    score[0] = 1
    return collection_find(entry, name, &none)


cdef bint in_all(const Query* query, const Slice* name, double* score) noexcept nogil:
    """Is a member of the first source in the others, too? `score` collects theirs."""
    cdef double other
    cdef int index
    for index in range(1, query.count):
        if query.sources[index].entry == NULL or not find_score(query.sources[index].entry, name, &other):
            return False
        score[0] = joined(score[0], weighed(other, query.sources[index].weight), query.aggregate)
    return True


cdef bint in_a_later_one(const Query* query, const Slice* name) noexcept nogil:
    cdef double score
    cdef int index
    for index in range(1, query.count):
        if query.sources[index].entry != NULL and find_score(query.sources[index].entry, name, &score):
            return True
    return False


cdef void combine(Call* call, Query* query, Place* result) noexcept nogil:
    """Fill `result`, an empty sorted set."""
    cdef Elements elements
    cdef const Entry* entry
    cdef double score, there
    cdef int index
    if query.operation != DIFF:
        smallest_first(query)
    for index in range(query.count if query.operation == UNION else 1):
        entry = query.sources[index].entry
        if entry == NULL:
            continue
        elements_begin(entry, &elements)
        while elements_next(&elements):
            score = element_score(entry, &elements)
            if query.operation == DIFF:
                if in_a_later_one(query, &elements.name):
                    continue
            else:
                score = weighed(score, query.sources[index].weight)
                if query.operation == INTER and not in_all(query, &elements.name, &score):
                    continue
                if query.operation == UNION and index and zset_score(result.entry, &elements.name, &there):
                    score = joined(there, score, query.aggregate)
            zset_put(call.node, result, &elements.name, score)


cdef void answer_combined(Call* call, int operation) noexcept nogil:
    cdef Query query = Query(sources=NULL, count=0, operation=operation, aggregate=SUM, scores=False, counting=False,
                             limit=0)
    cdef Slice nameless
    cdef Place result
    cdef Ladder ladder
    cdef uint64_t count
    if not open_sources(call, 1, &query):
        return
    if read_options(call, 2 + query.count, False, &query):
        nameless.data = b""
        nameless.length = 0
        entry_build(call.node, &nameless, &result, ZSET, PACK)
        combine(call, &query, &result)
        count = collection_count(result.entry)
        answer_array(call, <long long> (count * 2 if query.scores and call.client.resp == 2 else count))
        if count:
            ladder_begin(result.entry, 0, False, &ladder)
        while count:
            ladder_next(&ladder)
            if query.scores and call.client.resp == 3:
                answer_array(call, 2)
            answer_bulk(call, ladder.name.data, ladder.name.length)
            if query.scores:
                answer_double(call, ladder.score)
            count -= 1
        entry_discard(call.node, &result)
    free(query.sources)


cdef void store_combined(Call* call, int operation, int event) noexcept nogil:
    cdef Query query = Query(sources=NULL, count=0, operation=operation, aggregate=SUM, scores=False, counting=False,
                             limit=0)
    cdef Place result, old
    cdef uint64_t count
    if not open_sources(call, 2, &query):
        return
    if read_options(call, 3 + query.count, True, &query):
        entry_build(call.node, &call.argv[1], &result, ZSET, PACK)
        combine(call, &query, &result)
        count = collection_count(result.entry)
        if count:
            key_adopt(call.database, &result)
            key_changed(call.database, &call.argv[1], event)
        else:
            entry_discard(call.node, &result)
            if key_write(call, &call.argv[1], &old):
                key_remove(call.database, &old, EVENT_DEL)
        answer_number(call, <long long> count)
    free(query.sources)


cdef void command_zunion(Call* call) noexcept nogil:
    """ZUNION numkeys key … [WEIGHTS weight …] [AGGREGATE SUM|MIN|MAX] [WITHSCORES]."""
    answer_combined(call, UNION)


cdef void command_zinter(Call* call) noexcept nogil:
    answer_combined(call, INTER)


cdef void command_zdiff(Call* call) noexcept nogil:
    answer_combined(call, DIFF)


cdef void command_zunionstore(Call* call) noexcept nogil:
    store_combined(call, UNION, EVENT_ZUNIONSTORE)


cdef void command_zinterstore(Call* call) noexcept nogil:
    store_combined(call, INTER, EVENT_ZINTERSTORE)


cdef void command_zdiffstore(Call* call) noexcept nogil:
    store_combined(call, DIFF, EVENT_ZDIFFSTORE)


cdef void command_zintercard(Call* call) noexcept nogil:
    """ZINTERCARD numkeys key … [LIMIT n]."""
    cdef Query query = Query(sources=NULL, count=0, operation=INTER, aggregate=SUM, scores=False, counting=True,
                             limit=0)
    cdef Elements elements
    cdef double score
    cdef long long count = 0
    if not open_sources(call, 1, &query):
        return
    if read_options(call, 2 + query.count, False, &query):
        smallest_first(&query)
        if query.sources[0].entry != NULL:
            elements_begin(query.sources[0].entry, &elements)
            while (query.limit == 0 or count < query.limit) and elements_next(&elements):
                score = 0
                count += in_all(&query, &elements.name, &score)
        answer_number(call, count)
    free(query.sources)
