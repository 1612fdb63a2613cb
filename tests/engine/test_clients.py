"""What is done to many clients at once: pauses, kills, idle clients; and replies that a client does not want."""

from __future__ import annotations

from array import array

import pytest

from proxy.engine.probe import Probe
from tests.engine.harness import TICK_US, build, conn, key_on, settle
from tests.helpers import request

NOTHING, WRITE, ALL = 0, 1, 2
GET, SET = request(b"GET", key_on(0)), request(b"SET", key_on(0), b"1")
LISTED = 5


def told(engine: Probe) -> list[tuple[int, bytes]]:
    """Tag and data of what the engine answered to orders."""
    return [(event[6], event[7]) for event in engine.events() if event[0] == LISTED]


def replied(engine: Probe, count: int) -> bytes:
    """Answer so many requests at node 0; what was sent to it."""
    sent = engine.sent(conn(0))
    engine.answer(conn(0), b"+OK\r\n" * count)
    settle(engine)
    return sent


# -- pauses -----------------------------------------------------------------------------------------------------------


def test_while_writes_are_paused_reads_go_on() -> None:
    engine = build()
    reader, writer = engine.open(), engine.open()
    engine.pause(7, 0, WRITE, 1000)
    engine.turn()
    assert told(engine) == [(7, b"")]
    engine.feed(reader, GET)
    engine.feed(writer, GET + SET + GET)
    assert replied(engine, 2) == GET + GET
    assert engine.take(reader) == engine.take(writer) == b"+OK\r\n"
    assert engine.state(writer)["parked"] and engine.state(writer)["input"] == len(SET + GET)
    engine.pause(8, 0, NOTHING, 0)
    settle(engine)
    assert told(engine) == [(8, b"")]
    assert replied(engine, 2) == SET + GET
    assert engine.take(writer) == b"+OK\r\n" * 2 and not engine.state(writer)["parked"]


def test_a_pause_ends_by_itself() -> None:
    engine = build()
    client = engine.open()
    engine.pause(1, 0, ALL, 100)
    engine.turn()
    engine.feed(client, b"PING\r\n")
    for _ in range(9):
        engine.advance(TICK_US)
        settle(engine)
        assert engine.take(client) == b""
    engine.advance(2 * TICK_US)
    settle(engine)
    assert engine.take(client) == b"+PONG\r\n"


def test_all_is_everything_but_errors_and_new_clients_are_paused_too() -> None:
    engine = build()
    before = engine.open()
    engine.pause(1, 0, ALL, 1000)
    engine.turn()
    for client in (before, engine.open()):
        engine.feed(client, b"NOPE\r\nGET\r\n" + GET + b"PING\r\nQUIT\r\n")
        settle(engine)
        assert engine.take(client).count(b"-ERR") == 2
    assert engine.sent(conn(0)) == b""
    engine.pause(2, 0, NOTHING, 0)
    settle(engine)
    assert replied(engine, 2) == GET + GET
    assert engine.take(before) == b"+OK\r\n+PONG\r\n+OK\r\n"


WRITES = b"""SET a 1|DEL a|MSET a 1|INCR a|EVAL x 0|EVALSHA x 0|FCALL x 0|PUBLISH a b|PFCOUNT a|SORT a|GETEX a
FLUSHALL|BLPOP a 0|GEORADIUS a 1 1 1 m|BITFIELD a|XREADGROUP GROUP g c STREAMS s >""".replace(b"\n", b"|").split(b"|")
READS = b"GET a|EVAL_RO x 0|MGET a|SORT_RO a|TTL a|TOUCH a|PING|SELECT 1|MULTI".split(b"|")


@pytest.mark.parametrize("line", [*WRITES, *READS])
def test_what_may_write(line: bytes) -> None:
    engine = build()
    client = engine.open()
    engine.pause(1, 0, WRITE, 1000)
    engine.turn()
    engine.feed(client, request(*line.split()))
    settle(engine)
    assert engine.state(client)["parked"] == (line in WRITES)
    assert bool(engine.take(client) or engine.sent(conn(0)) or engine.sent(conn(1))) == (line in READS)


