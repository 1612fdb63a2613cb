"""Deadlines: what was sent leaves a tombstone, what was not is withdrawn, and no reply ever goes astray."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.engine.harness import build, conn, key_on, settle
from tests.helpers import request
from tests.oracle.resp import frame_requests

TIMEOUT = 1_000_000
READ_ERROR = b"-ERR node n0 (10.0.0.0:6379) of pool p did not answer 'get' within %d ms\r\n"
WRITE_ERROR = (b"-ERR the fate of 'set' is unknown: node n0 (10.0.0.0:6379) of pool p did not answer within %d ms; "
               b"it was not retried\r\n")
UNSENT_ERROR = b"-ERR '%s' was not sent: node n0 (10.0.0.0:6379) of pool p took no request for %d ms\r\n"


def world(**limits):
    engine = build(1, timeout_us=TIMEOUT, **limits)
    return engine, engine.open()


def expire(engine, us=TIMEOUT):
    engine.advance(us)
    engine.turn()
    assert engine.audit() == []


def test_nothing_happens_before_the_deadline():
    engine, client = world()
    engine.feed(client, request(b"GET", b"a"))
    engine.sent(conn(0))
    expire(engine, TIMEOUT - 1)
    assert engine.take(client) == b""
    engine.answer(conn(0), b"+a\r\n")
    assert engine.take(client) == b"+a\r\n"


def test_a_late_reply_is_dropped_and_the_next_one_is_not():
    engine, client = world()
    engine.feed(client, request(b"GET", b"a") + request(b"SET", b"a", b"1"))
    engine.sent(conn(0))
    expire(engine, TIMEOUT + 5000)
    assert engine.take(client) == READ_ERROR % 1005 + WRITE_ERROR % 1005
    assert engine.conn_state(conn(0))["expired"] == 2
    engine.feed(client, request(b"GET", b"b"))
    engine.sent(conn(0))
    engine.answer(conn(0), b"+late\r\n+l")
    assert engine.take(client) == b""
    engine.answer(conn(0), b"ate\r\n+b\r\n")
    assert engine.take(client) == b"+b\r\n"
    assert engine.counters()["late_replies"] == 2 and engine.counters()["timeouts"] == 2
    settle(engine)


@pytest.mark.parametrize("partly", [0, 1, 10])
def test_what_was_not_sent_is_withdrawn(partly):
    """The kernel took the first request and `partly` bytes of the second: these two run out, the third is withdrawn."""
    engine, client = world()
    first, second, third = (request(b"SET", b"a", b"%d" % number) for number in range(3))
    engine.feed(client, first + second + third)
    assert engine.sent(conn(0), len(first) + partly) == first + second[:partly]
    expire(engine)
    unsent = UNSENT_ERROR % (b"set", 1000)
    assert engine.take(client) == WRITE_ERROR % 1000 + (WRITE_ERROR % 1000 if partly else unsent) + unsent
    # The rest of what was begun has to follow, or the node would take the next request for it.
    engine.feed(client, request(b"GET", b"b"))
    assert engine.sent(conn(0)) == (second[partly:] if partly else b"") + request(b"GET", b"b")
    engine.answer(conn(0), b"+OK\r\n" * (2 if partly else 1) + b"+b\r\n")
    assert engine.take(client) == b"+b\r\n"
    settle(engine)
    assert engine.counters()["withdrawn"] == (1 if partly else 2)


def test_withdrawn_requests_leave_those_behind_them():
    engine, client = world()
    engine.feed(client, request(b"GET", b"old") * 3)
    engine.sent(conn(0), 2 * len(request(b"GET", b"old")))
    engine.advance(TIMEOUT // 2)
    engine.feed(client, request(b"GET", b"new") * 2)
    expire(engine, TIMEOUT // 2)
    assert engine.take(client) == READ_ERROR % 1000 * 2 + UNSENT_ERROR % (b"get", 1000)
    assert engine.sent(conn(0)) == request(b"GET", b"new") * 2
    engine.answer(conn(0), b"+late\r\n+late\r\n+1\r\n+2\r\n")
    assert engine.take(client) == b"+1\r\n+2\r\n"
    settle(engine)


def test_order_is_kept_when_one_node_is_slow():
    engine = build(2, timeout_us=TIMEOUT)
    client = engine.open()
    engine.feed(client, (request(b"GET", key_on(0)) + request(b"GET", key_on(1))) * 2)
    engine.sent(conn(0))
    engine.sent(conn(1))
    engine.answer(conn(1), b"+1\r\n+2\r\n")
    expire(engine)
    error = READ_ERROR % 1000
    assert engine.take(client) == error + b"+1\r\n" + error + b"+2\r\n"
    settle(engine)


def test_a_client_that_left_leaves_tombstones_too():
    engine, client = world()
    other = engine.open()
    engine.feed(client, request(b"GET", b"a"))
    engine.sent(conn(0))
    engine.close(client)
    expire(engine)
    assert engine.conn_state(conn(0))["expired"] == 1
    engine.feed(other, request(b"GET", b"b"))
    engine.sent(conn(0))
    engine.answer(conn(0), b"+late\r\n+b\r\n")
    assert engine.take(other) == b"+b\r\n"
    settle(engine)


def test_no_timeout_means_none():
    engine = build(1, timeout_us=0)
    client = engine.open()
    engine.feed(client, request(b"GET", b"a"))
    engine.sent(conn(0))
    expire(engine, 3 * 3600 * 1_000_000)
    engine.answer(conn(0), b"+a\r\n")
    assert engine.take(client) == b"+a\r\n"


def test_the_clock_may_pass_its_low_32_bits():
    engine, client = world()
    for _ in range(12):
        engine.advance(400_000_000)
        engine.turn()
        engine.feed(client, request(b"GET", b"a"))
        engine.sent(conn(0))
        expire(engine, TIMEOUT - 1)
        assert engine.take(client) == b""
        expire(engine, 10_000)
        assert engine.take(client) == READ_ERROR % 1009
        engine.answer(conn(0), b"+late\r\n")
    settle(engine)


def test_too_many_tombstones_end_the_connection():
    engine, client = world(most_tombstones=3)
    for _ in range(3):
        engine.feed(client, request(b"GET", b"a"))
        engine.sent(conn(0))
        expire(engine)
    assert engine.conn_state(conn(0))["state"] == "open"
    engine.feed(client, request(b"GET", b"a"))
    engine.sent(conn(0))
    expire(engine)
    assert engine.conn_state(conn(0))["state"] == "lost"
    assert engine.take(client) == READ_ERROR % 1000 * 4


def test_too_old_a_tombstone_ends_the_connection_and_only_what_was_sent():
    engine, client = world(tombstone_us=5 * TIMEOUT)
    engine.feed(client, request(b"SET", b"a", b"1"))
    engine.sent(conn(0))
    expire(engine, 4_900_000)
    assert engine.take(client) == WRITE_ERROR % 4900
    engine.feed(client, request(b"SET", b"a", b"2"))
    engine.sent(conn(0))
    engine.feed(client, request(b"SET", b"a", b"3"))
    expire(engine, 100_000)
    assert engine.conn_state(conn(0))["state"] == "lost"
    assert engine.take(client).count(b"the fate of 'set' is unknown") == 1
    engine.connect(0)
    assert engine.sent(conn(0)) == request(b"SET", b"a", b"3")
    settle(engine)


def test_a_bulk_transfer_that_makes_progress_does_not_run_out():
    engine, client = world(bulk=100_000)
    large = request(b"SET", b"a", b"v" * 200_000)
    engine.feed(client, large)
    for _ in range(6):
        engine.sent(conn(0, bulk=1), 30_000)
        expire(engine, TIMEOUT)
        assert engine.take(client) == b""
    expire(engine, 2 * TIMEOUT)
    assert engine.take(client) == WRITE_ERROR % 8000
    settle(engine)


def test_split_parts_run_out_one_by_one():
    engine = build(2, timeout_us=TIMEOUT)
    client = engine.open()
    engine.feed(client, request(b"DEL", key_on(0), key_on(1)))
    engine.sent(conn(1))
    engine.answer(conn(1), b":1\r\n")
    expire(engine)
    assert engine.take(client) == UNSENT_ERROR % (b"del", 1000)
    assert engine.sent(conn(0)) == b""
    settle(engine)


@given(st.integers(0, 1 << 32), st.sampled_from([2, 3, 100]))
@settings(max_examples=80, deadline=None)
def test_no_reply_ever_answers_another_request(seed, window):
    """Random sends, deadlines and replies: each client sees, per request, its own reply or an error."""
    dice = random.Random(seed)
    engine = build(1, timeout_us=TIMEOUT, most_tombstones=1 << 30, tombstone_us=1 << 30, window=window)
    clients = [engine.open() for _ in range(3)]
    asked = {client: [] for client in clients}
    got = {client: b"" for client in clients}
    node, coming, number = b"", [], 0
    for _ in range(300):
        match dice.randrange(6):
            case 0:
                number += 1
                client = dice.choice(clients)
                size = dice.choice([1, 100, 40_000])
                asked[client].append(number)
                engine.feed(client, request(b"SET", b"a", b"%d" % number, b"x" * size))
            case 1:
                node += engine.sent(conn(0), dice.choice([1, 30, 10_000, 1 << 20]))
                framing = frame_requests(node)
                node = node[len(node) - framing.left :]
                coming += [b"$%d\r\n%s\r\n" % (len(args[2]), args[2]) for args in framing.items]
            case 2 | 3:
                if coming:
                    engine.answer(conn(0), coming.pop(0))
            case 4:
                engine.advance(dice.choice([10_000, 300_000, TIMEOUT]))
                engine.turn()
            case 5:
                client = dice.choice(clients)
                got[client] += engine.take(client)
                engine.turn()
        assert engine.audit() == []
    for _ in range(200):
        engine.advance(TIMEOUT)
        engine.turn()
        for client in clients:
            got[client] += engine.take(client)
    for client in clients:
        lines = []
        rest = got[client]
        while rest:
            line, _, rest = rest.partition(b"\r\n")
            if line.startswith(b"$"):
                line, _, rest = rest.partition(b"\r\n")
            lines.append(line)
        assert len(lines) == len(asked[client])
        for line, own in zip(lines, asked[client], strict=True):
            assert line == b"%d" % own or line.startswith(b"-ERR ")
