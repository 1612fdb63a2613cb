# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Keys that live together: from the beginning of a key to the group whose name places it.

For applications that touch several of their keys at once (transactions, scripts, BLMOVE) and name them without a hash
tag.  A key that begins with one of a group's prefixes has the place of the group's name, which is hashed as it stands,
without looking for a tag in it; where several prefixes fit, the longest counts.  So with hash_tag "{}" the keys of
group `rq` live beside `{rq}:more`.  An entry that begins with a star is no prefix: what follows the star may be anywhere
in a key that no prefix takes.

The search: the key's first byte selects the prefixes that begin with it, longest first, and the first that fits is the
answer.  A key that begins like none costs one load; where some begin like it, eight bytes are compared at once before
memcmp is called for what is longer.  A trie would bound the comparisons, but a pool has a handful of prefixes.  An entry
with a star costs each key that no prefix takes a search of all its bytes.
"""
from libc.stdlib cimport free, malloc
from libc.string cimport memcmp, memcpy, memset

from proxy.engine.hashes cimport hash_key

cdef extern from "<string.h>" nogil:
    void* memmem(const void* where, size_t room, const void* what, size_t length)


cdef const Prefix* groups_find(const Groups* groups, const char* key, size_t length) noexcept nogil:
    cdef const Prefix* prefix
    cdef unsigned long long head = 0
    cdef unsigned int i, end
    if length == 0:
        return NULL
    i = groups.first[<unsigned char>key[0]]
    end = groups.first[<unsigned char>key[0] + 1]
    if i == end:
        return somewhere(groups, key, length)
    if length >= sizeof(head):
        memcpy(&head, key, sizeof(head))  # of a size that the compiler knows: one load
    else:
        memcpy(&head, key, length)
    while i < end:
        prefix = &groups.prefixes[i]
        if head & prefix.mask == prefix.head and prefix.length <= length and (
            prefix.length <= sizeof(head) or memcmp(prefix.text, key, prefix.length) == 0
        ):
            return prefix
        i += 1
    return somewhere(groups, key, length)


cdef const Prefix* somewhere(const Groups* groups, const char* key, size_t length) noexcept nogil:
    cdef unsigned int i
    cdef const Prefix* prefix
    for i in range(groups.anywhere):
        prefix = &groups.prefixes[groups.first[256] + i]
        if memmem(key, length, prefix.text, prefix.length) != NULL:
            return prefix
    return NULL


cdef check_groups(dict groups):
    owners = {}
    for name, prefixes in groups.items():
        if not isinstance(name, bytes) or not name:
            raise ValueError(f"group {name!r}: give it a name, as non-empty bytes")
        if not prefixes:
            raise ValueError(f"group {name!r} has no prefix: give it one, or take the group out")
        for prefix in prefixes:
            if not isinstance(prefix, bytes) or not prefix:
                raise ValueError(f"prefix {prefix!r} of group {name!r}: give non-empty bytes")
            if prefix == b"*":
                raise ValueError(f"'*' in group {name!r} fits every key: put what they have in common behind the star")
            if prefix in owners:
                raise ValueError(f"prefix {prefix!r} is in group {owners[prefix]!r} and in {name!r}: keep one")
            owners[prefix] = name


cdef Groups* groups_build(dict groups, int hash_kind) except NULL:
    cdef Groups* built
    cdef char* text
    cdef bytes prefix, name
    cdef unsigned int i = 0, byte
    check_groups(groups)
    given = [(prefix, number, name) for number, (name, prefixes) in enumerate(groups.items()) for prefix in prefixes]
    rows = sorted((row for row in given if row[0][:1] != b"*"), key=lambda row: (row[0][0], -len(row[0])))
    starred = sorted((row for row in given if row[0][:1] == b"*"), key=lambda row: -len(row[0]))
    rows += [(prefix[1:], number, name) for prefix, number, name in starred]
    built = <Groups*>malloc(sizeof(Groups))
    if built == NULL:
        raise MemoryError
    memset(built, 0, sizeof(Groups))
    built.prefixes = <Prefix*>malloc((len(rows) + 1) * sizeof(Prefix))
    built.texts = text = <char*>malloc(sum(len(row[0]) for row in rows) + 1)
    if built.prefixes == NULL or text == NULL:
        groups_free(built)
        raise MemoryError
    for prefix, number, name in rows:
        memcpy(text, <const char*>prefix, len(prefix))
        built.prefixes[i].head = built.prefixes[i].mask = 0
        memcpy(&built.prefixes[i].head, text, min(len(prefix), sizeof(unsigned long long)))
        memset(&built.prefixes[i].mask, 0xff, min(len(prefix), sizeof(unsigned long long)))
        built.prefixes[i].text = text
        built.prefixes[i].length = len(prefix)
        built.prefixes[i].hash = hash_key(hash_kind, <const unsigned char*><const char*>name, len(name))
        built.prefixes[i].group = number
        text += len(prefix)
        i += 1
        if i > len(rows) - len(starred):
            built.anywhere += 1
            continue
        for byte in range(<unsigned char>prefix[0] + 1, 257):
            built.first[byte] += 1
    return built


cdef void groups_free(Groups* groups) noexcept nogil:
    if groups != NULL:
        free(groups.prefixes)
        free(groups.texts)
        free(groups)
