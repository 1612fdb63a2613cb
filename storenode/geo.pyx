# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Geo commands. See geo.pxd."""

from libc.stdio cimport fprintf, snprintf, stderr
from libc.stdlib cimport abort, free, qsort, realloc
from libc.string cimport memset

from storenode.answer cimport (
    LONG_DOUBLE_ROOM, answer_array, answer_bulk, answer_error, answer_nil, answer_nil_array, answer_number,
    answer_raw, answer_syntax, write_long_double,
)
from storenode.arguments cimport copy_text, is_word, take_double, take_integer
from storenode.changes cimport EVENT_DEL, EVENT_GEORADIUSSTORE, EVENT_GEOSEARCHSTORE, EVENT_ZADD, key_changed
from storenode.collection cimport collection_count
from storenode.geohash cimport (
    CELLS, Cell, Point, Shape, cell_scores, cells_of, distance, is_valid, point_score, point_text, score_point, within,
)
from storenode.keyspace cimport (
    ABSENT, MISTYPED, PRESENT, entry_build, key_adopt, key_create, key_read_as, key_remove, key_write, key_write_as,
)
from storenode.ranking cimport BY_SCORE, Bound
from storenode.sortedset cimport Ladder, ladder_begin, ladder_next, zset_below, zset_put, zset_score
from storenode.types cimport PACK, ZSET, Call, Entry, Place, Slice

cdef enum Source:              # which command it is
    RADIUS = 0
    RADIUS_MEMBER = 1
    SEARCH = 2

cdef struct Match:
    Slice name
    Point point
    double score
    double metres              # from the centre

cdef struct Matches:
    Match* items               # malloc
    size_t count
    size_t room

cdef struct Query:
    Shape shape
    int source
    bint read_only             # GEORADIUS_RO: STORE is a syntax error
    const Slice* target        # of STORE; NULL: answer
    bint store_distance
    bint from_member
    bint from_point
    bint by_radius
    bint by_box
    bint distances
    bint hashes
    bint points
    bint any                   # stop at `count`, whatever is nearest
    int order                  # 1 nearest first, -1 farthest first, 0 as they come
    long long count            # 0: all


cdef bint take_point(Call* call, const Slice* argument, Point* point) noexcept nogil:
    """Two arguments: longitude and latitude."""
    cdef char text[128]
    if (not take_double(call, argument, &point.longitude, b"ERR value is not a valid float")
            or not take_double(call, argument + 1, &point.latitude, b"ERR value is not a valid float")):
        return False
    if is_valid(point):
        return True
    snprintf(text, sizeof(text), b"ERR invalid longitude,latitude pair %f,%f", point.longitude, point.latitude)
    answer_error(call, text)
    return False


cdef bint take_unit(Call* call, const Slice* argument, double* unit) noexcept nogil:
    if is_word(argument, b"m"):
        unit[0] = 1
    elif is_word(argument, b"km"):
        unit[0] = 1000
    elif is_word(argument, b"ft"):
        unit[0] = 0.3048
    elif is_word(argument, b"mi"):
        unit[0] = 1609.34
    else:
        answer_error(call, b"ERR unsupported unit provided. please use M, KM, FT, MI")
        return False
    return True


cdef bint take_radius(Call* call, const Slice* argument, Shape* shape) noexcept nogil:
    if not take_double(call, argument, &shape.radius, b"ERR need numeric radius"):
        return False
    if shape.radius < 0:
        answer_error(call, b"ERR radius cannot be negative")
        return False
    shape.box = False
    return take_unit(call, argument + 1, &shape.unit)


cdef bint take_box(Call* call, const Slice* argument, Shape* shape) noexcept nogil:
    if (not take_double(call, argument, &shape.width, b"ERR need numeric width")
            or not take_double(call, argument + 1, &shape.height, b"ERR need numeric height")):
        return False
    if shape.width < 0 or shape.height < 0:
        answer_error(call, b"ERR height or width cannot be negative")
        return False
    shape.box = True
    return take_unit(call, argument + 2, &shape.unit)


cdef bint take_member(Call* call, const Entry* entry, const Slice* name, Point* point) noexcept nogil:
    cdef double score
    if zset_score(entry, name, &score):
        point[0] = score_point(score)
        return True
    answer_error(call, b"ERR could not decode requested zset member")
    return False


