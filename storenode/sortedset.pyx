# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Sorted set: both layouts behind one set of functions. See sortedset.pxd."""

from libc.stdint cimport int8_t, int16_t, int32_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

from storenode.collection cimport (
    Elements, collection_find, dict_add, dict_find, dict_remove, elements_begin, elements_next,
)
from storenode.entry cimport entry_value
from storenode.keyspace cimport value_point, value_splice
from storenode.pack cimport PACK_HEADER, pack_find, pack_has_room, pack_load, pack_takes, pack_write
from storenode.ranking cimport (
    BY_PLACE, lies_before, member_name, ranking_at, ranking_below, ranking_insert, ranking_new, ranking_of,
    ranking_remove,
)
from storenode.types cimport PACK, RANKING, ZSET, Entry, Member, Node, Place, Ranked, Ranking, Slice


cdef double score_of(const Slice* payload) noexcept nogil:
    """A score from the bytes that an element carries: an integer of 0, 1, 2 or 4 bytes, or a double of 8."""
    cdef int8_t one
    cdef int16_t two
    cdef int32_t four
    cdef double score
    if payload.length == sizeof(double):
        memcpy(&score, payload.data, sizeof(double))
        return score
    if payload.length == 0:
        return 0
    if payload.length == 1:
        memcpy(&one, payload.data, 1)
        return one
    if payload.length == 2:
        memcpy(&two, payload.data, 2)
        return two
    memcpy(&four, payload.data, 4)
    return four


cdef Slice score_payload(double score, char* room) noexcept nogil:
    """The shortest bytes for a score in a PACK. -0 becomes 0, as it does in Redis's small sorted sets."""
    cdef Slice payload
    cdef int32_t whole
    cdef int16_t two
    cdef int8_t one
    payload.data = room
    if -2147483648.0 <= score <= 2147483647.0 and <double> (<int32_t> score) == score:
        whole = <int32_t> score
        if whole == 0:
            payload.length = 0
        elif -128 <= whole <= 127:
            one = <int8_t> whole
            memcpy(room, &one, 1)
            payload.length = 1
        elif -32768 <= whole <= 32767:
            two = <int16_t> whole
            memcpy(room, &two, 2)
            payload.length = 2
        else:
            memcpy(room, &whole, 4)
            payload.length = 4
    else:
        memcpy(room, &score, sizeof(double))
        payload.length = sizeof(double)
    return payload


cdef bint zset_score(const Entry* entry, const Slice* name, double* score) noexcept nogil:
    cdef Slice payload
    if not collection_find(entry, name, &payload):
        return False
    score[0] = score_of(&payload)
    return True


cdef void grow_to_ranking(Node* node, Place* place) noexcept nogil:
    cdef Ranking* ranking = ranking_new(node)
    cdef Elements elements
    elements_begin(place.entry, &elements)
    while elements_next(&elements):
        add_ranked(ranking, &elements.name, score_of(&elements.payload))
    value_point(node, place, RANKING, ranking)


cdef void add_ranked(Ranking* ranking, const Slice* name, double score) noexcept nogil:
    cdef Slice payload
    payload.data = <const char*> &score
    payload.length = sizeof(double)
    ranking_insert(ranking, score, dict_add(&ranking.members, name, &payload))


cdef void pack_add(Node* node, Place* place, const Slice* name, double score) noexcept nogil:
    """Write a new member into a PACK, in front of the first that is greater."""
    cdef Entry* entry = place.entry
    cdef char room[SCORE_ROOM]
    cdef Slice payload = score_payload(score, room)
    cdef Slice other, other_payload
    cdef Bound bound
    cdef size_t at = 0
    cdef size_t following
    bound.kind = BY_PLACE
    bound.behind = False
    bound.score = score
    bound.name = name[0]
    while at < entry.value_length:
        following = pack_load(entry_value(entry), at, &other, &other_payload)
        if not lies_before(score_of(&other_payload), &other, &bound):
            break
        at = following
    pack_write(value_splice(node, place, at, 0, PACK_HEADER + name.length + payload.length), name, &payload)
    place.entry.count += 1


cdef void pack_drop(Node* node, Place* place, size_t at) noexcept nogil:
    cdef Slice name, payload
    value_splice(node, place, at, pack_load(entry_value(place.entry), at, &name, &payload) - at, 0)
    place.entry.count -= 1


