"""Reads where nodes have replicas: who is asked, who is asked again, and that the order of one client holds."""

from __future__ import annotations

from typing import Any

import pytest

from proxy.engine.probe import Probe
from tests.engine.harness import build, conn, heated, key_on, settle
from tests.helpers import request

TIMEOUT = 1_000_000
PRIMARY, REPLICA, OTHER = conn(0), conn(1), conn(2)


def world(replicas: int = 1, mode: str = "prefer_primary", **more: Any) -> tuple[Probe, int]:
    """One node with replicas, and a client."""
    modes = ("primary", "prefer_primary", "prefer_replica", "nearest", "any")
    reads = {"from": modes.index(mode), **more.pop("reads", {})}
    engine = build(1, replicas=replicas, reads=reads, timeout_us=TIMEOUT, **more)
    engine.turn()
    return engine, engine.open()


def get(key: bytes = b"a") -> bytes:
    return request(b"GET", key)


def put(key: bytes = b"a") -> bytes:
    return request(b"SET", key, b"1")


def pass_time(engine: Probe, us: int) -> None:
    engine.advance(us)
    engine.turn()
    assert engine.audit() == []


# -- who is asked -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "asked"),
    [("primary", [4, 0, 0]), ("prefer_primary", [4, 0, 0]), ("prefer_replica", [0, 2, 2]), ("any", None)],
)
def test_who_is_asked(mode: str, asked: list[int] | None) -> None:
    engine, client = world(2, mode)
    engine.feed(client, b"".join(get(b"k%d" % number) for number in range(4)))
    sent = [engine.sent(name).count(b"GET") for name in (PRIMARY, REPLICA, OTHER)]
    assert sum(sent) == 4
    assert sent == asked if asked else min(sent) >= 1
    engine.feed(client, put(b"other"))
    assert engine.sent(PRIMARY) == put(b"other")


def test_the_nearest_is_asked() -> None:
    engine, client = world(1, "nearest")
    for _ in range(200):
        engine.feed(client, get())
        for name, us in ((PRIMARY, 900), (REPLICA, 100)):
            if engine.sent(name):
                engine.advance(us)
                engine.answer(name, b"+x\r\n")
        engine.turn()
    requests = [node["requests"] for node in engine.pool_stats()[0]["nodes"]]
    assert requests[1] > 190 and requests[0] >= 2


@pytest.mark.parametrize("command", [b"TOUCH", b"OBJECT"])
def test_what_is_about_one_node_is_asked_there(command: bytes) -> None:
    engine, client = world(1, "prefer_replica")
    words = {b"TOUCH": (b"a",), b"OBJECT": (b"FREQ", b"a")}[command]
    engine.feed(client, request(command, *words))
    assert engine.sent(REPLICA) == b"" and engine.sent(PRIMARY)


@pytest.mark.parametrize("why", ["unreadable", "ejected", "old"])
def test_a_replica_that_will_not_do_is_not_asked(why: str) -> None:
    engine, client = world(1, "prefer_replica", reads={"lag_us": 10_000})
    engine.readable(0, 1, why != "unreadable", 1 << 62 if why != "old" else 0)
    if why == "ejected":
        engine.eject(0, 1, True)
    engine.turn()
    engine.feed(client, get())
    assert engine.sent(PRIMARY) == get()
    engine.readable(0, 1, True, 1 << 62)
    engine.eject(0, 1, False)
    engine.turn()
    engine.feed(client, get())
    assert engine.sent(REPLICA) == get()


# -- order ------------------------------------------------------------------------------------------------------------


def test_a_client_whose_write_is_unanswered_reads_that_key_at_its_node() -> None:
    engine, client = world(1, "prefer_replica")
    engine.feed(client, put(b"a") + get(b"a") + get(b"b"))
    assert engine.sent(PRIMARY) == put(b"a") + get(b"a")
    assert engine.sent(REPLICA) == get(b"b")
    engine.answer(PRIMARY, b"+OK\r\n+1\r\n")
    engine.answer(REPLICA, b"+b\r\n")
    engine.feed(client, get(b"a"))
    assert engine.sent(REPLICA) == get(b"a")


