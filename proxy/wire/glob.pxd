# cython: language_level=3
"""Glob: Redis's patterns: those of PSUBSCRIBE, KEYS, SCAN MATCH and CONFIG GET."""

cdef bint glob_match(const char* pattern, size_t length, const char* text, size_t text_length,
                     bint any_case) noexcept nogil
