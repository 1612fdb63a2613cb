"""The same read many times over in one pipeline, answered from a copy all at once: nothing may differ but the cost."""

from __future__ import annotations

import random
import struct

import pytest

from tests.engine.harness import build, heated
from tests.helpers import bulk, request

KEYS = (b"hot:a", b"hot:b")
VALUES = {b"hot:a": b"one", b"hot:b": b"the other" * 30}
CONN = (0, 2, 0, 0)
CHECK_EVERY = 20_000  # heat.pxd


class Copied:
    """An engine with copies of both keys, and a client."""

    def __init__(self, **limits: int) -> None:
        self.engine = build(1, hot=heated("ttl", 10_000_000), **limits)
        self.client = self.engine.open()
        for key in KEYS:
            self.engine.hot_key(0, key)
        self.engine.turn()
        for _ in range(4):
            for key in KEYS:
                self.engine.feed(self.client, request(b"GET", key))
                self.engine.turn()
                self.reply()
        self.engine.take(self.client)
        assert self.engine.counters()["copy_hits"] >= 4

    def reply(self) -> None:
        for part in self.engine.sent(CONN).split(b"*2\r\n")[1:]:
            value = next(value for key, value in VALUES.items() if key in part)
            self.engine.answer(CONN, b":-1\r\n" if b"PTTL" in part else bulk(value))
        self.engine.turn()

    def ask(self, requests: list[bytes], pieces: list[bytes] | None = None) -> bytes:
        for piece in pieces or [b"".join(requests)]:
            self.engine.feed(self.client, piece)
        self.engine.turn()
        return self.engine.take(self.client)

    def facts(self) -> dict[str, object]:
        """What is counted, of the engine, of the client and of the keys."""
        counters = dict(self.engine.counters())
        for name in ("turns", "bytes_in", "bytes_out"):
            counters.pop(name, None)
        calls = {name: stats[0] for name, stats in self.engine.command_stats().items()}
        self.engine.events()
        self.engine.list_hot_keys(1)
        self.engine.turn()
        (listed,) = [event[-1] for event in self.engine.events() if event[-1]]
        numbers = list(struct.iter_unpack("=Q", listed[:88])), list(struct.iter_unpack("=Q", listed[93:181]))
        return {"counters": counters, "commands": self.engine.state(self.client)["commands"], "calls": calls,
                "hot": numbers}


def pipelines() -> list[list[bytes]]:
    random.seed(1)
    get = [request(b"GET", key) for key in KEYS]
    mixed = [random.choice([*get, *get, request(b"PING"), request(b"get", KEYS[0])]) for _ in range(300)]
    runs = [get[random.random() < 0.3] for _ in range(60) for _ in range(random.randrange(6))]
    return [get[:1] * 200, [get[0], get[1]] * 50, mixed, runs, [*get[:1] * 5, request(b"GET", KEYS[0] + b"x")]]


@pytest.mark.parametrize("requests", pipelines())
def test_it_is_as_if_each_had_come_alone(requests: list[bytes]) -> None:
    together, alone = Copied(), Copied()
    assert together.ask(requests) == alone.ask(requests, requests)
    assert together.facts() == alone.facts()
    assert together.engine.audit() == []


def test_what_is_cut_anywhere_is_answered_once() -> None:
    data = request(b"GET", KEYS[0]) * 5
    expected = bulk(VALUES[KEYS[0]]) * 5
    world = Copied()
    for cut in range(1, len(data)):
        assert world.ask([], [data[:cut], data[cut:]]) == expected


def test_unread_output_stops_it() -> None:
    """As many as the limit lets through one by one, and the rest when the client has read."""
    world = Copied(output_soft=1000)
    reply = bulk(VALUES[KEYS[1]])
    for _ in range(20):
        world.engine.feed(world.client, request(b"GET", KEYS[1]))
    alone = len(world.engine.take(world.client)) // len(reply)
    world = Copied(output_soft=1000)
    world.engine.feed(world.client, request(b"GET", KEYS[1]) * 20)
    assert len(world.engine.take(world.client)) // len(reply) == alone < 20
    rest = 0
    while rest < 20 - alone:
        world.engine.turn()
        rest += len(world.engine.take(world.client)) // len(reply)
    assert rest == 20 - alone and world.engine.audit() == []


def test_one_answer_in_so_many_is_still_compared() -> None:
    world = Copied()
    data = request(b"GET", KEYS[0]) * 100
    for _ in range(2 * CHECK_EVERY // 100 + 2):
        world.ask([data])
        world.reply()
    assert world.engine.counters()["copies_checked"] == 2


def test_monitor_and_silence_see_each_of_them() -> None:
    world = Copied()
    expected = bulk(VALUES[KEYS[0]])
    silent = [request(b"CLIENT", b"REPLY", b"SKIP"), *[request(b"GET", KEYS[0])] * 3]
    assert world.ask(silent) == expected * 2
    world.ask([request(b"CLIENT", b"REPLY", b"OFF")])
    assert world.ask([request(b"GET", KEYS[0])] * 3) == b""


def test_it_stops_when_the_copy_does() -> None:
    world = Copied()
    world.engine.advance(10_000_000)
    assert world.ask([request(b"GET", KEYS[0])] * 10) == b""
    world.reply()
    world.engine.turn()
    assert world.engine.take(world.client) == bulk(VALUES[KEYS[0]]) * 10
