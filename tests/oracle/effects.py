"""The naive twin of proxy/engine/effects.pyx: what every node of a key gets for a request."""

from __future__ import annotations

FARTHEST = 10**15


def instant(text: bytes, unit: int, now: int, past: bool) -> bytes | None:
    """`now` (ms) and so many units of `unit` ms; None: the node is to say what is wrong."""
    if not text.lstrip(b"-").isdigit() or text.startswith(b"--") or str(int(text)).encode() != text:
        return None
    value = int(text)
    if abs(value) > FARTHEST // unit or (value <= 0 and not past):
        return None
    return b"%d" % max(now + value * unit, 1)


def effect(args: list[bytes], now: int) -> list[bytes]:
    """The request as the nodes get it, at `now` (ms)."""
    name = args[0].lower()
    if name in (b"expire", b"pexpire"):
        at = instant(args[2], 1000 if name == b"expire" else 1, now, True)
        return args if at is None else [b"PEXPIREAT", args[1], at, *args[3:]]
    if name in (b"setex", b"psetex"):
        at = instant(args[2], 1000 if name == b"setex" else 1, now, False)
        return args if at is None else [b"SET", args[1], args[3], b"PXAT", at]
    if name in (b"set", b"getex"):
        place = 3 if name == b"set" else 2
        while place < len(args):
            word = args[place].lower()
            if word in (b"ex", b"px") and place + 1 < len(args):
                at = instant(args[place + 1], 1000 if word == b"ex" else 1, now, False)
                return args if at is None else [*args[:place], b"PXAT", at, *args[place + 2 :]]
            place += 2 if word in (b"pxat", b"exat", b"ifeq", b"ifne", b"ifdeq", b"ifdne") else 1
    return args
