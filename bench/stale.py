"""How old a copy is that another proxy serves: one proxy writes a key, the other one, that has it hot, is read.

One thread writes and reads, so that its clock tells what was before what: after each acknowledged write the other proxy
is asked again and again until it knows. A write was seen late by the time from its acknowledgement to the beginning of
the last read that did not know it, 0 if every read did. The true time may be longer, by less than one read: so the
quantiles are of the time to the beginning of the first read that knew it.
"""

from __future__ import annotations

import random
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

from bench.heat import WARM_UP, Link, Sample
from bench.load import Load, Options
from bench.targets import Running

KEY = b"key:%012d" % 0
SHARE = 0.30
"""Of a core that the proxy which is read has to use."""

CALIBRATIONS = 6
LOST = 10.0
"""Seconds after which a write is said never to be seen."""

PAUSES = (0.002, 0.008)
"""Seconds between two writes, at random: copies have to be there again, and age."""

AFTER = 3
"""Reads that have to know a write once one did."""


def staleness(target: Running, clients: int, depth: int, value_size: int, seconds: float) -> Sample:
    """How late writes were seen, in ms, while the other proxy serves the key to `clients` with SHARE of a core."""
    assert target.other is not None
    other = target.other
    options = Options((("127.0.0.1", target.other_port),), clients=clients, depth=depth, keys=1)
    with (
        Load(options) as load, closing(Link(target.port)) as writer, closing(Link(target.other_port)) as reader,
        ThreadPoolExecutor(1) as pool,
    ):  # fmt: skip
        writer.ask(b"SET", KEY, b"%0*d" % (value_size, 0))
        rate = 50_000.0
        for _ in range(CALIBRATIONS):
            before = other.cpu_ns()
            load.run(seconds=WARM_UP / 2, rate=rate)
            share = (other.cpu_ns() - before) / 1e9 / (WARM_UP / 2)
            rate *= min(1.5, max(0.67, SHARE / share))  # more at once costs less each: no great steps
        before = other.cpu_ns()
        background = pool.submit(load.run, seconds=seconds, rate=rate)
        late, known, wrong = written_and_read(writer, reader, value_size, time.monotonic() + seconds - 0.1)
        result = background.result()
        share = (other.cpu_ns() - before) / 1e9 / seconds
    known.sort()
    return {
        "p50_ms": known[len(known) // 2] * 1000, "p99_ms": known[min(len(known) - 1, len(known) * 99 // 100)] * 1000,
        "highest_ms": max(late) * 1000, "writes": len(late), "late_percent": sum(map(bool, late)) / len(late) * 100,
        "core_percent": share * 100, "rate": result.rate,
        "errors": wrong + result.errors + result.lost + result.nils,
    }  # fmt: skip


def written_and_read(writer: Link, reader: Link, value_size: int, end: float) -> tuple[list[float], list[float], int]:
    """Write and read until `end`. Of each write, seconds from its acknowledgement: to the last read that did not know
    it, 0 if none, and to the first that did, 0 if that was the first of all. And the reads that went back in time."""
    late: list[float] = []
    known: list[float] = []
    wrong = 0
    version = int(writer.ask(b"GET", KEY))
    while not late or time.monotonic() < end:
        version += 1
        writer.ask(b"SET", KEY, b"%0*d" % (value_size, version))
        acknowledged = last = began = time.monotonic()
        while int(reader.ask(b"GET", KEY)) != version:
            last = began
            began = time.monotonic()
            if began - acknowledged > LOST:
                raise OSError(f"a write was not seen by way of another proxy for {LOST:.0f} s")
        late.append(last - acknowledged)
        known.append(began - acknowledged)
        wrong += sum(int(reader.ask(b"GET", KEY)) != version for _ in range(AFTER))
        time.sleep(random.uniform(*PAUSES))
    return late, known, wrong
