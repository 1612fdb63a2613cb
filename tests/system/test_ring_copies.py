"""`replication: ring` with real redis-servers: every key at several nodes, nodes that die, hang, and come back.

The naive twin is a dict: one client writes and reads, so what it was told is what there has to be. At the end the nodes
themselves are asked, too: each key at its own nodes and at no other, the same everywhere.
"""

from __future__ import annotations

import random
import re
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hiredis
import pytest

from tests.system.tier import Link, Node, Proxy, error, running_nodes, until

OPTIONS = "replication: ring\ntimeout: 400ms\nconnect_timeout: 300ms\nserver_retry_timeout: 100ms"
OWN = b"\0quench:"


@pytest.fixture
def tier(tmp_path: Path) -> Iterator[tuple[list[Node], Callable[..., Proxy]]]:
    """Four nodes, and a function that starts proxies in front of them."""
    proxies: list[Proxy] = []
    with running_nodes(tmp_path, 4) as nodes:

        def serve(options: str = "", engines: int = 1) -> Proxy:
            directory = tmp_path / f"p{len(proxies)}"
            directory.mkdir()
            proxy = Proxy(directory, [node.server for node in nodes], f"{OPTIONS}\n{options}", engines)
            proxies.append(proxy)
            return proxy

        yield nodes, serve
        for proxy in proxies:
            proxy.stop()


def served(proxy: Proxy, node: str, before: int) -> None:
    """Wait until the node serves again, in what was logged after the first `before` lines."""
    pattern = rf"node\.serves pool=test node={node} was=(gone|mending)"
    until(lambda: re.search(pattern, "\n".join(proxy.log.lines[before:])), f"{node} serves again")


def content(node: Node) -> dict[bytes, Any]:
    """All that a node holds, but the proxies' own keys: type, value and end."""
    with node.link() as link:
        found = {}
        for key in link("KEYS", "*"):
            if key.startswith(OWN):
                continue
            kind = link("TYPE", key)
            value = {
                b"string": lambda key: link("GET", key),
                b"list": lambda key: link("LRANGE", key, 0, -1),
                b"set": lambda key: sorted(link("SMEMBERS", key)),
                b"hash": lambda key: sorted(zip(*[iter(link("HGETALL", key))] * 2, strict=True)),
                b"zset": lambda key: link("ZRANGE", key, 0, -1, "WITHSCORES"),
            }[kind](key)
            found[key] = kind, value, link("PEXPIRETIME", key)
    return found


def same_everywhere(nodes: list[Node], copies: int = 3) -> dict[bytes, Any]:
    """Every key is at `copies` nodes, and the same there. Returns what they hold."""
    everything: dict[bytes, list[Any]] = {}
    for node in nodes:
        for key, value in content(node).items():
            everything.setdefault(key, []).append(value)
    for key, values in everything.items():
        assert len(values) == copies, (key, values)
        assert all(value == values[0] for value in values), (key, values)
    return {key: values[0] for key, values in everything.items()}


