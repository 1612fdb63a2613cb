# cython: language_level=3
"""Glob: the patterns of KEYS, SCAN MATCH and CONFIG GET, over slices; see proxy/wire/glob.pyx."""

from proxy.wire.glob cimport glob_match as glob_bytes
from storenode.types cimport Slice


cdef inline bint glob_match(const Slice* pattern, const Slice* text, bint any_case) noexcept nogil:
    return glob_bytes(pattern.data, pattern.length, text.data, text.length, any_case)
