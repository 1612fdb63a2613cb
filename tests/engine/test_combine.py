"""Increments that travel together: each client gets to the byte what it would have got alone."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.engine.harness import heated
from tests.engine.tallying import SHARED, Counting
from tests.helpers import request


def writes(world: Counting) -> int:
    return sum(words[0] in (b"INCRBY", b"HINCRBY") for words in world.seen)


def known(key: bytes = b"a", **options) -> Counting:
    """A world that has heard of the counter."""
    world = Counting(**options)
    world.ask(0, b"INCR", key)
    world.settle()
    world.seen.clear()
    return world


def test_increments_of_one_turn_leave_as_one() -> None:
    world = known()
    for place in (0, 1, 2, 0, 1):
        world.ask(place, b"INCR", b"a")
    world.ask(1, b"INCRBY", b"a", b"40")
    world.settle()
    assert world.seen == [[b"INCRBY", b"a", b"45"]]
    assert world.counters()["increments"] == 7
    assert (world.counters()["waves_1"], world.counters()["waves_8"]) == (1, 1)


def test_one_is_on_its_way_and_the_others_gather() -> None:
    world = known()
    world.ask(0, b"INCR", b"a")
    world.turn()
    world.send()
    for place in (1, 2, 1):
        world.ask(place, b"INCR", b"a")
        world.turn()
    world.send()
    assert world.seen == [[b"INCRBY", b"a", b"1"]]
    world.answer()
    world.turn()
    world.send()
    assert world.seen == [[b"INCRBY", b"a", b"1"], [b"INCRBY", b"a", b"3"]]
    world.settle()


def test_the_first_one_goes_alone() -> None:
    """Nothing is known of the counter before."""
    world = Counting()
    world.ask(0, b"SET", b"a", b"9223372036854775800")
    world.settle()
    for place in (0, 1, 2) * 4:
        world.ask(place, b"INCR", b"a")
    world.settle()
    assert [words[2] for words in world.seen[1:]] == [b"1"] * 12


@pytest.mark.parametrize("words", [
    [b"GET", b"a"], [b"SET", b"a", b"9"], [b"DEL", b"a"], [b"MGET", b"b", b"a"], [b"RENAME", b"a", b"b"],
    [b"FCALL", b"s", b"1", b"a"], [b"FCALL", b"s", b"0"], [b"DEL", b"b", b"a"],
    [b"INCRBY", b"a", b"x"], [b"INCRBY", b"a", b"4611686018427387904"], [b"HINCRBY", b"a", b"f", b"1"],
    [b"PEXPIRE", b"a", b"5000", b"GT"],
], ids=lambda words: b" ".join(words).decode())  # fmt: skip
def test_what_names_the_key_goes_behind(words: list[bytes]) -> None:
    world = known()
    world.ask(0, b"INCR", b"a")
    world.turn()
    world.send()
    world.ask(1, b"INCR", b"a")
    world.ask(1, *words)
    world.ask(2, b"INCR", b"a")
    world.settle()
    assert world.seen[1] == [b"INCRBY", b"a", b"1"]


def test_a_transaction_goes_behind() -> None:
    world = known()
    world.ask(0, b"INCR", b"a")
    world.turn()
    world.send()
    world.ask(1, b"INCR", b"a")
    world.ask_block(1, [b"SET", b"b", b"1"], [b"GET", b"a"])
    world.ask_block(2, [b"INCRBY", b"a", b"3"], [b"SET", b"b", b"2"])
    world.settle()


def test_a_batch_has_one_sign() -> None:
    world = known()
    for delta in (1, 2, -1, -5, 0, 3):
        world.ask(0, b"INCRBY", b"a", b"%d" % delta)
    world.settle()
    assert [words[2] for words in world.seen] == [b"3", b"-6", b"3"]


def test_near_the_ends_they_go_one_by_one() -> None:
    for end in (b"9223372036854775805", b"-9223372036854775805"):
        world = Counting()
        world.ask(0, b"SET", b"a", end)
        world.ask(0, b"INCR" if end[:1] != b"-" else b"DECR", b"a")
        world.settle()
        for _ in range(4):
            for place in range(3):
                world.ask(place, b"INCR" if end[:1] != b"-" else b"DECR", b"a")
        world.settle()
        assert world.counters()["error_replies"] == (11 if end[:1] != b"-" else 10)


def overflowing(world: Counting) -> None:
    """Three increments are on their way when another proxy moves the counter to where two of them fit."""
    for place in range(3):
        world.engine.feed(world.clients[place], request(b"INCR", b"a"))
    world.engine.turn()
    world.send(0)
    world.node.run([b"SET", b"a", b"9223372036854775805"])
    world.send()


def test_what_overflows_together_is_tried_one_by_one() -> None:
    world = known()
    overflowing(world)
    world.flow()
    assert world.seen == [[b"INCRBY", b"a", b"3"], *[[b"INCRBY", b"a", b"1"]] * 3]
    assert [errors(world, place) for place in range(3)] == [
        b":9223372036854775806\r\n", b":9223372036854775807\r\n", b"-ERR increment or decrement would overflow\r\n"
    ]  # fmt: skip
    assert world.engine.audit() == []


def test_and_not_where_it_would_come_behind_what_was_asked_later() -> None:
    world = known()
    overflowing(world)
    world.engine.feed(world.clients[0], request(b"GET", b"a"))
    world.flow()
    assert world.seen == [[b"INCRBY", b"a", b"3"], [b"GET", b"a"]]
    overflow = b"-ERR increment or decrement would overflow\r\n"
    assert errors(world, 0) == overflow + b"$19\r\n9223372036854775805\r\n"
    assert errors(world, 1) == errors(world, 2) == overflow


def test_a_key_of_another_type_is_everybodys_error() -> None:
    world = known(b"b")
    world.ask(0, b"HSET", b"a", b"f", b"x")
    world.settle()
    for place in range(3):
        world.ask(place, b"INCR", b"a")
        world.ask(place, b"HINCRBY", b"a", b"f", b"1")
        world.ask(place, b"HINCRBY", b"b", b"f", b"1")
    world.settle()


def hash_world() -> Counting:
    world = Counting(clients=6)
    for field in (b"one", b"two"):
        world.ask(0, b"HINCRBY", b"h", field, b"5")
        world.settle()
    world.seen.clear()
    return world


def test_fields_are_counters_of_their_own() -> None:
    world = hash_world()
    for place in range(3):
        world.ask(place, b"HINCRBY", b"h", b"one", b"1")
        world.ask(3 + place, b"HINCRBY", b"h", b"two", b"-2")
    world.settle()
    assert world.seen == [[b"HINCRBY", b"h", b"one", b"3"], [b"HINCRBY", b"h", b"two", b"-6"]]


def test_one_clients_fields_keep_their_order() -> None:
    world = hash_world()
    world.ask(0, b"HINCRBY", b"h", b"one", b"1")
    world.turn()
    world.send()
    # The first field gathers while one is on its way; what the same client adds to the second goes behind it.
    world.ask(1, b"HINCRBY", b"h", b"one", b"1")
    world.ask(1, b"HINCRBY", b"h", b"two", b"1")
    world.turn()
    world.send()
    assert [words[2] for words in world.seen] == [b"one", b"one", b"two"]
    world.settle()


def test_a_window_gathers_longer() -> None:
    world = known(rules=[(b"", "all", 8192, 50_000, False, 1)])
    world.ask(0, b"INCR", b"a")
    for place in range(3):
        world.engine.advance(16_000)
        world.ask(place, b"INCR", b"a")
        world.turn()
        assert not world.seen
    world.engine.advance(2_000)
    world.settle()
    assert world.seen == [[b"INCRBY", b"a", b"4"]]


def test_a_batch_has_a_limit() -> None:
    world = known(rules=[(b"", "all", 2, 50_000, False, 1)])
    for place in (0, 1, 2, 0):
        world.ask(place, b"INCR", b"a")
    world.settle()
    assert [words[2] for words in world.seen] == [b"2", b"2"]


def test_only_keys_that_are_listed() -> None:
    world = Counting(rules=[(b"", "off", 8192, 0, False, 1), (b"hits:", "all", 8192, 0, False, 1)])
    for key in (b"hits:1", b"other"):
        for _ in range(2):
            for place in range(3):
                world.ask(place, b"INCR", key)
            world.settle()
    assert [words[0] for words in world.seen if words[1] == b"other"] == [b"INCR"] * 6
    assert [words[2] for words in world.seen if words[1] == b"hits:1"] == [b"1", b"2", b"3"]


def test_only_keys_that_are_hot() -> None:
    world = Counting(rules=[(b"", "hot", 8192, 0, False, 1)], hot=heated("off", threshold=1000))
    world.engine.hot_key(0, b"a")
    world.engine.turn()
    for key in (b"a", b"b"):
        for place in range(3):
            world.ask(place, b"INCR", key)
        world.settle()
    assert [words for words in world.seen if words[1] == b"a"] == [[b"INCRBY", b"a", b"1"], [b"INCRBY", b"a", b"2"]]
    assert sum(words == [b"INCR", b"b"] for words in world.seen) == 3


# -- trouble ----------------------------------------------------------------------------------------------------------


def errors(world: Counting, place: int) -> bytes:
    return bytes(world.engine.take(world.clients[place]))


def test_what_gathers_beyond_its_deadline_leaves_the_sum() -> None:
    world = known(timeout_us=400_000)
    for place in range(3):
        world.engine.feed(world.clients[place], request(b"INCR", b"a"))
        world.engine.turn()
        world.send()
        world.engine.advance(150_000)
    # The first is on its way, the second and the third gather.
    world.engine.advance(100_000)
    world.engine.turn()
    assert errors(world, 0).startswith(b"-ERR the fate of 'incr' is unknown")
    assert errors(world, 1).startswith(b"-ERR 'incr' was not sent") and errors(world, 2) == b""
    assert world.engine.audit() == []
    world.answer()
    world.engine.turn()
    world.send()
    world.answer()
    assert errors(world, 2) == b":3\r\n"
    assert world.seen == [[b"INCRBY", b"a", b"1"], [b"INCRBY", b"a", b"1"]]
    assert world.counters()["withdrawn"] == 1


def test_a_lost_connection_takes_what_was_sent_with_it() -> None:
    world = known()
    for place in range(3):
        world.engine.feed(world.clients[place], request(b"INCR", b"a"))
        world.engine.turn()
    world.engine.sent(SHARED)
    world.engine.fail(SHARED)
    world.engine.turn()
    assert errors(world, 0).startswith(b"-ERR the fate of 'incr' is unknown: node n0 ")
    assert errors(world, 1) == errors(world, 2) == b""
    assert world.engine.audit() == []
    world.engine.connect(0)
    world.flow()
    assert errors(world, 1) == b":2\r\n" and errors(world, 2) == b":3\r\n"


def test_a_node_that_is_down_was_sent_nothing() -> None:
    world = known()
    for place in range(3):
        world.engine.feed(world.clients[place], request(b"INCR", b"a"))
        world.engine.turn()
    world.engine.sent(SHARED)
    world.engine.fail(SHARED)
    world.engine.node_down(0, 0, b"no address")
    world.engine.turn()
    assert errors(world, 0).startswith(b"-ERR the fate of 'incr' is unknown: node n0 ")
    for place in (1, 2):
        assert errors(world, place).startswith(b"-ERR 'incr' was not sent: node n0 ")
    assert world.engine.audit() == []


def test_the_increment_of_a_client_that_left_counts() -> None:
    world = known()
    for place in range(3):
        world.engine.feed(world.clients[place], request(b"INCR", b"a"))
    world.engine.close(world.clients[1])
    world.engine.turn()
    world.send()
    world.answer()
    assert world.seen == [[b"INCRBY", b"a", b"3"]]
    assert errors(world, 0) == b":2\r\n" and errors(world, 2) == b":4\r\n"
    assert world.engine.audit() == []


def test_a_pause_comes_behind_what_was_asked_before() -> None:
    world = known(rules=[(b"", "all", 8192, 50_000, False, 1)])
    world.ask(0, b"INCR", b"a")
    world.engine.pause(7, 0, 1, 1000)
    world.engine.turn()
    world.send()
    assert world.seen == [[b"INCRBY", b"a", b"1"]]


def test_an_engine_ends_with_waves_under_way() -> None:
    world = known(hot=heated("ttl"))
    world.ask(0, b"INCR", b"a")
    world.turn()
    world.send()
    world.ask(1, b"INCR", b"a")
    del world


# -- any order --------------------------------------------------------------------------------------------------------

KEYS = st.sampled_from([b"a", b"b", b"c"])
NUMBERS = st.sampled_from([b"1", b"2", b"-1", b"-7", b"0", b"x", b"01", b"4611686018427387904", b"-4611686018427387904",
                           b"9223372036854775807", b"-9223372036854775808", b"4611686018427387000"])  # fmt: skip
COMMANDS = st.one_of(
    st.tuples(st.sampled_from([b"INCR", b"INCR", b"INCR", b"DECR", b"GET", b"DEL", b"incr"]), KEYS),
    st.tuples(st.sampled_from([b"INCRBY", b"INCRBY", b"DECRBY", b"SET"]), KEYS, NUMBERS),
    st.tuples(st.just(b"HINCRBY"), KEYS, st.sampled_from([b"f", b"g"]), NUMBERS),
    st.tuples(st.sampled_from([b"HGET"]), KEYS, st.just(b"f")),
    st.tuples(st.sampled_from([b"MGET", b"DEL", b"RENAME"]), KEYS, KEYS),
    st.tuples(st.just(b"PEXPIRE"), KEYS, st.sampled_from([b"100000", b"200000", b"-1"])),
    st.tuples(st.just(b"FCALL"), st.just(b"s"), st.just(b"1"), KEYS),
)
STEPS = st.one_of(
    st.tuples(st.integers(0, 3), COMMANDS),
    st.tuples(st.integers(0, 3), COMMANDS),
    st.tuples(st.integers(0, 3), st.lists(COMMANDS, min_size=1, max_size=3)),
    st.sampled_from(["turn", "send", "answer", "some", "time"]),
    st.sampled_from(["turn", "send", "answer"]),
)


@pytest.mark.parametrize("hot", ["no", "off", "ttl"])
@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    steps=st.lists(STEPS, max_size=60), window=st.sampled_from([0, 0, 20_000]), most=st.sampled_from([1, 3, 8192]),
    early=st.booleans(),
)  # fmt: skip
def test_whatever_happens_each_gets_what_it_would_have_got_alone(
    hot: str, steps, window: int, most: int, early: bool
) -> None:
    """Early ones, too: nobody else writes here, and no connection breaks."""
    world = Counting([(b"", "all" if hot == "no" else "hot", most, window, early, 1)], 4,
                     hot=None if hot == "no" else heated(hot, life_us=60_000_000))  # fmt: skip
    if hot != "no":
        for key in (b"a", b"b"):
            world.engine.hot_key(0, key)
        world.engine.turn()
    for step in steps:
        if step == "turn":
            world.turn()
        elif step == "send":
            world.send()
        elif step == "answer":
            world.answer()
        elif step == "some":
            world.send(30)
            world.answer(7)
        elif step == "time":
            world.engine.advance(7_000)
        elif len(world.expected[world.clients[step[0]]]) < 8:
            if isinstance(step[1], list):
                world.ask_block(step[0], *map(list, step[1]))
            else:
                world.ask(step[0], *step[1])
        assert world.engine.audit() == []
    for _ in range(3):
        world.engine.advance(window)
        world.engine.turn()
        world.send()
        world.answer()
    world.settle()