def step(rng: random.Random) -> list[Any]:
    """A random command that writes or reads a few keys of each type."""
    n = rng.randrange(6)
    member, other = rng.randrange(8), rng.randrange(8)
    return rng.choice([
        ["SET", f"s{n}", member], ["SET", f"s{n}", member, "EX", 100], ["SET", f"s{n}", member, "NX"],
        ["SET", f"s{n}", member, "GET", "KEEPTTL"], ["GET", f"s{n}"], ["GETDEL", f"s{n}"],
        ["GETEX", f"s{n}", "PX", 90000],
        ["SETEX", f"s{n}", 50, member], ["APPEND", f"s{n}", member], ["INCR", f"i{n}"], ["DECRBY", f"i{n}", member],
        ["INCRBYFLOAT", f"i{n}", "0.5"], ["EXPIRE", f"i{n}", 1000, "NX"], ["PEXPIRE", f"s{n}", 99999],
        ["PERSIST", f"i{n}"],
        ["DEL", f"s{n}", f"s{(n + 1) % 6}"], ["MSET", f"s{n}", member, f"s{(n + 2) % 6}", other],
        ["MGET", *(f"s{each}" for each in range(6))], ["UNLINK", f"l{n}"], ["EXISTS", f"l{n}", f"h{n}"],
        ["RPUSH", f"l{n}", member, other], ["LPOP", f"l{n}"], ["RPOP", f"l{n}", 2], ["LREM", f"l{n}", 1, member],
        ["LTRIM", f"l{n}", 0, 5], ["LRANGE", f"l{n}", 0, -1], ["HSET", f"h{n}", member, other],
        ["HDEL", f"h{n}", member],
        ["HINCRBY", f"h{n}", "n", member], ["HGET", f"h{n}", member], ["SADD", f"u{n}", member, other],
        ["SREM", f"u{n}", member], ["SPOP", f"u{n}"], ["SPOP", f"u{n}", 2], ["SCARD", f"u{n}"],
        ["ZADD", f"z{n}", member, other], ["ZINCRBY", f"z{n}", "1.25", member], ["ZPOPMIN", f"z{n}"],
        ["ZRANGE", f"z{n}", 0, -1], ["RENAME", f"{{t{n}}}a", f"{{t{n}}}b"], ["SET", f"{{t{n}}}a", member],
    ])  # fmt: skip


def test_it_is_as_one_redis_and_all_nodes_of_a_key_are_alike(tier: Any, tmp_path: Path) -> None:
    nodes, serve = tier
    proxy = serve('hash_tag: "{}"')
    rng = random.Random(5)
    (tmp_path / "twin").mkdir()
    with running_nodes(tmp_path / "twin", 1) as (twin,), proxy.link() as link:
        alone = twin.link()
        for number in range(1500):
            words = step(rng)
            got, wanted = link(*words), alone(*words)
            if words[0] == "SPOP" and got:
                # Whom chance took: the twin follows.
                members = got if isinstance(got, list) else [got]
                taken = wanted if isinstance(wanted, list) else [wanted]
                assert len(members) == len(taken)
                alone("SADD", words[1], *taken)
                alone("SREM", words[1], *members)
            elif isinstance(wanted, hiredis.ReplyError):
                assert str(got) == str(wanted), (number, words)
            else:
                assert got == wanted, (number, words)
        ours = {key: value[:2] for key, value in same_everywhere(nodes).items()}
        assert ours == {key: value[:2] for key, value in content(twin).items()}
        alone.close()


def test_a_node_is_killed_and_comes_back_with_nothing(tier: Any) -> None:
    """One writer: nothing that was confirmed is lost, and no request fails that begins a deadline after the death."""
    nodes, serve = tier
    proxy = serve(engines=2)
    told: dict[bytes, bytes] = {}
    with proxy.link() as link:
        for round_, victim in enumerate(nodes[:2]):
            before = len(proxy.log.lines)
            fell = 0.0
            failed = []
            for number in range(600):
                key = b"k%d" % (number % 150)
                if number == 200:
                    victim.kill()
                    fell = time.monotonic()
                if number % 7 == 3:
                    reply = link("DEL", key)
                    if not isinstance(reply, hiredis.ReplyError):
                        assert reply == (key in told)
                        told.pop(key, None)
                else:
                    value = b"%d-%d" % (round_, number)
                    reply = link("SET", key, value)
                    if reply == b"OK":
                        told[key] = value
                got = link("GET", key)
                for answer in (reply, got):
                    if isinstance(answer, hiredis.ReplyError) and (not fell or time.monotonic() - fell > 0.5):
                        failed.append((number, answer))
                if not isinstance(reply, hiredis.ReplyError) and not isinstance(got, hiredis.ReplyError):
                    assert got == told.get(key)
            assert not failed
            victim.start()
            served(proxy, victim.name, before)
            assert {key: link("GET", key) for key in told} == told
            assert {key: value[1] for key, value in same_everywhere(nodes).items()} == told


