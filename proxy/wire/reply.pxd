# cython: language_level=3
"""RESP replies: find the end of one reply, of any RESP2 or RESP3 type, nested as deep as it likes.

No stack and no recursion: one counter of values still to come is enough, because a reply is only skipped here and
handed on byte for byte.
"""

cdef struct ReplyFrame:
    size_t scanned             # bytes of this reply already skipped
    size_t need                # after MORE: bytes that must be there before another try can succeed
    unsigned long long left    # values still to come; 0 with scanned 0: at a fresh reply


cdef int frame_reply_slow(ReplyFrame* frame, const char* data, size_t length, size_t limit) noexcept nogil


cdef inline void reply_reset(ReplyFrame* frame) noexcept nogil:
    frame.scanned = 0
    frame.left = 0


cdef inline int frame_reply(ReplyFrame* frame, const char* data, size_t length, size_t limit) noexcept nogil:
    """frame_reply_slow() with the short bulk string, the most frequent reply, decided on the spot."""
    cdef size_t at, value
    if frame.scanned == 0 and length > 5 and data[0] == c'$' and c'1' <= data[1] <= c'9':
        value = <size_t> (data[1] - c'0')
        at = 2
        while at < 6 and at < length and c'0' <= data[at] <= c'9':
            value = value * 10 + <size_t> (data[at] - c'0')
            at += 1
        if at + value + 4 <= length and value <= limit:
            if (data[at] == c'\r' and data[at + 1] == c'\n'
                    and data[at + 2 + value] == c'\r' and data[at + 3 + value] == c'\n'):
                frame.scanned = at + value + 4
                return 0
    return frame_reply_slow(frame, data, length, limit)
