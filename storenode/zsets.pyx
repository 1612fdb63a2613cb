# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Sorted set commands on members. See zsets.pxd."""

from libc.stdint cimport uint64_t
from libc.stdio cimport fprintf, stderr
from libc.stdlib cimport abort, free, malloc

from proxy.wire.resp cimport read_number
from storenode.answer cimport (
    answer_arity, answer_array, answer_bulk, answer_double, answer_error, answer_nil, answer_nil_array, answer_number,
    answer_syntax,
)
from storenode.arguments cimport is_word, take_double, take_positive
from storenode.changes cimport (
    EVENT_DEL, EVENT_ZADD, EVENT_ZINCR, EVENT_ZPOPMAX, EVENT_ZPOPMIN, EVENT_ZREM, key_changed,
)
from storenode.collection cimport Elements, collection_count
from storenode.keyspace cimport ABSENT, MISTYPED, PRESENT, key_create, key_read_as, key_remove, key_write_as
from storenode.ranking cimport BY_PLACE, Bound
from storenode.sample cimport answer_random
from storenode.sortedset cimport (
    Ladder, ladder_begin, ladder_next, score_of, zset_below, zset_delete, zset_put, zset_remove, zset_score,
)
from storenode.types cimport PACK, ZSET, Call, Place, Slice

cdef enum AddFlag:
    NX = 1
    XX = 2
    GT = 4
    LT = 8
    CH = 16                    # answer how many changed, not how many are new
    INCR = 32

cdef enum Outcome:
    LEFT_ALONE = 0             # a condition forbids it
    SAME = 1
    UPDATED = 2
    ADDED = 3
    NO_NUMBER = 4              # infinity minus infinity


cdef int read_add_flags(Call* call, int at, int* flags) noexcept nogil:
    """The options of ZADD from argument `at` on; returns where the first score is."""
    while at < call.argc:
        if is_word(&call.argv[at], b"nx"):
            flags[0] |= NX
        elif is_word(&call.argv[at], b"xx"):
            flags[0] |= XX
        elif is_word(&call.argv[at], b"gt"):
            flags[0] |= GT
        elif is_word(&call.argv[at], b"lt"):
            flags[0] |= LT
        elif is_word(&call.argv[at], b"ch"):
            flags[0] |= CH
        elif is_word(&call.argv[at], b"incr"):
            flags[0] |= INCR
        else:
            break
        at += 1
    return at


cdef int add_one(Call* call, Place* place, const Slice* name, double* score, int flags) noexcept nogil:
    """Add a member or change its score as far as the flags let; `score` becomes the one it has afterwards."""
    cdef double current
    if not zset_score(place.entry, name, &current):
        if flags & XX:
            return LEFT_ALONE
        zset_put(call.node, place, name, score[0])
        return ADDED
    if flags & NX:
        return LEFT_ALONE
    if flags & INCR:
        score[0] += current
        if score[0] != score[0]:
            return NO_NUMBER
    if (flags & GT and score[0] <= current) or (flags & LT and score[0] >= current):
        return LEFT_ALONE
    if score[0] == current:
        return SAME
    zset_put(call.node, place, name, score[0])
    return UPDATED


