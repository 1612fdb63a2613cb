"""What a client notices while a storage node writes everything it has to disk: a snapshot, or its log anew.

The same load at the same rate is measured three times in each round: with nothing going on, beside a process that only
counts, and with one snapshot (or rewrite) after the other, so that all of what is measured falls into one. The ratio of
the last p99.9 to the first is the figure; the one in between says how much of it is just that a core is taken.
"""

from __future__ import annotations

import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from bench.hits import Link
from bench.load import Load, Options, prefill
from bench.scenarios import Scenario
from bench.targets import Running

PAUSE = 0.02  # seconds between two questions whether it has ended
BUSY = {b"BGSAVE": b"rdb_bgsave_in_progress", b"BGREWRITEAOF": b"aof_rewrite_in_progress"}


def info(link: Link, section: bytes) -> dict[bytes, bytes]:
    (text,) = link((b"INFO", section))
    return dict(line.split(b":", 1) for line in (text or b"").split(b"\r\n") if b":" in line)


def again_and_again(port: int, command: bytes, stop: threading.Event, done: list[int]) -> None:
    """Begin `command` anew whenever it has ended; at the end wait for the last one."""
    link = Link(port)
    while not stop.is_set():
        link((command,))
        done[0] += 1
        while info(link, b"persistence")[BUSY[command]] == b"1":
            time.sleep(PAUSE)
    link.close()


@contextmanager
def counting() -> Iterator[None]:
    """A process that takes a core, as willing to let others run as one that writes a snapshot."""
    with subprocess.Popen(["nice", "-n", "10", "chrt", "--batch", "0", "sh", "-c", "while :; do :; done"]) as process:
        try:
            yield
        finally:
            process.kill()


def settle(link: Link, command: bytes) -> None:
    while info(link, b"persistence")[BUSY[command]] == b"1":
        time.sleep(PAUSE)


def disturbance(target: Running, scenario: Scenario, seconds: float) -> dict[str, Any]:
    """A round. scenario.fill: `snapshot` or `rewrite`."""
    command = b"BGSAVE" if scenario.fill == "snapshot" else b"BGREWRITEAOF"
    options = Options(
        (("127.0.0.1", target.port),), clients=scenario.clients, depth=scenario.depth, ops=scenario.ops,
        keys=scenario.keys, value_size=scenario.value_size,
    )  # fmt: skip
    link = Link(target.port)
    stop, done = threading.Event(), [0]
    with tempfile.TemporaryDirectory(prefix="quench-bench-", ignore_cleanup_errors=True) as folder:
        if int(link((b"DBSIZE",))[0] or 0) < scenario.keys:
            prefill(("127.0.0.1", target.port), scenario.keys, scenario.value_size)
        if target.name != "redis":  # it has a folder of its own, and does not let it be changed
            link((b"CONFIG", b"SET", b"dir", folder.encode()))
        if scenario.fill == "rewrite":
            link((b"CONFIG", b"SET", b"auto-aof-rewrite-percentage", b"0"), (b"CONFIG", b"SET", b"appendonly", b"yes"))
            time.sleep(0.5)
            settle(link, command)
        with Load(options) as load:
            load.run(seconds=0.5, rate=scenario.rate)
            quiet = load.run(seconds=seconds, rate=scenario.rate)
            with counting():
                beside = load.run(seconds=seconds, rate=scenario.rate)
            thread = threading.Thread(target=again_and_again, args=(target.port, command, stop, done))
            thread.start()
            busy = load.run(seconds=seconds, rate=scenario.rate)
            stop.set()
            thread.join()
        fork_us = int(info(link, b"stats")[b"latest_fork_usec"])
        link((b"CONFIG", b"SET", b"appendonly", b"no"))
        settle(link, command)
    link.close()
    return {
        "quiet_p999": quiet.p999, "beside_p999": beside.p999, "p999": busy.p999, "highest": busy.highest,
        "p999_ratio": busy.p999 / quiet.p999, "fork_ms": fork_us / 1000, "times": done[0],
        "errors": quiet.errors + busy.errors + quiet.lost + busy.lost, "first_error": quiet.first_error,
    }  # fmt: skip
