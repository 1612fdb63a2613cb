# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Glob: `*`, `?`, `[a-z]`, `[^a]` and `\\x` with the readings that redis-server gives to malformed patterns.

One loop with the place of the last star, no recursion: a star matches greedily little and is stretched by one byte on
each failure, so the cost is at most len(pattern) * len(text), whatever the pattern.
"""


cdef inline char lower(char byte) noexcept nogil:
    return byte + 32 if c'A' <= byte <= c'Z' else byte


cdef bint match_class(const char* pattern, size_t length, size_t* place, char byte, bint any_case) noexcept nogil:
    """Match one byte against the class whose '[' is at `place`; leaves `place` behind it. A class that never ends
    reaches to the end of the pattern."""
    cdef size_t at = place[0] + 1
    cdef bint negated = at < length and pattern[at] == c'^'
    cdef bint found = False
    cdef char first, last, other
    if negated:
        at += 1
    while True:
        if at + 1 < length and pattern[at] == c'\\':
            at += 1
            if pattern[at] == byte:
                found = True
        elif at < length and pattern[at] == c']':
            at += 1
            break
        elif at >= length:
            break
        elif at + 2 < length and pattern[at + 1] == c'-':
            first = pattern[at]
            last = pattern[at + 2]
            other = byte
            if first > last:
                first, last = last, first
            if any_case:
                first = lower(first)
                last = lower(last)
                other = lower(other)
            at += 2
            if first <= other <= last:
                found = True
        elif pattern[at] == byte or (any_case and lower(pattern[at]) == lower(byte)):
            found = True
        at += 1
    place[0] = at
    return found != negated


cdef bint glob_match(const char* pattern, size_t length, const char* text, size_t text_length,
                     bint any_case) noexcept nogil:
    cdef size_t at = 0
    cdef size_t here = 0
    cdef size_t star = 0           # place behind the last star
    cdef size_t starred = 0        # text that this star leaves to the rest of the pattern
    cdef bint stars = False
    cdef bint good
    cdef char byte
    if text_length == 0:
        # In Redis nothing but these two match the empty key: not even "**".
        return length == 0 or (length == 1 and pattern[0] == c'*')
    while True:
        if at < length and pattern[at] == c'*':
            at += 1
            star = at
            starred = here
            stars = True
            continue
        if here == text_length:
            return at == length
        good = False
        if at < length:
            byte = pattern[at]
            if byte == c'?':
                at += 1
                good = True
            elif byte == c'[':
                good = match_class(pattern, length, &at, text[here], any_case)
            else:
                if byte == c'\\' and at + 1 < length:
                    at += 1
                    byte = pattern[at]
                at += 1
                good = byte == text[here] or (any_case and lower(byte) == lower(text[here]))
        if good:
            here += 1
        elif stars:
            starred += 1
            here = starred
            at = star
        else:
            return False