cdef bint zset_put(Node* node, Place* place, const Slice* name, double score) noexcept nogil:
    """Add a member or give it another score; True: it is new."""
    cdef Entry* entry = place.entry
    cdef Ranking* ranking
    cdef Member* member
    cdef Place found
    cdef Slice payload = Slice(data=NULL, length=0)
    cdef size_t at = 0
    if entry.encoding == PACK:
        if pack_find(entry_value(entry), entry.value_length, name, &at):
            pack_drop(node, place, at)
            pack_add(node, place, name, score)
            return False
        if pack_has_room(node, entry) and pack_takes(node, ZSET, name, &payload):
            pack_add(node, place, name, score)
            return True
        grow_to_ranking(node, place)
    ranking = ranking_of(place.entry)
    member = dict_find(&ranking.members, name, &found)
    if member == NULL:
        add_ranked(ranking, name, score)
        return True
    payload.data = <const char*> (member + 1) + member.key_length
    payload.length = sizeof(double)
    ranking_remove(ranking, score_of(&payload), name)
    memcpy(<char*> payload.data, &score, sizeof(double))
    ranking_insert(ranking, score, member)
    return False


cdef bint zset_remove(Node* node, Place* place, const Slice* name) noexcept nogil:
    """False: it was not there. An empty sorted set is the caller's to remove."""
    cdef Ranking* ranking
    cdef double score
    cdef size_t at = 0
    if place.entry.encoding == PACK:
        if not pack_find(entry_value(place.entry), place.entry.value_length, name, &at):
            return False
        pack_drop(node, place, at)
        return True
    if not zset_score(place.entry, name, &score):
        return False
    ranking = ranking_of(place.entry)
    ranking_remove(ranking, score, name)
    dict_remove(&ranking.members, name)
    return True


cdef void zset_delete(Node* node, Place* place, uint64_t start, uint64_t end) noexcept nogil:
    """Remove the members of rank `start` up to, not including, `end`."""
    cdef Ladder ladder
    cdef Ranking* ranking
    cdef Ranked* item
    cdef Leaf* leaf
    cdef Slice name
    cdef uint32_t index
    cdef size_t first, last
    if start >= end:
        return
    if place.entry.encoding == PACK:
        ladder_begin(place.entry, 0, False, &ladder)
        first = ladder.offsets[start]
        last = ladder.offsets[end] if end < place.entry.count else place.entry.value_length
        value_splice(node, place, first, last - first, 0)
        place.entry.count -= <uint16_t> (end - start)
        return
    ranking = ranking_of(place.entry)
    while start < end:
        leaf = ranking_at(ranking, start, &index)
        item = &leaf.items[index]
        name = member_name(item.member)
        ranking_remove(ranking, item.score, &name)
        dict_remove(&ranking.members, &name)
        end -= 1


cdef uint64_t zset_below(const Entry* entry, const Bound* bound) noexcept nogil:
    """The number of members in front of a cut."""
    cdef Slice name, payload
    cdef uint64_t count = 0
    cdef size_t at = 0
    if entry.encoding == RANKING:
        return ranking_below(ranking_of(entry), bound)
    while at < entry.value_length:
        at = pack_load(entry_value(entry), at, &name, &payload)
        if not lies_before(score_of(&payload), &name, bound):
            break
        count += 1
    return count


cdef void ladder_begin(const Entry* entry, uint64_t rank, bint backwards, Ladder* ladder) noexcept nogil:
    """Stand in front of the member of a rank, which must exist."""
    cdef Slice name, payload
    cdef size_t at = 0
    ladder.entry = entry
    ladder.backwards = backwards
    if entry.encoding == RANKING:
        ladder.leaf = ranking_at(ranking_of(entry), rank, &ladder.index)
        return
    ladder.index = <uint32_t> rank
    ladder.count = 0
    while at < entry.value_length:
        ladder.offsets[ladder.count] = <uint32_t> at
        ladder.count += 1
        at = pack_load(entry_value(entry), at, &name, &payload)


cdef bint ladder_next(Ladder* ladder) noexcept nogil:
    """Load the next member in the walk's direction; False: there is none."""
    cdef Slice payload
    cdef Ranked* item
    if ladder.entry.encoding == PACK:
        if ladder.index >= ladder.count:
            return False
        pack_load(entry_value(ladder.entry), ladder.offsets[ladder.index], &ladder.name, &payload)
        ladder.score = score_of(&payload)
        # Before the first comes 2^32 - 1, which is past the end, too.
        ladder.index += -1 if ladder.backwards else 1
        return True
    if ladder.leaf == NULL:
        return False
    item = &ladder.leaf.items[ladder.index]
    ladder.name = member_name(item.member)
    ladder.score = item.score
    if ladder.backwards:
        if ladder.index:
            ladder.index -= 1
        else:
            ladder.leaf = ladder.leaf.previous
            ladder.index = ladder.leaf.count - 1 if ladder.leaf != NULL else 0
    else:
        ladder.index += 1
        if ladder.index == ladder.leaf.count:
            ladder.leaf = ladder.leaf.next
            ladder.index = 0
    return True
