"""Counters that are spread over several nodes, engine alone: who waits, who leaves, what breaks."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.engine.harness import build, conn
from tests.helpers import request
from tests.oracle.counters import CounterStore
from tests.oracle.resp import frame_replies, frame_requests

NODES = 3
TIMEOUT = 1_000_000
RULES = [(b"", "hot", 8192, 0, False, 1), (b"s:", "all", 8192, 0, False, NODES)]


class World:
    """Three nodes that answer when they are told to, and clients."""

    def __init__(self, clients: int = 3) -> None:
        self.engine = build(NODES, counters=RULES, timeout_us=TIMEOUT)
        self.nodes = [CounterStore() for _ in range(NODES)]
        self.clients = [self.engine.open() for _ in range(clients)]
        self.inbox = [b""] * NODES
        self.seen: list[tuple[int, list[bytes]]] = []

    def ask(self, place: int, *words: bytes) -> bytes:
        """What the client is told at once."""
        self.engine.feed(self.clients[place], request(*words))
        self.engine.turn()
        self.check()
        return self.told(place)

    def told(self, place: int) -> bytes:
        return self.engine.take(self.clients[place])

    def answer(self, *places: int) -> None:
        """These nodes, or all, answer what was sent to them."""
        for node in places or range(NODES):
            self.inbox[node] += self.engine.sent(conn(node))
            framing = frame_requests(self.inbox[node])
            self.inbox[node] = self.inbox[node][len(self.inbox[node]) - framing.left :]
            for words in framing.items:
                self.seen.append((node, [bytes(word) for word in words]))
                self.engine.answer(conn(node), self.nodes[node].run([bytes(word) for word in words]))
        self.engine.turn()
        self.check()

    def flow(self) -> None:
        for _ in range(4):
            self.engine.turn()
            self.answer()

    def check(self) -> None:
        assert self.engine.audit() == []

    def known(self) -> None:
        """The shards are heard of."""
        self.engine.feed(self.clients[0], request(b"INCRBY", b"s:a", b"0"))
        self.flow()
        self.told(0)
        self.seen.clear()


def test_the_first_increment_waits_for_what_the_others_have() -> None:
    world = World()
    assert world.ask(0, b"INCR", b"s:a") == b""
    world.answer(0, 1)
    assert world.told(0) == b"" and all(words[0] == b"GET" for _, words in world.seen)
    world.answer(2)
    world.answer()
    assert world.told(0) == b":1\r\n"
    assert world.ask(1, b"INCR", b"s:a") == b""
    world.answer()
    assert world.told(1) == b":2\r\n", "the other shard's is known"
    assert {node for node, words in world.seen if words[0] == b"INCRBY"} != {0, 1, 2}


def test_reads_share_what_was_asked_after_they_came() -> None:
    world = World(5)
    world.known()
    assert world.ask(0, b"GET", b"s:a") == b""
    world.answer(0)
    assert world.ask(1, b"GET", b"s:a") == world.ask(2, b"GET", b"s:a") == b""
    world.answer(1, 2)
    assert world.told(0) == b"$1\r\n0\r\n" and world.told(1) == b"", "it came later"
    world.flow()
    assert world.told(1) == world.told(2) == b"$1\r\n0\r\n"
    assert [words[0] for _, words in world.seen] == [b"GET"] * 6


def test_a_read_is_a_barrier_for_its_client() -> None:
    world = World()
    world.known()
    client = world.clients[0]
    world.engine.feed(client, request(b"INCR", b"s:a") + request(b"GET", b"s:a") + request(b"INCR", b"s:a"))
    world.flow()
    assert world.told(0) == b":1\r\n$1\r\n1\r\n:2\r\n"


@pytest.mark.parametrize("when", ["before it is sent", "after it is sent"])
def test_a_node_that_is_lost_is_everybody_s_error(when: str) -> None:
    world = World()
    world.known()
    world.ask(0, b"GET", b"s:a")
    if when == "after it is sent":
        world.engine.sent(conn(1))
    world.engine.fail(conn(1))
    world.engine.node_down(0, 1, b"no address")
    world.engine.turn()
    world.answer(0, 2)
    assert b"n1" in world.told(0)
    assert world.ask(1, b"GET", b"s:a") == b"", "the others are asked all the same"
    world.answer(0, 2)
    assert b"node n1 (10.0.0.1:6379) of pool p is down: no address" in world.told(1)
    world.engine.connect(1)
    world.inbox[1] = b""
    assert world.ask(0, b"GET", b"s:a") == b""
    world.flow()
    assert world.told(0) == b"$1\r\n0\r\n"


def test_a_node_that_does_not_answer() -> None:
    world = World()
    world.known()
    world.ask(0, b"GET", b"s:a")
    world.engine.feed(world.clients[1], request(b"INCR", b"s:b"))
    world.answer(0, 2)
    world.engine.sent(conn(1))
    world.engine.advance(TIMEOUT + 200_000)
    world.engine.turn()
    world.check()
    assert world.told(0).startswith(b"-ERR node n1 (10.0.0.1:6379) of pool p did not answer 'get' within ")
    assert world.told(1) == b""
    world.answer(0, 2)
    assert world.told(1) in (b":1\r\n", b""), "unless its shard is there"
    world.check()


def test_clients_that_leave_while_they_wait() -> None:
    world = World(4)
    world.ask(0, b"INCR", b"s:a")
    world.ask(1, b"GET", b"s:a")
    world.ask(2, b"INCR", b"s:a")
    for place in (0, 1):
        world.engine.close(world.clients[place])
    world.flow()
    assert world.told(2) == b":1\r\n"
    world.ask(3, b"GET", b"s:a")
    world.engine.close(world.clients[3])
    world.check()
    del world


def test_an_engine_ends_with_clients_that_wait() -> None:
    world = World()
    world.ask(0, b"INCR", b"s:a")
    world.ask(1, b"GET", b"s:a")
    world.ask(2, b"GET", b"s:a")
    del world


def test_what_is_no_number() -> None:
    world = World()
    for node in world.nodes:
        node.run([b"SET", b"s:a", b"text"])
    world.ask(0, b"GET", b"s:a")
    world.flow()
    assert world.told(0) == b"-ERR value is not an integer or out of range\r\n"
    world.ask(0, b"INCRBY", b"s:a", b"x")
    world.flow()
    assert world.told(0) == b"-ERR value is not an integer or out of range\r\n"


def test_an_idle_counter_is_forgotten() -> None:
    world = World()
    world.known()
    world.engine.advance(75_000_000)
    world.flow()
    assert world.ask(0, b"INCR", b"s:a") == b""
    world.answer()
    assert all(words[0] == b"GET" for _, words in world.seen[-3:])


STEPS = st.one_of(
    st.tuples(st.just("ask"), st.integers(0, 3), st.sampled_from([b"INCR", b"DECR", b"GET", b"GET"]),
              st.sampled_from([b"s:a", b"s:b", b"x"])),
    st.tuples(st.just("answer"), st.integers(0, NODES - 1)),
    st.tuples(st.just("fail"), st.integers(0, NODES - 1)),
    st.tuples(st.just("close"), st.integers(0, 3)),
    st.tuples(st.just("time"), st.sampled_from([1000, 300_000, 2_000_000])),
    st.tuples(st.just("turn"), st.just(0)),
)  # fmt: skip


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(steps=st.lists(STEPS, max_size=50))
def test_whatever_happens_everybody_is_answered_once(steps: list[tuple[object, ...]]) -> None:
    world = World(4)
    asked = [0] * 4
    for what, *rest in steps:
        if what == "ask":
            place, verb, key = rest
            world.engine.feed(world.clients[place], request(verb, key))
            asked[place] += 1
        elif what == "answer":
            world.answer(rest[0])
        elif what == "fail":
            world.engine.fail(conn(rest[0]))
            world.inbox[rest[0]] = b""
            world.engine.turn()
            world.engine.connect(rest[0])
        elif what == "close":
            world.engine.close(world.clients[rest[0]])
            world.engine.turn()
            world.clients[rest[0]] = world.engine.open()
            asked[rest[0]] = 0
        elif what == "time":
            world.engine.advance(rest[0])
            world.engine.turn()
        else:
            world.engine.turn()
        world.check()
        for place in range(4):
            framing = frame_replies(world.told(place))
            assert framing.left == 0
            asked[place] -= len(framing.items)
    for _ in range(max(asked) + 4):
        world.flow()
        for place in range(4):
            asked[place] -= len(frame_replies(world.told(place)).items)
    assert asked == [0] * 4
