"""Whatever goes wrong with nodes that have replicas, each request has one reply, in its place, and no client reads
what it wrote later, or less than what its unanswered writes may have done.

Values count upwards: the n-th SET of a key writes n. The primary executes what it is sent at once or as it is told; the
replica has what the primary had some time ago.
"""

from __future__ import annotations

import random
from typing import Any

import hiredis
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.engine.harness import build, conn
from tests.helpers import bulk, request
from tests.oracle.resp import frame_requests

TIMEOUT = 1_000_000
PRIMARY, REPLICA = conn(0), conn(1)
MODES = range(5)


class Nodes:
    """A primary and its replica, which execute what they were sent when they are told to."""

    def __init__(self) -> None:
        self.data: list[dict[bytes, int]] = [{}, {}]
        self.waiting: list[list[list[bytes]]] = [[], []]

    def receive(self, node: int, data: bytes) -> None:
        self.waiting[node] += frame_requests(data).items

    def replicate(self) -> None:
        self.data[1] = dict(self.data[0])

    def execute(self, node: int, count: int) -> bytes:
        replies = b""
        for args in self.waiting[node][:count]:
            if args[0] == b"SET":
                assert node == 0, "a write at a replica"
                self.data[0][args[1]] = int(args[2])
                replies += b"+OK\r\n"
            else:
                replies += self.value(node, args[1])
        del self.waiting[node][:count]
        return replies

    def value(self, node: int, key: bytes) -> bytes:
        return bulk(b"%d" % self.data[node].get(key, 0))


def check(asked: list[tuple[str, bytes, int]], replies: list[Any]) -> None:
    """`asked`: (GET or SET, key, the number of this client's last SET of the key up to here), in order."""
    for (name, key, last), reply in zip(asked, replies, strict=False):
        if isinstance(reply, bytes) and name == "GET":
            assert int(reply) <= last, f"{key!r} was read to be {reply!r} before that was asked for"


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 1 << 32), st.sampled_from(MODES), st.booleans())
def test_order(seed: int, mode: int, hedging: bool) -> None:
    chance = random.Random(seed)
    reads = {"from": mode, **({"after_us": 20_000, "budget": 1000} if hedging else {})}
    engine = build(1, replicas=1, reads=reads, timeout_us=TIMEOUT)
    engine.turn()
    clients = [engine.open() for _ in range(3)]
    nodes = Nodes()
    keys = [b"k%d" % number for number in range(3)]
    # Each client has keys of its own, so that what it may read is what it has written.
    written = {(client, key): 0 for client in clients for key in keys}
    asked: dict[int, list[tuple[str, bytes, int]]] = {client: [] for client in clients}
    received = dict.fromkeys(clients, b"")

    def pump() -> None:
        for node, name in enumerate((PRIMARY, REPLICA)):
            if engine.conn_state(name)["state"] == "open":
                nodes.receive(node, engine.sent(name))
        for client in clients:
            received[client] += engine.take(client)

    for _ in range(chance.randrange(5, 40)):
        kind = chance.random()
        client = chance.choice(clients)
        if kind < 0.45:
            data = b""
            for _ in range(chance.randrange(1, 8)):
                key = chance.choice(keys)
                name = b"%d:" % client + key
                if chance.random() < 0.4:
                    written[client, key] += 1
                    data += request(b"SET", name, b"%d" % written[client, key])
                    asked[client].append(("SET", name, written[client, key]))
                else:
                    data += request(b"GET", name)
                    asked[client].append(("GET", name, written[client, key]))
            engine.feed(client, data)
        elif kind < 0.75:
            node = chance.randrange(2)
            name = (PRIMARY, REPLICA)[node]
            if engine.conn_state(name)["state"] == "open":
                engine.answer(name, nodes.execute(node, chance.randrange(1, 6)))
        elif kind < 0.85:
            nodes.replicate()
        elif kind < 0.95:
            engine.advance(chance.choice([1000, 30_000, TIMEOUT // 2, TIMEOUT]))
        else:
            node = chance.randrange(2)
            name = (PRIMARY, REPLICA)[node]
            if engine.conn_state(name)["state"] == "open":
                # What was sent may be executed all the same, or not.
                nodes.execute(node, chance.randrange(0, 4))
                nodes.waiting[node].clear()
                engine.fail(name)
        engine.turn()
        pump()
        for node in range(2):
            if chance.random() < 0.5 and engine.conn_state((PRIMARY, REPLICA)[node])["state"] != "open":
                engine.connect(node)
        assert engine.audit() == []
    # In the end everything is answered.
    for _ in range(200):
        for node, name in enumerate((PRIMARY, REPLICA)):
            engine.connect(node)
            pump()
            engine.answer(name, nodes.execute(node, 100))
        engine.turn()
        pump()
        engine.advance(20_000)
        if all(engine.state(client)["owed"] == 0 and not engine.state(client)["parked"] for client in clients):
            break
    engine.turn()
    pump()
    for client in clients:
        reader = hiredis.Reader()
        reader.feed(received[client])
        replies = [reader.gets() for _ in range(received[client].count(b"\n") + 1)]
        replies = replies[: replies.index(False)]
        assert len(replies) == len(asked[client])
        check(asked[client], replies)
    engine.advance(TIMEOUT)
    engine.turn()
    assert all(engine.state(client)["references"] == 0 for client in clients)


@pytest.mark.parametrize("mode", MODES)
def test_no_client_reads_less_than_it_was_told_at_its_node(mode: int) -> None:
    """With a healthy node and read_from: primary or prefer_primary, every client reads its own writes."""
    engine = build(1, replicas=1, reads={"from": mode}, timeout_us=TIMEOUT)
    engine.turn()
    client = engine.open()
    engine.feed(client, request(b"SET", b"a", b"1") + request(b"GET", b"a"))
    assert engine.sent(PRIMARY).count(b"GET") == 1 and engine.sent(REPLICA) == b""
