"""What every scenario shares: a line for each step's verdict, and the wish to have a node restarted.

A scenario is a program of its own, run by whatever interpreter holds its client. It prints `ok STEP` or
`failed STEP: why` for each step of `STEPS`, and `restart` where it wants a node killed and started again; the line
`restarted` on its input says that this has been done.
"""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager

MANY = 10_000  # requests of the large pipeline
LARGE = b"0123456789abcdef" * (10 << 16)  # 10 MiB
EVERY_BYTE = bytes(range(256))


@contextmanager
def step(name: str) -> Iterator[None]:
    """Run the block and print its verdict; a failure is told and the scenario goes on."""
    started = time.monotonic()
    try:
        yield
    except Exception as failure:
        cause = failure
        while isinstance(cause, BaseExceptionGroup):
            cause = cause.exceptions[0]
        here = [frame for frame in traceback.extract_tb(cause.__traceback__) if "scenarios" in frame.filename]
        line = here[-1].lineno if here else "?"
        print(f"failed {name}: line {line}: {type(cause).__name__}: {str(cause)[:300]}", flush=True)
    else:
        print(f"ok {name} ({time.monotonic() - started:.2f} s)", flush=True)


def restart() -> None:
    """Have a node killed and started again."""
    print("restart", flush=True)
    answer = sys.stdin.readline().strip()
    assert answer == "restarted", answer


def until(condition: Callable[[], object], within: float = 10.0) -> None:
    """Call `condition` until it is true and raises nothing; what it raised last is raised when time is over."""
    deadline = time.monotonic() + within
    while True:
        try:
            if condition():
                return
            last: Exception = AssertionError("it did not come true")
        except Exception as failure:
            last = failure
        if time.monotonic() > deadline:
            raise last
        time.sleep(0.05)
