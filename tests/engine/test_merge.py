"""Split commands: MGET, MSET and the sums over several nodes, against the naive splitter."""

import random
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.engine.harness import build, conn, key_on, ring, settle
from tests.helpers import bulk, request
from tests.oracle import splitter

NAMES = [b"MGET", b"mget", b"MSET", b"DEL", b"UNLINK", b"EXISTS", b"TOUCH"]
ELEMENTS = {2: [b"$-1\r\n", bulk(b""), bulk(b"value"), bulk(b"$-1\r\n"), bulk(b"x" * 20_000)],
            3: [b"_\r\n", bulk(b""), bulk(b"value"), bulk(b"x" * 40_000)]}
ERRORS = [b"-ERR one\r\n", b"-WRONGTYPE two\r\n", b"-OOM three " + b"x" * 500 + b"\r\n"]


def ask(engine, args, protocol=2):
    client = engine.open()
    if protocol == 3:
        engine.feed(client, request(b"HELLO", b"3"))
        engine.take(client)
    engine.feed(client, request(*args))
    return client


def wire(args, reply):
    """The bytes of a node's reply to its part."""
    if isinstance(reply, bytes):
        return reply
    if isinstance(reply, int):
        return b":%d\r\n" % reply
    return b"+OK\r\n" if args[0] == b"MSET" else b"*%d\r\n" % len(reply) + b"".join(reply)


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_against_the_naive_splitter(data):
    nodes = data.draw(st.integers(2, 6))
    protocol = data.draw(st.sampled_from([2, 3]))
    nil_on_error = data.draw(st.booleans())
    name = data.draw(st.sampled_from(NAMES))
    keys = data.draw(st.lists(st.binary(max_size=8), min_size=2, max_size=30))
    args = [name]
    for key in keys:
        args += [key, data.draw(st.binary(max_size=8))] if name == b"MSET" else [key]
    node_of = ring(nodes).node
    parts = splitter.split(args, node_of)
    engine = build(nodes, nil_on_error=nil_on_error)
    client = ask(engine, args, protocol)
    names = {node: conn(node, protocol) for node in parts}
    if len(parts) == 1:
        assert engine.sent(names[node_of(keys[0])]) == request(*args)
        return
    replies = {}
    order = data.draw(st.permutations(list(parts)))
    stream = {}
    for node in order:
        assert engine.sent(names[node]) == parts[node]
        mine = [key for key in keys if node_of(key) == node]
        if data.draw(st.integers(0, 4)) == 0:
            replies[node] = data.draw(st.sampled_from(ERRORS))
        elif name.upper() == b"MGET":
            replies[node] = [data.draw(st.sampled_from(ELEMENTS[protocol])) for _ in mine]
        else:
            replies[node] = len(mine) if name == b"MSET" else data.draw(st.integers(0, len(mine)))
        stream[node] = b"+OK\r\n" if name == b"MSET" and replies[node] == len(mine) else wire(args, replies[node])
    for node in order:
        assert engine.take(client) == b""
        size = data.draw(st.sampled_from([1 << 20, 7]))
        for at in range(0, len(stream[node]), size):
            engine.answer(names[node], stream[node][at : at + size])
    assert engine.take(client) == splitter.merge(args, node_of, replies, protocol, nil_on_error)
    settle(engine)
    assert engine.counters()["chunk_bytes"] <= 160 * 16384


@pytest.mark.parametrize("protocol, nil", [(2, b"$-1\r\n"), (3, b"_\r\n")])
@pytest.mark.parametrize("nil_on_error", [False, True])
def test_a_part_that_is_lost_or_late(protocol, nil, nil_on_error):
    """A part's error is the whole reply, or nil for its keys: also where the error is the proxy's own."""
    for late in (False, True):
        engine = build(2, nil_on_error=nil_on_error, timeout_us=1_000_000)
        client = ask(engine, [b"MGET", key_on(0), key_on(1), key_on(0, tag=1)], protocol)
        engine.sent(conn(0, protocol))
        engine.sent(conn(1, protocol))
        engine.answer(conn(0, protocol), b"*2\r\n$1\r\na\r\n$1\r\nb\r\n")
        if late:
            engine.advance(1_000_001)
            engine.turn()
        else:
            engine.fail(conn(1, protocol), b"gone")
        got = engine.take(client)
        if nil_on_error:
            assert got == b"*3\r\n$1\r\na\r\n" + nil + b"$1\r\nb\r\n"
        else:
            assert got.startswith(b"-ERR node n1 (10.0.0.1:6379) of pool p")
        settle(engine)


def test_every_node_fails():
    engine = build(2, nil_on_error=True)
    client = ask(engine, [b"MGET", key_on(0), key_on(1)])
    for node in (0, 1):
        engine.sent(conn(node))
        engine.fail(conn(node), b"gone")
    assert engine.take(client) == b"*2\r\n$-1\r\n$-1\r\n"
    settle(engine)


