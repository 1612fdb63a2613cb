# cython: language_level=3
"""Pack: the elements of a small hash, set or sorted set, one behind the other in the entry's own block.

    │ name length │ payload length │ name │ payload │ name length │ …        both lengths one byte

The payload is a hash's value, a sorted set's score in as few bytes as it takes, and nothing for a set. A lookup
compares lengths and skips: a hundred short elements are a dozen cache lines in a row, cheaper to run through than two
steps into a hash table. There is no length of the whole (the entry has it), no way back from an element, no encoding of
numbers.
"""

from libc.stdint cimport int64_t
from libc.string cimport memcmp, memcpy

from storenode.types cimport (
    HASH, HASH_PACK_ENTRIES, HASH_PACK_VALUE, SET, SET_PACK_ENTRIES, SET_PACK_VALUE, ZSET, ZSET_PACK_ENTRIES,
    ZSET_PACK_VALUE, Entry, Node, Slice,
)

cdef enum:
    PACK_BYTES = 255           # no name and no payload is longer, whatever …-max-listpack-value says
    PACK_COUNT = 65535         # and no pack has more elements,
    ZSET_PACK_MOST = 512       # no sorted set's more than these
    PACK_HEADER = 2


cdef inline bint pack_takes(const Node* node, int type, const Slice* name, const Slice* payload) noexcept nogil:
    """Are the name and the payload of an element short enough for a pack? Otherwise it becomes a table."""
    cdef int64_t most = node.settings[HASH_PACK_VALUE if type == HASH else
                                      SET_PACK_VALUE if type == SET else ZSET_PACK_VALUE]
    if most > PACK_BYTES:
        most = PACK_BYTES
    return <int64_t> name.length <= most and <int64_t> payload.length <= most


cdef inline bint pack_has_room(const Node* node, const Entry* entry) noexcept nogil:
    """May the pack of a hash, set or sorted set have one more element?"""
    cdef int64_t most = node.settings[HASH_PACK_ENTRIES if entry.type == HASH else
                                      SET_PACK_ENTRIES if entry.type == SET else ZSET_PACK_ENTRIES]
    return entry.count < most and entry.count < (ZSET_PACK_MOST if entry.type == ZSET else PACK_COUNT)


cdef inline size_t pack_load(const char* pack, size_t at, Slice* name, Slice* payload) noexcept nogil:
    """The element at `at`; returns where the next one begins."""
    name.length = <unsigned char> pack[at]
    payload.length = <unsigned char> pack[at + 1]
    name.data = pack + at + PACK_HEADER
    payload.data = name.data + name.length
    return at + PACK_HEADER + name.length + payload.length


cdef inline bint pack_find(const char* pack, size_t length, const Slice* name, size_t* at) noexcept nogil:
    """Where the element of a name begins; False: there is none."""
    cdef size_t place = 0
    if name.length > PACK_BYTES:
        return False
    while place < length:
        if (<unsigned char> pack[place] == name.length
                and memcmp(pack + place + PACK_HEADER, name.data, name.length) == 0):
            at[0] = place
            return True
        place += PACK_HEADER + <unsigned char> pack[place] + <unsigned char> pack[place + 1]
    return False


cdef inline void pack_write(char* at, const Slice* name, const Slice* payload) noexcept nogil:
    at[0] = <char> name.length
    at[1] = <char> payload.length
    memcpy(at + PACK_HEADER, name.data, name.length)
    memcpy(at + PACK_HEADER + name.length, payload.data, payload.length)
