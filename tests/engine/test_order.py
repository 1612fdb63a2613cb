"""Order: every client gets exactly its own replies, in the order of its requests, whatever arrives when.

The nodes of these tests answer as a function of the request, so the model of a client is one line: the replies to its
requests, in order.
"""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.engine.harness import CHUNK, MOVE_AT, TestNode, build, conn, key_on, ring, serve, settle
from tests.helpers import request

SIZES = st.one_of(
    st.integers(0, 200), st.sampled_from([CHUNK - 40, CHUNK, CHUNK + 1, MOVE_AT - 20, MOVE_AT, MOVE_AT + 1, 100_000]))
NAMES = st.integers(0, 20).map(lambda number: b"key%d" % number)
KEYS = st.one_of(
    st.builds(lambda name, size: b"%s:%d" % (name, size), NAMES, SIZES),
    st.just(b"nil"), NAMES.map(lambda name: b"nil" + name))
REQUESTS = st.one_of(
    st.builds(lambda key: [b"GET", key], KEYS),
    st.builds(lambda key: [b"GET", key], st.just(b"err1")),
    st.builds(lambda key, size: [b"SET", key, b"v" * size], NAMES, SIZES),
    st.builds(lambda keys: [b"MGET", *keys], st.lists(KEYS, min_size=1, max_size=6)),
    st.builds(lambda keys: [b"DEL", *keys], st.lists(NAMES, min_size=1, max_size=6)),
    st.builds(lambda keys, size: [b"MSET", *(part for key in keys for part in (key, b"x" * size))],
              st.lists(NAMES, min_size=1, max_size=4), SIZES),
    st.just([b"PING"]),
    st.builds(lambda size: [b"ECHO", b"e" * size], SIZES),
)


def expected(args):
    return {b"PING": b"+PONG\r\n", b"ECHO": b"$%d\r\n%s\r\n" % (len(args[-1]), args[-1])}.get(args[0]) or serve(args)


class World:
    """Clients with a script each, nodes that answer when told to, and the engine between them."""

    def __init__(self, nodes, scripts, **limits):
        self.engine = build(nodes, **limits)
        self.nodes = [TestNode(index, nodes) for index in range(nodes)]
        self.names = [conn(index, bulk=bulk) for index in range(nodes) for bulk in (0, 1)]
        self.coming = {name: b"" for name in self.names}
        self.clients = [self.engine.open() for _ in scripts]
        self.outbox = {client: b"".join(request(*args) for args in script)
                       for client, script in zip(self.clients, scripts, strict=True)}
        self.expected = {client: b"".join(map(expected, script))
                         for client, script in zip(self.clients, scripts, strict=True)}
        self.got = {client: b"" for client in self.clients}
        self.bulk_nodes = {name: TestNode(name[0], nodes) for name in self.names if name[3]}

    def node(self, name):
        return self.bulk_nodes[name] if name[3] else self.nodes[name[0]]

    def feed(self, client, size):
        done = self.engine.feed(client, self.outbox[client][:size])
        self.outbox[client] = self.outbox[client][done:]

    def receive(self, name, size):
        """The node gets bytes and thinks of its answers."""
        self.coming[name] += b"".join(self.node(name).receive(self.engine.sent(name, size)))

    def answer(self, name, size):
        """Some of the answer's bytes arrive."""
        self.engine.answer(name, self.coming[name][:size])
        self.coming[name] = self.coming[name][size:]

    def take(self, client, size):
        self.got[client] += self.engine.take(client, size)
        assert self.expected[client].startswith(self.got[client])

    def check(self):
        assert self.engine.audit() == []

    def finish(self):
        """Let everybody have everything; all of it must be there, and nothing more."""
        for _ in range(10_000):
            for client in self.clients:
                self.feed(client, 1 << 30)
                self.take(client, 1 << 60)
            for name in self.names:
                self.receive(name, 1 << 60)
                self.answer(name, 1 << 60)
            self.engine.turn()
            if all(self.got[client] == self.expected[client] for client in self.clients):
                break
        else:
            raise AssertionError({client: self.engine.state(client) for client in self.clients})
        settle(self.engine)
        for client in self.clients:
            state = self.engine.state(client)
            assert self.engine.take(client) == b"" and state["owed"] == state["held"] == state["input"] == 0
            assert not state["slots"]
        assert self.engine.counters()["input_reserved"] == 0
        assert self.engine.counters()["chunk_bytes"] <= 160 * 16384


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_any_interleaving(data):
    nodes = data.draw(st.integers(1, 5))
    scripts = data.draw(st.lists(st.lists(REQUESTS, max_size=12), min_size=1, max_size=4))
    world = World(nodes, scripts, window=data.draw(st.sampled_from([1, 2, 7, 1024])),
                  output_soft=data.draw(st.sampled_from([0, 100, 50_000, 1 << 20])),
                  bulk=data.draw(st.sampled_from([40_000, 256 << 10])))
    dice = random.Random(data.draw(st.integers(0, 1 << 32)))
    for _ in range(150):
        size = dice.choice([1, 2, 7, 100, 5000, 40_000, 1 << 20])
        match dice.randrange(6):
            case 0:
                world.feed(dice.choice(world.clients), size)
            case 1:
                world.receive(dice.choice(world.names), size)
            case 2 | 3:
                world.answer(dice.choice(world.names), size)
            case 4:
                world.take(dice.choice(world.clients), size)
            case 5:
                world.engine.turn(busy=dice.random() < 0.5)
        world.check()
    world.finish()


