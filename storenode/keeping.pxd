# cython: language_level=3
"""Keeping: the parameters of CONFIG that say what is kept on disk, where, and how surely."""

from storenode.types cimport Node, Slice

cdef enum Kept:                # which parameter; config.pyx has their names
    KEPT_DIR = 0
    KEPT_SNAPSHOT = 1          # dbfilename
    KEPT_SAVE = 2
    KEPT_LOG = 3               # appendonly
    KEPT_SYNC = 4              # appendfsync
    KEPT_LOG_NAME = 5          # appendfilename
    KEPT_LOG_FOLDER = 6        # appenddirname

cdef enum:
    KEPT_ROOM = 2048           # bytes of a value as text

cdef void keeping_open(Node* node) noexcept nogil
cdef void keeping_show(const Node* node, int which, char* text) noexcept nogil
cdef const char* keeping_apply(Node* node, int which, const Slice* value, bint really) noexcept nogil