def test_a_node_that_hangs_costs_one_deadline_and_gets_what_it_missed(tier: Any) -> None:
    nodes, serve = tier
    proxy = serve()
    with proxy.link() as link:
        for number in range(100):
            link("SET", f"k{number}", "old")
        link("RPUSH", "list", 1)
        before = len(proxy.log.lines)
        nodes[0].freeze()
        for number in range(100):
            began = time.monotonic()
            # The others have confirmed it: the first node's silence is not the client's trouble.
            assert link("SET", f"k{number}", "new") == b"OK", number
            assert time.monotonic() - began < 5
        assert link("DEL", "k5", "k6", "k7") == 3
        link("RPUSH", "list", 2)
        assert {link("GET", f"k{number}") for number in range(10, 100)} == {b"new"}
        nodes[0].thaw()
        served(proxy, "n0", before)
        assert "it gets everything" not in "\n".join(proxy.log.lines[before:])
        assert link("LRANGE", "list", 0, -1) == [b"1", b"2"]
        found = same_everywhere(nodes)
        assert len(found) == 98 and found[b"list"][1] == [b"1", b"2"]
        assert all(node("EXISTS", OWN + b"hints:n0") == 0 for node in nodes)


def test_too_few_nodes_are_an_error_before_anything_is_sent(tier: Any) -> None:
    nodes, serve = tier
    proxy = serve("ring: {copies: 3, write: all}")
    with proxy.link() as link:
        assert link("SET", "a", "1") == b"OK"
        gone = next(node for node in nodes if node("EXISTS", "a"))
        gone.kill()
        until(lambda: isinstance(link("SET", "a", "2"), hiredis.ReplyError), "writes are refused")
        assert error(link("SET", "a", "3"), "was not sent: fewer nodes of pool test")
        assert {node("GET", "a") for node in nodes if node is not gone and node("EXISTS", "a")} <= {b"1", b"2"}


