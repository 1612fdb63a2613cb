# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Range commands. See zranges.pxd.

Whatever a range is given by, it becomes a first rank and a number of members; then it is walked, counted, removed or
stored.
"""

from libc.stdint cimport uint64_t
from libc.string cimport memcpy

from proxy.wire.resp cimport read_number
from storenode.answer cimport (
    answer_array, answer_bulk, answer_double, answer_error, answer_number, answer_syntax,
)
from storenode.arguments cimport is_word, take_integer
from storenode.changes cimport (
    EVENT_DEL, EVENT_ZRANGESTORE, EVENT_ZREMRANGEBYLEX, EVENT_ZREMRANGEBYRANK, EVENT_ZREMRANGEBYSCORE, key_changed,
)
from storenode.collection cimport collection_count
from storenode.keyspace cimport (
    MISTYPED, PRESENT, entry_build, entry_discard, key_adopt, key_read_as, key_remove, key_write, key_write_as,
)
from storenode.ranking cimport BOTTOM, BY_NAME, BY_SCORE, TOP, Bound
from storenode.sortedset cimport Ladder, ladder_begin, ladder_next, zset_below, zset_delete, zset_put
from storenode.types cimport PACK, ZSET, Call, Entry, Place, Slice

cdef extern from "<stdlib.h>" nogil:
    double strtod(const char* text, char** end)

cdef enum Kind:
    ANY = 0                    # an option says, or it is by rank
    RANK = 1
    SCORE = 2
    LEX = 3

cdef struct Range:
    int kind
    long long start            # of RANK: inclusive, negative from the end
    long long end
    Bound low
    Bound high

cdef struct Query:             # a ZRANGE, whatever it is called
    Range range
    bint backwards
    bint scores
    long long offset
    long long limit            # negative: none


cdef bint read_score(const Slice* text, double* score) noexcept nogil:
    """A score bound by strtod()'s grammar, as lenient as Redis: leading blanks and nothing at all pass."""
    cdef char copy[512]
    cdef char* end
    cdef long long whole
    if text.length < 16 and read_number(text.data, text.length, &whole):
        score[0] = <double> whole
        return True
    if text.length >= sizeof(copy):
        return False
    memcpy(copy, text.data, text.length)
    copy[text.length] = 0
    score[0] = strtod(copy, &end)
    return end[0] == 0 and score[0] == score[0]


cdef bint read_score_bound(const Slice* text, bint high, Bound* bound) noexcept nogil:
    cdef Slice number = text[0]
    cdef bint exclusive = text.length > 0 and text.data[0] == c'('
    if exclusive:
        number.data += 1
        number.length -= 1
    bound.kind = BY_SCORE
    bound.behind = exclusive != high
    return read_score(&number, &bound.score)


cdef bint read_name_bound(const Slice* text, bint high, Bound* bound) noexcept nogil:
    cdef char first = text.data[0] if text.length else 0
    bound.score = 0
    if text.length == 1 and (first == c'-' or first == c'+'):
        bound.kind = BOTTOM if first == c'-' else TOP
        return True
    bound.kind = BY_NAME
    bound.behind = (first == c'(') != high
    bound.name.data = text.data + 1
    bound.name.length = text.length - 1
    return first == c'(' or first == c'['


cdef bint read_range(Call* call, const Slice* low, const Slice* high, Range* range) noexcept nogil:
    """Read both ends of a range of range.kind; False: answered."""
    if range.kind == SCORE:
        if read_score_bound(low, False, &range.low) and read_score_bound(high, True, &range.high):
            return True
        answer_error(call, b"ERR min or max is not a float")
        return False
    if range.kind == LEX:
        if read_name_bound(low, False, &range.low) and read_name_bound(high, True, &range.high):
            return True
        answer_error(call, b"ERR min or max not valid string range item")
        return False
    return take_integer(call, low, &range.start) and take_integer(call, high, &range.end)


