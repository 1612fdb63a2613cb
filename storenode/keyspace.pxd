# cython: language_level=3
"""Keyspace: keys with values, their expiry and their memory, on top of the table.

An entry is one malloc block: header, key, value. The memory of a node is the exact sum of malloc_usable_size() of all
entries plus malloc's own word each, and of the tables; the buffers of clients are bounded apart and are not in it, so
that a client with a large backlog does not cost other clients their data.
"""

from libc.stdint cimport int64_t, uint64_t

from storenode.hash cimport hash_bytes
from storenode.types cimport Call, Database, Entry, Node, Place, Slice

cdef enum:
    EMBSTR_MOST = 44           # bytes up to which Redis calls a string embstr

cdef bint key_read(Call* call, const Slice* key, Place* place) noexcept nogil
cdef bint key_peek(Database* database, const Slice* key, Place* place) noexcept nogil
cdef bint key_write(Call* call, const Slice* key, Place* place) noexcept nogil
cdef void key_remove(Database* database, Place* place) noexcept nogil
cdef void key_expire(Database* database, Place* place, int64_t expire_ms) noexcept nogil
cdef void key_rename(Database* database, Place* place, Database* target, const Slice* key) noexcept nogil
cdef void value_set(Database* database, const Slice* key, Place* place, const Slice* value, int encoding) noexcept nogil
cdef char* value_resize(Database* database, Place* place, size_t length, bint ahead) noexcept nogil
cdef int value_encoding(const Slice* value) noexcept nogil
cdef void database_clear(Database* database) noexcept nogil
cdef size_t entry_bytes(const Entry* entry) noexcept nogil


cdef inline char* entry_key(const Entry* entry) noexcept nogil:
    return <char*> (entry + 1)


cdef inline char* entry_value(const Entry* entry) noexcept nogil:
    return <char*> (entry + 1) + entry.key_length


cdef inline Slice entry_slice(const Entry* entry) noexcept nogil:
    """The value of a string, borrowed until the entry changes."""
    cdef Slice value
    value.data = entry_value(entry)
    value.length = entry.value_length
    return value


cdef inline uint64_t key_hash(const Database* database, const Slice* key) noexcept nogil:
    return hash_bytes(key.data, key.length, database.node.seed)


cdef inline bint entry_expired(const Entry* entry, int64_t now_ms) noexcept nogil:
    return entry.expire_ms != 0 and entry.expire_ms <= now_ms
