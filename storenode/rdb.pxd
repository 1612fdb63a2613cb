# cython: language_level=3
"""Rdb: a value as bytes in Redis's dump format, written and read.

Written are the plain forms (a string; a count and strings), which every Redis since 2.6 reads. Read are those, and what
redis-server 7 writes itself: LZF, intset, listpack, lists of listpacks. Ziplists, streams and modules are refused.
"""

from storenode.text cimport Text
from storenode.types cimport Entry, Node, Place, Slice

cdef enum:
    RDB_VERSION = 10           # what redis-server 7.0 writes
    RDB_VERSION_MOST = 11      # what 7.2 writes; read as well

cdef void rdb_write(Text* text, const Entry* entry) noexcept nogil
cdef bint rdb_read(Node* node, const Slice* dump, const Slice* key, Place* built) noexcept nogil
