# cython: language_level=3
"""Rdb file: a whole snapshot in Redis's format, read into the keyspace bit by bit as its bytes arrive.

    REDIS0010 ── aux, select, sizes, [expiry] [idle] type key value … ── 255 ── CRC-64

Used for a file at the start and for what a primary sends: neither has to be in memory. A large collection is built
element by element, so what has to be kept between two calls is the beginning of one string at most. Every length is
checked against what is there, every byte is part of the checksum, and a key may occur only once.
"""

from libc.stdint cimport int64_t, uint32_t, uint64_t

from storenode.rdb cimport RdbValue
from storenode.types cimport Database, Node

cdef enum LoadStatus:
    LOAD_MORE = 0              # all that is whole was taken: come back with what is left and more
    LOAD_DONE = 1              # the end was reached; what follows it was not touched
    LOAD_BROKEN = 2            # `problem` says why

cdef struct RdbLoad:
    Node* node
    Database* database         # of the keys that follow
    RdbValue value             # being read
    bint building              # value.built is an entry in no table
    bint begun                 # the header was read
    bint keep_expired          # keys that are past their expiry stay: a primary will say when they go
    int version
    int64_t expire_ms          # of the next key; 0: never
    uint32_t idle_ticks        # since the next key was used; 0: not said
    uint32_t frequency         # of its use, 1 to 255; 0: not said
    uint64_t checksum          # of all bytes taken
    uint64_t taken             # bytes
    uint64_t keys              # that were put into the keyspace
    uint64_t expired           # that were left out
    int stream_database        # of the field repl-stream-db; -1: there is none
    const char* problem        # of LOAD_BROKEN

cdef void load_begin(RdbLoad* load, Node* node, bint keep_expired) noexcept nogil
cdef int load_feed(RdbLoad* load, const char* data, size_t length, size_t* used, size_t* need) noexcept nogil
cdef void load_end(RdbLoad* load) noexcept nogil