SCRIPT = [
    [b"GET", b"a:10"], [b"GET", b"b:40000"], [b"PING"], [b"MGET", b"a:5", b"b:3", b"c:7", b"nil", b"d:33000"],
    [b"SET", b"a", b"v" * 33_000], [b"GET", b"c:0"], [b"DEL", b"a", b"b", b"c", b"nil"],
    [b"MSET", b"a", b"1", b"b", b"2"], [b"GET", b"err1"], [b"GET", b"b:16320"], [b"ECHO", b"x"],
]


@pytest.mark.parametrize("chunk", [1, 3, 1000, 1 << 20])
@pytest.mark.parametrize("order", ["forward", "backward"])
def test_byte_by_byte_in_both_orders(chunk, order):
    """The last node answers first, or the first; requests and replies in pieces of `chunk` bytes."""
    world = World(3, [SCRIPT, SCRIPT[::-1]])
    for client in world.clients:
        while world.outbox[client]:
            world.feed(client, chunk)
    names = world.names if order == "forward" else world.names[::-1]
    for name in names:
        world.receive(name, 1 << 60)
        while world.coming[name]:
            world.answer(name, chunk)
        world.check()
    world.finish()


def test_requests_of_one_key_reach_its_node_in_order():
    world = World(3, [[[b"SET", b"a", b"%d" % number] for number in range(100)]])
    world.finish()
    assert world.nodes[ring(3).node(b"a")].seen == [[b"SET", b"a", b"%d" % number] for number in range(100)]


def test_a_reply_in_front_of_its_turn_is_held_and_one_in_turn_is_not():
    engine = build(2)
    client = engine.open()
    first, second = key_on(0), key_on(1)
    engine.feed(client, request(b"GET", first) + request(b"GET", second) * 50)
    for node in (0, 1):
        engine.sent(conn(node))
    engine.answer(conn(1), b"$3\r\nabc\r\n" * 50)
    assert engine.state(client)["held"] == 50 and engine.state(client)["output"] == 0
    engine.answer(conn(0), b"$1\r\nx\r\n")
    assert engine.take(client) == b"$1\r\nx\r\n" + b"$3\r\nabc\r\n" * 50
    settle(engine)


def test_held_replies_may_be_of_every_size_and_the_ring_may_grow():
    engine = build(2)
    client = engine.open()
    engine.feed(client, request(b"GET", key_on(0)))
    engine.sent(conn(0))
    engine.answer(conn(0), b"+x\r\n")
    engine.take(client)    # it is known by now that replies are small, so all are dispatched
    sizes = [0, 10, CHUNK, MOVE_AT, 100_000, 3, 50_000] * 20
    engine.feed(client, request(b"GET", key_on(0)) + request(b"GET", key_on(1)) * len(sizes))
    for node in (0, 1):
        engine.sent(conn(node))
    replies = [b"$%d\r\n%s\r\n" % (size, b"%d" % (index % 10) * size) for index, size in enumerate(sizes)]
    for reply in replies:
        engine.answer(conn(1), reply)
        assert engine.audit() == []
    engine.answer(conn(0), b"+x\r\n")
    assert engine.take(client) == b"+x\r\n" + b"".join(replies)
    settle(engine)
    assert engine.counters()["chunk_bytes"] <= 160 * 16384


@pytest.mark.parametrize("reply", [b">2\r\n+a\r\n+b\r\n", b">1\r\n$40000\r\n" + b"x" * 40_000 + b"\r\n"])
def test_pushes_are_not_answers(reply):
    engine = build(1)
    client = engine.open()
    engine.feed(client, request(b"GET", b"a"))
    engine.sent(conn(0))
    engine.answer(conn(0), reply + b"+a\r\n" + reply)
    assert engine.take(client) == b"+a\r\n"
    assert engine.counters()["pushes_dropped"] == 2
    assert engine.conn_state(conn(0))["state"] == "open"


