"""Units: durations and sizes as people write them in a configuration file, and back.

Owns the spelling and nothing else: `400ms`, `30s`, `5m`, `1h`, `64mb`, `1gb`. In memory a duration is a float in
seconds (a whole number of microseconds) and a size is an int in bytes. Every value that `parse_*` accepts comes back
from `format_*` in its shortest exact spelling, so that a printed configuration can be loaded again.

A unit is never guessed: twemproxy's `timeout: 400` means milliseconds, Redis's `timeout 400` seconds, and a proxy
that guesses wrong fails at three in the morning. A bare number is refused with the likely spelling.
"""

import re
from decimal import Decimal

MICROSECONDS = {"us": 1, "ms": 1_000, "s": 1_000_000, "m": 60_000_000, "h": 3_600_000_000, "d": 86_400_000_000}
BYTES = {"b": 1, "kb": 1 << 10, "mb": 1 << 20, "gb": 1 << 30}

# What the data plane can count in: ten years, and a petabyte.
LONGEST = 3650 * 86_400.0
LARGEST = 1 << 50

_QUANTITY = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,6})?) ?([a-z]*)", re.ASCII)
# A bare number up to here is read as seconds in the advice, above as milliseconds: nobody waits 400 s for a cache.
_LIKELY_SECONDS = 60


def parse_duration(text: str) -> float:
    """Seconds in `text` (`400ms`, `1.5s`, `2h`); the resolution is one microsecond. Raises ValueError with advice."""
    number, unit = _split(text, "a duration like 400ms or 30s")
    if not unit:
        unit = "s" if Decimal(number) <= _LIKELY_SECONDS else "ms"
        raise ValueError(f"a duration needs its unit; did you mean {number}{unit}?")
    if unit not in MICROSECONDS:
        raise ValueError(f"'{unit}' is not a unit of time; use one of {' '.join(MICROSECONDS)}")
    exact = Decimal(number) * MICROSECONDS[unit]
    if exact != int(exact):
        raise ValueError(f"'{text}' is finer than one microsecond; round it")
    if exact > LONGEST * 1_000_000:
        raise ValueError(f"'{text}' is more than {format_duration(LONGEST)}; shorten it")
    return int(exact) / 1_000_000


def format_duration(seconds: float) -> str:
    """The shortest exact spelling of `seconds`: `parse_duration(format_duration(x)) == x`."""
    return _shortest(round(seconds * 1_000_000), MICROSECONDS, zero="0s")


def parse_size(text: str) -> int:
    """Bytes in `text` (`64mb`, `1.5gb`, `512b`), in powers of 1024 as Redis counts. Raises ValueError with advice."""
    number, unit = _split(text, "a size like 256kb or 64mb")
    if not unit:
        unit = "mb" if Decimal(number) < 1024 else "b"
        raise ValueError(f"a size needs its unit; did you mean {number}{unit}?")
    if unit not in BYTES:
        raise ValueError(f"'{unit}' is not a unit of size; use one of {' '.join(BYTES)} (powers of 1024)")
    exact = Decimal(number) * BYTES[unit]
    if exact != int(exact):
        raise ValueError(f"'{text}' is not a whole number of bytes; round it")
    if exact > LARGEST:
        raise ValueError(f"'{text}' is more than {format_size(LARGEST)}; reduce it")
    return int(exact)


def format_size(size: int) -> str:
    """The shortest exact spelling of `size` bytes: `parse_size(format_size(x)) == x`."""
    return _shortest(size, BYTES, zero="0b")


def _split(text: str, expected: str) -> tuple[str, str]:
    match = _QUANTITY.fullmatch(text.strip().lower())
    if not match:
        raise ValueError(f"expected {expected}, got '{text}'")
    return match[1], match[2]


def _shortest(amount: int, units: dict[str, int], zero: str) -> str:
    if not amount:
        return zero
    unit = max((name for name in units if amount % units[name] == 0), key=units.__getitem__)
    return f"{amount // units[unit]}{unit}"
