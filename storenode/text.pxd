# cython: language_level=3
"""Text: a growing buffer for the reports of INFO and CLIENT LIST, which need their length before their first byte."""

from libc.stdlib cimport free

cdef struct Text:
    char* data                 # malloc; NULL: nothing yet
    size_t length
    size_t room

cdef char* text_room(Text* text, size_t length) noexcept nogil
cdef void text_bytes(Text* text, const char* data, size_t length) noexcept nogil
cdef void text_add(Text* text, const char* words) noexcept nogil
cdef void text_line(Text* text, const char* name, const char* value) noexcept nogil
cdef void text_number(Text* text, const char* name, long long value) noexcept nogil
cdef void text_size(Text* text, const char* name, size_t size) noexcept nogil


cdef inline void text_free(Text* text) noexcept nogil:
    free(text.data)
    text.data = NULL
