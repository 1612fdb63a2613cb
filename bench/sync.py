"""How long a new replica takes to have what its primary has: REPLICAOF until its link is up, both of the same kind."""

from __future__ import annotations

import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from bench.hits import BATCH, Link
from bench.process import StartFailedError
from bench.targets import Running, running

LOOK = 0.01  # seconds between two looks at the replica
PATIENCE = 120.0


def fill(link: Link, keys: int, value_size: int) -> None:
    """Keys of 16 bytes; nothing is done if they are there already."""
    if link((b"DBSIZE",)) == [b"%d" % keys]:
        return
    value = b"x" * value_size
    for start in range(0, keys, BATCH):
        link(*((b"SET", b"key:%012d" % number, value) for number in range(start, min(start + BATCH, keys))))


def full_sync(target: Running, keys: int, value_size: int) -> dict[str, Any]:
    """One full sync to a fresh replica, which goes away again. Raises OSError if it does not come about."""
    primary = Link(target.port)
    fill(primary, keys, value_size)
    with suppress(OSError):
        # Redis waits five seconds for further replicas unless it is told not to; the storage node never does.
        primary((b"CONFIG", b"SET", b"repl-diskless-sync-delay", b"0"))
    primary.close()
    primary = Link(target.port)
    with tempfile.TemporaryDirectory(prefix="quench-sync-") as folder:
        try:
            with running(target.name, Path(folder)) as other:
                replica = Link(other.port)
                cpu = target.front.cpu_ns() + other.front.cpu_ns()
                started = time.monotonic()
                replica((b"REPLICAOF", b"127.0.0.1", b"%d" % target.port))
                while b"master_link_status:up" not in (replica((b"INFO", b"replication"))[0] or b""):
                    if time.monotonic() - started > PATIENCE:
                        raise OSError(f"no full sync within {PATIENCE:.0f} s")
                    time.sleep(LOOK)
                seconds = time.monotonic() - started
                cpu = target.front.cpu_ns() + other.front.cpu_ns() - cpu
                held = int(replica((b"DBSIZE",))[0] or 0)
                replica.close()
        except StartFailedError as error:
            raise OSError(f"the replica did not start: {error}") from error
    primary.close()
    return {"seconds": seconds, "cpu_seconds": cpu / 1e9, "errors": keys - held}