def test_several_writers_of_one_key_end_alike(tier: Any) -> None:
    """By way of two engines and two proxies. What is not in order at first is found and mended."""
    nodes, serve = tier
    proxies = [serve("ring: {anti_entropy: 2000}", engines=2), serve()]

    def write(seed: int) -> None:
        rng = random.Random(seed)
        with proxies[seed % 2].link() as link:
            for number in range(300):
                key = f"k{rng.randrange(4)}"
                assert link("SET", key, f"{seed}-{number}") == b"OK"

    threads = [threading.Thread(target=write, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    def alike() -> bool:
        holders: dict[str, set[Any]] = {f"k{n}": set() for n in range(4)}
        for node in nodes:
            for key, values in holders.items():
                values.add(node("GET", key))
        return all(len(values - {None}) == 1 for values in holders.values())

    until(alike, "all nodes of a key hold the same")


@pytest.mark.parametrize("words", [
    ["EVAL", "return redis.call('set', KEYS[1], 1)", "1", "a"], ["BLPOP", "a", "0"], ["WAIT", "1", "0"], ["WATCH", "a"],
    ["SORT", "a", "STORE", "b"], ["XADD", "a", "*", "b", "c"], ["RESTORE", "a", "0", "x"], ["MOVE", "a", "1"],
])  # fmt: skip
def test_what_cannot_be_repeated_is_refused(ring: Link, words: list[str]) -> None:
    assert error(ring(*words), r"is refused in pool test: with replication: ring")


def test_names_of_our_own_are_not_a_clients(ring: Link) -> None:
    assert error(ring("SET", OWN + b"hints:n0", "x"), "the proxy's own")
    assert error(ring("GET", OWN), "the proxy's own")


@pytest.fixture(scope="module")
def ring(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Link]:
    directory = tmp_path_factory.mktemp("ring")
    with running_nodes(directory, 3) as nodes:
        proxy = Proxy(directory, [node.server for node in nodes], OPTIONS)
        with proxy.link() as link:
            yield link
        proxy.stop()


def test_scan_keys_and_randomkey_show_each_key_once(tier: Any) -> None:
    nodes, serve = tier
    proxy = serve()
    wanted = {b"k%d" % number for number in range(200)}
    with proxy.link() as link:
        for key in wanted:
            link("SET", key, "v")

        def scanned() -> list[bytes]:
            cursor, found = b"0", []
            while True:
                cursor, keys = link("SCAN", cursor, "COUNT", 50)
                found += keys
                if cursor == b"0":
                    return found

        assert sorted(scanned()) == sorted(link("KEYS", "*")) == sorted(wanted)
        nodes[1].kill()
        until(lambda: "node.gone pool=test node=n1" in proxy.log.text, "n1 is gone")
        link("SET", "k0", "w")
        assert sorted(scanned()) == sorted(link("KEYS", "*")) == sorted(wanted)
        assert link("RANDOMKEY") in wanted
        assert error(link("DBSIZE"), "is refused in pool test")


@pytest.mark.parametrize("fall", ["hangs", "dies"])
def test_two_proxies_mend_the_same_node_while_both_write(tier: Any, fall: str) -> None:
    """Each writes keys of its own, before, while the node is away, and while it is mended; the background comparison,
    which would put right what mending got wrong, is off."""
    nodes, serve = tier
    proxies = [serve("ring: {anti_entropy: 0}"), serve("ring: {anti_entropy: 0}", engines=2)]
    told: list[dict[bytes, bytes]] = [{}, {}]
    unknown: list[set[bytes]] = [set(), set()]
    over = threading.Event()

    def write(which: int) -> None:
        rng = random.Random(which)
        number = 0
        with proxies[which].link() as link:
            while not over.is_set():
                number += 1
                key = b"%d:%d" % (which, rng.randrange(150))
                kind = rng.random()
                words: tuple[Any, ...] = ("SET", key, b"%d" % number)
                if kind < 0.3:
                    words = "DEL", key
                elif kind < 0.5:
                    words = "APPEND", key, b"+"
                reply = link(*words)
                if isinstance(reply, hiredis.ReplyError):
                    # What it did is not known until the key is set, or deleted.
                    unknown[which].add(key)
                elif words[0] == "APPEND":
                    told[which][key] = told[which].get(key, b"") + b"+"
                else:
                    unknown[which].discard(key)
                    told[which].pop(key, None)
                    if words[0] == "SET":
                        told[which][key] = words[2]

    threads = [threading.Thread(target=write, args=(which,)) for which in range(2)]
    for thread in threads:
        thread.start()
    try:
        time.sleep(0.4)
        before = [len(proxy.log.lines) for proxy in proxies]
        if fall == "hangs":
            nodes[0].freeze()
        else:
            nodes[0].kill()
        for proxy in proxies:
            until(lambda proxy=proxy: "node.gone pool=test node=n0" in proxy.log.text, "n0 is gone")
        time.sleep(0.5)
        if fall == "hangs":
            nodes[0].thaw()
        else:
            nodes[0].start()
        for proxy, lines in zip(proxies, before, strict=True):
            served(proxy, "n0", lines)
        time.sleep(0.3)
    finally:
        over.set()
        for thread in threads:
            thread.join()
    until(lambda: all(node("EXISTS", OWN + b"hints:n0") == 0 for node in nodes), "no hints are left")
    found = {key: value[1] for key, value in same_everywhere(nodes).items() if key not in unknown[0] | unknown[1]}
    assert found == {key: value for one in told for key, value in one.items() if key not in unknown[0] | unknown[1]}
    with proxies[0].link() as link:
        rows = [line for line in link("INFO", "nodes").decode().splitlines() if "name=n0" in line]
    assert re.search(r"hints=[1-9]", rows[0]), rows