@pytest.mark.parametrize("queued", [GET, SET])
def test_a_transaction_waits_if_something_of_it_would(queued: bytes) -> None:
    engine = build()
    client = engine.open()
    engine.feed(client, request(b"MULTI") + queued)
    engine.pause(1, 0, WRITE, 1000)
    engine.turn()
    engine.feed(client, request(b"EXEC"))
    settle(engine)
    assert engine.take(client) == b"+OK\r\n+QUEUED\r\n"
    assert (engine.sent(conn(0)) == b"") == (queued == SET) == engine.state(client)["parked"]
    engine.pause(2, 0, NOTHING, 0)
    settle(engine)
    assert engine.state(client)["owed"] == 1


def test_of_two_pauses_the_stricter_and_the_longer_count() -> None:
    engine = build()
    client = engine.open()
    engine.pause(1, 0, ALL, 30)
    engine.pause(2, 0, WRITE, 100)
    engine.pause(3, 0, WRITE, 10)
    engine.turn()
    engine.feed(client, b"PING\r\n")
    engine.advance(90_000)
    settle(engine)
    assert engine.take(client) == b""
    engine.advance(20_000)
    settle(engine)
    assert engine.take(client) == b"+PONG\r\n"
    engine.pause(4, 0, WRITE, 100)
    engine.turn()
    engine.feed(client, b"PING\r\n")
    settle(engine)
    assert engine.take(client) == b"+PONG\r\n", "a pause that is over leaves nothing of its mode behind"


def test_a_paused_client_may_send_more_and_leave() -> None:
    engine = build()
    client, other = engine.open(), engine.open()
    engine.pause(1, 0, WRITE, 1000)
    engine.turn()
    for _ in range(50):
        engine.feed(client, SET)
    engine.feed(other, SET)
    engine.close(other)
    settle(engine)
    engine.pause(2, 0, NOTHING, 0)
    settle(engine)
    assert replied(engine, 50) == SET * 50
    assert engine.take(client) == b"+OK\r\n" * 50


# -- kills and idle clients -------------------------------------------------------------------------------------------


def test_the_named_are_closed_and_told() -> None:
    engine = build()
    clients = [engine.open() for _ in range(5)]
    engine.feed(clients[1], GET + GET)
    gone = [*clients[1:4], 10**15]
    engine.kill_clients(9, array("Q", gone).tobytes())
    settle(engine)
    ((tag, data),) = told(engine)
    assert tag == 9 and sorted(array("Q", data)) == clients[1:4]
    for client in clients[1:4]:
        with pytest.raises(KeyError):
            engine.state(client)
    engine.kill_clients(10, array("Q", gone).tobytes())
    settle(engine)
    assert told(engine) == [(10, b"")]
    engine.feed(clients[0], GET)
    replied(engine, 3)
    assert engine.take(clients[0]) == b"+OK\r\n"


def test_idle_clients_are_closed_when_that_is_wanted() -> None:
    engine = build()
    idle, busy, waiting = engine.open(), engine.open(), engine.open()
    engine.advance(3_000_000_000)
    settle(engine)
    engine.state(idle)
    engine.set_limit(0, "idle_us", 5_000_000)
    engine.feed(busy, b"PING\r\n")
    engine.feed(waiting, GET)
    engine.advance(1_000_000)
    engine.turn()
    with pytest.raises(KeyError):
        engine.state(idle)
    assert engine.take(busy) == b"+PONG\r\n"
    engine.advance(6_000_000)
    engine.turn()
    with pytest.raises(KeyError):
        engine.state(busy)
    replied(engine, 1)
    assert engine.take(waiting) == b"+OK\r\n"


