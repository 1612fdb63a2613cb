"""RESP writer for what the control plane answers: Python values to bytes, in RESP2 or RESP3.

Replies of nodes never pass here; this is for tables, statistics and errors of the proxy itself, where a Python object
per element is no concern.

    Python                  RESP3           RESP2
    None                    null            null bulk
    bool                    boolean         integer 1 or 0
    int                     integer         integer
    float                   double          bulk
    str (UTF-8), bytes      bulk            bulk
    Simple, Error           simple, error   simple, error
    Verbatim                verbatim        bulk
    list, tuple             array           array
    Set, set, frozenset     set             array
    dict                    map             array of keys and values in turn
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

__all__ = ["Error", "Set", "Simple", "Verbatim", "encode"]


class Simple(str):
    """A simple string; one line."""

    __slots__ = ()


class Error(str):
    """An error reply; one line, its code first."""

    __slots__ = ()


class Set(tuple[Any, ...]):
    """A set whose elements keep their order and need not be hashable."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Verbatim:
    """Text with a format of three letters, ``txt`` or ``mkd``, to be shown as it is."""

    text: str
    format: str = "txt"


def encode(value: object, protocol: int) -> bytes:
    """The reply for ``value``; ``protocol`` is 2 or 3.

    Raises:
        TypeError: for a value outside the table above.
        ValueError: for an integer beyond 64 bits, or a simple string or error that holds CR or LF.
    """
    out: list[bytes] = []
    _write(value, protocol >= 3, out)
    return b"".join(out)


def _write(value: object, resp3: bool, out: list[bytes]) -> None:
    match value:
        case None:
            out.append(b"_\r\n" if resp3 else b"$-1\r\n")
        case bool():
            out.append((b"#t\r\n" if value else b"#f\r\n") if resp3 else b":%d\r\n" % value)
        case int():
            if not -(1 << 63) <= value < 1 << 63:
                raise ValueError(f"{value} does not fit a RESP integer")
            out.append(b":%d\r\n" % value)
        case float():
            text = _float(value)
            out.append(b",%s\r\n" % text if resp3 else _bulk(text))
        case Simple():
            out.append(b"+%s\r\n" % _line(value))
        case Error():
            out.append(b"-%s\r\n" % _line(value))
        case str():
            out.append(_bulk(value.encode()))
        case bytes():
            out.append(_bulk(value))
        case Verbatim():
            data = value.text.encode()
            out.append(b"=%d\r\n%b:%b\r\n" % (len(data) + 4, value.format.encode(), data) if resp3 else _bulk(data))
        case Set() | set() | frozenset():
            out.append((b"~%d\r\n" if resp3 else b"*%d\r\n") % len(value))
            for element in value:
                _write(element, resp3, out)
        case list() | tuple():
            out.append(b"*%d\r\n" % len(value))
            for element in value:
                _write(element, resp3, out)
        case dict():
            out.append(b"%%%d\r\n" % len(value) if resp3 else b"*%d\r\n" % (2 * len(value)))
            for key, element in value.items():
                _write(key, resp3, out)
                _write(element, resp3, out)
        case _:
            raise TypeError(f"no RESP type for {type(value).__name__}")


def _bulk(data: bytes) -> bytes:
    return b"$%d\r\n%b\r\n" % (len(data), data)


def _line(text: str) -> bytes:
    if "\r" in text or "\n" in text:
        raise ValueError("a simple string or error is one line")
    return text.encode()


def _float(value: float) -> bytes:
    if math.isnan(value):
        return b"nan"
    if math.isinf(value):
        return b"inf" if value > 0 else b"-inf"
    return b"%d" % int(value) if value.is_integer() and abs(value) < 1e17 else repr(value).encode()
