# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Rewrite: the rare requests that may not be forwarded byte for byte. See rewrite.pxd.

Inline commands follow redis-server's quoting: "…" with \\n \\r \\t \\a \\b \\xHH, '…' with \\' only; a closing quote must
be followed by a blank or the end. A vertical tab or form feed is a blank between words but not at the end of one.
"""

from libc.string cimport memchr

from proxy.wire.chunk cimport ChunkPool
from proxy.wire.output cimport Output, output_bulk, output_clear, output_number, output_room
from proxy.wire.resp cimport BROKEN, FRAMED, UNBALANCED_QUOTES, Frame, read_number


cdef int rewrite_request(Frame* frame, Output* target, ChunkPool* pool) noexcept nogil:
    """Append the canonical form of a complete request to the empty `target`; nothing for an empty request.

    Returns FRAMED, or BROKEN with frame.error set. The result is one contiguous chunk: it is never larger than the
    room reserved for it at the start.
    """
    if frame.inline_form:
        return rewrite_line(frame, target, pool)
    return rewrite_array(frame, target, pool)


cdef int rewrite_array(Frame* frame, Output* target, ChunkPool* pool) noexcept nogil:
    cdef const char* at = frame.data + frame.first
    cdef const char* end
    cdef long long length = 0
    cdef unsigned int index
    if frame.argc == 0:
        return FRAMED
    output_room(target, pool, frame.length + 64)
    output_number(target, pool, c'*', frame.argc)
    for index in range(frame.argc):
        end = <const char*> memchr(at, c'\r', frame.data + frame.length - at)
        read_number(at + 1, end - at - 1, &length)
        output_bulk(target, pool, end + 2, <size_t> length)
        at = end + 2 + length + 2
    return FRAMED


cdef inline bint blank(char byte) noexcept nogil:
    return byte == c' ' or c'\t' <= byte <= c'\r'


cdef inline int hexadecimal(char byte) noexcept nogil:
    if c'0' <= byte <= c'9':
        return byte - c'0'
    if c'a' <= byte <= c'f':
        return byte - c'a' + 10
    if c'A' <= byte <= c'F':
        return byte - c'A' + 10
    return -1


cdef int next_word(const char** place, const char* end, char* word, size_t* length) noexcept nogil:
    """Read one word into `word` (room for the rest of the line). 1: a word, 0: the line is over, -1: quotes wrong."""
    cdef const char* at = place[0]
    cdef size_t size = 0
    cdef char byte
    cdef char quote = 0
    while at < end and blank(at[0]):
        at += 1
    if at == end:
        return 0
    while at < end:
        byte = at[0]
        if quote:
            if byte == c'\\' and quote == c'"' and end - at >= 4 and at[1] == c'x' \
                    and hexadecimal(at[2]) >= 0 and hexadecimal(at[3]) >= 0:
                byte = <char> (hexadecimal(at[2]) * 16 + hexadecimal(at[3]))
                at += 3
            elif byte == c'\\' and quote == c'"' and end - at >= 2:
                at += 1
                byte = at[0]
                if byte == c'n':
                    byte = c'\n'
                elif byte == c'r':
                    byte = c'\r'
                elif byte == c't':
                    byte = c'\t'
                elif byte == c'b':
                    byte = 8
                elif byte == c'a':
                    byte = 7
            elif byte == c'\\' and quote == c'\'' and end - at >= 2 and at[1] == c'\'':
                at += 1
                byte = c'\''
            elif byte == quote:
                at += 1
                if at < end and not blank(at[0]):
                    return -1
                quote = 0
                break
            word[size] = byte
            size += 1
        elif blank(byte) and byte != c'\v' and byte != c'\f':
            break
        elif byte == c'"' or byte == c'\'':
            quote = byte
        else:
            word[size] = byte
            size += 1
        at += 1
    if quote:
        return -1
    place[0] = at
    length[0] = size
    return 1


cdef int rewrite_line(Frame* frame, Output* target, ChunkPool* pool) noexcept nogil:
    cdef const char* start = frame.data
    cdef const char* end = frame.data + frame.length - 1
    cdef const char* at
    cdef char* word
    cdef size_t length = 0
    cdef int found
    cdef unsigned int argc = 0
    if end > start and (end - 1)[0] == c'\r':
        end -= 1
    # Words are unpacked behind the array being built; a word of one byte becomes eight: "$1\r\nx\r\n" and a blank less.
    word = output_room(target, pool, (end - start) * 9 + 64) + (end - start) * 8 + 64
    at = start
    while True:
        found = next_word(&at, end, word, &length)
        if found < 0:
            frame.error = UNBALANCED_QUOTES
            output_clear(target, pool)
            return BROKEN
        if found == 0:
            break
        argc += 1
    if argc == 0:
        output_clear(target, pool)
        return FRAMED
    output_number(target, pool, c'*', argc)
    at = start
    while next_word(&at, end, word, &length) == 1:
        output_bulk(target, pool, word, length)
    return FRAMED
