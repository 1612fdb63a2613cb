# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Text: appending. See text.pxd."""

from libc.stdio cimport fprintf, snprintf, stderr
from libc.stdlib cimport abort, realloc
from libc.string cimport memcpy, strlen


cdef char* text_room(Text* text, size_t length) noexcept nogil:
    """Where the next `length` bytes go; the caller adds what it wrote to text.length."""
    if text.room - text.length < length:
        text.room = text.room * 2 + length
        text.data = <char*> realloc(text.data, text.room)
        if text.data == NULL:
            fprintf(stderr, "quench: out of memory building a report of %zu bytes\n", text.room)
            abort()
    return text.data + text.length


cdef void text_bytes(Text* text, const char* data, size_t length) noexcept nogil:
    memcpy(text_room(text, length), data, length)
    text.length += length


cdef void text_add(Text* text, const char* words) noexcept nogil:
    cdef size_t length = strlen(words)
    memcpy(text_room(text, length), words, length)
    text.length += length


cdef void text_line(Text* text, const char* name, const char* value) noexcept nogil:
    """`name:value` and CRLF."""
    text_add(text, name)
    text_add(text, b":")
    text_add(text, value)
    text_add(text, b"\r\n")


cdef void text_number(Text* text, const char* name, long long value) noexcept nogil:
    cdef char digits[24]
    snprintf(digits, sizeof(digits), b"%lld", value)
    text_line(text, name, digits)


cdef void text_size(Text* text, const char* name, size_t size) noexcept nogil:
    """A size twice, as Redis does: in bytes, and as `<name>_human` with a unit."""
    cdef const char* units = b"KMGT"
    cdef char words[64]
    cdef double value = <double> size
    cdef int unit = -1
    text_number(text, name, <long long> size)
    while value >= 1024 and unit < 3:
        value /= 1024
        unit += 1
    if unit < 0:
        snprintf(words, sizeof(words), b"%zuB", size)
    else:
        snprintf(words, sizeof(words), b"%.2f%c", value, units[unit])
    text_add(text, name)
    text_line(text, b"_human", words)
