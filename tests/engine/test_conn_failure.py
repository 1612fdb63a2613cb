"""A node connection breaks: what is said of each request, what is kept, and that nothing is sent twice."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.engine.harness import TestNode, build, conn, key_on, serve, settle
from tests.helpers import request

LOST_READ = b"-ERR node n0 (10.0.0.0:6379) of pool p was lost %d ms into 'get': gone\r\n"
LOST_WRITE = (b"-ERR the fate of 'set' is unknown: node n0 (10.0.0.0:6379) of pool p was lost %d ms into it: gone; "
              b"it was not retried\r\n")
LOST_UNSENT = b"-ERR '%s' was not sent: node n0 (10.0.0.0:6379) of pool p was lost after %d ms: %s\r\n"
DOWN = b"-ERR node n0 (10.0.0.0:6379) of pool p is down: %s; '%s' was not sent\r\n"
UNKNOWN = b"its address is not known"
NODE = 2    # a kind of event


@pytest.mark.parametrize("partly", [0, 1, 12])
def test_the_error_says_what_is_known(partly):
    engine = build(1)
    client = engine.open()
    get, write, kept = request(b"GET", b"a"), request(b"SET", b"a", b"1"), request(b"SET", b"a", b"2")
    engine.feed(client, get + write + kept + kept)
    engine.sent(conn(0), len(get) + len(write) + partly)
    engine.advance(7000)
    engine.fail(conn(0), b"gone")
    assert engine.audit() == []
    lost = LOST_READ % 7 + LOST_WRITE % 7 + (LOST_WRITE % 7 if partly else b"")
    assert engine.take(client) == lost
    # What had not been sent waits for the next connection; the rest of what had been begun does not lead its stream.
    state = engine.conn_state(conn(0))
    assert state["state"] == "lost" and state["pending"] == (1 if partly else 2)
    [event] = engine.events()
    assert event[0] == NODE and event[6] == 1 and event[7] == b"gone"
    engine.feed(client, request(b"GET", b"b"))
    engine.connect(0)
    assert engine.sent(conn(0)) == kept * (1 if partly else 2) + request(b"GET", b"b")
    engine.answer(conn(0), b"+2\r\n" * (1 if partly else 2) + b"+b\r\n")
    assert engine.take(client) == b"+2\r\n" * (1 if partly else 2) + b"+b\r\n"
    settle(engine)


def test_an_idle_connection_that_breaks_is_lost():
    engine = build(1)
    engine.fail(conn(0))
    assert engine.conn_state(conn(0)) | {"state": "lost"} == engine.conn_state(conn(0))


def test_half_a_reply_is_forgotten():
    engine = build(1)
    client = engine.open()
    engine.feed(client, request(b"GET", b"a"))
    engine.sent(conn(0))
    engine.answer(conn(0), b"$100000\r\nhalf")
    engine.fail(conn(0), b"gone")
    assert engine.take(client) == LOST_READ % 0
    engine.connect(0)
    engine.feed(client, request(b"GET", b"b"))
    engine.sent(conn(0))
    engine.answer(conn(0), b"$1\r\nb\r\n")
    assert engine.take(client) == b"$1\r\nb\r\n"
    settle(engine)
    assert engine.counters()["chunk_bytes"] <= 160 * 16384


def test_one_that_cannot_be_opened_answers_at_once():
    engine = build(1, connect=False)
    client = engine.open()
    engine.feed(client, request(b"GET", b"a") + request(b"SET", b"a", b"1"))
    assert engine.take(client) == DOWN % (UNKNOWN, b"get") + DOWN % (UNKNOWN, b"set")
    assert [event[0] for event in engine.events()] == [NODE]
    engine.connect(0)
    engine.feed(client, request(b"GET", b"a"))
    engine.sent(conn(0))
    engine.answer(conn(0), b"+a\r\n")
    assert engine.take(client) == b"+a\r\n"


def test_a_lost_one_that_has_no_address_answers_what_waits():
    engine = build(1)
    client = engine.open()
    engine.feed(client, request(b"GET", b"a"))
    engine.fail(conn(0), b"gone")
    assert engine.take(client) == b""
    engine.node_down(0, 0, b"no address")
    engine.turn()
    assert engine.take(client) == LOST_UNSENT % (b"get", 0, b"no address")
    engine.feed(client, request(b"GET", b"a"))
    assert engine.take(client) == DOWN % (b"no address", b"get")
    settle(engine)


def test_requests_that_wait_for_a_lost_one_have_a_deadline():
    engine = build(1, timeout_us=1_000_000)
    client = engine.open()
    engine.fail(conn(0), b"gone")
    engine.feed(client, request(b"GET", b"a"))
    engine.advance(1_000_000)
    engine.turn()
    assert engine.take(client) == b"-ERR 'get' was not sent: node n0 (10.0.0.0:6379) of pool p took no request for " \
                                  b"1000 ms\r\n"
    engine.connect(0)
    assert engine.sent(conn(0)) == b""
    settle(engine)


def test_tombstones_are_not_answered_twice():
    engine = build(1, timeout_us=1_000_000)
    client = engine.open()
    engine.feed(client, request(b"GET", b"a"))
    engine.sent(conn(0))
    engine.advance(1_000_000)
    engine.turn()
    assert engine.take(client).count(b"\r\n") == 1
    engine.feed(client, request(b"GET", b"b"))
    engine.sent(conn(0))
    engine.fail(conn(0), b"gone")
    assert engine.take(client) == LOST_READ % 0
    assert engine.conn_state(conn(0))["expired"] == 0
    settle(engine)


def test_parts_of_a_split_command():
    """One part is lost, one kept for the next connection: one reply, the error, when the last part is in."""
    engine = build(2)
    client = engine.open()
    engine.feed(client, request(b"MSET", key_on(0), b"1", key_on(1), b"2"))
    engine.sent(conn(0))
    engine.fail(conn(0), b"gone")
    engine.fail(conn(1), b"gone")
    assert engine.take(client) == b""
    engine.connect(1)
    assert engine.sent(conn(1)) == request(b"MSET", key_on(1), b"2")
    engine.answer(conn(1), b"+OK\r\n")
    assert engine.take(client) == (LOST_WRITE % 0).replace(b"'set'", b"'mset'")
    settle(engine)


def test_clients_that_left_while_it_was_lost():
    engine = build(1)
    client = engine.open()
    engine.feed(client, request(b"GET", b"a") * 3)
    engine.sent(conn(0), len(request(b"GET", b"a")))
    engine.close(client)
    engine.turn()
    engine.fail(conn(0), b"gone")
    engine.connect(0)
    assert engine.sent(conn(0)) == request(b"GET", b"a") * 2
    engine.answer(conn(0), b"+1\r\n+2\r\n")
    settle(engine)


def test_ejected_nodes_are_refused_or_passed_over():
    for auto_eject in (False, True):
        engine = build(2, auto_eject=auto_eject)
        client = engine.open()
        engine.eject(0, 0, True)
        engine.turn()
        engine.feed(client, request(b"GET", key_on(0)))
        if auto_eject:
            assert engine.sent(conn(1)) == request(b"GET", key_on(0))
        else:
            assert engine.take(client) == DOWN % (b"it was ejected", b"get")
        engine.eject(0, 1, True)
        engine.turn()
        engine.feed(client, request(b"MGET", key_on(0), key_on(1)))
        if auto_eject:
            engine.answer(conn(1), b"+a\r\n")
            assert engine.take(client) == b"+a\r\n-ERR pool p has no live node; 'mget' was not sent\r\n"
        engine.eject(0, 0, False)
        engine.turn()
        engine.take(client)
        engine.feed(client, request(b"GET", key_on(0)))
        assert engine.sent(conn(0)) == request(b"GET", key_on(0))


def test_a_node_that_is_admitted_is_waited_for():
    """It answered a PING just now: who asks before its connections are open again waits for them and is not refused."""
    for comes_back in (True, False):
        engine = build(1)
        client = engine.open()
        engine.eject(0, 0, True)
        engine.turn()
        engine.fail(conn(0), b"gone")
        assert engine.conn_state(conn(0))["state"] == "down"
        engine.feed(client, request(b"GET", b"a"))
        assert engine.take(client).startswith(b"-ERR node n0 (10.0.0.0:6379) of pool p is down: ")
        engine.eject(0, 0, False)
        engine.turn()
        engine.feed(client, request(b"GET", b"a"))
        assert engine.take(client) == b"" and engine.audit() == []
        if comes_back:
            engine.connect(0)
            assert engine.sent(conn(0)) == request(b"GET", b"a")
            engine.answer(conn(0), b"+1\r\n")
            assert engine.take(client) == b"+1\r\n"
        else:
            engine.node_down(0, 0, b"it went again")
            engine.turn()
            assert engine.take(client) == LOST_UNSENT % (b"get", 0, b"it went again")
        settle(engine)


@given(st.integers(0, 1 << 32))
@settings(max_examples=60, deadline=None)
def test_nothing_is_sent_twice_and_every_request_is_answered_once(seed):
    dice = random.Random(seed)
    nodes = 3
    engine = build(nodes)
    served = [TestNode(index, nodes) for index in range(nodes)]
    clients = [engine.open() for _ in range(3)]
    asked = {client: [] for client in clients}
    got = {client: b"" for client in clients}
    coming = [b""] * nodes
    number = 0
    for _ in range(200):
        node = dice.randrange(nodes)
        match dice.randrange(7):
            case 0 | 1:
                number += 1
                client = dice.choice(clients)
                args = [b"SET", b"key%d" % number, b"v" * dice.choice([0, 10, 40_000])]
                asked[client].append(args)
                engine.feed(client, request(*args))
            case 2:
                coming[node] += b"".join(served[node].receive(
                    engine.sent(conn(node), dice.choice([1, 20, 5000, 1 << 20]))))
            case 3 | 4:
                size = dice.choice([1, 5, 1000])
                engine.answer(conn(node), coming[node][:size])
                coming[node] = coming[node][size:]
            case 5:
                if dice.random() < 0.3:
                    engine.fail(conn(node), b"gone")
                    coming[node], served[node].inbox = b"", b""
                    if dice.random() < 0.5:
                        engine.turn()
                        engine.connect(node)
            case 6:
                engine.turn()
                if engine.conn_state(conn(node))["state"] != "open" and dice.random() < 0.5:
                    engine.connect(node)
        assert engine.audit() == []
    for _ in range(3):
        for node in range(nodes):
            engine.connect(node)
            coming[node] += b"".join(served[node].receive(engine.sent(conn(node))))
            engine.answer(conn(node), coming[node])
            coming[node] = b""
        engine.turn()
    settle(engine)
    seen = [args[1] for node in served for args in node.seen]
    assert len(seen) == len(set(seen))
    for client in clients:
        got[client] += engine.take(client)
        lines = got[client].split(b"\r\n")[:-1]
        assert len(lines) == len(asked[client])
        for line, args in zip(lines, asked[client], strict=True):
            assert line + b"\r\n" == serve(args) or (b"the fate of 'set' is unknown" in line)
            # An acknowledged write was done; whatever was kept back was done too.
            if line.startswith(b"+OK"):
                assert args[1] in seen
