"""Hot counters at real nodes: many clients at once, and every value is handed out once, in each client's order.

Whether they are exact in trouble as well is the business of tests/counters.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest
from redis import Redis

from tests.system.tier import Link, Node, Proxy, running_nodes, running_proxy

OPTIONS = """timeout: 10s
hot_keys: {threshold: 20/s, copies: off}
counters: {keys: hot, window: 1ms}
"""
CLIENTS, ROUNDS, DEPTH = 6, 30, 10


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Node]]:
    with running_nodes(tmp_path_factory.mktemp("nodes"), 2) as nodes:
        yield nodes


@pytest.fixture(scope="module")
def proxy(nodes: list[Node], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    with running_proxy(tmp_path_factory.mktemp("proxy"), nodes, OPTIONS, engines=2) as proxy:
        yield proxy


def counters(proxy: Proxy) -> tuple[int, int]:
    """Increments that were looked at together, and the writes that they became."""
    with ExitStack() as stack:
        lines = stack.enter_context(Link(proxy.address))("INFO", "counters").decode().splitlines()
    found = dict(line.split(":", 1) for line in lines if ":" in line)
    return int(found["increments"]), int(found["increment_writes"])


def handed_out(proxy: Proxy, way: str, key: str) -> list[list[int]]:
    """The values that each of several clients got, who increment one key in a way of his own."""

    def one(_: int) -> list[int]:
        got: list[int] = []
        if way == "redis-py":
            with Redis(port=int(proxy.address)) as client:
                for _ in range(ROUNDS):
                    value, lives = client.pipeline().incr(key).expire(key, 3600).execute()
                    assert lives is True
                    got.append(value)
            return got
        with ExitStack() as stack:
            link = stack.enter_context(Link(proxy.address))
            for _ in range(ROUNDS):
                if way == "pairs":
                    link.send(*[("INCR", key), ("EXPIRE", key, "3600", "NX")] * DEPTH)
                    replies = [link.reply() for _ in range(2 * DEPTH)]
                    assert set(replies[1::2]) <= {0, 1}
                    got += replies[::2]
                elif way == "fields":
                    link.send(*[("HINCRBY", key, "field", "1")] * DEPTH)
                    got += [link.reply() for _ in range(DEPTH)]
                else:
                    link.send(*[("INCR", key)] * DEPTH, ("GET", key))
                    got += [link.reply() for _ in range(DEPTH)]
                    assert int(link.reply()) >= got[-1]
        return got

    with ThreadPoolExecutor(CLIENTS) as pool:
        return list(pool.map(one, range(CLIENTS)))


@pytest.mark.parametrize("way", ["alone", "pairs", "fields", "redis-py"])
def test_every_value_is_handed_out_once(proxy: Proxy, way: str) -> None:
    before = counters(proxy)
    found = handed_out(proxy, way, f"counter:{way}")
    assert all(values == sorted(values) for values in found)
    every = sorted(value for values in found for value in values)
    assert every == list(range(1, len(every) + 1))
    increments, writes = (now - then for now, then in zip(counters(proxy), before, strict=True))
    assert increments > len(every) // 2 and writes < increments, "they travelled together"
    with ExitStack() as stack:
        life = stack.enter_context(Link(proxy.address))("TTL", f"counter:{way}")
    assert (life > 3000) == (way in ("pairs", "redis-py"))
