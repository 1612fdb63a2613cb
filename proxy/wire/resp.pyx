# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""RESP requests: framing, the texts of protocol errors, and decimal numbers. See resp.pxd.

The grammar and its strictness are those of redis-server 7: numbers without plus sign or leading zero, a line ends at
its first CR, the byte behind it is taken to be LF, and the two bytes behind a bulk string are not looked at. Where such
slack is used the request is marked as not canonical and is rewritten before it reaches a shared connection. A NUL in a
line hides its end, so that such a line never ends and breaks at LINE_LIMIT: there too Redis is followed.
"""

from libc.string cimport memchr, memcpy, strlen

cdef enum:
    INT_MAX_ = 2147483647
    UNTRUSTED_ARGS = 10
    UNTRUSTED_BULK = 16384


cdef inline int broken(Frame* frame, int error) noexcept nogil:
    frame.error = error
    return BROKEN


cdef inline int more(Frame* frame, size_t scanned, size_t need) noexcept nogil:
    frame.scanned = scanned
    frame.need = need
    return MORE


cdef inline const char* line_end(const char* line, size_t length, char stop) noexcept nogil:
    """The first `stop` in `length` bytes, NULL if there is none or a NUL comes before it."""
    cdef const char* end = <const char*> memchr(line, stop, length)
    if end != NULL and memchr(line, 0, end - line) != NULL:
        return NULL
    return end


cdef int read_line(Frame* frame, size_t at, size_t length, int too_long, int invalid,
                   long long* value, size_t* after) noexcept nogil:
    """The number in the line that starts at `at` (its first byte is the kind): the careful path.

    Reached for lines that are split between two reads, that are malformed, or whose CR has no LF behind it. A line is
    searched from its start again at every read; LINE_LIMIT keeps that below the cost of the read itself.
    """
    cdef const char* line = frame.data + at
    cdef const char* end = line_end(line, length - at, c'\r')
    if end == NULL or end - line > LINE_LIMIT:
        if length - at > LINE_LIMIT:
            return broken(frame, too_long)
        return more(frame, at, length + 1)
    if end + 1 == frame.data + length:
        return more(frame, at, length + 1)
    if end[1] != c'\n':
        frame.canonical = False
    if too_long == LONG_BULK_LINE and line[0] != c'$':
        frame.culprit = line[0]
        return broken(frame, EXPECTED_DOLLAR)
    if not read_number(line + 1, end - line - 1, value):
        return broken(frame, invalid)
    after[0] = (end - frame.data) + 2
    return FRAMED


cdef int frame_inline(Frame* frame, size_t length) noexcept nogil:
    """A command typed by hand: everything up to the next LF."""
    cdef const char* at = frame.data + frame.scanned
    cdef const char* end = line_end(at, length - frame.scanned, c'\n')
    if end == NULL or end - frame.data > LINE_LIMIT:
        if length > LINE_LIMIT:
            return broken(frame, LONG_INLINE)
        end = <const char*> memchr(at, 0, length - frame.scanned)
        return more(frame, length if end == NULL else <size_t> (end - frame.data), length + 1)
    frame.length = (end - frame.data) + 1
    frame.canonical = False
    frame.inline_form = True
    frame.argc = 0
    return FRAMED


cdef int frame_request(Frame* frame, const char* data, size_t length, const FrameLimits* limits) noexcept nogil:
    """Frame the request that starts at `data`, of which `length` bytes are here.

    Returns a FrameStatus. After FRAMED, `frame.length` bytes belong to the request and the caller resets the frame
    before the next one. `*0\\r\\n` and an empty line are FRAMED with argc 0: nothing is answered to them.
    """
    cdef long long value = 0
    cdef size_t at, body, digits
    cdef unsigned int index
    cdef int status
    frame.data = data
    at = frame.scanned
    if at == 0:
        if length == 0:
            return more(frame, 0, 1)
        frame.canonical = True
        frame.inline_form = False
        frame.argc = 0
        frame.left = 0
        if data[0] != c'*':
            return frame_inline(frame, length)
        if length >= 4 and data[2] == c'\r' and data[3] == c'\n' and c'1' <= data[1] <= c'9':
            value = data[1] - c'0'
            at = 4
        else:
            status = read_line(frame, 0, length, LONG_MULTIBULK_LINE, BAD_MULTIBULK_LENGTH, &value, &at)
            if status == MORE:
                frame.scanned = 0
            if status != FRAMED:
                return status
            if value > INT_MAX_:
                return broken(frame, BAD_MULTIBULK_LENGTH)
        if value > UNTRUSTED_ARGS and not limits.trusted:
            return broken(frame, UNAUTHENTICATED_MULTIBULK)
        if value <= 0:
            frame.length = at
            return FRAMED
        frame.argc = <unsigned int> value
        frame.left = frame.argc
        frame.first = <unsigned int> at
    elif data[0] != c'*':
        return frame_inline(frame, length)

    while frame.left:
        # The common case by hand: '$', up to nine digits, CRLF, all of it here.
        body = at + 1
        value = 0
        if body < length and data[at] == c'$':
            while body < length and c'0' <= data[body] <= c'9':
                value = value * 10 + (data[body] - c'0')
                body += 1
                if body - at > 10:
                    break
        digits = body - at - 1
        if (digits and digits < 10 and (data[at + 1] != c'0' or digits == 1) and body + 1 < length
                and data[body] == c'\r' and data[body + 1] == c'\n'):
            body += 2
        else:
            if at >= length:
                return more(frame, at, at + 1)
            status = read_line(frame, at, length, LONG_BULK_LINE, BAD_BULK_LENGTH, &value, &body)
            if status != FRAMED:
                return status
        if value < 0 or <unsigned long long> value > limits.max_bulk:
            return broken(frame, BAD_BULK_LENGTH)
        if value > UNTRUSTED_BULK and not limits.trusted:
            return broken(frame, UNAUTHENTICATED_BULK)
        if length - body < <size_t> value + 2:
            return more(frame, at, body + <size_t> value + 2)
        index = frame.argc - frame.left
        if index < ARGS_KEPT:
            frame.args[index].offset = <unsigned int> body
            frame.args[index].length = <unsigned int> value
        at = body + <size_t> value
        if data[at] != c'\r' or data[at + 1] != c'\n':
            frame.canonical = False
        at += 2
        frame.left -= 1
    frame.length = at
    return FRAMED


cdef int protocol_error(const Frame* frame, char* text) noexcept nogil:
    """Write redis-server's words for `frame.error` to `text` (128 bytes) as an error reply; returns its length."""
    cdef const char* words
    cdef int length
    if frame.error == BAD_MULTIBULK_LENGTH:
        words = b"invalid multibulk length"
    elif frame.error == BAD_BULK_LENGTH:
        words = b"invalid bulk length"
    elif frame.error == EXPECTED_DOLLAR:
        words = b"expected '$', got '?'"
    elif frame.error == LONG_INLINE:
        words = b"too big inline request"
    elif frame.error == LONG_MULTIBULK_LINE:
        words = b"too big mbulk count string"
    elif frame.error == LONG_BULK_LINE:
        words = b"too big bulk count string"
    elif frame.error == UNBALANCED_QUOTES:
        words = b"unbalanced quotes in request"
    elif frame.error == UNAUTHENTICATED_MULTIBULK:
        words = b"unauthenticated multibulk length"
    else:
        words = b"unauthenticated bulk length"
    memcpy(text, b"-ERR Protocol error: ", 21)
    length = <int> strlen(words)
    memcpy(text + 21, words, length)
    if frame.error == EXPECTED_DOLLAR:
        # A CR or LF here would end the error line early.
        text[21 + 19] = frame.culprit if frame.culprit != c'\r' and frame.culprit != c'\n' else c' '
    length += 21
    memcpy(text + length, b"\r\n", 2)
    return length + 2