cdef void command_geoadd(Call* call) noexcept nogil:
    """GEOADD key [NX|XX] [CH] longitude latitude member …. All places are read before anything is changed."""
    cdef Place place
    cdef Point point
    cdef double score, old
    cdef long long added = 0
    cdef long long updated = 0
    cdef bint nx = False
    cdef bint xx = False
    cdef bint changes = False
    cdef int first = 2
    cdef int at, lookup
    while first < call.argc:
        if is_word(&call.argv[first], b"nx"):
            nx = True
        elif is_word(&call.argv[first], b"xx"):
            xx = True
        elif is_word(&call.argv[first], b"ch"):
            changes = True
        else:
            break
        first += 1
    if (call.argc - first) % 3 or first == call.argc or (nx and xx):
        answer_syntax(call)
        return
    for at in range(first, call.argc, 3):
        if not take_point(call, &call.argv[at], &point):
            return
    lookup = key_write_as(call, &call.argv[1], ZSET, &place)
    if lookup == MISTYPED:
        return
    if lookup == ABSENT and not xx:
        key_create(call.database, &call.argv[1], &place, ZSET, PACK)
        lookup = PRESENT
    for at in range(first, call.argc if lookup == PRESENT else first, 3):
        take_point(call, &call.argv[at], &point)
        score = <double> point_score(&point)
        if zset_score(place.entry, &call.argv[at + 2], &old):
            if not nx and score != old:
                zset_put(call.node, &place, &call.argv[at + 2], score)
                updated += 1
        elif not xx:
            zset_put(call.node, &place, &call.argv[at + 2], score)
            added += 1
    if added or updated:
        key_changed(call.database, &call.argv[1], EVENT_ZADD)
    answer_number(call, added + updated if changes else added)


cdef void answer_distance(Call* call, double value) noexcept nogil:
    cdef char text[400]
    answer_bulk(call, text, snprintf(text, sizeof(text), b"%.4f", value))


cdef void answer_coordinate(Call* call, double value) noexcept nogil:
    """Written out in full: a bulk string, in RESP3 a double."""
    cdef char text[LONG_DOUBLE_ROOM]
    cdef int length = write_long_double(text, value)
    if call.client.resp == 3:
        answer_raw(call, b",", 1)
        answer_raw(call, text, length)
        answer_raw(call, b"\r\n", 2)
    else:
        answer_bulk(call, text, length)


cdef void answer_point(Call* call, const Point* point) noexcept nogil:
    answer_array(call, 2)
    answer_coordinate(call, point.longitude)
    answer_coordinate(call, point.latitude)


cdef void command_geodist(Call* call) noexcept nogil:
    """GEODIST key member member [M|KM|FT|MI]."""
    cdef Place place
    cdef Point one, other
    cdef double unit = 1
    cdef double first, second
    cdef int lookup
    if call.argc > 5:
        answer_syntax(call)
        return
    if call.argc == 5 and not take_unit(call, &call.argv[4], &unit):
        return
    lookup = key_read_as(call, &call.argv[1], ZSET, &place)
    if lookup == MISTYPED:
        return
    if (lookup == ABSENT or not zset_score(place.entry, &call.argv[2], &first)
            or not zset_score(place.entry, &call.argv[3], &second)):
        answer_nil(call)
        return
    one = score_point(first)
    other = score_point(second)
    answer_distance(call, distance(&one, &other) / unit)


cdef void answer_members(Call* call, bint as_text) noexcept nogil:
    """GEOHASH and GEOPOS key member …."""
    cdef Place place
    cdef Point point
    cdef char text[12]
    cdef double score
    cdef int index
    cdef int lookup = key_read_as(call, &call.argv[1], ZSET, &place)
    if lookup == MISTYPED:
        return
    answer_array(call, call.argc - 2)
    for index in range(2, call.argc):
        if lookup == ABSENT or not zset_score(place.entry, &call.argv[index], &score):
            if as_text:
                answer_nil(call)
            else:
                answer_nil_array(call)
            continue
        point = score_point(score)
        if as_text:
            point_text(&point, text)
            answer_bulk(call, text, 11)
        else:
            answer_point(call, &point)


cdef void command_geohash(Call* call) noexcept nogil:
    answer_members(call, True)


cdef void command_geopos(Call* call) noexcept nogil:
    answer_members(call, False)


# -- searching ---------------------------------------------------------------------------------------------------------


