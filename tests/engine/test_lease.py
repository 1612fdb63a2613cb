"""Leases and seats: what is acknowledged when, and what becomes of requests when a node's process is another one."""

from __future__ import annotations

import struct
import time

import pytest

from proxy.engine.engine import EngineGroup
from tests.engine.harness import build, conn, heated, key_on, settle
from tests.helpers import bulk, request

FENCED = (
    b"-ERR the fate of '%s' is unknown: node n0 (10.0.0.0:6379) of pool p answered after 3 ms, when this proxy was out "
    b"of touch with most of the pool; it was not retried\r\n"
)
RUN = b"a" * 40
ADDRESS = struct.pack("=H", 2) + struct.pack("!H", 1) + bytes([127, 0, 0, 1]) + bytes(8)


def leased():
    group = EngineGroup(1)
    return group, build(1, group=group, failover="promote", replicas=1)


def seconds(ahead):
    return int((time.monotonic() + ahead) * 1e6)


@pytest.mark.parametrize(
    ("words", "reply"),
    [
        ((b"SET", b"a", b"1"), b"+OK\r\n"),
        ((b"INCR", b"a"), b":1\r\n"),
        ((b"RPUSH", b"a", b"1"), b":1\r\n"),
        ((b"LPOP", b"a"), b"$40000\r\n" + b"x" * 40000 + b"\r\n"),
        ((b"SET", b"a", b"x" * 300000), b"+OK\r\n"),
    ],
)
@pytest.mark.parametrize(("generation", "ahead"), [(0, -0.001), (1, 10.0), (0xFFFE, 10.0)])
def test_a_write_is_acknowledged_only_under_a_lease(words, reply, generation, ahead):
    group, engine = leased()
    client = engine.open()
    place = conn(0, bulk=int(len(words[-1]) > 200000))
    for until, given in ((10.0, reply), (None, FENCED % words[0].lower())):
        group.lease(0, 0 if until else generation, seconds(until or ahead))
        engine.feed(client, request(*words))
        engine.sent(place)
        engine.advance(3000)
        engine.answer(place, reply)
        assert engine.take(client) == given
    assert engine.counters()["fenced"] == 1
    settle(engine)


def test_reads_and_errors_acknowledge_nothing():
    group, engine = leased()
    group.lease(0, 0, seconds(-1))
    client = engine.open()
    engine.feed(client, request(b"GET", b"a") + request(b"INCR", b"a"))
    engine.sent(conn(0))
    engine.answer(conn(0), b"$1\r\nx\r\n-WRONGTYPE no\r\n")
    assert engine.take(client) == b"$1\r\nx\r\n-WRONGTYPE no\r\n"


def test_reads_of_primaries_only_are_fenced_too():
    group = EngineGroup(1)
    engine = build(1, group=group, failover="promote", replicas=1, reads={"from": 0})
    group.lease(0, 0, seconds(-1))
    client = engine.open()
    engine.feed(client, request(b"GET", b"a"))
    engine.sent(conn(0))
    engine.answer(conn(0), b"$1\r\nx\r\n")
    assert engine.take(client).endswith(b"into 'get': this proxy is out of touch with most of the pool\r\n")


def test_a_transaction_is_fenced_as_a_whole():
    group, engine = leased()
    group.lease(0, 0, seconds(-1))
    client = engine.open()
    engine.feed(client, request(b"MULTI") + request(b"SET", b"a", b"1") + request(b"EXEC") + request(b"GET", b"a"))
    engine.sent(conn(0))
    engine.advance(3000)
    engine.answer(conn(0), b"+OK\r\n+QUEUED\r\n*1\r\n+OK\r\n$1\r\n1\r\n")
    assert engine.take(client) == b"+OK\r\n+QUEUED\r\n" + FENCED % b"exec" + b"$1\r\n1\r\n"


def test_a_pool_without_failover_needs_no_lease():
    engine = build(1)
    client = engine.open()
    engine.feed(client, request(b"SET", b"a", b"1"))
    engine.sent(conn(0))
    engine.answer(conn(0), b"+OK\r\n")
    assert engine.take(client) == b"+OK\r\n"


