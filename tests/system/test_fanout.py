"""Copies of hot keys on other nodes, through two real proxies before three redis-servers."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.system.tier import Link, Node, Proxy, error, running_nodes, running_proxy, until

TTL = 1.0
OPTIONS = f"""hot_keys:
      threshold: 20/s
      strategy: fan_out
      fan_out_ttl: {TTL:g}s"""


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Node]]:
    with running_nodes(tmp_path_factory.mktemp("nodes"), 3) as nodes:
        yield nodes


@pytest.fixture(scope="module")
def proxies(nodes: list[Node], tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Proxy]]:
    with (
        running_proxy(tmp_path_factory.mktemp("one"), nodes, OPTIONS, engines=2) as one,
        running_proxy(tmp_path_factory.mktemp("two"), nodes, OPTIONS) as two,
    ):
        yield [one, two]


@pytest.fixture(autouse=True)
def cold(proxies: list[Proxy]) -> None:
    for proxy in proxies:
        proxy("HOTKEYS", "RESET")
    proxies[0]("FLUSHALL")


def copies(nodes: list[Node], key: bytes = b"hot") -> list[bytes]:
    """The names of the copies at the nodes, tombstones included."""
    return [name for node in nodes for name in node("KEYS", "*") if name.startswith(key + b"\0#")]


def counter(proxy: Proxy, name: str) -> int:
    return int(proxy("INFO", "hotkeys").decode().split(f"{name}:")[1].split()[0])


def heat_up(proxy: Proxy, nodes: list[Node], link: Link, key: bytes = b"hot") -> None:
    """Ask for the key until copies of it answer."""
    before = counter(proxy, "fan_out_hits")

    def warm() -> bool:
        for _ in range(50):
            link("GET", key)
        return len(copies(nodes, key)) == 2 and counter(proxy, "fan_out_hits") > before

    until(warm, "copies on two other nodes")


def test_hidden_counted_and_deleted(nodes: list[Node], proxies: list[Proxy]) -> None:
    proxy = proxies[0]
    with proxy.link() as link:
        link("SET", "hot", "value")
        link("SET", "plain", "value")
        heat_up(proxy, nodes, link)
        names = set()
        cursor = b"0"
        while True:
            link("GET", "hot")
            cursor, found = link("SCAN", cursor, "COUNT", "1000")
            names.update(found)
            if cursor == b"0":
                break
        assert names == {b"hot", b"plain"}
        assert sorted(link("KEYS", "*")) == [b"hot", b"plain"]
        assert {link("RANDOMKEY") for _ in range(60)} == {b"hot", b"plain"}
        (entry,) = [dict(zip(entry[::2], entry[1::2], strict=True)) for entry in link("HOTKEYS", "GET")]
        assert entry[b"fan_out_copies"] in (1, 2)
        error(link("GET", b"hot\0#1"), "zero byte")
        heat_up(proxy, nodes, link)
        link("HOTKEYS", "RESET")
        # Sooner than they would have ended by themselves, unless the machine is very busy.
        until(lambda: not copies(nodes), "the copies are deleted")


@pytest.mark.parametrize("protocol", [2, 3])
def test_who_writes_reads_what_he_wrote(nodes: list[Node], proxies: list[Proxy], protocol: int) -> None:
    proxy = proxies[0]
    pick = random.Random(protocol)
    with ExitStack() as stack:
        links = [stack.enter_context(proxy.link(protocol)) for _ in range(6)]
        value = 0
        links[0]("SET", "hot", value)
        for _ in range(3):
            # There are copies again, and then writes and reads in quick succession.
            heat_up(proxy, nodes, links[0])
            for _ in range(200):
                for _ in range(pick.randrange(6)):
                    assert pick.choice(links)("GET", "hot") == b"%d" % value
                value += 1
                writer = pick.choice(links)
                if pick.random() < 0.5:
                    assert writer("SET", "hot", value) == b"OK"
                else:
                    writer.send(("GET", "hot"), ("SET", "hot", value), ("GET", "hot"))
                    assert writer.replies(3) == [b"%d" % (value - 1), b"OK", b"%d" % value]


def test_writes_by_way_of_a_proxy_that_knows_of_the_copies_are_seen_at_once(
    nodes: list[Node], proxies: list[Proxy]
) -> None:
    with proxies[0].link() as link, proxies[1].link() as other:
        link("SET", "hot", "0")
        for value in range(1, 5):
            heat_up(proxies[0], nodes, link)
            heat_up(proxies[1], nodes, other)
            heat_up(proxies[0], nodes, link)
            assert link("SET", "hot", value) == b"OK"
            for _ in range(30):
                assert other("GET", "hot") == b"%d" % value
            # Let the tombstones go.
            until(lambda: not copies(nodes), "no tombstone is left")


def test_what_a_proxy_does_not_know_of_is_stale_for_as_long_as_a_copy_lives(
    nodes: list[Node], proxies: list[Proxy]
) -> None:
    with proxies[0].link() as link, proxies[1].link() as other:
        link("SET", "hot", "old")
        heat_up(proxies[0], nodes, link)
        began = time.monotonic()
        assert other("SET", "hot", "new") == b"OK"
        written = time.monotonic()
        last = began
        while time.monotonic() < written + TTL + 1:
            asked = time.monotonic()
            if link("GET", "hot") == b"old":
                last = asked
        assert last - written < TTL + 0.5
        assert link("GET", "hot") == b"new"


def test_a_copy_node_that_is_frozen_delays_a_write_by_no_more_than_a_copy_lives(
    nodes: list[Node], tmp_path: Path
) -> None:
    options = OPTIONS + "\ntimeout: 5s"
    with running_proxy(tmp_path, nodes, options) as proxy, proxy.link() as link:
        link("SET", "hot", "0")
        heat_up(proxy, nodes, link)
        holder = next(node for node in nodes if any(name.startswith(b"hot\0#") for name in node("KEYS", "*")))
        holder.freeze()
        try:
            began = time.monotonic()
            assert link("SET", "hot", "1") == b"OK"
            first = time.monotonic() - began
            assert 0.5 < first < TTL + 0.5
            for _ in range(200):
                assert link("GET", "hot") == b"1"
            until(lambda: counter(proxy, "fan_out_tombstones") > 0, "tombstones")
            time_left = time.monotonic() + TTL
            while time.monotonic() < time_left:
                assert link("GET", "hot") == b"1"
            began = time.monotonic()
            assert link("SET", "hot", "2") == b"OK"
            assert time.monotonic() - began < 0.5 < first
            assert link("GET", "hot") == b"2"
        finally:
            holder.thaw()


def test_a_copy_node_that_dies_harms_nobody(nodes: list[Node], tmp_path: Path) -> None:
    with running_proxy(tmp_path, nodes, OPTIONS) as proxy, proxy.link() as link:
        link("SET", "hot", "0")
        heat_up(proxy, nodes, link)
        holder = next(node for node in nodes if any(name.startswith(b"hot\0#") for name in node("KEYS", "*")))
        holder.kill()
        try:
            for value in range(1, 4):
                for _ in range(100):
                    assert link("GET", "hot") == b"%d" % (value - 1)
                began = time.monotonic()
                assert link("SET", "hot", value) == b"OK"
                assert time.monotonic() - began < TTL + 0.5
        finally:
            holder.start()


def test_copies_go_with_the_proxy(nodes: list[Node], tmp_path: Path) -> None:
    options = OPTIONS.replace(f"{TTL:g}s", "30s")
    with running_proxy(tmp_path, nodes, options) as proxy, proxy.link() as link:
        link("SET", "hot", "0")
        heat_up(proxy, nodes, link)
    until(lambda: not copies(nodes), "the copies are deleted", within=5)
