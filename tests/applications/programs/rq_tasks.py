"""What the worker of RQ runs."""

from __future__ import annotations

import time


def add(x: int, y: int) -> int:
    return x + y


def broken() -> None:
    raise ValueError("as it was meant to")


def slow(seconds: float) -> str:
    time.sleep(seconds)
    return "woken"
