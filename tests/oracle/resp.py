"""The naive twins of proxy.wire's framing: RESP requests as redis-server 7 reads them, RESP2 and RESP3 replies.

Both look at everything from its start every time and hold no state, so there is nothing to get wrong in a resume.
"""

import re
from typing import NamedTuple

LINE_LIMIT = 65536
REPLY_LINE_LIMIT = 1 << 20
NUMBER = re.compile(rb"0|-?[1-9][0-9]{0,18}")
BLANK = b" \t\n\v\f\r"
ESCAPES = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"b": b"\b", b"a": b"\a"}


class Incomplete(Exception):
    """The unit needs more bytes."""


class Broken(Exception):
    """The unit can never be completed; the argument is redis-server's text (b"" for a reply)."""


class Framing(NamedTuple):
    items: list
    error: bytes | None
    left: int


def number(text):
    """A strict signed 64-bit decimal, or None."""
    if NUMBER.fullmatch(text) is None or not -(1 << 63) <= int(text) < 1 << 63:
        return None
    return int(text)


# ---- requests


def line_end(data, at, stop, too_long):
    """Where the line that starts at `at` ends; a NUL hides the rest of the buffer, as it does from strchr()."""
    end = data.find(stop, at)
    nul = data.find(b"\0", at)
    if end < 0 or 0 <= nul < end or end - at > LINE_LIMIT:
        if len(data) - at > LINE_LIMIT:
            raise Broken(too_long)
        raise Incomplete
    return end


def split_line(line):
    """The words of an inline command; Broken when its quotes are not balanced."""
    words = []
    at = 0
    while True:
        while at < len(line) and line[at] in BLANK:
            at += 1
        if at == len(line):
            return words
        word = bytearray()
        while at < len(line) and line[at] not in b" \n\r\t":
            quote = line[at : at + 1]
            at += 1
            if quote not in (b'"', b"'"):
                word += quote
                continue
            while line[at : at + 1] != quote:
                if at >= len(line):
                    raise Broken(b"unbalanced quotes in request")
                if quote == b'"' and (match := re.compile(rb"\\x([0-9a-fA-F]{2})").match(line, at)):
                    word.append(int(match[1], 16))
                    at += 4
                elif quote == b'"' and line[at] == ord("\\") and at + 1 < len(line):
                    word += ESCAPES.get(line[at + 1 : at + 2], line[at + 1 : at + 2])
                    at += 2
                elif quote == b"'" and line[at : at + 2] == b"\\'":
                    word += b"'"
                    at += 2
                else:
                    word.append(line[at])
                    at += 1
            at += 1
            if at < len(line) and line[at] not in BLANK:
                raise Broken(b"unbalanced quotes in request")
            break
        words.append(bytes(word))


def frame_request(data, max_bulk, trusted):
    """(arguments, length) of the request at the front of `data`."""
    if not data:
        raise Incomplete
    if data[:1] != b"*":
        end = line_end(data, 0, b"\n", b"too big inline request")
        line = data[:end]
        return split_line(line[:-1] if line.endswith(b"\r") else line), end + 1
    end = line_end(data, 0, b"\r", b"too big mbulk count string")
    if end + 2 > len(data):
        raise Incomplete
    count = number(data[1:end])
    if count is None or count > 2147483647:
        raise Broken(b"invalid multibulk length")
    if count > 10 and not trusted:
        raise Broken(b"unauthenticated multibulk length")
    at = end + 2
    arguments = []
    while len(arguments) < count:
        end = line_end(data, at, b"\r", b"too big bulk count string")
        if end + 2 > len(data):
            raise Incomplete
        if data[at : at + 1] != b"$":
            raise Broken(b"expected '$', got '%s'" % data[at : at + 1].replace(b"\r", b" ").replace(b"\n", b" "))
        size = number(data[at + 1 : end])
        if size is None or not 0 <= size <= max_bulk:
            raise Broken(b"invalid bulk length")
        if size > 16384 and not trusted:
            raise Broken(b"unauthenticated bulk length")
        if end + 2 + size + 2 > len(data):
            raise Incomplete
        arguments.append(data[end + 2 : end + 2 + size])
        at = end + 2 + size + 2
    return arguments, at


def frame_requests(data, max_bulk=512 << 20, trusted=True):
    """All requests in `data`, the error reply that ends them or None, and the bytes left over."""
    items = []
    try:
        while True:
            arguments, length = frame_request(data, max_bulk, trusted)
            items.append(arguments)
            data = data[length:]
    except Incomplete:
        return Framing(items, None, len(data))
    except Broken as error:
        return Framing(items, b"-ERR Protocol error: " + error.args[0] + b"\r\n", len(data))


# ---- replies


def skip_value(data, at, limit):
    """Where the value that starts at `at` ends."""
    end = data.find(b"\r", at)
    if end < 0 or end + 1 == len(data):
        if len(data) - at > REPLY_LINE_LIMIT:
            raise Broken
        raise Incomplete
    if data[end + 1 : end + 2] != b"\n" or end - at >= REPLY_LINE_LIMIT:
        raise Broken
    kind, text = data[at : at + 1], data[at + 1 : end]
    at = end + 2
    if kind in b"+-:_,#(":
        return at
    if kind not in b"$!=*~>%|":
        raise Broken
    count = number(text)
    if count is None or count < -1:
        raise Broken
    if kind in b"$!=":
        if count > limit:
            raise Broken
        if count < 0:
            return at
        if at + count + 2 > len(data):
            raise Incomplete
        if data[at + count : at + count + 2] != b"\r\n":
            raise Broken
        return at + count + 2
    if count > 2147483647:
        raise Broken
    for _ in range(max(count, 0) * (2 if kind in b"%|" else 1)):
        at = skip_value(data, at, limit)
    return skip_value(data, at, limit) if kind == b"|" else at


def frame_replies(data, limit=512 << 20):
    """All replies in `data`, b"malformed reply" or None, and the bytes left over."""
    items = []
    try:
        while data:
            length = skip_value(data, 0, limit)
            items.append(data[:length])
            data = data[length:]
    except Incomplete:
        pass
    except Broken:
        return Framing(items, b"malformed reply", len(data))
    return Framing(items, None, len(data))
