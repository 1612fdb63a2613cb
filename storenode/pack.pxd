# cython: language_level=3
"""Pack: the elements of a small hash, set or sorted set, one behind the other in the entry's own block.

    │ name length │ payload length │ name │ payload │ name length │ …        both lengths one byte

The payload is a hash's value, a sorted set's score in as few bytes as it takes, and nothing for a set. A lookup compares
lengths and skips: a hundred short elements are a dozen cache lines in a row, cheaper to run through than two steps into
a hash table. There is no length of the whole (the entry has it), no way back from an element, no number encoding.
"""

from libc.string cimport memcmp, memcpy

from storenode.types cimport Slice

cdef enum:
    PACK_ELEMENTS = 128        # of a set or sorted set: Redis's zset-max-listpack-entries
    PACK_FIELDS = 512          # of a hash: hash-max-listpack-entries
    PACK_BYTES = 64            # …-max-listpack-value: a longer name or payload makes a table
    PACK_HEADER = 2


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
