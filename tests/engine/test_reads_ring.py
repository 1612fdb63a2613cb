"""Reads with `replication: ring` and `read: one`: who is asked again when a copy hangs or is lost, and that a client's
order holds."""

from __future__ import annotations

import random

import hiredis
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.engine.probe import Probe
from tests.engine.harness import build, conn, ring, settle
from tests.helpers import bulk, request
from tests.oracle.resp import frame_requests

TIMEOUT = 1_000_000
NODES = 4
ONE, QUORUM = 1, 2


def start(**reads: int) -> tuple[Probe, int]:
    engine = build(NODES, copies=(3, QUORUM, ONE), reads=reads, timeout_us=TIMEOUT)
    engine.turn()
    return engine, engine.open()


def walk(key: bytes) -> list[int]:
    return ring(NODES).candidates(key, 3)


def get(key: bytes = b"k") -> bytes:
    return request(b"GET", key)


def pass_time(engine: Probe, us: int) -> None:
    engine.advance(us)
    engine.turn()
    assert engine.audit() == []


def test_half_of_the_deadline_is_the_next_copys() -> None:
    engine, client = start()
    first, second, third = walk(b"k")
    engine.feed(client, get())
    assert engine.sent(conn(first)) == get()
    pass_time(engine, TIMEOUT // 2 - 1000)
    assert engine.sent(conn(second)) == b""
    pass_time(engine, 10_000)
    assert engine.sent(conn(second)) == get() and engine.sent(conn(third)) == b""
    engine.answer(conn(second), b"+x\r\n")
    assert engine.take(client) == b"+x\r\n"
    engine.answer(conn(first), b"+late\r\n")
    assert engine.take(client) == b"" and engine.counters()["retries"] == 1
    pass_time(engine, 20_000)
    assert engine.state(client)["references"] == 0


def test_a_lost_connection_has_its_reads_asked_of_the_next_copy_at_once() -> None:
    engine, client = start()
    first, second, third = walk(b"k")
    engine.feed(client, get())
    engine.sent(conn(first))
    engine.fail(conn(first))
    settle(engine)
    assert engine.sent(conn(second)) == get()
    engine.fail(conn(second))
    settle(engine)
    assert engine.sent(conn(third)) == get()
    engine.answer(conn(third), b"+x\r\n")
    assert engine.take(client) == b"+x\r\n"


def test_who_hangs_is_not_asked_twice() -> None:
    engine, client = start()
    first, second, _ = walk(b"k")
    engine.feed(client, get())
    engine.sent(conn(first))
    pass_time(engine, TIMEOUT // 2)
    assert engine.sent(conn(second)) == get()
    engine.fail(conn(second))
    pass_time(engine, TIMEOUT // 2 - 20_000)
    pass_time(engine, 21_000)
    assert engine.sent(conn(first)) == b""
    assert engine.take(client).count(b"\r\n") == 1


@pytest.mark.parametrize("away", [1, 2, 3])
def test_a_copy_that_missed_something_is_not_asked(away: int) -> None:
    engine, client = start()
    first, second, third = walk(b"k")
    engine.set_away(0, second, away)
    engine.turn()
    engine.feed(client, get())
    engine.sent(conn(first))
    pass_time(engine, TIMEOUT // 2)
    assert engine.sent(conn(second)) == b"" and engine.sent(conn(third)) == get()


def test_without_another_copy_the_error_is_the_nodes() -> None:
    engine, client = start()
    first, *others = walk(b"k")
    for node in others:
        engine.set_away(0, node, 2)
    engine.turn()
    engine.feed(client, get())
    engine.sent(conn(first))
    pass_time(engine, TIMEOUT // 2)
    assert engine.sent(conn(first)) == b"", "it hangs: asking it again is of no use"
    engine.fail(conn(first))
    settle(engine)
    assert b"was lost" in engine.take(client)


@pytest.mark.parametrize("error", [b"-LOADING wait\r\n", b"-BUSY script\r\n"])
def test_a_node_that_serves_nobody_is_not_taken_at_its_word(error: bytes) -> None:
    engine, client = start()
    first, second, _ = walk(b"k")
    engine.feed(client, get())
    engine.sent(conn(first))
    engine.answer(conn(first), error)
    settle(engine)
    assert engine.sent(conn(second)) == get()
    engine.answer(conn(second), b"+x\r\n")
    assert engine.take(client) == b"+x\r\n"


@pytest.mark.parametrize("later", [request(b"SET", b"k", b"2"), request(b"MSET", b"x", b"1", b"k", b"2")])
def test_a_read_is_not_asked_again_past_a_later_write_of_its_key(later: bytes) -> None:
    engine, client = start()
    first, second, _ = walk(b"k")
    engine.feed(client, get() + later)
    engine.fail(conn(first))
    settle(engine)
    assert engine.sent(conn(second)).count(b"GET") == 0
    pass_time(engine, TIMEOUT // 2)
    assert engine.sent(conn(second)).count(b"GET") == 0


def test_a_read_is_asked_again_behind_an_earlier_write_that_went_to_the_next_copy_too() -> None:
    engine, client = start()
    first, second, third = walk(b"k")
    put = request(b"SET", b"k", b"1")
    engine.feed(client, put + get())
    assert engine.sent(conn(first)) == put + get()
    assert engine.sent(conn(second)) == engine.sent(conn(third)) == put
    for node in (second, third):
        engine.answer(conn(node), b"+OK\r\n")
    pass_time(engine, TIMEOUT // 2)
    assert engine.sent(conn(second)) == get()
    engine.answer(conn(second), b"$1\r\n1\r\n")
    engine.fail(conn(first))
    settle(engine)
    for node in (second, third):
        engine.answer(conn(node), b":1\r\n" * engine.sent(conn(node)).count(b"ZADD"))
    settle(engine)
    assert engine.take(client) == b"+OK\r\n$1\r\n1\r\n"


def test_a_write_waits_for_a_read_of_its_key_that_was_asked_again() -> None:
    engine, client = start()
    first, second, third = walk(b"k")
    engine.feed(client, get())
    engine.sent(conn(first))
    pass_time(engine, TIMEOUT // 2)
    engine.feed(client, request(b"SET", b"k", b"1"))
    assert engine.sent(conn(second)) == get() and engine.sent(conn(third)) == b""
    engine.answer(conn(second), b"+x\r\n")
    settle(engine)
    assert all(engine.sent(conn(node)) == request(b"SET", b"k", b"1") for node in walk(b"k"))


def test_a_command_over_several_keys_is_asked_where_all_of_them_are() -> None:
    engine, client = start()
    first = walk(b"k")[0]
    keys = [b"o%d" % number for number in range(400) if walk(b"o%d" % number)[0] == first]
    common = next(key for key in keys if set(walk(key)) != set(walk(b"k")))
    words = request(b"SINTER", b"k", common)
    engine.feed(client, words)
    assert engine.sent(conn(first)) == words
    engine.fail(conn(first))
    settle(engine)
    asked = [node for node in range(NODES) if node != first and engine.sent(conn(node)) == words]
    assert len(asked) == 1 and asked[0] in set(walk(b"k")) & set(walk(common))


def test_a_copy_whose_connection_is_not_open_is_connected_to() -> None:
    engine, client = start()
    first, second, _ = walk(b"k")
    engine.connect(first, database=3)
    engine.set_away(0, first, 0)
    engine.turn()
    engine.feed(client, request(b"SELECT", b"3") + get())
    assert engine.sent(conn(first, database=3)) == get()
    pass_time(engine, TIMEOUT // 2 + 10_000)
    assert engine.conn_state(conn(second, database=3))["state"] in ("connecting", "down")


def test_hedges_go_to_the_next_copy_within_the_budget() -> None:
    engine, client = start(after_us=5000, budget=50)
    first, second, _ = walk(b"k")
    for _ in range(1000):
        engine.feed(client, get())
        engine.sent(conn(first))
        engine.answer(conn(first), b"+x\r\n")
        engine.turn()
        engine.take(client)
    pass_time(engine, 1_000_000)
    engine.feed(client, get() * 200)
    engine.sent(conn(first))
    pass_time(engine, 6000)
    hedged = engine.sent(conn(second)).count(b"GET")
    assert 20 <= hedged <= 61
    engine.answer(conn(second), b"+r\r\n" * hedged)
    assert engine.take(client).count(b"+r") == hedged
    assert engine.counters()["hedges"] == engine.counters()["hedges_won"] == hedged
    engine.answer(conn(first), b"+p\r\n" * 200)
    assert engine.take(client).count(b"+p") == 200 - hedged


def test_levels_of_a_client_are_its_own() -> None:
    """A read for which more than one node answers is a quorum's, and is not asked again."""
    engine, client = start()
    engine.feed(client, request(b"CLIENT", b"QUENCH", b"CONSISTENCY", b"READ", b"QUORUM"))
    engine.feed(client, get())
    assert all(engine.sent(conn(node)) == get() for node in walk(b"k"))
    pass_time(engine, TIMEOUT // 2)
    assert engine.counters()["retries"] == 0


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 1 << 32), st.booleans())
def test_order(seed: int, hedging: bool) -> None:
    """Values count upwards: the n-th SET of a key writes n. Nobody reads less than the last SET that he was told of,
    nor more than the last one that he had asked for."""
    chance = random.Random(seed)
    engine, client = start(**({"after_us": 20_000, "budget": 1000} if hedging else {}))
    keys = [b"k", b"l"]
    data: list[dict[bytes, int]] = [{} for _ in range(NODES)]
    waiting: list[list[list[bytes]]] = [[] for _ in range(NODES)]
    written = dict.fromkeys(keys, 0)
    asked: list[tuple[bytes, bytes, int]] = []
    received = b""

    def pump() -> None:
        nonlocal received
        for node in range(NODES):
            if engine.conn_state(conn(node))["state"] == "open":
                waiting[node] += frame_requests(engine.sent(conn(node))).items
        received += engine.take(client)

    def execute(node: int, count: int) -> bytes:
        replies = b""
        for words in waiting[node][:count]:
            if words[0] == b"SET":
                data[node][words[1]] = int(words[2])
                replies += b"+OK\r\n"
            elif words[0] == b"GET":
                replies += bulk(b"%d" % data[node].get(words[1], 0))
            else:
                replies += b":1\r\n"
        del waiting[node][:count]
        return replies

    fallen: set[int] = set()
    for _ in range(chance.randrange(5, 60)):
        kind = chance.random()
        node = chance.randrange(NODES)
        if kind < 0.45:
            words = b""
            for _ in range(chance.randrange(1, 8)):
                key = chance.choice(keys)
                if chance.random() < 0.4:
                    written[key] += 1
                    words += request(b"SET", key, b"%d" % written[key])
                    asked.append((b"SET", key, written[key]))
                else:
                    words += get(key)
                    asked.append((b"GET", key, written[key]))
            engine.feed(client, words)
        elif kind < 0.8:
            if engine.conn_state(conn(node))["state"] == "open":
                engine.answer(conn(node), execute(node, chance.randrange(1, 8)))
        elif kind < 0.95 or len(fallen) > 1:
            engine.advance(chance.choice([1000, 30_000, TIMEOUT // 2]))
        elif engine.conn_state(conn(node))["state"] == "open":
            execute(node, chance.randrange(0, 4))
            waiting[node].clear()
            engine.fail(conn(node))
            fallen.add(node)
        engine.turn()
        pump()
        assert engine.audit() == []
    for _ in range(300):
        for node in range(NODES):
            pump()
            if engine.conn_state(conn(node))["state"] == "open":
                engine.answer(conn(node), execute(node, 100))
        engine.turn()
        pump()
        engine.advance(20_000)
        if engine.state(client)["owed"] == 0 and not engine.state(client)["parked"]:
            break
    engine.turn()
    pump()
    reader = hiredis.Reader()
    reader.feed(received)
    replies = [reader.gets() for _ in range(received.count(b"\n") + 1)]
    replies = replies[: replies.index(False)]
    assert len(replies) == len(asked)
    nodes = engine.pool_stats()[0]["nodes"]
    for counter in ("retries", "hedges", "hedges_won", "hints"):
        assert sum(node[counter] for node in nodes) == engine.counters()[counter]
    told = dict.fromkeys(keys, 0)
    for (name, key, last), reply in zip(asked, replies, strict=True):
        if isinstance(reply, hiredis.ReplyError):
            continue
        if name == b"SET":
            told[key] = last
        else:
            assert told[key] <= int(reply) <= last, (key, reply, told[key], last)