cdef uint64_t find_range(const Entry* entry, const Range* range, bint backwards, uint64_t* first) noexcept nogil:
    """The rank where a range begins, and how many members it has. Ranks count from the end if `backwards`."""
    cdef long long size = <long long> collection_count(entry)
    cdef long long start, end
    cdef uint64_t behind
    if range.kind >= SCORE:
        first[0] = zset_below(entry, &range.low)
        behind = zset_below(entry, &range.high)
        return behind - first[0] if behind > first[0] else 0
    start = range.start + size if range.start < 0 else range.start
    end = range.end + size if range.end < 0 else range.end
    if start < 0:
        start = 0
    if end >= size:
        end = size - 1
    if start > end:
        first[0] = 0
        return 0
    first[0] = size - 1 - end if backwards else start
    return end - start + 1


cdef bint read_query(Call* call, int at, bint storing, bint free_direction, Query* query) noexcept nogil:
    """Options and ends of a range command whose ends are arguments `at` and `at` + 1; query.range.kind and
    query.backwards say what the command's name has fixed. False: answered."""
    cdef bint limited = False
    cdef int option = at + 2
    cdef int kind = query.range.kind
    query.scores = False
    query.offset = 0
    query.limit = -1
    while option < call.argc:
        if not storing and is_word(&call.argv[option], b"withscores"):
            query.scores = True
        elif is_word(&call.argv[option], b"limit") and option + 2 < call.argc:
            if not take_integer(call, &call.argv[option + 1], &query.offset) or \
                    not take_integer(call, &call.argv[option + 2], &query.limit):
                return False
            option += 2
        elif free_direction and not query.backwards and is_word(&call.argv[option], b"rev"):
            query.backwards = True
        elif kind == ANY and is_word(&call.argv[option], b"bylex"):
            kind = LEX
        elif kind == ANY and is_word(&call.argv[option], b"byscore"):
            kind = SCORE
        else:
            answer_syntax(call)
            return False
        option += 1
    if kind == ANY:
        kind = RANK
    query.range.kind = kind
    limited = query.limit != -1
    if limited and kind == RANK:
        answer_error(call, b"ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX")
        return False
    if query.scores and kind == LEX:
        answer_error(call, b"ERR syntax error, WITHSCORES not supported in combination with BYLEX")
        return False
    if query.backwards and kind != RANK:
        return read_range(call, &call.argv[at + 1], &call.argv[at], &query.range)
    return read_range(call, &call.argv[at], &call.argv[at + 1], &query.range)


cdef uint64_t open_query(const Entry* entry, const Query* query, Ladder* ladder) noexcept nogil:
    """Stand in front of the first member of a query's result; returns how many members it has."""
    cdef uint64_t first
    cdef uint64_t count = find_range(entry, &query.range, query.backwards, &first)
    cdef uint64_t skipped = 0
    if query.offset < 0 or <uint64_t> query.offset >= count:
        return 0
    skipped = <uint64_t> query.offset
    if query.backwards:
        first = first + count - 1 - skipped
    else:
        first += skipped
    count -= skipped
    if query.limit >= 0 and <uint64_t> query.limit < count:
        count = <uint64_t> query.limit
    if count:
        ladder_begin(entry, first, query.backwards, ladder)
    return count


cdef void answer_query(Call* call, int kind, bint backwards, bint free_direction) noexcept nogil:
    cdef Query query
    cdef Place place
    cdef Ladder ladder
    cdef uint64_t count = 0
    cdef int lookup
    query.range.kind = kind
    query.backwards = backwards
    if not read_query(call, 2, False, free_direction, &query):
        return
    lookup = key_read_as(call, &call.argv[1], ZSET, &place)
    if lookup == MISTYPED:
        return
    if lookup == PRESENT:
        count = open_query(place.entry, &query, &ladder)
    answer_array(call, <long long> (count * 2 if query.scores and call.client.resp == 2 else count))
    while count:
        ladder_next(&ladder)
        if query.scores:
            if call.client.resp == 3:
                answer_array(call, 2)
            answer_bulk(call, ladder.name.data, ladder.name.length)
            answer_double(call, ladder.score)
        else:
            answer_bulk(call, ladder.name.data, ladder.name.length)
        count -= 1


