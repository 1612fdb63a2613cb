"""LATENCY HISTOGRAM: how long nodes took to answer each command, as counts below powers of two microseconds.

The time is that from a request's queueing to its reply's arrival, so what a client sees but for its own network.
Commands that the proxy answers by itself have none.
"""

from __future__ import annotations

from itertools import accumulate
from typing import Any

from proxy.commands import COMMANDS
from proxy.control.answers.context import AnswerContext
from proxy.control.reply import encode
from proxy.control.statistics import Histogram

__all__ = ["histogram"]


def histogram(args: list[bytes], protocol: int, context: AnswerContext) -> bytes:
    """LATENCY HISTOGRAM [command ...]: a container stands for its subcommands; what was never called is left out."""
    known = context.statistics.latencies
    names = [name for arg in args[2:] for name in _named(arg)] if len(args) > 2 else list(known)
    return encode({name: _described(known[name]) for name in names if name in known}, protocol)


def _named(arg: bytes) -> list[str]:
    name = arg.lower().decode("latin-1")
    row = COMMANDS.get(name)
    return [child.name for child in row.subcommands.values()] if row is not None and row.subcommands else [name]


def _described(found: Histogram) -> dict[str, Any]:
    """The number of calls, and by upper bound in microseconds how many took no longer."""
    below = accumulate(found.buckets)
    counts = {1 << place: total for place, total in enumerate(below) if found.buckets[place]}
    return {"calls": found.count, "histogram_usec": counts}