cdef void add_all(Call* call, int first, const double* scores, int flags) noexcept nogil:
    """The part of ZADD that touches the key; the first score was argument `first`, its member follows it."""
    cdef Place place
    cdef double score = 0
    cdef long long added = 0
    cdef long long updated = 0
    cdef int outcome = LEFT_ALONE
    cdef int index
    cdef int lookup = key_write_as(call, &call.argv[1], ZSET, &place)
    if lookup == MISTYPED:
        return
    if lookup == ABSENT and not flags & XX:
        key_create(call.database, &call.argv[1], &place, ZSET, PACK)
        lookup = PRESENT
    if lookup == PRESENT:
        for index in range(first + 1, call.argc, 2):
            score = scores[(index - first) // 2]
            outcome = add_one(call, &place, &call.argv[index], &score, flags)
            added += outcome == ADDED
            updated += outcome == UPDATED
    if added or updated:
        key_changed(call.database, &call.argv[1], EVENT_ZINCR if flags & INCR else EVENT_ZADD)
    if outcome == NO_NUMBER:
        answer_error(call, b"ERR resulting score is not a number (NaN)")
    elif not flags & INCR:
        answer_number(call, added + updated if flags & CH else added)
    elif outcome == LEFT_ALONE:
        answer_nil(call)
    else:
        answer_double(call, score)


cdef void add(Call* call, int flags) noexcept nogil:
    """ZADD and ZINCRBY, which is ZADD INCR in another order. All scores are read before anything is changed."""
    cdef double few[16]
    cdef double* scores = few
    cdef int first = read_add_flags(call, 2, &flags) if not flags & INCR else 2
    cdef int pairs = (call.argc - first) // 2
    cdef int index
    cdef bint good = True
    if (call.argc - first) % 2 or pairs == 0:
        answer_syntax(call)
        return
    if flags & NX and flags & XX:
        answer_error(call, b"ERR XX and NX options at the same time are not compatible")
        return
    if (flags & NX and flags & (GT | LT)) or (flags & GT and flags & LT):
        answer_error(call, b"ERR GT, LT, and/or NX options at the same time are not compatible")
        return
    if flags & INCR and pairs > 1:
        answer_error(call, b"ERR INCR option supports a single increment-element pair")
        return
    if pairs > 16:
        scores = <double*> malloc(pairs * sizeof(double))
        if scores == NULL:
            fprintf(stderr, "quench: out of memory for %d scores\n", pairs)
            abort()
    for index in range(pairs):
        if good:
            good = take_double(call, &call.argv[first + 2 * index], &scores[index], b"ERR value is not a valid float")
    if good:
        add_all(call, first, scores, flags)
    if scores != few:
        free(scores)


cdef void command_zadd(Call* call) noexcept nogil:
    """ZADD key [NX|XX] [GT|LT] [CH] [INCR] score member …."""
    add(call, 0)


cdef void command_zincrby(Call* call) noexcept nogil:
    add(call, INCR)


cdef void command_zrem(Call* call) noexcept nogil:
    cdef Place place
    cdef long long removed = 0
    cdef int index
    cdef int lookup = key_write_as(call, &call.argv[1], ZSET, &place)
    if lookup == MISTYPED:
        return
    if lookup == PRESENT:
        for index in range(2, call.argc):
            removed += zset_remove(call.node, &place, &call.argv[index])
        if removed:
            key_changed(call.database, &call.argv[1], EVENT_ZREM)
        if collection_count(place.entry) == 0:
            key_remove(call.database, &place, EVENT_DEL)
    answer_number(call, removed)


cdef void command_zscore(Call* call) noexcept nogil:
    cdef Place place
    cdef double score
    cdef int lookup = key_read_as(call, &call.argv[1], ZSET, &place)
    if lookup == PRESENT and zset_score(place.entry, &call.argv[2], &score):
        answer_double(call, score)
    elif lookup != MISTYPED:
        answer_nil(call)


cdef void command_zmscore(Call* call) noexcept nogil:
    cdef Place place
    cdef double score
    cdef int index
    cdef int lookup = key_read_as(call, &call.argv[1], ZSET, &place)
    if lookup == MISTYPED:
        return
    answer_array(call, call.argc - 2)
    for index in range(2, call.argc):
        if lookup == PRESENT and zset_score(place.entry, &call.argv[index], &score):
            answer_double(call, score)
        else:
            answer_nil(call)


cdef void command_zcard(Call* call) noexcept nogil:
    cdef Place place
    cdef int lookup = key_read_as(call, &call.argv[1], ZSET, &place)
    if lookup != MISTYPED:
        answer_number(call, <long long> collection_count(place.entry) if lookup == PRESENT else 0)


cdef void answer_rank(Call* call, bint backwards) noexcept nogil:
    """ZRANK, ZREVRANK key member [WITHSCORE] (the option is of Redis 7.2)."""
    cdef Place place
    cdef Bound bound
    cdef uint64_t rank
    cdef int lookup
    cdef bint scored = call.argc == 4
    if call.argc > 4:
        answer_arity(call)
        return
    if scored and not is_word(&call.argv[3], b"withscore"):
        answer_syntax(call)
        return
    lookup = key_read_as(call, &call.argv[1], ZSET, &place)
    if lookup == MISTYPED:
        return
    if lookup == ABSENT or not zset_score(place.entry, &call.argv[2], &bound.score):
        if scored:
            answer_nil_array(call)
        else:
            answer_nil(call)
        return
    bound.kind = BY_PLACE
    bound.behind = False
    bound.name = call.argv[2]
    rank = zset_below(place.entry, &bound)
    if backwards:
        rank = collection_count(place.entry) - 1 - rank
    if scored:
        answer_array(call, 2)
    answer_number(call, <long long> rank)
    if scored:
        answer_double(call, bound.score)


cdef void command_zrank(Call* call) noexcept nogil:
    answer_rank(call, False)


cdef void command_zrevrank(Call* call) noexcept nogil:
    answer_rank(call, True)


cdef void pop_members(Call* call, const Slice* key, Place* place, bint highest, long long count,
                      int form) noexcept nogil:
    """Answer and remove up to `count` members from an end; form: PopShape."""
    cdef long long size = <long long> collection_count(place.entry)
    cdef long long left
    cdef Ladder ladder
    if count > size:
        count = size
    if form != PLAIN:
        answer_array(call, count if form == PAIRS else count * 2)
    ladder_begin(place.entry, size - 1 if highest else 0, highest, &ladder)
    left = count
    while left:
        ladder_next(&ladder)
        if form == PAIRS:
            answer_array(call, 2)
        answer_bulk(call, ladder.name.data, ladder.name.length)
        answer_double(call, ladder.score)
        left -= 1
    if highest:
        zset_delete(call.node, place, size - count, size)
    else:
        zset_delete(call.node, place, 0, count)
    key_changed(call.database, key, EVENT_ZPOPMAX if highest else EVENT_ZPOPMIN)
    if count == size:
        key_remove(call.database, place, EVENT_DEL)


cdef void pop(Call* call, bint highest) noexcept nogil:
    cdef Place place
    cdef long long count = 1
    cdef int lookup
    if call.argc > 3:
        answer_syntax(call)
        return
    if call.argc == 3 and not take_positive(call, &call.argv[2], &count):
        return
    lookup = key_write_as(call, &call.argv[1], ZSET, &place)
    if lookup == MISTYPED:
        return
    if lookup == ABSENT or count == 0:
        answer_array(call, 0)
    else:
        pop_members(call, &call.argv[1], &place, highest, count,
                    PAIRS if call.argc == 3 and call.client.resp == 3 else ALTERNATING)


cdef void command_zpopmin(Call* call) noexcept nogil:
    pop(call, False)


cdef void command_zpopmax(Call* call) noexcept nogil:
    pop(call, True)


cdef bint read_zmpop(Call* call, int at, int* keys, bint* lowest, long long* count) noexcept nogil:
    """Read `numkeys key … MIN|MAX [COUNT n]` from argument `at` on; False: answered with what is wrong."""
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
    lowest[0] = is_word(&call.argv[at], b"min")
    if not lowest[0] and not is_word(&call.argv[at], b"max"):
        answer_syntax(call)
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


cdef void command_zmpop(Call* call) noexcept nogil:
    """ZMPOP numkeys key … MIN|MAX [COUNT n]."""
    cdef Place place
    cdef long long count
    cdef bint lowest
    cdef int keys, index, lookup
    if not read_zmpop(call, 1, &keys, &lowest, &count):
        return
    for index in range(2, keys + 2):
        lookup = key_write_as(call, &call.argv[index], ZSET, &place)
        if lookup == MISTYPED:
            return
        if lookup == PRESENT:
            answer_array(call, 2)
            answer_bulk(call, call.argv[index].data, call.argv[index].length)
            pop_members(call, &call.argv[index], &place, not lowest, count, PAIRS)
            return
    answer_nil_array(call)


cdef void answer_member(Call* call, Elements* element) noexcept nogil:
    answer_bulk(call, element.name.data, element.name.length)


cdef void answer_scored(Call* call, Elements* element) noexcept nogil:
    if call.client.resp == 3:
        answer_array(call, 2)
    answer_bulk(call, element.name.data, element.name.length)
    answer_double(call, score_of(&element.payload))


cdef void command_zrandmember(Call* call) noexcept nogil:
    """ZRANDMEMBER key [count [WITHSCORES]]."""
    answer_random(call, ZSET, b"withscores", answer_member, answer_scored)
