"""Many connections that hardly do anything: what they cost a target in memory.

Plain Python sockets: only the target's memory is measured, so the pace of this side does not matter.
"""

from __future__ import annotations

import selectors
import socket
import time
from typing import Any

from bench.targets import Running

PING = b"*1\r\n$4\r\nPING\r\n"
PIECE = 64 * 1024
"""Bytes offered to one connection before the next has its turn, so that all of a burst is under way at once."""


def connect(port: int, count: int) -> list[socket.socket]:
    """`count` connections, each of which was answered once: accepted, read from and written to."""
    crowd = []
    for _ in range(count):
        link = socket.create_connection(("127.0.0.1", port), timeout=30)
        crowd.append(link)
        link.sendall(PING)
        if not link.recv(64).startswith(b"+PONG"):
            raise OSError(f"connection {len(crowd)} of {count} got no PONG")
    return crowd


def disperse(crowd: list[socket.socket]) -> None:
    for link in crowd:
        link.close()


def idle(target: Running, clients: int) -> dict[str, float]:
    """Memory of the front process for each of `clients` idle connections (bytes), and its RSS before and after (MB)."""
    before, _ = target.front.memory_kib()
    crowd = connect(target.port, clients)
    time.sleep(1)
    during, _ = target.front.memory_kib()
    disperse(crowd)
    time.sleep(1)
    after, _ = target.front.memory_kib()
    return {
        "idle_bytes": (during - before) * 1024 / clients,
        "rss_before_mb": before / 1024,
        "rss_mb": during / 1024,
        "rss_after_mb": after / 1024,
    }


def burst(target: Running, clients: int, value_size: int) -> dict[str, float]:
    """Every client sends one SET of `value_size` bytes at the same time: peak RSS, and RSS 5 s after they left (MB)."""
    before, _ = target.front.memory_kib()
    crowd = connect(target.port, clients)
    value = b"x" * value_size
    waiting: dict[Any, tuple[memoryview, int]] = {}
    replies = errors = 0
    began = time.monotonic()
    with selectors.DefaultSelector() as selector:
        for number, each in enumerate(crowd):
            each.setblocking(False)
            key = b"burst:%04d" % (number % 64)  # few keys, so that the nodes stay small
            request = b"*3\r\n$3\r\nSET\r\n$%d\r\n%s\r\n$%d\r\n" % (len(key), key, value_size)
            waiting[each] = (memoryview(request), 0)
            selector.register(each, selectors.EVENT_READ | selectors.EVENT_WRITE)
        tail = memoryview(value + b"\r\n")
        while replies < clients and time.monotonic() - began < 120:
            for chosen, ready in selector.select(1):
                link: Any = chosen.fileobj
                try:
                    if ready & selectors.EVENT_READ:
                        reply = link.recv(256)
                        replies += 1
                        errors += reply != b"+OK\r\n"
                        selector.unregister(link)
                        continue
                    data, stage = waiting[link]
                    rest = data[link.send(data[:PIECE]) :]
                except BlockingIOError:
                    continue
                except OSError:
                    replies, errors = replies + 1, errors + 1
                    selector.unregister(link)
                    continue
                if not rest and stage == 0:
                    rest, stage = tail, 1
                waiting[link] = (rest, stage)
                if not rest:
                    selector.modify(link, selectors.EVENT_READ)
    seconds = time.monotonic() - began
    _, peak = target.front.memory_kib()
    disperse(crowd)
    time.sleep(5)
    after, _ = target.front.memory_kib()
    return {
        "rss_before_mb": before / 1024,
        "peak_mb": peak / 1024,
        "rss_after_mb": after / 1024,
        "left_ratio": after / before,
        "seconds": seconds,
        "errors": errors + clients - replies,
    }
