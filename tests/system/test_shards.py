"""Counters that are spread over several nodes: one value to their clients, whatever is done to them."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.system.tier import Link, Node, Proxy, error, running_nodes, running_proxy, until

SHARDS = 3
OPTIONS = """timeout: 1s
hash_tag: "{}"
hot_keys: {threshold: 20/s, strategy: both, copies: ttl, ttl: 1s}
counters: {prefixes: {"s:": {shards: 3}}}
"""


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Node]]:
    with running_nodes(tmp_path_factory.mktemp("nodes"), 4) as nodes:
        yield nodes


@pytest.fixture(scope="module")
def proxies(nodes: list[Node], tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Proxy]]:
    """Two, of two engines each."""
    with ExitStack() as stack:
        yield [
            stack.enter_context(running_proxy(tmp_path_factory.mktemp("proxy"), nodes, OPTIONS, engines=2))
            for _ in range(2)
        ]


_number = itertools.count()


@pytest.fixture
def key() -> str:
    """Of a counter of which no engine has heard."""
    return f"s:{next(_number)}."


@pytest.fixture
def link(nodes: list[Node], proxies: list[Proxy]) -> Iterator[Link]:
    """A client of a pool without keys."""
    for node in nodes:
        node("FLUSHALL")
    with proxies[0].link() as link:
        yield link


def held(nodes: list[Node], key: str) -> dict[bytes, bytes]:
    """By name, what the nodes have of a counter."""
    return {name: node("GET", name) for node in nodes for name in node("KEYS", key + "*")}


def fill(proxy: Proxy, key: str, clients: int = 12) -> None:
    """Some in each shard, one of each client."""
    with ExitStack() as stack:
        for one in [stack.enter_context(proxy.link()) for _ in range(clients)]:
            one("INCR", key)


def test_many_clients_count_to_the_sum(nodes: list[Node], proxies: list[Proxy], link: Link, key: str) -> None:
    clients, rounds = 8, 100

    def count(number: int) -> None:
        last = 0
        with proxies[number % 2].link(2 + number // 2 % 2) as client:
            for turn in range(rounds):
                client.send(*[("INCRBY", key, "2"), ("DECR", key)] * 3)
                client.replies(6)
                if turn % 10 == 0:
                    seen = int(client("GET", key))
                    assert seen >= max(last, 3 * (turn + 1)), "what was acknowledged is in it"
                    last = seen

    with ThreadPoolExecutor(clients) as pool:
        list(pool.map(count, range(clients)))
    total = b"%d" % (3 * clients * rounds)
    assert link("GET", key) == total
    assert link("MGET", key, "none", "s:none") == [total, None, None]
    found = held(nodes, key)
    assert len(found) == SHARDS and sum(map(int, found.values())) == int(total)
    assert sum(node("EXISTS", *found) > 0 for node in nodes) == SHARDS, "each at a node of its own"


def test_an_increment_is_told_the_sum(proxies: list[Proxy], link: Link, key: str) -> None:
    """Exact where nobody else counts; and by way of another engine or proxy as last heard of."""
    fill(proxies[1], key, 6)
    assert link("INCR", key) == 7
    assert link("INCRBY", key, 10) == 17
    assert link("DECRBY", key, 4) == 13
    fill(proxies[1], key, 6)
    until(lambda: link("INCRBY", key, 0) == 19, "the others are heard of within a second or so")


def test_it_is_one_key(nodes: list[Node], proxies: list[Proxy], link: Link, key: str) -> None:
    assert link("TYPE", key) == b"none" and link("EXISTS", key) == 0 and link("TTL", key) == -2
    assert link("GET", key) is None
    fill(proxies[0], key)
    assert link("TYPE", key) == b"string" and link("EXISTS", key, key, "x") == 2 and link("TTL", key) == -1
    link("SET", "x", "1")
    assert sorted(link("KEYS", "*")) == [key.encode(), b"x"]
    cursor, seen = b"0", []
    while not seen or cursor != b"0":
        cursor, found = link("SCAN", cursor, "COUNT", 1000)
        seen += found
    assert sorted(seen) == [key.encode(), b"x"]
    assert link("DEL", key, "x", "nothing") == 2
    assert held(nodes, key) == {} and link("GET", key) is None


def test_set_is_what_it_is_then(nodes: list[Node], proxies: list[Proxy], link: Link, key: str) -> None:
    fill(proxies[0], key)
    assert link("SET", key, 100) == b"OK"
    assert link("GET", key) == b"100" and link("INCR", key) == 101
    assert link("SETNX", key, 1) == 0 and link("SET", key, 1, "NX") is None
    assert link("SET", key, 5, "XX", "EX", 100) == b"OK"
    assert link("GET", key) == b"5" and 90 < link("TTL", key) <= 100
    fill(proxies[1], key)
    assert len(held(nodes, key)) == SHARDS
    assert all(0 < node("TTL", name) <= 100 for node in nodes for name in node("KEYS", key + "*"))
    assert link("GETSET", key, 3) == b"17" and link("GET", key) == b"3"
    fill(proxies[1], key)
    assert link("GETDEL", key) == b"15" and held(nodes, key) == {}
    assert link("SET", key, 1, "XX") is None and link("SETNX", key, 9) == 1


def test_lives_end_together(nodes: list[Node], proxies: list[Proxy], link: Link, key: str) -> None:
    assert link("EXPIRE", key, 100) == 0
    assert link("INCR", key) == 1
    assert link("PEXPIRE", key, 300, "NX") == 1 and link("PEXPIRE", key, 99, "NX") == 0
    assert len(held(nodes, key)) == SHARDS, "who counts later finds a shard that ends with the others"
    fill(proxies[0], key)
    assert link("GET", key) == b"13" and 0 < link("PTTL", key) <= 300
    until(lambda: link("GET", key) is None, "it has run out")
    until(lambda: held(nodes, key) == {}, "so have all shards")
    fill(proxies[0], key)
    assert link("EXPIRE", key, 100) == 1 and link("EXPIRE", key, 50, "GT") == 0 and link("EXPIRE", key, 200, "GT") == 1
    assert link("PERSIST", key) == 1 and link("TTL", key) == -1
    assert link("EXPIRE", key, -1) == 1 and link("EXISTS", key) == 0


@pytest.mark.parametrize("request_", [
    ["APPEND", "s:a", "1"], ["RENAME", "s:a", "{s:a}b"], ["INCRBYFLOAT", "s:a", "1"], ["STRLEN", "s:a"],
    ["SET", "s:a", "1", "KEEPTTL"], ["SET", "s:a", "1", "GET"], ["GETEX", "s:a"], ["DUMP", "s:a"], ["WATCH", "s:a"],
    ["EVAL", "return 1", "1", "s:a"], ["MSET", "s:a", "1"], ["OBJECT", "ENCODING", "s:a"],
])  # fmt: skip
def test_what_cannot_be_done_is_refused(link: Link, request_: list[str]) -> None:
    error(link(*request_), f"^ERR '{request_[0].lower()}.*' is refused for a counter that is spread over several nodes")


def test_in_a_transaction_it_is_refused(link: Link, key: str) -> None:
    assert link("MULTI") == b"OK"
    error(link("INCR", key), "is refused for a counter that is spread")
    error(link("EXEC"), "^EXECABORT")
    error(link("GET", key + "\0#1"), "names a key that ends with a zero byte")


def test_wrong_words_have_redis_s_errors(link: Link, key: str) -> None:
    error(link("INCRBY", key, "x"), "^ERR value is not an integer or out of range")
    error(link("SET", key, "1", "EX"), "^ERR syntax error")
    error(link("SET", key, "1", "EX", "0"), "^ERR invalid expire time in 'set' command")
    link("INCR", key)
    error(link("EXPIRE", key, "x"), "^ERR value is not an integer or out of range")
    link("SET", key, "text")
    error(link("GET", key), "^ERR value is not an integer or out of range")
    error(link("GETDEL", key), "^ERR value is not an integer or out of range")


def test_what_a_pipeline_asks_stays_in_order(link: Link) -> None:
    link.send(*[("INCR", "s:p"), ("GET", "s:p")] * 20, ("DEL", "s:p"), ("GET", "s:p"))
    replies = link.replies(42)
    assert replies == [*(value for number in range(1, 21) for value in (number, b"%d" % number)), 1, None]


def test_without_one_of_its_nodes(tmp_path: Path, key: str) -> None:
    """No sum is told that leaves a shard out."""
    with running_nodes(tmp_path, 3) as nodes, running_proxy(tmp_path, nodes, OPTIONS) as proxy:
        fill(proxy, key)
        with proxy.link() as link:
            assert link("GET", key) == b"12"
            nodes[1].kill()
            until(lambda: isinstance(link("GET", key), Exception), "it is noticed")
            error(link("GET", key), "n1")
            error(link("MGET", key), "n1")
            nodes[1].start()
            until(lambda: not isinstance(link("GET", key), Exception), "it is back")


def test_who_leaves_while_it_waits(proxies: list[Proxy], nodes: list[Node], link: Link, key: str) -> None:
    """The first increments of a counter, and GETs, wait for the nodes; their clients may be gone by then."""
    over = threading.Event()

    def come_and_go(number: int) -> None:
        turn = 0
        while not over.is_set():
            turn += 1
            with proxies[0].link() as client:
                client.send(("INCR", f"s:{number}:{turn}"), ("GET", f"s:{number}:{turn}"))

    with ThreadPoolExecutor(4) as pool:
        running = [pool.submit(come_and_go, number) for number in range(4)]
        for _ in range(50):
            link("INCR", key)
        over.set()
        for one in running:
            one.result()
    assert link("GET", key) == b"50"


# -- any order --------------------------------------------------------------------------------------------------------

NUMBERS = st.sampled_from([0, 1, 2, -3, 100])
STEPS = st.one_of(
    st.tuples(st.sampled_from(["INCR", "DECR", "GET", "DEL", "GETDEL", "EXISTS", "TYPE", "PERSIST", "TTL"])),
    st.tuples(st.sampled_from(["INCRBY", "DECRBY", "SET", "SETNX", "GETSET"]), NUMBERS),
    st.tuples(st.just("EXPIRE"), st.sampled_from([100, 0, -5])),
    st.tuples(st.just("EXPIRE"), st.just(200), st.sampled_from(["NX", "XX"])),
    st.tuples(st.just("SET"), NUMBERS, st.sampled_from(["NX", "XX"])),
    st.tuples(st.just("SET"), NUMBERS, st.just("EX"), st.just(300)),
    st.tuples(st.just("SETEX"), st.just(300), NUMBERS),
)  # fmt: skip


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(steps=st.lists(st.tuples(st.integers(0, 4), STEPS), max_size=30))
def test_clients_that_take_turns_see_one_key(proxies: list[Proxy], nodes: list[Node], steps: Any) -> None:
    """Whoever asks, each command is answered as redis-server answers it for one key. Increments are told what was last
    heard of the other shards, so of those only that they are numbers."""
    for node in nodes:
        node("FLUSHALL")
    with ExitStack() as stack:
        clients = [stack.enter_context(proxies[0].link()) for _ in range(5)]
        for who, (verb, *rest) in steps:
            said = clients[who](verb, "s:k", *rest)
            meant = nodes[0](verb, "plain", *rest)
            if verb in ("INCR", "DECR", "INCRBY", "DECRBY"):
                assert isinstance(said, int) and isinstance(meant, int)
            else:
                assert said == meant, (verb, rest)
        assert clients[0]("GET", "s:k") == nodes[0]("GET", "plain")
