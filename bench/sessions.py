"""What sessions cost: transactions beside the same pipelines without MULTI, and clients that wait in BLPOP.

Each sample holds the thing and its counterpart, measured in turn within the same second or two, and their ratio.
"""

from __future__ import annotations

import selectors
import socket
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager

from bench.load import Load, Options
from bench.targets import Running

COMMANDS = 16
"""Commands of one pipeline."""

SLICE = 0.25
"""Seconds of one kind of pipeline before the other has its turn."""


def transactions(target: Running, clients: int, value_size: int, seconds: float) -> dict[str, float]:
    """CPU of the front process for each command of a pipeline of SETs, inside MULTI and EXEC and without."""
    spent = {True: 0.0, False: 0.0}
    done = {True: 0, False: 0}
    with closing(Pipelines(target.port, clients, value_size)) as pipelines:
        pipelines.run(True, SLICE)
        end = time.monotonic() + 2 * seconds
        while time.monotonic() < end:
            for multi in (True, False):
                before = target.front.cpu_ns()
                done[multi] += pipelines.run(multi, SLICE)
                spent[multi] += target.front.cpu_ns() - before
    inside = spent[True] / done[True] / COMMANDS / 1000
    plain = spent[False] / done[False] / COMMANDS / 1000
    return {"front_us": inside, "plain_us": plain, "multi_ratio": inside / plain, "errors": pipelines.errors}


class Pipelines:
    """Clients that send a prepared pipeline, wait for all of its replies, and send it again."""

    def __init__(self, port: int, clients: int, value_size: int) -> None:
        self.errors = 0
        self._selector = selectors.DefaultSelector()
        self._texts: dict[socket.socket, dict[bool, bytes]] = {}
        value = b"x" * value_size
        for number in range(clients):
            key = b"pipe:%d" % number
            each = b"*3\r\n$3\r\nSET\r\n$%d\r\n%b\r\n$%d\r\n%b\r\n" % (len(key), key, value_size, value)
            link = socket.create_connection(("127.0.0.1", port), timeout=30)
            self._texts[link] = {
                False: each * COMMANDS,
                True: b"*1\r\n$5\r\nMULTI\r\n" + each * COMMANDS + b"*1\r\n$4\r\nEXEC\r\n",
            }
            self._selector.register(link, selectors.EVENT_READ)

    def run(self, multi: bool, seconds: float) -> int:
        """How many pipelines were answered in that time."""
        reply = b"+OK\r\n" * COMMANDS
        if multi:
            reply = b"+OK\r\n" + b"+QUEUED\r\n" * COMMANDS + b"*%d\r\n" % COMMANDS + reply
        owed = dict.fromkeys(self._texts, len(reply))
        done = 0
        end = time.monotonic() + seconds
        for link, texts in self._texts.items():
            link.sendall(texts[multi])
        going = len(owed)
        while going:
            for chosen, _ in self._selector.select(10):
                link = chosen.fileobj
                assert isinstance(link, socket.socket)
                data = link.recv(65536)
                self.errors += not data or b"-" in data
                owed[link] -= len(data)
                if owed[link] == 0:
                    done += 1
                    if time.monotonic() < end:
                        owed[link] = len(reply)
                        link.sendall(self._texts[link][multi])
                    else:
                        going -= 1
        return done

    def close(self) -> None:
        for link in self._texts:
            link.close()
        self._selector.close()


def blocked(target: Running, clients: int, waiting: int, rate: float, seconds: float) -> dict[str, float]:
    """p99 of GETs at `rate` with and without `waiting` clients in BLPOP, and the CPU that these take by waiting (%)."""
    options = Options((("127.0.0.1", target.port),), clients=clients, depth=64, ops={"get": 1.0}, keys=1000)
    with Load(options) as load:
        load.run(seconds=SLICE, rate=rate)
        quiet = load.run(seconds=seconds, rate=rate)
        before = target.front.cpu_ns()
        time.sleep(seconds)
        idle = target.front.cpu_ns() - before
        with waiters(target.port, waiting):
            time.sleep(1)
            before = target.front.cpu_ns()
            time.sleep(seconds)
            cost = target.front.cpu_ns() - before
            busy = load.run(seconds=seconds, rate=rate)
    return {
        "p99": busy.p99, "quiet_p99": quiet.p99, "p99_excess": busy.p99 - 1.5 * quiet.p99,
        "waiting_percent": max(cost - idle, 0) / seconds / 1e7, "errors": busy.errors + busy.lost,
    }  # fmt: skip


@contextmanager
def waiters(port: int, count: int) -> Iterator[None]:
    """`count` clients that wait for elements that do not come."""
    links = [socket.create_connection(("127.0.0.1", port), timeout=30) for _ in range(count)]
    try:
        for number, link in enumerate(links):
            key = b"wait:%d" % (number % 100)
            link.sendall(b"*3\r\n$5\r\nBLPOP\r\n$%d\r\n%b\r\n$1\r\n0\r\n" % (len(key), key))
        yield
    finally:
        for link in links:
            link.close()