def test_limits_change_at_once() -> None:
    engine = build()
    client = engine.open()
    engine.set_limit(0, "max_bulk", 1 << 20)
    engine.turn()
    engine.feed(client, b"*2\r\n$4\r\nECHO\r\n$1048577\r\n")
    settle(engine)
    assert engine.take(client) == b"-ERR Protocol error: invalid bulk length\r\n"
    with pytest.raises(KeyError):
        engine.set_limit(0, "nonsense", 1)


# -- replies that are not wanted --------------------------------------------------------------------------------------


def test_replies_of_nodes_are_dropped_whatever_their_way() -> None:
    """First in line, out of order, large, and of split commands."""
    engine = build()
    client = engine.open()
    keys = [key_on(node) for node in (0, 1)]
    engine.feed(client, b"".join([
        request(b"CLIENT", b"REPLY", b"OFF"), request(b"GET", keys[0]), request(b"GET", keys[1]),
        request(b"MGET", *keys), request(b"GET", keys[1]), request(b"PING"), request(b"CLIENT", b"REPLY", b"ON"),
        request(b"PING", b"end"),
    ]))
    engine.sent(conn(0))
    engine.sent(conn(1))
    engine.answer(conn(1), b"$3\r\nabc\r\n*1\r\n$1\r\nx\r\n" + b"$100000\r\n" + b"x" * 100_000 + b"\r\n")
    settle(engine)
    assert engine.state(client)["output"] == 0 and engine.state(client)["owed"] == 4
    engine.answer(conn(0), b"-ERR no\r\n*1\r\n$1\r\ny\r\n")
    settle(engine)
    assert engine.take(client) == b"+OK\r\n$3\r\nend\r\n"


def test_only_the_next_reply_is_skipped_although_requests_are_pipelined() -> None:
    engine = build()
    client = engine.open()
    engine.feed(client, request(b"CLIENT", b"REPLY", b"SKIP") + GET + GET + request(b"PING"))
    assert engine.sent(conn(0)) == GET, "what follows waits until it is known what is not to be sent"
    engine.answer(conn(0), b"+first\r\n")
    settle(engine)
    assert engine.sent(conn(0)) == GET
    engine.answer(conn(0), b"+second\r\n")
    settle(engine)
    assert engine.take(client) == b"+second\r\n+PONG\r\n"


def test_a_silent_transaction_runs_in_silence() -> None:
    """Its local replies are parts of an array, though of one that is not sent."""
    engine = build()
    client = engine.open()
    engine.feed(client, b"".join([
        request(b"CLIENT", b"REPLY", b"OFF"), request(b"MULTI"), request(b"PING"), SET, request(b"EXEC"),
        request(b"MULTI"), request(b"PING"), request(b"EXEC"), request(b"CLIENT", b"REPLY", b"ON"),
    ]))
    engine.sent(conn(0))
    engine.answer(conn(0), b"+OK\r\n+QUEUED\r\n*1\r\n+OK\r\n")
    settle(engine)
    assert engine.take(client) == b"+OK\r\n"


def test_subscriptions_are_confirmed_to_a_silent_client() -> None:
    """As Redis does: they are pushes, as messages are."""
    engine = build()
    client = engine.open()
    engine.feed(client, request(b"CLIENT", b"REPLY", b"OFF") + request(b"SUBSCRIBE", b"a"))
    settle(engine)
    (event,) = [event for event in engine.events() if event[0] == 1]
    engine.reply(event[4], event[5], b"*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n", keep=True, subscriber=True)
    settle(engine)
    assert engine.take(client).startswith(b"*3\r\n$9\r\nsubscribe\r\n")
    engine.feed(client, request(b"PING"))
    settle(engine)
    assert engine.take(client) == b""


def test_a_silent_client_may_quit() -> None:
    engine = build()
    client = engine.open()
    engine.feed(client, request(b"CLIENT", b"REPLY", b"OFF") + request(b"QUIT"))
    settle(engine)
    assert engine.take(client) == b"" and engine.state(client)["closing"]
