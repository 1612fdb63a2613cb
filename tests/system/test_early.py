"""Counters with `mode: early` before real nodes: what was answered is there a window later, but for what is counted."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import hiredis
import pytest

from tests.proof.servers import LOGGED, running_servers
from tests.system.tier import Node, Proxy, running_proxy, until

OPTIONS = """timeout: 500ms
reconnect: {first: 10ms, most: 50ms}
counters: {prefixes: {"e:": {mode: early, window: 20ms}}}
"""
CLIENTS, ROUNDS = 6, 200


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[list[Node]]:
    with running_servers(tmp_path, (Node, (*LOGGED, "--appendfsync", "always"))) as nodes:
        yield nodes


@pytest.fixture
def proxies(nodes: list[Node], tmp_path: Path) -> Iterator[list[Proxy]]:
    """Two, of two engines each."""
    with ExitStack() as stack:
        found = []
        for name in ("p", "q"):
            (tmp_path / name).mkdir()
            found.append(stack.enter_context(running_proxy(tmp_path / name, nodes, OPTIONS, engines=2)))
        yield found


def counters(proxy: Proxy) -> dict[str, str]:
    with proxy.link() as link:
        lines = link("INFO", "counters").decode().splitlines()
    return dict(line.split(":", 1) for line in lines if ":" in line)


def settled(proxies: list[Proxy]) -> None:
    until(lambda: all(counters(proxy)["early_pending"] == "0" for proxy in proxies), "the nodes have it all")


def test_through_one_proxy_they_are_as_exact_as_ever(nodes: list[Node], proxies: list[Proxy]) -> None:
    """Whichever engine a client came to: each value is handed out once, and reads see what was answered before."""

    def count(_: int) -> list[int]:
        got = []
        with proxies[0].link() as link:
            for _ in range(ROUNDS):
                got.append(link("INCR", "e:a"))
                assert int(link("GET", "e:a")) >= got[-1]
                assert int(link("MGET", "e:a", "other")[0]) >= got[-1]
        return got

    with ThreadPoolExecutor(CLIENTS) as pool:
        found = list(pool.map(count, range(CLIENTS)))
    assert all(values == sorted(values) for values in found)
    assert sorted(value for values in found for value in values) == list(range(1, CLIENTS * ROUNDS + 1))
    settled(proxies)
    assert nodes[0]("GET", "e:a") == b"%d" % (CLIENTS * ROUNDS)
    told = counters(proxies[0])
    assert int(told["early"]) > 0 and told["early_lost"] == "0"


def test_two_proxies_add_up(nodes: list[Node], proxies: list[Proxy]) -> None:
    """A read by way of a proxy sees what it answered, and a window later what the other one did."""

    def count(number: int) -> None:
        last = 0
        with proxies[number % 2].link() as link:
            for _ in range(ROUNDS):
                link.send(*[("INCR", "e:a")] * 5, ("EXPIRE", "e:a", 3600), ("GET", "e:a"))
                *values, lives, seen = link.replies(7)
                assert values == sorted(values) and values[0] > last and lives == 1 and int(seen) >= values[-1]
                last = values[-1]

    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(count, range(CLIENTS)))
    settled(proxies)
    assert nodes[0]("GET", "e:a") == b"%d" % (CLIENTS * ROUNDS * 5)
    assert nodes[0]("TTL", "e:a") > 3000
    told = [counters(proxy) for proxy in proxies]
    assert [one["early_lost"] for one in told] == ["0", "0"]
    assert sum(int(one["increment_writes"]) for one in told) < CLIENTS * ROUNDS


def test_a_proxy_that_ends_hands_over_what_it_owes(nodes: list[Node], tmp_path: Path) -> None:
    options = OPTIONS.replace("20ms", "100ms")
    with running_proxy(tmp_path, nodes, options, engines=2) as proxy, proxy.link() as link:
        assert link("INCR", "e:a") == 1
        link.send(*[("INCR", "e:a")] * 99)
        assert link.replies(99)[-1] == 100
        assert nodes[0]("GET", "e:a") == b"1"
    assert nodes[0]("GET", "e:a") == b"100"


def test_what_a_node_takes_along_is_counted(nodes: list[Node], proxies: list[Proxy]) -> None:
    """It is killed time and again: nothing is missing but what INFO says, and nothing is there twice."""
    over = threading.Event()
    acknowledged, unknown = [0] * CLIENTS, [0] * CLIENTS

    def count(number: int) -> None:
        with proxies[number % 2].link() as link:
            while not over.is_set():
                reply = link("INCR", f"e:{number % 3}")
                if not isinstance(reply, hiredis.ReplyError):
                    acknowledged[number] += 1
                elif "the fate of" in str(reply):
                    unknown[number] += 1
                else:
                    time.sleep(0.005)

    with ThreadPoolExecutor(CLIENTS) as pool:
        running = [pool.submit(count, number) for number in range(CLIENTS)]
        for pause in (0.0, 0.1, 0.0):
            time.sleep(0.3)
            nodes[0].kill()
            time.sleep(pause)
            nodes[0].start()
        time.sleep(0.3)
        over.set()
        for one in running:
            one.result()
    settled(proxies)
    lost = sum(int(counters(proxy)["early_lost"]) for proxy in proxies)
    found = sum(int(nodes[0]("GET", f"e:{number}")) for number in range(3))
    assert sum(acknowledged) - lost <= found <= sum(acknowledged) + sum(unknown), (acknowledged, lost, unknown, found)
    assert sum(acknowledged) > 200