def test_a_write_waits_for_reads_of_its_key_that_a_replica_may_answer() -> None:
    engine, client = world(1, "prefer_replica")
    engine.feed(client, get(b"a") + put(b"b") + put(b"a") + get(b"c"))
    assert engine.sent(REPLICA) == get(b"a")
    assert engine.sent(PRIMARY) == put(b"b")
    engine.answer(REPLICA, b"+a\r\n")
    settle(engine)
    assert engine.sent(PRIMARY) == put(b"a")
    assert engine.sent(REPLICA) == get(b"c")


def test_transactions_wait_for_every_read_at_a_replica_and_are_read_behind_by_nobody() -> None:
    engine, client = world(1, "prefer_replica")
    block = request(b"MULTI") + put(b"a") + request(b"EXEC")
    engine.feed(client, get(b"z") + block + get(b"a"))
    assert engine.sent(REPLICA) == get(b"z") and engine.sent(PRIMARY) == b""
    engine.answer(REPLICA, b"+z\r\n")
    settle(engine)
    assert engine.sent(PRIMARY) == block + get(b"a")


# -- asked again ------------------------------------------------------------------------------------------------------


def test_a_lost_connection_has_its_reads_asked_again_at_once() -> None:
    engine, client = world()
    engine.feed(client, get(b"a") + put(b"b") + get(b"c"))
    engine.sent(PRIMARY)
    engine.fail(PRIMARY)
    settle(engine)
    assert engine.sent(REPLICA) == get(b"a") + get(b"c")
    engine.answer(REPLICA, b"+a\r\n+c\r\n")
    reply = engine.take(client)
    assert reply.startswith(b"+a\r\n-ERR the fate of 'set' is unknown") and reply.endswith(b"+c\r\n")
    assert engine.counters()["retries"] == 2 and engine.counters()["replica_reads"] == 2
    settle(engine)


@pytest.mark.parametrize("later", [put(b"a"), request(b"MSET", b"x", b"1", b"a", b"2")])
def test_a_read_is_not_asked_again_past_a_write_of_its_key(later: bytes) -> None:
    engine, client = world()
    engine.feed(client, get(b"a") + later)
    engine.sent(PRIMARY)
    engine.fail(PRIMARY)
    settle(engine)
    assert engine.sent(REPLICA) == b""
    assert engine.take(client).count(b"-ERR") == 2


def test_a_read_is_asked_again_past_an_earlier_write_of_its_key_that_failed() -> None:
    """Whatever became of that, its client was told that it may not have happened."""
    engine, client = world()
    engine.feed(client, get(b"z") + put(b"a") + get(b"a") + get(b"b"))
    engine.sent(PRIMARY)
    engine.seat(0, 0, b"", b"", b"", 1)
    settle(engine)
    assert engine.sent(REPLICA) == get(b"z") + get(b"a") + get(b"b")
    engine.answer(REPLICA, b"+z\r\n+a\r\n+b\r\n")
    reply = engine.take(client)
    assert reply.startswith(b"+z\r\n-ERR the fate of 'set' is unknown") and reply.endswith(b"\r\n+a\r\n+b\r\n")
    settle(engine)


def test_a_read_is_not_asked_again_past_a_write_of_its_key_that_is_answered_but_not_told() -> None:
    engine = build(2, replicas=1, reads={"from": 1}, timeout_us=TIMEOUT)
    engine.turn()
    client = engine.open()
    slow, key = key_on(0), key_on(1)
    engine.feed(client, get(slow) + put(key) + get(key))
    engine.sent(conn(0))
    engine.sent(conn(1))
    engine.answer(conn(1), b"+OK\r\n")
    engine.fail(conn(1))
    settle(engine)
    assert engine.sent(conn(3)) == b""