@pytest.mark.parametrize("reply", [b"*1\r\n$1\r\na\r\n", b"*0\r\n", b"+OK\r\n", b"$-1\r\n", b":5\r\n", b"*-1\r\n"])
def test_a_node_that_gives_too_little_costs_nils(reply):
    engine = build(2)
    client = ask(engine, [b"MGET", key_on(0), key_on(0, tag=1), key_on(1)])
    engine.sent(conn(0))
    engine.sent(conn(1))
    engine.answer(conn(1), b"*1\r\n$1\r\nz\r\n")
    engine.answer(conn(0), reply)
    first = b"$1\r\na\r\n" if b"a" in reply else b"$-1\r\n"
    assert engine.take(client) == b"*3\r\n" + first + b"$-1\r\n$1\r\nz\r\n"
    settle(engine)


@pytest.mark.parametrize("values, total", [
    ([b":9223372036854775807", b":0"], b":9223372036854775807"),
    ([b":1", b"+OK"], b":1"),
    ([b":1", b"$1\r\n1"], b":1"),
])
def test_sums(values, total):
    engine = build(2)
    client = ask(engine, [b"DEL", key_on(0), key_on(1)])
    for node in (0, 1):
        engine.sent(conn(node))
        engine.answer(conn(node), values[node] + b"\r\n")
    assert engine.take(client) == total + b"\r\n"


def test_a_node_that_is_down_sends_nothing_anywhere():
    """Every connection has to take its part before any does: no half of an MSET."""
    engine = build(3)
    engine.fail(conn(2))
    engine.connect(2)
    engine.node_down(0, 2, b"no address")
    engine.fail(conn(2))
    engine.turn()
    assert engine.conn_state(conn(2))["state"] == "down"
    client = ask(engine, [b"MSET", key_on(0, 3), b"1", key_on(1, 3), b"2", key_on(2, 3), b"3"])
    assert engine.take(client) == b"-ERR node n2 (10.0.0.2:6379) of pool p is down: no address; 'mset' was not sent\r\n"
    assert engine.sent(conn(0)) == engine.sent(conn(1)) == b""
    settle(engine)


@pytest.mark.parametrize("arguments", [1, 3, 31])
def test_mset_with_half_a_pair(arguments):
    engine = build(3)
    client = ask(engine, [b"MSET", *(b"%d" % number for number in range(arguments))])
    assert engine.take(client) == b"-ERR wrong number of arguments for 'mset' command\r\n"
    assert all(engine.sent(conn(node)) == b"" for node in range(3))


def test_other_commands_with_keys_on_several_nodes_are_refused():
    engine = build(2)
    client = ask(engine, [b"SINTER", key_on(0), key_on(1)])
    assert engine.take(client).startswith(b"-CROSSSLOT ")
    client = ask(engine, [b"SINTER", key_on(0), key_on(0, tag=1)])
    assert engine.sent(conn(0)) == request(b"SINTER", key_on(0), key_on(0, tag=1))
    engine.answer(conn(0), b"*0\r\n")
    assert engine.take(client) == b"*0\r\n"


@pytest.mark.parametrize("size", [10, 33_000, 100_000])
def test_a_merged_reply_waits_its_turn(size):
    engine = build(2)
    client = engine.open()
    for args in ([b"GET", key_on(0)], [b"MGET", key_on(1), key_on(0)], [b"GET", key_on(1)]):
        engine.feed(client, request(*args))
    for node in (0, 1):
        engine.sent(conn(node))
    engine.answer(conn(1), b"*1\r\n" + bulk(b"y" * size) + b"+last\r\n")
    engine.answer(conn(0), b"+first\r\n")
    assert engine.take(client) == b"+first\r\n"
    engine.answer(conn(0), b"*1\r\n" + bulk(b"z" * size))
    assert engine.take(client) == b"*2\r\n" + bulk(b"y" * size) + bulk(b"z" * size) + b"+last\r\n"
    settle(engine)


def test_clients_that_leave_with_parts_on_their_way():
    engine = build(2)
    for answered in (0, 1):
        client = ask(engine, [b"MGET", key_on(0), key_on(1)])
        engine.sent(conn(0))
        engine.sent(conn(1))
        if answered:
            engine.answer(conn(0), b"*1\r\n$1\r\na\r\n")
        engine.close(client)
        engine.turn()
        if not answered:
            engine.answer(conn(0), b"*1\r\n$1\r\na\r\n")
        engine.answer(conn(1), b"*1\r\n$1\r\na\r\n")
    settle(engine)
    assert engine.counters()["chunk_bytes"] <= 160 * 16384


@pytest.mark.parametrize("name", [b"MGET", b"MSET", b"DEL"])
def test_cost_does_not_grow_with_nodes_times_keys(name):
    """200,000 keys over 500 nodes take about as long as over two."""
    dice = random.Random(1)
    keys = [b"%016x" % dice.getrandbits(64) for _ in range(200_000)]
    args = [name, *(part for key in keys for part in ((key, b"v") if name == b"MSET" else (key,)))]
    data = request(*args)
    spent = {}
    for nodes in (2, 500):
        best = None
        for _ in range(3):
            engine = build(nodes)
            client = engine.open()
            began = time.process_time()
            engine.feed(client, data)
            took = time.process_time() - began
            best = took if best is None else min(best, took)
        spent[nodes] = best
    assert spent[500] < 4 * spent[2] + 0.01, spent
    parts = splitter.split(args, ring(500).node)
    assert {node: engine.sent(conn(node)) for node in parts} == parts
