# cython: language_level=3
"""Replay: the commands of a log, run again on the keyspace.

A file that ends in the middle of a command, or between MULTI and EXEC, has a torn tail: a crash cut it there. Where it
ends like that but whole commands follow further on, and where anything else is not what a log has, it is damaged.
Keys do not expire meanwhile: what the log says of them was said while they were there.
"""

from storenode.types cimport Node

ctypedef bint (*Pause)(Node* node) noexcept nogil     # called now and then; False: give up

cdef enum ReplayStatus:
    REPLAYED = 0
    TORN = 1
    DAMAGED = 2                # `problem` says how
    STOPPED = 3                # by the pause

cdef struct Replay:
    const char* data
    size_t length
    size_t at                  # bytes that are done with
    int database               # selected
    char problem[256]

cdef int replay(Node* node, Replay* play, Pause pause) noexcept nogil