def test_half_of_the_deadline_is_the_other_nodes() -> None:
    engine, client = world()
    engine.feed(client, get(b"a") + put(b"b") + get(b"c"))
    engine.sent(PRIMARY)
    pass_time(engine, TIMEOUT // 2 - 1000)
    assert engine.sent(REPLICA) == b""
    pass_time(engine, 10_000)
    assert engine.sent(REPLICA) == get(b"a") + get(b"c")
    engine.answer(REPLICA, b"+a\r\n+c\r\n")
    assert engine.take(client) == b"+a\r\n"
    engine.answer(PRIMARY, b"+late\r\n+OK\r\n+late\r\n")
    assert engine.take(client) == b"+OK\r\n+c\r\n"
    assert engine.counters()["late_replies"] == 2 and engine.counters()["timeouts"] == 0
    settle(engine)


def test_the_first_reply_counts_whoever_gives_it() -> None:
    engine, client = world()
    engine.feed(client, get())
    engine.sent(PRIMARY)
    pass_time(engine, TIMEOUT // 2)
    assert engine.sent(REPLICA) == get()
    engine.answer(PRIMARY, b"+first\r\n")
    assert engine.take(client) == b"+first\r\n"
    engine.answer(REPLICA, b"+second\r\n")
    assert engine.take(client) == b""
    pass_time(engine, 20_000)
    assert engine.state(client)["references"] == 0


def test_when_nobody_answers_the_deadline_is_the_deadline() -> None:
    engine, client = world()
    engine.feed(client, get())
    engine.sent(PRIMARY)
    pass_time(engine, TIMEOUT // 2)
    engine.sent(REPLICA)
    pass_time(engine, TIMEOUT // 2 + 1000)
    assert b"did not answer 'get' within 100" in engine.take(client)
    for name in (PRIMARY, REPLICA):
        engine.answer(name, b"+late\r\n")
    assert engine.take(client) == b"" and engine.counters()["timeouts"] == 1
    pass_time(engine, TIMEOUT)
    assert engine.state(client)["references"] == 0
    settle(engine)


@pytest.mark.parametrize("error", [b"-LOADING wait\r\n", b"-BUSY script\r\n", b"-MASTERDOWN link\r\n"])
@pytest.mark.parametrize("mode", ["prefer_primary", "prefer_replica"])
def test_a_node_that_serves_nobody_is_not_taken_at_its_word(error: bytes, mode: str) -> None:
    engine, client = world(mode=mode)
    first, second = (PRIMARY, REPLICA) if mode == "prefer_primary" else (REPLICA, PRIMARY)
    engine.feed(client, get())
    assert engine.sent(first) == get()
    engine.answer(first, error)
    settle(engine)
    assert engine.sent(second) == get()
    engine.answer(second, b"+x\r\n")
    assert engine.take(client) == b"+x\r\n"


def test_other_errors_are_answers() -> None:
    engine, client = world()
    engine.feed(client, get())
    engine.sent(PRIMARY)
    engine.answer(PRIMARY, b"-WRONGTYPE no\r\n")
    settle(engine)
    assert engine.take(client) == b"-WRONGTYPE no\r\n" and engine.sent(REPLICA) == b""


def test_a_node_that_is_down_is_not_asked_at_all() -> None:
    engine, client = world()
    engine.fail(PRIMARY)
    engine.node_down(0, 0, b"no route")
    settle(engine)
    engine.feed(client, get() + put(b"b"))
    assert engine.sent(REPLICA) == get()
    engine.answer(REPLICA, b"+x\r\n")
    assert engine.take(client).startswith(b"+x\r\n-ERR node n0")


def test_read_from_primary_waits_for_the_primary_to_come_back() -> None:
    engine, client = world(mode="primary")
    engine.feed(client, get())
    engine.sent(PRIMARY)
    engine.fail(PRIMARY)
    settle(engine)
    assert engine.take(client) == b"" and engine.sent(REPLICA) == b""
    engine.connect(0)
    pass_time(engine, 20_000)
    assert engine.sent(PRIMARY) == get()
    engine.answer(PRIMARY, b"+x\r\n")
    assert engine.take(client) == b"+x\r\n"


def test_read_from_primary_fails_when_the_primary_will_not_come_back() -> None:
    engine, client = world(mode="primary")
    engine.feed(client, get())
    engine.sent(PRIMARY)
    engine.fail(PRIMARY)
    settle(engine)
    engine.node_down(0, 0, b"no route")
    pass_time(engine, 20_000)
    assert b"-ERR" in engine.take(client)


def test_parts_of_a_split_command_are_asked_again() -> None:
    engine = build(2, replicas=1, timeout_us=TIMEOUT)
    engine.turn()
    client = engine.open()
    keys = [b"k%d" % number for number in range(6)]
    engine.feed(client, request(b"MGET", *keys))
    mine, others = engine.sent(conn(0)), engine.sent(conn(1))
    engine.answer(conn(1), b"*%d\r\n" % others.count(b"$2") + b"$1\r\ny\r\n" * others.count(b"$2"))
    engine.fail(conn(0))
    settle(engine)
    assert engine.sent(conn(2)) == mine
    engine.answer(conn(2), b"*%d\r\n" % mine.count(b"$2") + b"$1\r\nx\r\n" * mine.count(b"$2"))
    reply = engine.take(client)
    assert reply.startswith(b"*6\r\n") and reply.count(b"x") == mine.count(b"$2")
    settle(engine)


def test_what_is_kept_has_a_limit_beyond_which_reads_are_asked_once() -> None:
    engine, client = world(reads={"retained": 20_000})
    engine.feed(client, b"".join(get(b"k%d" % number + bytes(500)) for number in range(60)))
    engine.sent(PRIMARY)
    engine.fail(PRIMARY)
    settle(engine)
    asked = engine.sent(REPLICA).count(b"GET")
    assert 0 < asked < 60
    engine.answer(REPLICA, b"+x\r\n" * asked)
    reply = engine.take(client)
    assert reply.count(b"+x") == asked and reply.count(b"-ERR") == 60 - asked
    assert engine.counters()["reads_let_go"] > 0
    settle(engine)


def test_a_client_that_left_is_asked_nothing_for() -> None:
    engine, client = world()
    engine.feed(client, get())
    engine.sent(PRIMARY)
    engine.close(client)
    engine.fail(PRIMARY)
    settle(engine)
    assert engine.sent(REPLICA) == b""


def test_an_engine_may_end_with_reads_under_way_twice() -> None:
    engine, client = world()
    engine.feed(client, get() * 3)
    engine.sent(PRIMARY)
    pass_time(engine, TIMEOUT // 2)
    assert engine.sent(REPLICA) == get() * 3
    del engine


# -- hedges -----------------------------------------------------------------------------------------------------------


def test_hedges_are_within_the_budget_and_the_first_reply_wins() -> None:
    engine, client = world(reads={"after_us": 5000, "budget": 50})
    for _ in range(1000):
        engine.feed(client, get())
        engine.sent(PRIMARY)
        engine.answer(PRIMARY, b"+x\r\n")
        engine.turn()
        engine.take(client)
    pass_time(engine, 1_000_000)
    engine.feed(client, get() * 200)
    engine.sent(PRIMARY)
    pass_time(engine, 4000)
    assert engine.sent(REPLICA) == b""
    pass_time(engine, 2000)
    hedged = engine.sent(REPLICA).count(b"GET")
    assert 20 <= hedged <= 61, "a twentieth of 1,200, of which the upper half needs more patience"
    engine.answer(REPLICA, b"+r\r\n" * hedged)
    assert engine.take(client).count(b"+r") == hedged
    assert engine.counters()["hedges"] == engine.counters()["hedges_won"] == hedged
    engine.answer(PRIMARY, b"+p\r\n" * 200)
    assert engine.take(client).count(b"+p") == 200 - hedged
    settle(engine)


def test_reads_that_are_merely_slow_leave_half_of_the_budget_to_those_that_wait_for_long() -> None:
    engine, client = world(reads={"quantile": True, "budget": 50})
    for _ in range(5000):
        engine.feed(client, get())
        engine.sent(PRIMARY)
        engine.advance(1000)
        engine.answer(PRIMARY, b"+x\r\n")
        engine.turn()
        engine.take(client)
    engine.feed(client, get() * 300)
    engine.sent(PRIMARY)
    pass_time(engine, 3000)
    slow = engine.sent(REPLICA).count(b"GET")
    pass_time(engine, 20_000)
    far = engine.sent(REPLICA).count(b"GET")
    assert 0 < slow < far and slow + far <= 261


def test_without_a_replica_that_answers_nothing_is_hedged() -> None:
    engine, client = world(reads={"after_us": 1000, "budget": 1000})
    engine.readable(0, 1, False, 0)
    engine.turn()
    engine.feed(client, get() * 20)
    pass_time(engine, 10_000)
    assert engine.sent(REPLICA) == b"" and engine.counters()["hedges"] == 0


# -- hot keys ---------------------------------------------------------------------------------------------------------


def test_whoever_joined_a_read_of_a_hot_key_asks_for_himself_when_it_is_lost() -> None:
    engine, first = world(hot=heated("off"))
    second = engine.open()
    for _ in range(3):
        engine.feed(first, get())
        engine.answer(PRIMARY, b"+x\r\n" * engine.sent(PRIMARY).count(b"GET"))
        engine.turn()
    engine.take(first)
    engine.feed(first, get())
    engine.feed(second, get())
    assert engine.sent(PRIMARY) == get(), "they share it"
    engine.fail(PRIMARY)
    settle(engine)
    assert engine.sent(REPLICA) == get() * 2
    engine.answer(REPLICA, b"+y\r\n+y\r\n")
    assert engine.take(first) == engine.take(second) == b"+y\r\n"
    settle(engine)


def late(copies: str = "off", joins: bool = False) -> tuple[Probe, list[int]]:
    """A read of a hot key that two clients share, and that is late: each has asked the replica, too. `joins`: the
    second one came when it was on the wire."""
    engine, first = world(hot=heated(copies), reads={"after_us": 5000, "budget": 1000})
    second = engine.open()
    for _ in range(4):
        engine.feed(first, get())
        sent = engine.sent(PRIMARY)
        engine.answer(PRIMARY, b"+x\r\n" * sent.count(b"GET") + b":-1\r\n" * sent.count(b"PTTL"))
        engine.turn()
    engine.advance(20_000_000)  # no copy lives so long
    pass_time(engine, 1)
    engine.take(first)
    engine.feed(first, get())
    asked = engine.sent(PRIMARY) if joins else b""
    engine.feed(second, get())
    asked += engine.sent(PRIMARY)
    assert asked.count(b"GET") == 1, "they share it"
    assert asked.count(b"PTTL") == (copies == "ttl")
    pass_time(engine, 6000)
    assert engine.sent(REPLICA) == get() * 2
    return engine, [first, second]


@pytest.mark.parametrize(("copies", "joins"), [("off", False), ("ttl", False), ("ttl", True)])
@pytest.mark.parametrize("winner", [PRIMARY, REPLICA])
def test_the_first_reply_to_a_hot_read_that_was_hedged_is_for_all(
    winner: tuple[int, int, int, int], copies: str, joins: bool
) -> None:
    engine, clients = late(copies, joins)
    replies = {PRIMARY: b"+p\r\n" + b":-1\r\n" * (copies == "ttl"), REPLICA: b"+r\r\n" * 2}
    engine.answer(winner, replies.pop(winner))
    settle(engine)
    assert [engine.take(client) for client in clients] == [b"+p\r\n" if winner == PRIMARY else b"+r\r\n"] * 2
    for loser, reply in replies.items():
        engine.answer(loser, reply)
    settle(engine)
    assert [engine.take(client) for client in clients] == [b"", b""]
    assert engine.counters()["hedges_won"] == 2 * (winner == REPLICA)


@pytest.mark.parametrize("order", [(PRIMARY, REPLICA), (REPLICA, PRIMARY)])
def test_a_hot_read_that_was_hedged_outlives_one_of_its_nodes(order: tuple[tuple[int, int, int, int], ...]) -> None:
    engine, clients = late()
    lost, there = order
    engine.fail(lost)
    settle(engine)
    assert engine.sent(there) == b"", "it was asked"
    engine.answer(there, b"+v\r\n" * (1 if there == PRIMARY else 2))
    settle(engine)
    assert [engine.take(client) for client in clients] == [b"+v\r\n"] * 2


def test_a_hot_read_that_was_hedged_and_lost_twice_is_asked_again() -> None:
    engine, clients = late()
    engine.fail(PRIMARY)
    engine.fail(REPLICA)
    settle(engine)
    engine.connect(1)
    pass_time(engine, 20_000)
    assert engine.sent(REPLICA) == get() * 2
    engine.answer(REPLICA, b"+v\r\n" * 2)
    settle(engine)
    assert [engine.take(client) for client in clients] == [b"+v\r\n"] * 2


@pytest.mark.parametrize("answered", [False, True])
def test_a_client_that_leaves_a_hot_read_that_was_hedged(answered: bool) -> None:
    engine, clients = late()
    if answered:
        engine.answer(REPLICA, b"+r\r\n")
        settle(engine)
    engine.close(clients[0])
    settle(engine)
    engine.answer(PRIMARY, b"+p\r\n")
    settle(engine)
    assert engine.take(clients[1]) == b"+p\r\n"
    engine.answer(REPLICA, b"+r\r\n" * (2 - answered))
    settle(engine)


def test_an_engine_may_end_with_a_hot_read_that_was_hedged() -> None:
    engine, _ = late()
    del engine
    engine, _ = late()
    engine.answer(REPLICA, b"+r\r\n")
    settle(engine)
    del engine


def test_no_copy_is_made_of_what_a_replica_says() -> None:
    engine, client = world(hot=heated("ttl"))
    for _ in range(3):
        engine.feed(client, get())
        sent = engine.sent(PRIMARY)
        engine.answer(PRIMARY, b"+x\r\n" * sent.count(b"GET") + b":-1\r\n" * sent.count(b"PTTL"))
        engine.turn()
    assert engine.counters()["copies_stored"] == 1
    engine.fail(PRIMARY)
    engine.node_down(0, 0, b"no route")
    settle(engine)
    engine.advance(60_000_000)
    stored = engine.counters()["copies_stored"]
    for _ in range(5):
        engine.feed(client, get())
        assert engine.sent(REPLICA) == get()
        engine.answer(REPLICA, b"+old\r\n")
        engine.turn()
    assert engine.counters()["copies_stored"] == stored


def warmed(engine: Probe, client: int) -> None:
    """Make `a` hot and, where that is allowed, copied."""
    for _ in range(3):
        engine.feed(client, get())
        for name in (PRIMARY, REPLICA):
            sent = engine.sent(name)
            engine.answer(name, b"+x\r\n" * sent.count(b"GET") + b":-1\r\n" * sent.count(b"PTTL"))
        engine.turn()
    engine.take(client)


@pytest.mark.parametrize("spread", [False, True])
def test_hot_reads_are_spread_over_replicas_when_asked(spread: bool) -> None:
    engine, client = world(hot=heated("off"), reads={"hot": spread})
    warmed(engine, client)
    for _ in range(10):
        engine.feed(client, get())
    asked = [engine.sent(name).count(b"GET") for name in (PRIMARY, REPLICA)]
    assert asked == [5, 5] if spread else asked == [1, 0]


def test_a_stale_copy_answers_only_when_no_replica_can() -> None:
    engine, client = world(hot=heated("ttl", 1_000_000, 60_000_000))
    warmed(engine, client)
    assert engine.counters()["copies_stored"] == 1
    engine.fail(PRIMARY)
    engine.node_down(0, 0, b"no route")
    settle(engine)
    engine.advance(2_000_000)
    engine.feed(client, get())
    assert engine.sent(REPLICA) == get()
    engine.answer(REPLICA, b"+fresh\r\n")
    assert engine.take(client) == b"+fresh\r\n"
    engine.fail(REPLICA)
    engine.node_down(0, 1, b"no route")
    settle(engine)
    engine.feed(client, get())
    assert engine.take(client) == b"+x\r\n" and engine.counters()["copies_stale"] == 1


def test_replicas_are_made_ready_for_whatever_protocol_is_spoken() -> None:
    engine, client = world(connect=False)
    for name in (PRIMARY, REPLICA):
        engine.connect(name[0])
    engine.connect(0, 3)
    engine.readable(0, 1, True, 0)
    engine.turn()
    engine.feed(client, request(b"HELLO", b"3"))
    engine.take(client)
    engine.feed(client, get())
    engine.sent(conn(0, 3))
    with pytest.raises(KeyError):
        engine.conn_state(conn(1, 3))
    pass_time(engine, 20_000)
    assert engine.conn_state(conn(1, 3))["state"] != "idle"