def test_requests_wait_for_who_takes_the_seat():
    """What was on its way has an unknown fate, the rest is not sent before there is somebody; the deadline holds."""
    _, engine = leased()
    client = engine.open()
    sent, kept = request(b"SET", b"a", b"1"), request(b"SET", b"a", b"2")
    engine.feed(client, sent + kept)
    engine.sent(conn(0), len(sent))
    engine.seat(0, 0, b"", b"", b"", 1)
    engine.turn()
    assert engine.take(client).startswith(b"-ERR the fate of 'set' is unknown: node n0 (10.0.0.0:6379) of pool p was")
    engine.feed(client, request(b"GET", b"a"))
    assert engine.conn_state(conn(0))["state"] == "lost"
    assert engine.conn_state(conn(0))["pending"] == 2
    engine.seat(0, 0, RUN, b"10.0.0.9:6379", ADDRESS, 2)
    engine.turn()
    engine.connect(0)
    assert engine.sent(conn(0)) == kept + request(b"GET", b"a")
    assert engine.audit() == []


def test_a_node_that_cannot_be_reached_is_waited_for_until_it_is_given_up():
    _, engine = leased()
    client = engine.open()
    engine.fail(conn(0), b"gone")
    engine.connect_node(0, 0, b"", False)  # fails at once: no address
    engine.turn()
    engine.feed(client, request(b"SET", b"a", b"1"))
    assert engine.take(client) == b""
    engine.node_down(0, 0, b"no node can be its primary")
    engine.turn()
    assert b"no node can be its primary" in engine.take(client)
    engine.feed(client, request(b"SET", b"a", b"1"))
    assert b"is down: no node can be its primary" in engine.take(client)


def test_copies_are_served_only_under_a_lease():
    """An ear at a node that is no primary any more would not hear of what is written at the new one."""
    group = EngineGroup(1)
    engine = build(1, group=group, failover="promote", replicas=1, hot=heated("ttl"))
    group.lease(0, 0, seconds(10))
    client = engine.open()
    engine.hot_key(0, b"a")
    engine.turn()
    for _ in range(4):
        engine.feed(client, request(b"GET", b"a"))
        engine.turn()
        for part in engine.sent(conn(0)).split(b"*2\r\n")[1:]:
            engine.answer(conn(0), b":-1\r\n" if b"PTTL" in part else bulk(b"x"))
        engine.turn()
        assert engine.take(client) == bulk(b"x")
    assert engine.counters()["copy_hits"] > 0
    group.lease(0, 0, seconds(-1))
    engine.feed(client, request(b"GET", b"a"))
    engine.turn()
    assert engine.take(client) == b"" and b"GET" in engine.sent(conn(0))


@pytest.mark.parametrize("over", [False, True])
def test_an_acknowledgement_that_waits_for_an_earlier_reply_is_fenced_when_it_leaves(over):
    """The earlier one may have waited for its deadline: by then somebody else may be primary."""
    group = EngineGroup(1)
    engine = build(2, group=group, failover="promote", replicas=1)
    group.lease(0, 0, seconds(10))
    client = engine.open()
    slow, quick = key_on(0), key_on(1)
    for words in ((b"GET", slow), (b"SET", quick, b"v"), (b"GET", quick), (b"PING",)):
        engine.feed(client, request(*words))
    engine.sent(conn(0))
    engine.sent(conn(1))
    engine.answer(conn(1), b"+OK\r\n$1\r\nv\r\n")
    assert engine.take(client) == b""
    if over:
        group.lease(0, 0, seconds(-1))
    engine.answer(conn(0), b"$-1\r\n")
    late = b"-ERR the fate of a command is unknown: it was answered in time, but behind an earlier one that was not, "
    late += b"and meanwhile this proxy was out of touch with most of pool p\r\n"
    assert engine.take(client) == b"$-1\r\n" + (late if over else b"+OK\r\n") + b"$1\r\nv\r\n+PONG\r\n"
    assert engine.audit() == []


def test_the_order_that_empties_a_seat_does_not_void_what_waits_behind_it():
    """What other nodes acknowledged leaves with the errors of the old process, under the lease on the new seats."""
    group = EngineGroup(1)
    engine = build(2, group=group, failover="promote", replicas=1)
    group.lease(0, 0, seconds(10))
    client = engine.open()
    engine.feed(client, request(b"SET", key_on(0), b"1") + request(b"SET", key_on(1), b"1"))
    engine.sent(conn(0))
    engine.sent(conn(1))
    engine.answer(conn(1), b"+OK\r\n")
    engine.seat(0, 0, b"", b"", b"", 1)
    group.lease(0, 1, seconds(10))
    engine.turn()
    reply = engine.take(client)
    assert reply.startswith(b"-ERR the fate of 'set' is unknown: node n0") and reply.endswith(b"\r\n+OK\r\n")
