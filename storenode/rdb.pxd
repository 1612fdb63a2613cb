# cython: language_level=3
"""Rdb: a value as bytes in Redis's dump format, written and read.

Written are the plain forms (a string; a count and strings), which every Redis since 2.6 reads. Read are those, and what
redis-server 7 writes itself: LZF, intset, listpack, lists of listpacks. Ziplists, streams and modules are refused.
"""

from libc.stdint cimport uint8_t, uint64_t
from libc.stdlib cimport free

from storenode.text cimport Text
from storenode.types cimport Entry, Node, Place, Slice

cdef enum:
    RDB_VERSION = 10           # what redis-server 7.0 writes
    RDB_VERSION_MOST = 11      # what 7.2 writes; read as well
    DRAIN_FROM = 64 << 10      # bytes of a Text from which on it is drained

ctypedef void (*Drain)(void* context, Text* text) noexcept nogil    # takes what is there and sets text.length to 0

cdef enum ValueStatus:
    VALUE_WHOLE = 0
    VALUE_CUT = 1              # an element is cut off: go on with more bytes
    VALUE_BROKEN = 2

cdef struct Reader:
    const uint8_t* at
    const uint8_t* end
    size_t lack                # bytes missing behind the end, at least; 0: whatever failed was broken

cdef struct Loose:             # a string that was read; it may be borrowed, or lie in one of the two others
    Slice text
    char digits[24]
    char* block                # malloc

cdef struct RdbValue:          # a value that is being read
    Place built                # its entry, in no table
    uint64_t left              # elements to come
    int kind                   # Redis's number of the form
    bint counted               # `left` was read

cdef void rdb_write(Text* text, const Entry* entry) noexcept nogil
cdef void rdb_write_key(Text* text, const Entry* entry, Drain drain, void* context) noexcept nogil
cdef void rdb_write_length(Text* text, uint64_t length) noexcept nogil
cdef void rdb_write_string(Text* text, const char* data, size_t length) noexcept nogil
cdef bint rdb_read(Node* node, const Slice* dump, const Slice* key, Place* built) noexcept nogil
cdef bint rdb_begin(Node* node, RdbValue* value, int kind, const Slice* key) noexcept nogil
cdef int rdb_go_on(Node* node, RdbValue* value, Reader* reader) noexcept nogil
cdef bint there(Reader* reader, uint64_t bytes) noexcept nogil
cdef bint take_length(Reader* reader, uint64_t* length, bint* special) noexcept nogil
cdef bint take_string(Reader* reader, Loose* loose) noexcept nogil


cdef inline void drop(Loose* loose) noexcept nogil:
    free(loose.block)
    loose.block = NULL
