# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Collection: finding, putting, removing, walking; growing from one layout into the next. See collection.pxd."""

from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from proxy.wire.resp cimport read_number, write_number
from storenode.entry cimport entry_structure, entry_value
from storenode.hash cimport hash_bytes
from storenode.heap cimport heap_bytes, heap_free, heap_new, heap_resize
from storenode.ints cimport ints_add, ints_at, ints_find, ints_remove
from storenode.keyspace cimport value_point, value_splice
from storenode.pack cimport PACK_COUNT, PACK_HEADER, pack_find, pack_has_room, pack_load, pack_takes, pack_write
from storenode.pick cimport table_random
from storenode.random cimport random_below
from storenode.ranking cimport member_name, ranking_of
from storenode.table cimport table_find, table_fit, table_insert, table_next, table_remove, table_walk
from storenode.types cimport (
    DEQUE, INTS, PACK, RANKING, SET, SET_INTS_ENTRIES, TABLE, Deque, Dict, Entry, Member, Node, Place, Slice,
)


cdef inline Dict* dict_of(const Entry* entry) noexcept nogil:
    """The Dict of a TABLE or a RANKING."""
    if entry.encoding == RANKING:
        return &ranking_of(entry).members
    return <Dict*> entry_structure(entry)


cdef inline bint whole_number(const Slice* name, int64_t* number) noexcept nogil:
    """Is it an integer as Redis would write it? (read_number() takes nothing else.)"""
    cdef long long value = 0
    if name.length == 0 or name.length > 20 or not read_number(name.data, name.length, &value):
        return False
    number[0] = value
    return True


cdef uint64_t collection_count(const Entry* entry) noexcept nogil:
    """Elements of any collection, lists included."""
    if entry.encoding == PACK or entry.encoding == INTS:
        return entry.count
    if entry.encoding == DEQUE:
        return (<Deque*> entry_structure(entry)).count
    return dict_of(entry).count


# -- a Dict of Members -------------------------------------------------------------------------------------------------


cdef Dict* dict_new(Node* node) noexcept nogil:
    cdef Dict* dict = <Dict*> heap_new(node, sizeof(Dict))
    memset(dict, 0, sizeof(Dict))
    dict.node = node
    dict.head = sizeof(Member)
    return dict


cdef Member* dict_find(const Dict* dict, const Slice* name, Place* place) noexcept nogil:
    """The member of a name, NULL: none, and `place` is where dict_add_at() would put it."""
    table_find(<Dict*> dict, name.data, name.length, hash_bytes(name.data, name.length, dict.node.seed), place)
    return <Member*> place.entry


cdef Member* new_member(Node* node, const Slice* name, const Slice* payload) noexcept nogil:
    cdef Member* member = <Member*> heap_new(node, sizeof(Member) + name.length + payload.length)
    member.key_length = <uint32_t> name.length
    member.value_length = <uint32_t> payload.length
    memcpy(<char*> (member + 1), name.data, name.length)
    memcpy(<char*> (member + 1) + name.length, payload.data, payload.length)
    return member


cdef Member* dict_add(Dict* dict, const Slice* name, const Slice* payload) noexcept nogil:
    """Add a member that is known not to be there."""
    cdef Member* member = new_member(dict.node, name, payload)
    cdef Place place
    place.hash = hash_bytes(name.data, name.length, dict.node.seed)
    table_insert(dict, <Entry*> member, &place)
    return member


cdef bint dict_put(Dict* dict, const Slice* name, const Slice* payload) noexcept nogil:
    """Add a member or give it another payload; True: it is new."""
    cdef Place place
    cdef Member* member = dict_find(dict, name, &place)
    if member == NULL:
        table_insert(dict, <Entry*> new_member(dict.node, name, payload), &place)
        return True
    if member.value_length != payload.length:
        member = <Member*> heap_resize(dict.node, member, sizeof(Member) + name.length + payload.length)
        member.value_length = <uint32_t> payload.length
        place.bucket.slots[place.slot] = member
    memcpy(<char*> (member + 1) + name.length, payload.data, payload.length)
    return False


cdef bint dict_remove(Dict* dict, const Slice* name) noexcept nogil:
    cdef Place place
    if dict_find(dict, name, &place) == NULL:
        return False
    heap_free(dict.node, table_remove(dict, &place))
    table_fit(dict)
    return True


cdef size_t dict_bytes(Dict* dict) noexcept nogil:
    """What the members and the arrays take; chained buckets are few and left out."""
    cdef Walk walk
    cdef Entry* entry
    cdef size_t total = dict.tables[0].bytes + dict.tables[1].bytes
    table_walk(dict, &walk)
    while True:
        entry = table_next(&walk)
        if entry == NULL:
            return total
        total += heap_bytes(entry)


# -- elements of any layout --------------------------------------------------------------------------------------------


cdef bint collection_find(const Entry* entry, const Slice* name, Slice* payload) noexcept nogil:
    """Look an element up; its payload is borrowed until the collection changes."""
    cdef const char* pack
    cdef Slice found
    cdef Member* member
    cdef Place place
    cdef int64_t number
    cdef uint32_t index
    cdef size_t at
    if entry.encoding == PACK:
        pack = entry_value(entry)
        if not pack_find(pack, entry.value_length, name, &at):
            return False
        pack_load(pack, at, &found, payload)
        return True
    if entry.encoding == INTS:
        payload.length = 0
        return whole_number(name, &number) and ints_find(entry, number, &index)
    member = dict_find(dict_of(entry), name, &place)
    if member == NULL:
        return False
    payload[0] = member_payload(member)
    return True


