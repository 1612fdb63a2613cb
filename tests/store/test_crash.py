"""kill -9 at random moments under write load: what was acknowledged is there afterwards.

QUENCH_KILLS says how often; `make soak` says 200. The folder outlives the node, so every start loads what all those
before have left, torn tails and interrupted rewrites included.
"""

import os
import random
import re
import socket
import threading
import time
from pathlib import Path

from tests.store.disk import client, kill, node_in
from tests.store.raw import request

KILLS = int(os.environ.get("QUENCH_KILLS", "20"))
WRITERS = 3
ON = ("--appendonly", "yes", "--set", "auto-aof-rewrite-min-size=100kb")


class Writer(threading.Thread):
    """Counts a key up, and pushes to a list in a transaction, one pipeline after another, until the node is gone."""

    def __init__(self, port: int, number: int) -> None:
        super().__init__()
        self.number = number
        self.sent = 0
        self.acknowledged = 0
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.problem = ""

    def run(self) -> None:
        dice = random.Random(self.number)
        one = (
            request("INCR", f"count:{self.number}") + request("MULTI")
            + request("RPUSH", f"list:{self.number}", "x" * 20) + request("INCRBYFLOAT", f"float:{self.number}", "0.5")
            + request("EXEC")
        )  # fmt: skip
        try:
            while True:
                count = dice.choice([1, 1, 7, 40])
                self.sent += count
                self.socket.sendall(one * count)
                replies = b""
                while replies.count(b"*2\r\n") < count:
                    more = self.socket.recv(65536)
                    if not more:
                        return
                    replies += more
                    self.problem = self.problem or (replies.decode() if b"-" in replies else "")
                self.acknowledged += count
        except OSError:
            return
        finally:
            self.socket.close()


def lengths(server: object, folder: Path) -> list[tuple[int, int, int]]:
    with client(server) as link:  # type: ignore[arg-type]
        return [
            (int(link.get(f"count:{n}") or 0), link.llen(f"list:{n}"), round(float(link.get(f"float:{n}") or 0) * 2))
            for n in range(WRITERS)
        ]


def test_nothing_acknowledged_is_lost(tmp_path: Path) -> None:
    dice = random.Random(int(os.environ.get("QUENCH_SEED", "1")))
    before = [(0, 0, 0)] * WRITERS
    rewrites = 0
    for turn in range(KILLS):
        policy = ("always", "everysec", "always", "no")[turn % 4]
        with node_in(tmp_path, *ON, "--appendfsync", policy, *(("--save", "1 1") if turn % 2 else ())) as server:
            assert lengths(server, tmp_path) == before, turn
            writers = [Writer(server.port, number) for number in range(WRITERS)]
            for writer in writers:
                writer.start()
            with client(server) as link:
                if turn % 3 == 0:
                    time.sleep(dice.random() * 0.05)
                    link.bgrewriteaof()
                time.sleep(dice.random() * 0.25)
                rewrites += link.info("persistence")["aof_rewrites"]
            kill(server)
            for writer in writers:
                writer.join()
        with node_in(tmp_path, *ON, "--appendfsync", policy) as server:
            after = lengths(server, tmp_path)
        for writer, old, new in zip(writers, before, after, strict=True):
            assert not writer.problem
            count, length, doubled = (new[index] - old[index] for index in range(3))
            # The process died, not the machine: what the kernel was given stays, so this holds for all three policies.
            assert writer.acknowledged <= length <= count <= writer.sent, (turn, policy, old, new)
            assert length == doubled, "a transaction came back in part"
        before = after
    assert sum(count for count, _, _ in before) > KILLS * 10
    assert rewrites > 0
    names = {re.sub(r"\d+", "N", path.name) for path in (tmp_path / "appendonlydir").iterdir()}
    assert names <= {"appendonly.aof.N.base.rdb", "appendonly.aof.N.incr.aof", "appendonly.aof.manifest",
                     "appendonly.aof.N.base.rdb.temp", "appendonly.aof.manifest.temp"}  # fmt: skip
