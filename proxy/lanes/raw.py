"""Raw replies: looking into one, leaving elements out, joining several, without parsing what is passed on. Pure.

A parser for RESP3 makes a dict of a map and a float of a double, and what was a set, verbatim text or a big number
cannot be told afterwards; so replies stay bytes, and only the parts that a merge decides by are parsed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import hiredis

from proxy.errors import QuenchError, ReplyError
from proxy.wire.framer import ReplyFramer

__all__ = ["NodeError", "elements", "integer", "is_copy", "join", "parse", "without_copies"]

#: What the name of a hot key's copy on another node ends with: see fans.pxd of the engine.
_COPY = re.compile(rb"\0#[0-9]{1,5}\Z")


class NodeError(ReplyError):
    """A node's error reply, to be passed on as it is."""

    def __init__(self, raw: bytes) -> None:
        self.code = "node"
        self.text = raw[1:-2].decode("latin-1")
        QuenchError.__init__(self, self.text)


def parse(raw: bytes) -> Any:
    """The reply as Python values: bytes for strings, dict for maps, float for doubles."""
    reader = hiredis.Reader()
    reader.feed(raw)
    return reader.gets()


def integer(raw: bytes) -> int:
    """The value of an integer reply."""
    return int(raw[1:-2])


def _array(raw: bytes) -> tuple[int, int]:
    """How many elements an array (or map, in pairs) has, and where the first begins."""
    end = raw.index(b"\r\n")
    return max(int(raw[1:end]), 0), end + 2


def elements(raw: bytes) -> list[bytes]:
    """The elements of an array, each a whole raw reply."""
    count, start = _array(raw)
    framer = ReplyFramer()
    framer.feed(raw[start:])
    found = [framer.take() for _ in range(count)]
    return [element for element in found if element is not None]


def is_copy(key: bytes) -> bool:
    """Is it the name of a hot key's copy on another node?"""
    return _COPY.search(key) is not None


def without_copies(raw: bytes) -> bytes:
    """An array of keys without those that are names of copies; nearly always it has none, and is returned as it is."""
    if b"\0#" not in raw:
        return raw
    kept = [element for element in elements(raw) if not is_copy(element[:-2])]
    return b"".join([b"*%d\r\n" % len(kept), *kept])


def join(arrays: Sequence[bytes]) -> bytes:
    """One array of the elements of all; copies the bytes once and looks at none of them."""
    counted = [(*_array(raw), raw) for raw in arrays]
    total = sum(count for count, _, _ in counted)
    return b"".join([b"*%d\r\n" % total, *(memoryview(raw)[start:] for _, start, raw in counted)])
