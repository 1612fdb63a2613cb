# cython: language_level=3
"""Copies: replies to reads of hot keys, kept in this engine.

Owns the Copies of every HotKey, within heat.byte_limit. A copy is never taken away when its key is written: it is found
void when somebody asks for it (copy_holds), because the marks of its key have moved on, its time is up, or the node it
came from no longer tells what was changed.
"""

from libc.stdint cimport uint64_t

from proxy.engine.heat cimport Copy, Fetch, Heat, HotKey
from proxy.engine.types cimport Core
from proxy.wire.resp cimport Frame

cdef Copy* copy_find(HotKey* key, int protocol, int database, const char* request, size_t length) noexcept nogil
cdef void copy_store(Core* core, Fetch* fetch, uint64_t life_us, uint64_t left_us) noexcept nogil
cdef void copies_drop(Heat* heat, HotKey* key) noexcept nogil
cdef void copies_compare(Core* core, HotKey* key, const Fetch* fetch, const char* data, size_t length) noexcept nogil
cdef bint copy_holds(Core* core, Copy* copy, uint64_t marks) noexcept nogil


cdef inline const char* copy_reply(Copy* copy) noexcept nogil:
    return <const char*> (copy + 1) + copy.asked
