"""Many clients miss one key at once: how many of them have to load it, and how long until all of them have it.

A client that is told nil loads: it sets the key LOADING seconds later. One that is given the value is done.
"""

from __future__ import annotations

import heapq
import selectors
import time

from bench.crowd import connect, disperse
from bench.targets import Running

LOADING = 0.2
"""Seconds that whatever is behind the cache takes for the value."""

PATIENCE = 10.0
"""Seconds until all are done."""


def stampede(target: Running, clients: int, value_size: int) -> dict[str, float]:
    """Loads of one missing key that `clients` ask for at once, half of them through a second proxy if there is one."""
    ports = [target.port, *([target.other_port] if target.other else [])]
    crowd = [link for port in ports for link in connect(port, clients // len(ports))]
    key = b"stampede:%d" % time.monotonic_ns()  # never asked for before
    get = b"*2\r\n$3\r\nGET\r\n$%d\r\n%b\r\n" % (len(key), key)
    put = b"*3\r\n$3\r\nSET\r\n$%d\r\n%b\r\n$%d\r\n%b\r\n" % (len(key), key, value_size, b"x" * value_size)
    value = b"$%d\r\n%b\r\n" % (value_size, b"x" * value_size)
    loading: list[tuple[float, int]] = []
    done: list[float] = []
    loads = errors = 0
    try:
        with selectors.DefaultSelector() as selector:
            for index, link in enumerate(crowd):
                selector.register(link, selectors.EVENT_READ, index)
            began = time.monotonic()
            for link in crowd:
                link.sendall(get)
            while len(done) + errors < len(crowd) and (now := time.monotonic()) < began + PATIENCE:
                while loading and loading[0][0] <= now:
                    crowd[heapq.heappop(loading)[1]].sendall(put)
                for chosen, _ in selector.select(max(0.0, loading[0][0] - now) if loading else 0.1):
                    reply = crowd[chosen.data].recv(1 << 16)
                    if reply == b"$-1\r\n":
                        loads += 1
                        heapq.heappush(loading, (time.monotonic() + LOADING, chosen.data))
                    elif reply in (value, b"+OK\r\n"):
                        done.append(time.monotonic() - began)
                    else:
                        errors += 1
    finally:
        disperse(crowd)
    return {
        "loads": loads, "all_ms": max(done, default=PATIENCE) * 1000, "errors": errors + len(crowd) - len(done),
    }  # fmt: skip