cdef bint read_number(const char* text, size_t length, long long* value) noexcept nogil:
    """Parse a signed 64-bit decimal as strictly as Redis does: no '+', no leading zero, no blank, no overflow."""
    cdef unsigned long long total = 0
    cdef bint negative = False
    cdef size_t index = 0
    cdef int digit
    if length == 0 or length > 20:
        return False
    if length == 1 and text[0] == c'0':
        value[0] = 0
        return True
    if text[0] == c'-':
        negative = True
        index = 1
        if length == 1:
            return False
    if not c'1' <= text[index] <= c'9':
        return False
    while index < length:
        digit = text[index] - c'0'
        if digit < 0 or digit > 9:
            return False
        if total > (18446744073709551615ULL - <unsigned int> digit) // 10:
            return False
        total = total * 10 + <unsigned int> digit
        index += 1
    if negative:
        if total > 9223372036854775808ULL:
            return False
        value[0] = <long long> (0 - total)
    else:
        if total > 9223372036854775807ULL:
            return False
        value[0] = <long long> total
    return True


cdef int write_number(char* at, long long value) noexcept nogil:
    """Write `value` in decimal and CRLF (at most 22 bytes); returns how many bytes that took."""
    cdef char digits[24]
    cdef int count = 0
    cdef int written = 0
    cdef unsigned long long rest = <unsigned long long> value
    if value < 0:
        at[0] = c'-'
        written = 1
        rest = 0 - rest
    while True:
        digits[count] = <char> (c'0' + rest % 10)
        count += 1
        rest //= 10
        if rest == 0:
            break
    while count:
        count -= 1
        at[written] = digits[count]
        written += 1
    at[written] = c'\r'
    at[written + 1] = c'\n'
    return written + 2
