# cython: language_level=3
"""Keyspace: keys with values, their expiry and their memory, on top of the table.

An entry is one block: header, key, value, where the value is a string's bytes, a small collection, or a pointer to a
large one (see types.pxd). The memory of a node is the exact sum of these blocks and of the tables (heap.pxd); the
buffers of clients are bounded apart and are not in it, so that a client with a large backlog does not cost other
clients their data.

A Place names an entry and its slot in the table. Whatever makes the value longer may move the entry, and corrects the
place; a place without a bucket is that of an entry which is being built and is in no table yet.
"""

from libc.stdint cimport int64_t, uint64_t

from storenode.hash cimport hash_bytes
from storenode.types cimport Call, Database, Entry, Node, Place, Slice

cdef enum:
    EMBSTR_MOST = 44           # bytes up to which Redis calls a string embstr

cdef enum Lookup:
    ABSENT = 0
    PRESENT = 1
    MISTYPED = 2               # of another type, and answered so

cdef bint key_read(Call* call, const Slice* key, Place* place) noexcept nogil
cdef bint key_peek(Database* database, const Slice* key, Place* place) noexcept nogil
cdef bint key_write(Call* call, const Slice* key, Place* place) noexcept nogil
cdef int key_read_as(Call* call, const Slice* key, int type, Place* place) noexcept nogil
cdef int key_write_as(Call* call, const Slice* key, int type, Place* place) noexcept nogil
cdef void key_remove(Database* database, Place* place, int event) noexcept nogil
cdef void key_remove_lazily(Database* database, Place* place, int event) noexcept nogil
cdef void key_expire(Database* database, Place* place, int64_t expire_ms) noexcept nogil
cdef void key_rename(Database* database, Place* place, Database* target, const Slice* key) noexcept nogil
cdef void key_create(Database* database, const Slice* key, Place* place, int type, int encoding) noexcept nogil
cdef void key_adopt(Database* database, Place* built) noexcept nogil
cdef void entry_build(Node* node, const Slice* key, Place* place, int type, int encoding) noexcept nogil
cdef void entry_discard(Node* node, Place* built) noexcept nogil
cdef bint type_is(Call* call, const Entry* entry, int type) noexcept nogil
cdef void value_set(Database* database, const Slice* key, Place* place, const Slice* value, int encoding) noexcept nogil
cdef char* value_resize(Database* database, Place* place, size_t length, bint ahead) noexcept nogil
cdef char* value_splice(Node* node, Place* place, size_t at, size_t removed, size_t added) noexcept nogil
cdef void value_point(Node* node, Place* place, int encoding, void* structure) noexcept nogil
cdef int value_encoding(const Slice* value) noexcept nogil
cdef void database_clear(Database* database, bint lazily) noexcept nogil


cdef inline uint64_t key_hash(const Database* database, const Slice* key) noexcept nogil:
    return hash_bytes(key.data, key.length, database.node.seed)