cdef void command_zrange(Call* call) noexcept nogil:
    """ZRANGE key start stop [BYSCORE|BYLEX] [REV] [LIMIT offset count] [WITHSCORES]."""
    answer_query(call, ANY, False, True)


cdef void command_zrevrange(Call* call) noexcept nogil:
    answer_query(call, RANK, True, False)


cdef void command_zrangebyscore(Call* call) noexcept nogil:
    answer_query(call, SCORE, False, False)


cdef void command_zrevrangebyscore(Call* call) noexcept nogil:
    answer_query(call, SCORE, True, False)


cdef void command_zrangebylex(Call* call) noexcept nogil:
    answer_query(call, LEX, False, False)


cdef void command_zrevrangebylex(Call* call) noexcept nogil:
    answer_query(call, LEX, True, False)


cdef void command_zrangestore(Call* call) noexcept nogil:
    """ZRANGESTORE target source start stop [BYSCORE|BYLEX] [REV] [LIMIT offset count]."""
    cdef Query query
    cdef Place place, result
    cdef Ladder ladder
    cdef uint64_t count = 0
    cdef uint64_t left
    cdef int lookup
    query.range.kind = ANY
    query.backwards = False
    if not read_query(call, 3, True, True, &query):
        return
    lookup = key_read_as(call, &call.argv[2], ZSET, &place)
    if lookup == MISTYPED:
        return
    if lookup == PRESENT:
        count = open_query(place.entry, &query, &ladder)
    if count == 0:
        if key_write(call, &call.argv[1], &place):
            key_remove(call.database, &place, EVENT_DEL)
        answer_number(call, 0)
        return
    entry_build(call.node, &call.argv[1], &result, ZSET, PACK)
    left = count
    while left:
        ladder_next(&ladder)
        zset_put(call.node, &result, &ladder.name, ladder.score)
        left -= 1
    key_adopt(call.database, &result)
    key_changed(call.database, &call.argv[1], EVENT_ZRANGESTORE)
    answer_number(call, <long long> count)


cdef void count_range(Call* call, int kind) noexcept nogil:
    cdef Range range
    cdef Place place
    cdef uint64_t first
    cdef int lookup
    range.kind = kind
    if not read_range(call, &call.argv[2], &call.argv[3], &range):
        return
    lookup = key_read_as(call, &call.argv[1], ZSET, &place)
    if lookup != MISTYPED:
        answer_number(call, <long long> find_range(place.entry, &range, False, &first) if lookup == PRESENT else 0)


cdef void command_zcount(Call* call) noexcept nogil:
    count_range(call, SCORE)


cdef void command_zlexcount(Call* call) noexcept nogil:
    count_range(call, LEX)


cdef void remove_range(Call* call, int kind, int event) noexcept nogil:
    cdef Range range
    cdef Place place
    cdef uint64_t first
    cdef uint64_t count = 0
    cdef int lookup
    range.kind = kind
    if not read_range(call, &call.argv[2], &call.argv[3], &range):
        return
    lookup = key_write_as(call, &call.argv[1], ZSET, &place)
    if lookup == MISTYPED:
        return
    if lookup == PRESENT:
        count = find_range(place.entry, &range, False, &first)
        if count:
            zset_delete(call.node, &place, first, first + count)
            key_changed(call.database, &call.argv[1], event)
            if collection_count(place.entry) == 0:
                key_remove(call.database, &place, EVENT_DEL)
    answer_number(call, <long long> count)


cdef void command_zremrangebyrank(Call* call) noexcept nogil:
    remove_range(call, RANK, EVENT_ZREMRANGEBYRANK)


cdef void command_zremrangebyscore(Call* call) noexcept nogil:
    remove_range(call, SCORE, EVENT_ZREMRANGEBYSCORE)


cdef void command_zremrangebylex(Call* call) noexcept nogil:
    remove_range(call, LEX, EVENT_ZREMRANGEBYLEX)