cdef bint read_option(Call* call, Query* query, const Entry* entry, int* at) noexcept nogil:
    """One option at argument `at`, which moves behind it; False: answered."""
    cdef const Slice* word = &call.argv[at[0]]
    cdef int left = call.argc - at[0] - 1
    cdef bint search = query.source == SEARCH
    if is_word(word, b"withdist"):
        query.distances = True
    elif is_word(word, b"withhash"):
        query.hashes = True
    elif is_word(word, b"withcoord"):
        query.points = True
    elif is_word(word, b"any"):
        query.any = True
    elif is_word(word, b"asc"):
        query.order = 1
    elif is_word(word, b"desc"):
        query.order = -1
    elif is_word(word, b"count") and left >= 1:
        if not take_integer(call, word + 1, &query.count):
            return False
        if query.count <= 0:
            answer_error(call, b"ERR COUNT must be > 0")
            return False
        at[0] += 1
    elif not query.read_only and not search and left >= 1 and (is_word(word, b"store") or is_word(word, b"storedist")):
        query.target = word + 1
        query.store_distance = is_word(word, b"storedist")
        at[0] += 1
    elif search and is_word(word, b"frommember") and left >= 1 and not query.from_point:
        if entry != NULL and not take_member(call, entry, word + 1, &query.shape.centre):
            return False
        query.from_member = True
        at[0] += 1
    elif search and is_word(word, b"fromlonlat") and left >= 2 and not query.from_member:
        if not take_point(call, word + 1, &query.shape.centre):
            return False
        query.from_point = True
        at[0] += 2
    elif search and is_word(word, b"byradius") and left >= 2 and not query.by_box:
        if not take_radius(call, word + 1, &query.shape):
            return False
        query.by_radius = True
        at[0] += 2
    elif search and is_word(word, b"bybox") and left >= 3 and not query.by_radius:
        if not take_box(call, word + 1, &query.shape):
            return False
        query.by_box = True
        at[0] += 3
    elif search and query.target != NULL and is_word(word, b"storedist"):
        query.store_distance = True
    else:
        answer_syntax(call)
        return False
    at[0] += 1
    return True


cdef bint check(Call* call, const Query* query) noexcept nogil:
    """What options say only together; False: answered."""
    cdef char name[64]
    cdef char text[192]
    cdef bint search = query.source == SEARCH
    if query.target != NULL and (query.distances or query.hashes or query.points):
        snprintf(text, sizeof(text), b"ERR %s is not compatible with WITHDIST, WITHHASH and WITHCOORD options",
                 <const char*> (b"GEOSEARCHSTORE" if search else b"STORE option in GEORADIUS"))
        answer_error(call, text)
        return False
    copy_text(name, sizeof(name), &call.argv[0])
    if search and not query.from_member and not query.from_point:
        snprintf(text, sizeof(text), b"ERR exactly one of FROMMEMBER or FROMLONLAT can be specified for %s", name)
        answer_error(call, text)
        return False
    if search and not query.by_radius and not query.by_box:
        snprintf(text, sizeof(text), b"ERR exactly one of BYRADIUS and BYBOX can be specified for %s", name)
        answer_error(call, text)
        return False
    if query.any and query.count == 0:
        answer_error(call, b"ERR the ANY argument requires COUNT argument")
        return False
    return True


cdef void add_match(Matches* matches, const Ladder* ladder, const Point* point, double metres) noexcept nogil:
    cdef Match* match
    if matches.count == matches.room:
        matches.room = matches.room * 2 + 16
        matches.items = <Match*> realloc(matches.items, matches.room * sizeof(Match))
        if matches.items == NULL:
            fprintf(stderr, "quench: out of memory for %zu places\n", matches.room)
            abort()
    match = &matches.items[matches.count]
    match.name = ladder.name
    match.point = point[0]
    match.score = ladder.score
    match.metres = metres
    matches.count += 1


cdef void search_cell(const Entry* entry, const Query* query, const Cell* cell, Matches* matches) noexcept nogil:
    cdef Ladder ladder
    cdef Bound bound
    cdef Point point
    cdef double behind, metres
    cdef unsigned long long rank
    memset(&bound, 0, sizeof(bound))
    bound.kind = BY_SCORE
    bound.behind = False
    cell_scores(cell, &bound.score, &behind)
    rank = zset_below(entry, &bound)
    if rank >= collection_count(entry):
        return
    ladder_begin(entry, rank, False, &ladder)
    while ladder_next(&ladder) and ladder.score < behind:
        point = score_point(ladder.score)
        if within(&query.shape, &point, &metres):
            add_match(matches, &ladder, &point, metres)
            if query.any and matches.count >= <size_t> query.count:
                return


cdef int compare_matches(const void* left, const void* right) noexcept nogil:
    """What qsort() asks: the nearer first."""
    cdef double one = (<const Match*> left).metres
    cdef double other = (<const Match*> right).metres
    return (one > other) - (one < other)


