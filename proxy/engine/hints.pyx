# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Hints: writing them. See hints.pxd; who reads them is proxy/lanes/mending.py."""

from libc.stdint cimport int64_t, uint32_t
from libc.string cimport memcmp, memcpy, strlen

from proxy.engine.types cimport Core, Node
from proxy.wire.output cimport Output, output_append, output_bulk, output_number
from proxy.wire.resp cimport write_number

cdef const char* PREFIX = b"\0quench:"
cdef const char* HINTS = b"\0quench:hints:"
cdef const char* DOUBTS = b"\0quench:doubts:"


cdef bint hidden_name(const char* key, size_t length) noexcept nogil:
    """Is this a name of our own?"""
    return length >= 8 and key[0] == 0 and memcmp(key, PREFIX, 8) == 0


cdef void hint_write(Core* core, Node* about, bint doubt, const char* keys, uint32_t count, int64_t wall_ms,
                     Output* output) noexcept nogil:
    """Append the ZADD that says that `about` has missed these keys: each a uint32_t length and its bytes."""
    cdef const char* prefix = DOUBTS if doubt else HINTS
    cdef size_t length = 15 if doubt else 14
    cdef size_t label = strlen(about.name)
    cdef char text[32]
    cdef int digits = write_number(text, wall_ms) - 2
    cdef uint32_t index, size
    output_number(output, &core.chunks, c'*', 2 + 2 * <long long> count)
    output_append(output, &core.chunks, b"$4\r\nZADD\r\n", 10)
    output_number(output, &core.chunks, c'$', <long long> (length + label))
    output_append(output, &core.chunks, prefix, length)
    output_append(output, &core.chunks, about.name, label)
    output_append(output, &core.chunks, b"\r\n", 2)
    for index in range(count):
        output_bulk(output, &core.chunks, text, digits)
        memcpy(&size, keys, sizeof(size))
        output_bulk(output, &core.chunks, keys + sizeof(size), size)
        keys += sizeof(size) + size
