"""Hot keys through a real proxy: MGET from copies, the miss shield, what proxies tell one another, HOTKEYS.

Whether copies are ever stale is the business of tests/staleness.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.system.tier import Link, Node, Proxy, running_nodes, running_proxy, until

OPTIONS = """hot_keys:
      threshold: 20/s
      share: true
      ttl: 5s
      prefixes: {"page:": {shield: 5s, early: true}, "off:": {copies: "off"}}"""


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Node]]:
    with running_nodes(tmp_path_factory.mktemp("nodes"), 3) as nodes:
        yield nodes


@pytest.fixture(scope="module")
def proxy(nodes: list[Node], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    with running_proxy(tmp_path_factory.mktemp("proxy"), nodes, OPTIONS, engines=2) as proxy:
        yield proxy


@pytest.fixture
def connect() -> Iterator[Callable[..., Link]]:
    """Opens connections that are closed after the test."""
    with ExitStack() as stack:
        yield lambda address, protocol=2: stack.enter_context(Link(address, protocol))


def heat(link: Link) -> dict[str, str]:
    lines = link("INFO", "hotkeys").decode().splitlines()
    return dict(line.split(":", 1) for line in lines if ":" in line)


def hot_keys(link: Link) -> dict[bytes, dict[bytes, Any]]:
    found = [dict(zip(entry[::2], entry[1::2], strict=True)) for entry in link("HOTKEYS", "GET", "100")]
    return {entry[b"key"]: entry for entry in found}


@pytest.mark.parametrize("protocol", [2, 3])
def test_one_client_reads_what_it_wrote(connect: Callable[..., Link], proxy: Proxy, protocol: int) -> None:
    """Reads, MGETs and pipelines against a model, while all of the keys are hot and copied."""
    link, pick = connect(proxy.address, protocol), random.Random(protocol)
    link("FLUSHALL")
    before = int(heat(link)["copy_hits"])
    keys = [b"k%d" % index for index in range(8)]
    model: dict[bytes, bytes] = {}
    for step in range(6000):
        key, value, what = pick.choice(keys), b"%d" % step, pick.random()
        if what < 0.05:
            link("SET", key, value)
            model[key] = value
        elif what < 0.06:
            link("DEL", key)
            model.pop(key, None)
        elif what < 0.065:
            link("FLUSHALL")
            model.clear()
        elif what < 0.08:
            link.send((b"SET", key, value), (b"GET", key), (b"MGET", key, keys[0], key))
            model[key] = value
            assert link.replies(3)[1:] == [value, [value, model.get(keys[0]), value]]
        elif what < 0.5:
            asked = pick.choices(keys, k=pick.randint(1, 6))
            assert link("MGET", *asked) == [model.get(key) for key in asked]
        else:
            assert link("GET", key) == model.get(key)
    until(lambda: link("GET", keys[0]) == model.get(keys[0]) and int(heat(link)["copy_hits"]) > before, "copies served")
    assert heat(link)["copies_wrong"] == "0"


def test_one_client_of_many_loads_what_is_missing(connect: Callable[..., Link], proxy: Proxy) -> None:
    clients = [connect(proxy.address, 2 + index % 2) for index in range(60)]
    clients[0]("DEL", "page:1")
    for client in clients:
        client.send(("GET", "page:1"))
    told, others = None, []
    for client in clients:
        client.socket.settimeout(0.05)
        try:
            assert client.reply() is None
            assert told is None, "one is told to load it"
            told = client
        except TimeoutError:
            others.append(client)
    assert told is not None and len(others) == len(clients) - 1
    # It may look again: it is not made to wait for itself.
    told.socket.settimeout(5)
    assert told("GET", "page:1") is None
    assert told("SET", "page:1", "loaded") == b"OK"
    for client in others:
        client.socket.settimeout(5)
        assert client.reply() == b"loaded"
    # The lease was given back: the next miss is loaded at once.
    told("DEL", "page:1")
    until(lambda: others[0]("EXISTS", "page:1\0#0") == 0, "the lease is gone")
    assert others[0]("GET", "page:1") is None


def test_a_shield_that_waits_in_vain_tells_nil(
    connect: Callable[..., Link], nodes: list[Node], tmp_path: Path,
) -> None:  # fmt: skip
    with running_proxy(tmp_path, nodes, "hot_keys: {shield: 100ms}", engines=1) as proxy:
        loader, waiter = connect(proxy.address), connect(proxy.address)
        assert loader("GET", "never") is None
        assert waiter("GET", "never") is None
        # What a client has asked for itself stays in order, shield or not.
        loader.send(("SET", "page:2", "x"), ("GET", "page:2"), ("DEL", "page:2"), ("GET", "page:2"))
        assert loader.replies(4)[:3] == [b"OK", b"x", 1]


def test_proxies_tell_one_another(
    connect: Callable[..., Link], nodes: list[Node], proxy: Proxy, tmp_path: Path,
) -> None:  # fmt: skip
    with running_proxy(tmp_path, nodes, OPTIONS.replace("20/s", "100000/s"), engines=1) as other:
        here, there = connect(proxy.address), connect(other.address)
        until(lambda: here("PUBSUB", "NUMSUB", "__quench__:hot")[1], "the proxies listen")

        def shared() -> bool:
            here("HOTKEYS", "RESET")
            for _ in range(300):
                here("GET", "shared")
            return b"shared" in hot_keys(there)

        until(shared, "the other proxy knows the key")


def test_hotkeys_and_rules(connect: Callable[..., Link], proxy: Proxy) -> None:
    link = connect(proxy.address, 2)
    link("SET", "off:1", "x")

    def known() -> bool:
        for _ in range(200):
            assert link("GET", "off:1") == b"x"
        return b"off:1" in hot_keys(link)

    until(known, "the key is hot")
    entry = hot_keys(link)[b"off:1"]
    assert entry[b"db"] == 0 and entry[b"qps"] > 0 and entry[b"hits"] == 0, "its prefix wants no copies"
    assert link("HOTKEYS", "RESET") == b"OK"
    until(lambda: b"off:1" not in hot_keys(link), "forgotten")
    assert "not an integer" in str(link("HOTKEYS", "GET", "none"))
    assert link("HOTKEYS", "HELP")[0].startswith(b"HOTKEYS <subcommand>")
