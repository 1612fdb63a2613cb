# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""RESP replies: skipping one whole value. See reply.pxd.

Types: + - : $ * of RESP2; _ # , ( = ! % ~ > | of RESP3. An attribute (|) announces pairs that come before the value
proper, so it adds to what is still to come without being a value itself. Streamed strings and aggregates ($?, *?)
are in the RESP3 text but no server sends them; they count as garbage, and so does anything else: a node that breaks
the grammar cannot be followed any more and is cut off by the caller.
"""

from libc.string cimport memchr

from proxy.wire.resp cimport BROKEN, FRAMED, MORE, read_number

cdef enum:
    MOST_VALUES_BITS = 40      # values still to come in one reply, as a power of two: a counter that large is a lie
    MOST_LINE = 1 << 20        # bytes of a line: it is searched again from its start at every read


cdef int frame_reply_slow(ReplyFrame* frame, const char* data, size_t length, size_t limit) noexcept nogil:
    """Skip one reply that starts at `data`, of which `length` bytes are here; `limit` bounds one bulk string.

    Returns a FrameStatus of resp.pxd; after FRAMED `frame.scanned` is the reply's length.
    """
    cdef size_t at = frame.scanned
    cdef const char* end
    cdef long long value
    cdef char kind
    if at == 0:
        frame.left = 1
    while frame.left:
        if at >= length:
            frame.scanned = at
            frame.need = at + 1
            return MORE
        kind = data[at]
        end = <const char*> memchr(data + at, c'\r', length - at)
        if end == NULL or end + 1 == data + length:
            if length - at > MOST_LINE:
                return BROKEN
            frame.scanned = at
            frame.need = length + 1
            return MORE
        if end[1] != c'\n' or end - data - at >= MOST_LINE:
            return BROKEN
        if kind == c'$' or kind == c'!' or kind == c'=':
            if not read_number(data + at + 1, end - data - at - 1, &value) or value < -1:
                return BROKEN
            if value > <long long> limit:
                return BROKEN
            if value >= 0:
                end += 2
                if length - (end - data) < <size_t> value + 2:
                    frame.scanned = at
                    frame.need = (end - data) + <size_t> value + 2
                    return MORE
                end += value
                if end[0] != c'\r' or end[1] != c'\n':
                    return BROKEN
            frame.left -= 1
        elif kind == c'+' or kind == c'-' or kind == c':' or kind == c'_' or kind == c',' or kind == c'#' or kind == c'(':
            frame.left -= 1
        elif kind == c'*' or kind == c'~' or kind == c'>' or kind == c'%' or kind == c'|':
            if not read_number(data + at + 1, end - data - at - 1, &value) or value < -1 or value > 2147483647:
                return BROKEN
            if value < 0:
                value = 0
            if kind == c'%' or kind == c'|':
                value *= 2
            if kind != c'|':
                frame.left -= 1
            frame.left += <unsigned long long> value
            if frame.left >> MOST_VALUES_BITS:
                return BROKEN
        else:
            return BROKEN
        at = (end - data) + 2
    frame.scanned = at
    return FRAMED
