# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Scan. See scan.pxd.

The cursor is that of table_scan(); a small value has none and comes whole, as in Redis. What is found is remembered as
pointers and answered at the end, because the reply begins with its length.
"""

from libc.errno cimport ERANGE, errno
from libc.limits cimport LLONG_MAX
from libc.stdint cimport int64_t, uint64_t
from libc.stdio cimport fprintf, snprintf, stderr
from libc.stdlib cimport abort, free, realloc, strtoul

from proxy.wire.glob cimport glob_match
from storenode.answer cimport answer_array, answer_bulk, answer_error, answer_nil, answer_score_text, answer_syntax
from storenode.arguments cimport copy_text, is_word, take_integer
from storenode.changes cimport EVENT_EXPIRED
from storenode.collection cimport Elements, elements_begin, elements_next, member_payload
from storenode.entry cimport entry_expired, entry_key, entry_name, entry_structure
from storenode.keyspace cimport ABSENT, MISTYPED, key_read_as, key_remove
from storenode.object cimport type_name
from storenode.pick cimport table_random
from storenode.ranking cimport member_name, ranking_of
from storenode.sortedset cimport score_of
from storenode.table cimport table_scan
from storenode.types cimport HASH, RANKING, SET, TABLE, ZSET, Call, Dict, Entry, Member, Place, Slice

cdef enum:
    RANDOM_TRIES = 100         # expired keys that RANDOMKEY skips before it answers one of them

cdef struct Wish:              # what a scan was asked for
    uint64_t cursor
    long long count
    const Slice* pattern       # NULL: any
    const Slice* type          # of SCAN; NULL: any

cdef struct Found:             # what a scan collects: Entry or Member pointers, valid until one is removed
    Entry** entries
    size_t count
    size_t room
    const Wish* wish
    int64_t now_ms
    bint keys                  # Entries, not Members
    size_t seen                # entries visited, matching or not


cdef bint take_cursor(Call* call, const Slice* argument, uint64_t* cursor) noexcept nogil:
    cdef char text[32]
    cdef char* end
    copy_text(text, sizeof(text), argument)
    (&errno)[0] = 0
    cursor[0] = strtoul(text, &end, 10)
    if (text[0] == c' ' or c'\t' <= text[0] <= c'\r' or end[0] != 0 or errno == ERANGE
            or argument.length >= sizeof(text)):
        answer_error(call, b"ERR invalid cursor")
        return False
    return True


cdef bint take_wish(Call* call, int at, bint keys, Wish* wish) noexcept nogil:
    """Read [MATCH pattern] [COUNT n] and, for SCAN, [TYPE type] from argument `at` on."""
    wish.count = 10
    wish.pattern = NULL
    wish.type = NULL
    while at < call.argc:
        if is_word(&call.argv[at], b"count") and at + 1 < call.argc:
            if not take_integer(call, &call.argv[at + 1], &wish.count):
                return False
            if wish.count < 1:
                answer_syntax(call)
                return False
        elif is_word(&call.argv[at], b"match") and at + 1 < call.argc:
            wish.pattern = &call.argv[at + 1]
        elif keys and is_word(&call.argv[at], b"type") and at + 1 < call.argc:
            wish.type = &call.argv[at + 1]
        else:
            answer_syntax(call)
            return False
        at += 2
    return True


cdef inline bint matches(const Slice* pattern, const Slice* name) noexcept nogil:
    return glob_match(pattern.data, pattern.length, name.data, name.length, False)


cdef void collect(void* context, Entry* entry) noexcept nogil:
    """A table visitor: remember what lives and matches."""
    cdef Found* found = <Found*> context
    cdef Slice name
    cdef Entry** entries
    found.seen += 1
    if found.keys:
        if entry_expired(entry, found.now_ms):
            return
        if found.wish.type != NULL and not is_word(found.wish.type, type_name(entry.type)):
            return
        name = entry_name(entry)
    else:
        name = member_name(<Member*> entry)
    if found.wish.pattern != NULL and not matches(found.wish.pattern, &name):
        return
    if found.count == found.room:
        entries = <Entry**> realloc(found.entries, (found.room * 2 + 64) * sizeof(Entry*))
        if entries == NULL:
            fprintf(stderr, "quench: out of memory collecting %zu keys\n", found.room)
            abort()
        found.entries = entries
        found.room = found.room * 2 + 64
    found.entries[found.count] = entry
    found.count += 1


cdef uint64_t scan_table(Dict* dict, uint64_t cursor, Found* found) noexcept nogil:
    """Visit buckets until the wished number was seen. One holds a handful; empty ones are passed, not without end."""
    cdef long long steps = found.wish.count
    if steps < LLONG_MAX // 10:
        steps *= 10
    while steps:
        cursor = table_scan(dict, cursor, collect, found)
        steps -= 1
        if cursor == 0 or found.seen >= <size_t> found.wish.count:
            break
    return cursor


cdef void answer_cursor(Call* call, uint64_t cursor) noexcept nogil:
    cdef char text[24]
    answer_array(call, 2)
    answer_bulk(call, text, snprintf(text, sizeof(text), b"%llu", <unsigned long long> cursor))


cdef void answer_keys(Call* call, Found* found) noexcept nogil:
    cdef size_t index
    answer_array(call, <long long> found.count)
    for index in range(found.count):
        answer_bulk(call, entry_key(found.entries[index]), found.entries[index].key_length)
    free(found.entries)


cdef void command_keys(Call* call) noexcept nogil:
    """All at once, like Redis: for small keyspaces and debugging."""
    cdef Wish wish = Wish(cursor=0, count=LLONG_MAX, pattern=&call.argv[1], type=NULL)
    cdef Found found = Found(entries=NULL, count=0, room=0, wish=&wish, now_ms=call.node.now_ms, keys=True, seen=0)
    cdef uint64_t cursor = 0
    while True:
        cursor = table_scan(&call.database.keys, cursor, collect, &found)
        if cursor == 0:
            break
    answer_keys(call, &found)


cdef void command_scan(Call* call) noexcept nogil:
    """SCAN cursor [MATCH pattern] [COUNT n] [TYPE type]."""
    cdef Wish wish
    cdef Found found = Found(entries=NULL, count=0, room=0, wish=&wish, now_ms=call.node.now_ms, keys=True, seen=0)
    cdef uint64_t cursor
    if not take_cursor(call, &call.argv[1], &cursor) or not take_wish(call, 2, True, &wish):
        return
    cursor = scan_table(&call.database.keys, cursor, &found)
    answer_cursor(call, cursor)
    answer_keys(call, &found)


cdef inline void answer_element(Call* call, int type, const Slice* name, const Slice* payload) noexcept nogil:
    answer_bulk(call, name.data, name.length)
    if type == HASH:
        answer_bulk(call, payload.data, payload.length)
    elif type == ZSET:
        answer_score_text(call, score_of(payload))


cdef void scan_small(Call* call, const Entry* entry, const Wish* wish) noexcept nogil:
    """All elements that match; counted first, because the reply says how many there are."""
    cdef Elements elements
    cdef long long count = 0
    cdef int turn
    answer_cursor(call, 0)
    for turn in range(2):
        if turn:
            answer_array(call, count if entry.type == SET else count * 2)
        elements_begin(entry, &elements)
        while elements_next(&elements):
            if wish.pattern != NULL and not matches(wish.pattern, &elements.name):
                continue
            if turn:
                answer_element(call, entry.type, &elements.name, &elements.payload)
            else:
                count += 1


cdef void scan_value(Call* call, int type) noexcept nogil:
    """HSCAN, SSCAN, ZSCAN key cursor [MATCH pattern] [COUNT n]."""
    cdef Wish wish
    cdef Found found = Found(entries=NULL, count=0, room=0, wish=&wish, now_ms=0, keys=False, seen=0)
    cdef Place place
    cdef Member* member
    cdef Slice name, payload
    cdef uint64_t cursor
    cdef size_t index
    cdef int lookup
    cdef Dict* dict
    if not take_cursor(call, &call.argv[2], &cursor):
        return
    lookup = key_read_as(call, &call.argv[1], type, &place)
    if lookup == MISTYPED:
        return
    if lookup == ABSENT:
        answer_cursor(call, 0)
        answer_array(call, 0)
        return
    if not take_wish(call, 3, False, &wish):
        return
    if place.entry.encoding < TABLE:
        scan_small(call, place.entry, &wish)
        return
    dict = <Dict*> entry_structure(place.entry)
    if place.entry.encoding == RANKING:
        dict = &ranking_of(place.entry).members
    cursor = scan_table(dict, cursor, &found)
    answer_cursor(call, cursor)
    answer_array(call, <long long> (found.count if type == SET else found.count * 2))
    for index in range(found.count):
        member = <Member*> found.entries[index]
        name = member_name(member)
        payload = member_payload(member)
        answer_element(call, type, &name, &payload)
    free(found.entries)


cdef void command_hscan(Call* call) noexcept nogil:
    scan_value(call, HASH)


cdef void command_sscan(Call* call) noexcept nogil:
    scan_value(call, SET)


cdef void command_zscan(Call* call) noexcept nogil:
    scan_value(call, ZSET)


cdef void command_randomkey(Call* call) noexcept nogil:
    cdef Place place
    cdef int tries = RANDOM_TRIES
    while table_random(&call.database.keys, &place):
        if not entry_expired(place.entry, call.node.now_ms) or tries == 0:
            answer_bulk(call, entry_key(place.entry), place.entry.key_length)
            return
        tries -= 1
        if call.node.primary == NULL:
            key_remove(call.database, &place, EVENT_EXPIRED)
            call.node.stats.expired += 1
    answer_nil(call)