@pytest.mark.parametrize("reply", [b"+nobody asked\r\n", b"garbage\r\n", b"$40000\r\n" + b"x" * 40_000 + b"\r\n"])
def test_bytes_that_nobody_asked_for_end_the_connection(reply):
    engine = build(1)
    client = engine.open()
    engine.feed(client, request(b"GET", b"a"))
    # Queued, but not given to the kernel: no node can have answered it.
    engine.answer(conn(0), reply)
    assert engine.conn_state(conn(0))["state"] == "lost"
    engine.connect(0)
    assert engine.sent(conn(0)) == request(b"GET", b"a")
    engine.answer(conn(0), b"+a\r\n")
    assert engine.take(client) == b"+a\r\n"
    settle(engine)


# -- barriers ---------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("barrier, reply, after", [
    ([b"SELECT", b"3"], b"+OK\r\n", (0, 2, 3, 0)),
    ([b"RESET"], b"+RESET\r\n", (0, 2, 0, 0)),
    ([b"HELLO", b"3"], None, (0, 3, 0, 0)),
])
def test_a_barrier_keeps_the_order_of_a_pipeline(barrier, reply, after):
    engine = build(1)
    engine.connect(0, 2, 3)
    client = engine.open()
    engine.feed(client, request(b"GET", b"a") + request(*barrier) + request(b"GET", b"b") + request(b"PING"))
    assert engine.state(client)["parked"]
    assert engine.sent(conn(0)) == request(b"GET", b"a")
    engine.turn()
    assert engine.take(client) == b""
    engine.answer(conn(0), b"+a\r\n")
    engine.turn()
    got = engine.take(client)
    assert got.startswith(b"+a\r\n" + (reply or b"%7\r\n"))
    assert engine.sent(after) == request(b"GET", b"b")
    assert not engine.state(client)["parked"]
    engine.answer(after, b"+b\r\n")
    assert engine.take(client) == b"+b\r\n+PONG\r\n"
    settle(engine)


def test_large_requests_take_the_bulk_connection_between_their_neighbours():
    engine = build(1)
    client = engine.open()
    large = request(b"SET", b"a", b"v" * 300_000)
    engine.feed(client, request(b"GET", b"a") + large + request(b"GET", b"b"))
    assert engine.sent(conn(0)) == request(b"GET", b"a")
    assert engine.sent(conn(0, bulk=1)) == b""
    engine.answer(conn(0), b"+1\r\n")
    engine.turn()
    assert engine.sent(conn(0, bulk=1)) == large
    assert engine.sent(conn(0)) == b""
    engine.answer(conn(0, bulk=1), b"+2\r\n")
    engine.turn()
    assert engine.sent(conn(0)) == request(b"GET", b"b")
    engine.answer(conn(0), b"+3\r\n")
    assert engine.take(client) == b"+1\r\n+2\r\n+3\r\n"
    settle(engine)
    assert engine.counters()["input_reserved"] == 0


# -- clients that leave -----------------------------------------------------------------------------------------------

def test_a_client_that_leaves_is_kept_only_as_long_as_requests_name_it():
    engine = build(2)
    stays, leaves = engine.open(), engine.open()
    for key in (key_on(0), key_on(1)):
        for client in (leaves, stays, leaves):
            engine.feed(client, request(b"GET", key))
    engine.feed(leaves, request(b"MGET", key_on(0), key_on(1)))
    engine.close(leaves)
    engine.turn()
    with pytest.raises(KeyError):
        engine.state(leaves)
    for node in (0, 1):
        engine.sent(conn(node))
        engine.answer(conn(node), b"+1\r\n+2\r\n+3\r\n*1\r\n+4\r\n")
    assert engine.take(stays) == b"+2\r\n+2\r\n"
    settle(engine)
    assert engine.counters()["clients"] == 1


@pytest.mark.parametrize("size", [10, 100_000])
def test_replies_to_clients_that_left_free_what_they_brought(size):
    engine = build(2)
    for _ in range(50):
        client = engine.open()
        engine.feed(client, request(b"GET", key_on(0)) + request(b"GET", key_on(1)) * 3)
        engine.sent(conn(0))
        engine.sent(conn(1))
        # The replies of node 1 are held when the client goes, those of node 0 come after it.
        engine.answer(conn(1), b"$%d\r\n%s\r\n" % (size, b"x" * size) * 3)
        engine.close(client)
        engine.turn()
        engine.answer(conn(0), b"$%d\r\n%s\r\n" % (size, b"x" * size))
    settle(engine)
    assert engine.counters()["chunk_bytes"] <= 160 * 16384
    assert engine.conn_state(conn(0))["pending"] == 0