cdef void grow_to_table(Node* node, Place* place) noexcept nogil:
    cdef Dict* dict = dict_new(node)
    cdef Elements elements
    elements_begin(place.entry, &elements)
    while elements_next(&elements):
        dict_add(dict, &elements.name, &elements.payload)
    value_point(node, place, TABLE, dict)


cdef bint collection_put(Node* node, Place* place, const Slice* name, const Slice* payload) noexcept nogil:
    """Add an element to a hash or set that is no INTS, or give it another payload; True: it is new."""
    cdef Entry* entry = place.entry
    cdef Slice old_name, old_payload
    cdef size_t at = 0
    if entry.encoding == PACK:
        if pack_takes(node, entry.type, name, payload):
            if pack_find(entry_value(entry), entry.value_length, name, &at):
                pack_load(entry_value(entry), at, &old_name, &old_payload)
                pack_write(value_splice(node, place, at, PACK_HEADER + name.length + old_payload.length,
                                        PACK_HEADER + name.length + payload.length), name, payload)
                return False
            if pack_has_room(node, entry):
                pack_write(value_splice(node, place, entry.value_length, 0,
                                        PACK_HEADER + name.length + payload.length), name, payload)
                place.entry.count += 1
                return True
        grow_to_table(node, place)
    return dict_put(<Dict*> entry_structure(place.entry), name, payload)


cdef bint collection_remove(Node* node, Place* place, const Slice* name) noexcept nogil:
    """Remove an element of a hash or set; False: it was not there. An empty collection is the caller's to remove."""
    cdef Entry* entry = place.entry
    cdef Slice found, payload
    cdef int64_t number
    cdef size_t at = 0
    if entry.encoding == PACK:
        if not pack_find(entry_value(entry), entry.value_length, name, &at):
            return False
        value_splice(node, place, at, pack_load(entry_value(entry), at, &found, &payload) - at, 0)
        place.entry.count -= 1
        return True
    if entry.encoding == INTS:
        return whole_number(name, &number) and ints_remove(node, place, number)
    return dict_remove(<Dict*> entry_structure(entry), name)


cdef void ints_to_pack(Node* node, Place* place) noexcept nogil:
    """Write the numbers out as names."""
    cdef size_t room = (<size_t> place.entry.count + 1) * 24
    cdef char* names = <char*> heap_new(node, room)
    cdef Elements elements
    cdef size_t length = 0
    elements_begin(place.entry, &elements)
    while elements_next(&elements):
        pack_write(names + length, &elements.name, &elements.payload)
        length += PACK_HEADER + elements.name.length
    memcpy(value_splice(node, place, 0, place.entry.value_length, length), names, length)
    heap_free(node, names)
    place.entry.encoding = PACK


cdef bint set_add(Node* node, Place* place, const Slice* name) noexcept nogil:
    """Add a member to a set, of whatever layout; a set begins as INTS. True: it is new."""
    cdef Slice none
    cdef int64_t number
    cdef uint32_t index
    none.data = name.data
    none.length = 0
    if place.entry.encoding == INTS:
        if whole_number(name, &number):
            if place.entry.count < node.settings[SET_INTS_ENTRIES] and place.entry.count < PACK_COUNT:
                return ints_add(node, place, number)
            if ints_find(place.entry, number, &index):
                return False
        if pack_has_room(node, place.entry) and pack_takes(node, SET, name, &none):
            ints_to_pack(node, place)
        else:
            grow_to_table(node, place)
    return collection_put(node, place, name, &none)


cdef void elements_begin(const Entry* entry, Elements* elements) noexcept nogil:
    elements.entry = entry
    elements.at = 0
    elements.index = 0
    elements.leaf = NULL
    if entry.encoding == TABLE:
        table_walk(dict_of(entry), &elements.walk)
    elif entry.encoding == RANKING:
        elements.leaf = <Leaf*> ranking_of(entry).first


cdef inline void show_member(Elements* elements, const Member* member) noexcept nogil:
    elements.name = member_name(member)
    elements.payload = member_payload(member)


cdef inline void show_number(Elements* elements, uint32_t index) noexcept nogil:
    elements.name.data = elements.digits
    elements.name.length = write_number(elements.digits, ints_at(elements.entry, index)) - 2
    elements.payload.data = elements.digits
    elements.payload.length = 0


cdef bint elements_next(Elements* elements) noexcept nogil:
    """Go to the next element (the first, after elements_begin()); False: there is none. Sorted sets come in order."""
    cdef const Entry* entry = elements.entry
    cdef Entry* member
    if entry.encoding == PACK:
        if elements.at >= entry.value_length:
            return False
        elements.at = pack_load(entry_value(entry), elements.at, &elements.name, &elements.payload)
        return True
    if entry.encoding == INTS:
        if elements.at >= entry.count:
            return False
        show_number(elements, <uint32_t> elements.at)
        elements.at += 1
        return True
    if entry.encoding == RANKING:
        while elements.leaf != NULL and elements.index >= elements.leaf.count:
            elements.leaf = elements.leaf.next
            elements.index = 0
        if elements.leaf == NULL:
            return False
        show_member(elements, elements.leaf.items[elements.index].member)
        elements.index += 1
        return True
    member = table_next(&elements.walk)
    if member == NULL:
        return False
    show_member(elements, <Member*> member)
    return True


cdef void elements_random(Node* node, const Entry* entry, Elements* elements) noexcept nogil:
    """Some element of a collection that is not empty."""
    cdef uint64_t left
    cdef Place place
    elements.entry = entry
    if entry.encoding == INTS:
        show_number(elements, <uint32_t> random_below(node, entry.count))
    elif entry.encoding == PACK:
        elements.at = 0
        left = random_below(node, entry.count)
        elements_next(elements)
        while left:
            elements_next(elements)
            left -= 1
    else:
        table_random(dict_of(entry), &place)
        show_member(elements, <Member*> place.entry)