cdef void search(const Entry* entry, const Query* query, Matches* matches) noexcept nogil:
    """All members of the shape, in the order that was asked for."""
    cdef Cell cells[CELLS]
    cdef Match match
    cdef int index
    cdef int last = -1
    cdef size_t at
    cells_of(&query.shape, cells)
    for index in range(CELLS):
        # Around a cell that is half of the world its neighbours are one and the same.
        if cells[index].steps == 0 or (last >= 0 and cells[index].bits == cells[last].bits):
            continue
        if query.any and matches.count >= <size_t> query.count:
            break
        search_cell(entry, query, &cells[index], matches)
        last = index
    if query.order or (query.count and not query.any):
        qsort(matches.items, matches.count, sizeof(Match), compare_matches)
        if query.order < 0:
            for at in range(matches.count // 2):
                match = matches.items[at]
                matches.items[at] = matches.items[matches.count - 1 - at]
                matches.items[matches.count - 1 - at] = match


cdef void answer_matches(Call* call, const Query* query, const Matches* matches, size_t count) noexcept nogil:
    cdef int extras = query.distances + query.hashes + query.points
    cdef Match* match
    cdef size_t index
    answer_array(call, <long long> count)
    for index in range(count):
        match = &matches.items[index]
        if extras:
            answer_array(call, 1 + extras)
        answer_bulk(call, match.name.data, match.name.length)
        if query.distances:
            answer_distance(call, match.metres / query.shape.unit)
        if query.hashes:
            answer_number(call, <long long> match.score)
        if query.points:
            answer_point(call, &match.point)


cdef void store_matches(Call* call, const Query* query, const Matches* matches, size_t count) noexcept nogil:
    cdef Place result
    cdef Match* match
    cdef size_t index
    if count:
        entry_build(call.node, query.target, &result, ZSET, PACK)
        for index in range(count):
            match = &matches.items[index]
            zset_put(call.node, &result, &match.name,
                     match.metres / query.shape.unit if query.store_distance else match.score)
        key_adopt(call.database, &result)
        key_changed(call.database, query.target,
                    EVENT_GEOSEARCHSTORE if query.source == SEARCH else EVENT_GEORADIUSSTORE)
    elif key_write(call, query.target, &result):
        key_remove(call.database, &result, EVENT_DEL)
    answer_number(call, <long long> count)


cdef void run(Call* call, Query* query, const Slice* key, int at) noexcept nogil:
    """Look up, read the options from argument `at` on, search, answer or store."""
    cdef Matches matches = Matches(items=NULL, count=0, room=0)
    cdef const Entry* entry = NULL
    cdef Place place
    cdef size_t count
    cdef int lookup = key_read_as(call, key, ZSET, &place)
    if lookup == MISTYPED:
        return
    if lookup == PRESENT:
        entry = place.entry
    if query.source == RADIUS:
        if not take_point(call, &call.argv[2], &query.shape.centre) or not take_radius(call, &call.argv[4], &query.shape):
            return
    elif query.source == RADIUS_MEMBER and entry != NULL:
        if (not take_member(call, entry, &call.argv[2], &query.shape.centre)
                or not take_radius(call, &call.argv[3], &query.shape)):
            return
    while at < call.argc:
        if not read_option(call, query, entry, &at):
            return
    if not check(call, query):
        return
    if entry != NULL:
        search(entry, query, &matches)
    count = matches.count
    if query.count and <size_t> query.count < count:
        count = <size_t> query.count
    if query.target != NULL:
        store_matches(call, query, &matches, count)
    else:
        answer_matches(call, query, &matches, count)
    free(matches.items)


cdef void radius(Call* call, int source, bint read_only) noexcept nogil:
    cdef Query query
    memset(&query, 0, sizeof(Query))
    query.source = source
    query.read_only = read_only
    run(call, &query, &call.argv[1], 6 if source == RADIUS else 5)


cdef void command_georadius(Call* call) noexcept nogil:
    """GEORADIUS key longitude latitude radius unit [options] [STORE|STOREDIST target]."""
    radius(call, RADIUS, False)


cdef void command_georadius_ro(Call* call) noexcept nogil:
    radius(call, RADIUS, True)


cdef void command_georadiusbymember(Call* call) noexcept nogil:
    """GEORADIUSBYMEMBER key member radius unit [options] [STORE|STOREDIST target]."""
    radius(call, RADIUS_MEMBER, False)


cdef void command_georadiusbymember_ro(Call* call) noexcept nogil:
    radius(call, RADIUS_MEMBER, True)


cdef void command_geosearch(Call* call) noexcept nogil:
    """GEOSEARCH key FROMMEMBER member|FROMLONLAT longitude latitude BYRADIUS radius unit|BYBOX width height unit
    [ASC|DESC] [COUNT n [ANY]] [WITHCOORD] [WITHDIST] [WITHHASH]."""
    cdef Query query
    memset(&query, 0, sizeof(Query))
    query.source = SEARCH
    run(call, &query, &call.argv[1], 2)


cdef void command_geosearchstore(Call* call) noexcept nogil:
    """GEOSEARCHSTORE target key … [STOREDIST]: the rest is that of GEOSEARCH."""
    cdef Query query
    memset(&query, 0, sizeof(Query))
    query.source = SEARCH
    query.target = &call.argv[1]
    run(call, &query, &call.argv[2], 3)
