"""Counters with `mode: early`: answered from the running value, at the node once a window, and what can be lost."""

from __future__ import annotations

import pytest

from tests.engine.harness import conn
from tests.engine.tallying import SHARED, Counting
from tests.helpers import request

WINDOW = 50_000  # us
TIMEOUT = 1_000_000
RULES = [(b"", "all", 8192, 0, False, 1), (b"e:", "all", 8192, WINDOW, True, 1)]


def known(value: int = 1, **options) -> Counting:
    """A world that has just heard of the counter, which is 1."""
    world = Counting(rules=RULES, timeout_us=TIMEOUT, **options)
    world.node.run([b"SET", b"e:a", b"%d" % (value - 1)])
    replies(world, 0, b"INCR", b"e:a")
    world.flow()
    assert world.engine.take(world.clients[0]) == b":%d\r\n" % value
    world.seen.clear()
    return world


def replies(world: Counting, place: int, *words: bytes) -> bytes:
    """What a client is told before any node could have answered."""
    client = world.clients[place]
    world.engine.feed(client, request(*words))
    world.engine.turn()
    assert world.engine.audit() == []
    return world.engine.take(client)


def land(world: Counting, after: int = WINDOW) -> None:
    world.engine.advance(after)
    world.flow()
    assert world.engine.audit() == []


def test_it_is_answered_at_once_and_leaves_with_the_window() -> None:
    world = known()
    assert [replies(world, place, b"INCR", b"e:a") for place in (0, 1, 2)] == [b":2\r\n", b":3\r\n", b":4\r\n"]
    assert replies(world, 1, b"INCRBY", b"e:a", b"40") == b":44\r\n"
    land(world, WINDOW - 1000)
    assert world.seen == []
    land(world, 1000)
    assert world.seen == [[b"INCRBY", b"e:a", b"43"]]
    counted = world.counters()
    assert (counted["increments"], counted["early"], counted["early_owed"], counted["early_lost"]) == (5, 4, 0, 0)
    assert counted["replies"] == counted["requests"] == 5


def test_the_next_window_goes_on_from_what_the_node_said() -> None:
    """Another proxy added 100 meanwhile."""
    world = known()
    assert replies(world, 0, b"INCR", b"e:a") == b":2\r\n"
    world.node.run([b"INCRBY", b"e:a", b"100"])
    assert replies(world, 0, b"INCR", b"e:a") == b":3\r\n"
    land(world)
    assert replies(world, 0, b"INCR", b"e:a") == b":104\r\n"


def test_after_a_pause_the_node_is_asked() -> None:
    world = known()
    assert replies(world, 0, b"INCR", b"e:a") == b":2\r\n"
    land(world)
    world.engine.advance(WINDOW + 1)
    assert replies(world, 0, b"INCR", b"e:a") == b""
    world.flow()
    assert world.engine.take(world.clients[0]) == b":3\r\n"


def test_reads_see_the_running_value() -> None:
    world = known()
    replies(world, 0, b"INCRBY", b"e:a", b"9")
    assert replies(world, 1, b"GET", b"e:a") == b"$2\r\n10\r\n"
    assert world.seen == []
    replies(world, 1, b"MGET", b"e:a")
    world.flow()
    assert world.seen == [[b"INCRBY", b"e:a", b"9"], [b"MGET", b"e:a"]]
    assert world.engine.take(world.clients[1]) == b"*1\r\n$2\r\n10\r\n"
    assert replies(world, 1, b"GET", b"e:a") == b"", "the node has it all"


def test_fields_of_a_hash() -> None:
    world = known()
    world.engine.feed(world.clients[0], request(b"HINCRBY", b"e:h", b"f", b"1"))
    world.flow()
    world.engine.take(world.clients[0])
    assert replies(world, 0, b"HINCRBY", b"e:h", b"f", b"2") == b":3\r\n"
    assert replies(world, 1, b"HGET", b"e:h", b"f") == b"$1\r\n3\r\n"
    assert replies(world, 1, b"HGET", b"e:h", b"g") == b""
    world.flow()
    assert world.engine.take(world.clients[1]) == b"$-1\r\n"


def test_what_writes_the_key_goes_behind() -> None:
    world = known()
    replies(world, 0, b"INCR", b"e:a")
    replies(world, 1, b"SET", b"e:a", b"7")
    assert replies(world, 0, b"INCR", b"e:a") == b"", "nobody knows what it is"
    world.flow()
    assert world.seen == [[b"INCRBY", b"e:a", b"1"], [b"SET", b"e:a", b"7"], [b"INCRBY", b"e:a", b"1"]]
    assert world.engine.take(world.clients[0]) == b":8\r\n"


def test_an_expire_goes_along() -> None:
    """The rate limiter's idiom: one INCRBY and one EXPIRE a window."""
    world = known()
    for place in (0, 1, 2):
        assert replies(world, place, b"INCR", b"e:a") == b":%d\r\n" % (place + 2)
        assert replies(world, place, b"EXPIRE", b"e:a", b"60") == b":1\r\n"
    land(world)
    assert world.seen == [[b"INCRBY", b"e:a", b"3"], [b"EXPIRE", b"e:a", b"60"]]
    assert replies(world, 0, b"INCR", b"e:a") == b":5\r\n"
    assert replies(world, 0, b"EXPIRE", b"e:a", b"60", b"NX") == b"", "that depends"


