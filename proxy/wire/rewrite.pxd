# cython: language_level=3
"""Rewrite: turn an inline command, or an array that used Redis's slack, into the canonical array form."""

from proxy.wire.chunk cimport ChunkPool
from proxy.wire.output cimport Output
from proxy.wire.resp cimport Frame

cdef int rewrite_request(Frame* frame, Output* target, ChunkPool* pool) noexcept nogil