def test_a_sum_that_may_not_fit_is_not_answered() -> None:
    world = known(value=(1 << 62) - 2)
    assert replies(world, 0, b"INCR", b"e:a") == b":%d\r\n" % ((1 << 62) - 1)
    assert replies(world, 1, b"INCR", b"e:a") == b""
    land(world)
    assert world.engine.take(world.clients[1]) == b":%d\r\n" % (1 << 62)


def test_transactions_and_clients_that_track_are_exact() -> None:
    world = known()
    assert replies(world, 0, b"MULTI") + replies(world, 0, b"INCR", b"e:a") == b"+OK\r\n+QUEUED\r\n"
    assert replies(world, 0, b"EXEC") == b""
    land(world)
    assert world.engine.take(world.clients[0]) == b"*1\r\n:2\r\n"


def test_what_the_node_refuses_is_lost_and_counted() -> None:
    world = known()
    for _ in range(3):
        replies(world, 0, b"INCR", b"e:a")
    world.node.run([b"SET", b"e:a", b"no number"])
    land(world)
    assert world.counters()["early_lost"] == 3
    assert replies(world, 0, b"INCR", b"e:a") == b""
    world.flow()
    assert world.engine.take(world.clients[0]).startswith(b"-ERR value is not an integer")


def test_what_was_on_its_way_when_the_connection_broke_is_lost_and_counted() -> None:
    world = known()
    replies(world, 0, b"INCR", b"e:a")
    world.engine.advance(WINDOW)
    world.engine.turn()
    world.engine.sent(SHARED)
    assert [replies(world, 0, b"INCR", b"e:a") for _ in range(2)] == [b":3\r\n", b":4\r\n"]
    world.engine.fail(SHARED)
    world.engine.turn()
    assert world.engine.audit() == []
    assert (world.counters()["early_lost"], world.counters()["early_owed"]) == (1, 2)
    assert replies(world, 1, b"INCR", b"e:a") == b"", "nobody knows whether it was added"
    world.engine.connect(0)
    land(world)
    assert world.node.data[b"e:a"] == b"4"
    assert world.engine.take(world.clients[1]) == b":4\r\n"
    assert world.counters()["early_owed"] == 0


def test_what_gathers_waits_for_a_node_that_is_down() -> None:
    world = known()
    replies(world, 0, b"INCRBY", b"e:a", b"5")
    world.engine.fail(SHARED)
    world.engine.node_down(0, 0, b"no address")
    land(world)
    assert replies(world, 1, b"INCR", b"e:a").endswith(b" is down: no address; 'incr' was not sent\r\n")
    assert world.counters()["early_owed"] == 1
    world.engine.connect(0)
    land(world)
    assert world.node.data[b"e:a"] == b"6"
    assert (world.counters()["early_lost"], world.counters()["early_owed"]) == (0, 0)


def test_and_no_longer_than_the_timeout() -> None:
    world = known()
    replies(world, 0, b"INCR", b"e:a")
    replies(world, 0, b"EXPIRE", b"e:a", b"60")
    world.engine.fail(SHARED)
    world.engine.node_down(0, 0, b"no address")
    land(world, TIMEOUT + 200_000)
    assert (world.counters()["early_lost"], world.counters()["early_owed"]) == (2, 0)
    assert world.counters()["timeouts"] == 0
    world.engine.connect(0)
    land(world)
    assert world.node.data[b"e:a"] == b"1"


def test_a_node_that_answers_late_has_it() -> None:
    world = known()
    replies(world, 0, b"INCR", b"e:a")
    world.engine.advance(WINDOW)
    world.engine.turn()
    world.send()
    world.engine.advance(TIMEOUT + 200_000)
    world.engine.turn()
    assert (world.counters()["early_lost"], world.counters()["early_owed"]) == (0, 1)
    world.answer()
    world.engine.turn()
    assert (world.counters()["early_lost"], world.counters()["early_owed"]) == (0, 0)


def test_the_other_protocol_is_as_another_proxy() -> None:
    world = known()
    replies(world, 0, b"INCR", b"e:a")
    client = world.clients[1]
    world.engine.feed(client, request(b"HELLO", b"3"))
    world.engine.turn()
    world.engine.take(client)
    assert replies(world, 1, b"GET", b"e:a") == b""
    assert b"GET" in world.engine.sent(conn(0, 3))


@pytest.mark.parametrize("command", [[b"FLUSHALL"], [b"FCALL", b"s", b"0"]])
def test_after_what_may_write_any_key_nothing_is_known(command: list[bytes]) -> None:
    world = known()
    replies(world, 0, b"INCR", b"e:a")
    replies(world, 1, *command)
    world.flow()
    assert world.seen[0] == [b"INCRBY", b"e:a", b"1"]
    world.engine.take(world.clients[0])
    assert replies(world, 0, b"INCR", b"e:a") == b""


def test_a_full_batch_does_not_wait() -> None:
    world = Counting(rules=[(b"", "all", 3, WINDOW, True, 1)])
    replies(world, 0, b"INCR", b"a")
    world.flow()
    world.engine.take(world.clients[0])
    assert b"".join(replies(world, 0, b"INCR", b"a") for _ in range(4)) == b":2\r\n:3\r\n:4\r\n:5\r\n"
    world.flow()
    assert world.seen[1:] == [[b"INCRBY", b"a", b"3"]]


def test_an_engine_ends_with_what_it_owes() -> None:
    world = known()
    replies(world, 0, b"INCR", b"e:a")
    del world
