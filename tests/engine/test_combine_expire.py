"""INCR and EXPIRE, the rate limiter's idiom: pairs that travel together, in a pipeline or in a transaction."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.engine.harness import heated
from tests.engine.tallying import Counting
from tests.engine.test_combine import COMMANDS, KEYS, errors, known
from tests.helpers import request

EXPIRE = [b"EXPIRE", b"a", b"60"]


def test_pairs_leave_as_one_pair() -> None:
    world = known()
    for place in (0, 1, 2, 0, 1):
        world.ask(place, b"INCR", b"a")
        world.ask(place, *EXPIRE)
    world.settle()
    assert world.seen == [[b"INCRBY", b"a", b"5"], EXPIRE]
    assert world.counters()["increments"] == 6


@pytest.mark.parametrize("option", [b"NX", b"nx", b"XX"])
@pytest.mark.parametrize("lives", [False, True])
def test_options_that_have_an_effect_once(option: bytes, lives: bool) -> None:
    world = known()
    if lives:
        world.ask(0, b"PEXPIRE", b"a", b"5000")
        world.settle()
        world.seen.clear()
    for place in (0, 1, 2):
        world.ask(place, b"INCR", b"a")
        world.ask(place, *EXPIRE, option)
    world.settle()
    assert world.seen == [[b"INCRBY", b"a", b"3"], [*EXPIRE, option]]


@pytest.mark.parametrize("words", [
    [b"EXPIRE", b"a", b"60", b"GT"], [b"EXPIRE", b"a", b"-1"], [b"EXPIRE", b"a", b"30"], [b"PEXPIRE", b"a", b"60"],
], ids=lambda words: b" ".join(words[2:]).decode())  # fmt: skip
def test_others_go_behind_on_their_own(words: list[bytes]) -> None:
    world = known()
    world.ask(0, b"INCR", b"a")
    world.ask(0, *EXPIRE)
    world.ask(1, b"INCR", b"a")
    world.ask(1, *words)
    world.ask(2, b"INCR", b"a")
    world.ask(2, *EXPIRE)
    world.settle()
    assert world.seen[:3] == [[b"INCRBY", b"a", b"2"], EXPIRE, words]


def test_without_an_increment_before_it_it_is_none_of_a_pair() -> None:
    world = known()
    world.ask(0, b"INCR", b"a")
    world.ask(1, *EXPIRE)
    world.ask(2, b"INCR", b"a")
    world.settle()
    assert world.seen == [[b"INCRBY", b"a", b"1"], EXPIRE, [b"INCRBY", b"a", b"1"]]


def test_transactions_that_are_a_pair_leave_as_one() -> None:
    world = known()
    world.ask_block(0, [b"INCR", b"a"], EXPIRE)
    world.settle()
    world.seen.clear()
    for place in (0, 1, 2, 1):
        world.ask_block(place, [b"INCRBY", b"a", b"2"], EXPIRE)
    world.settle()
    assert world.seen == [[b"INCRBY", b"a", b"8"], EXPIRE]
    assert world.counters()["transactions"] == 5


def test_transactions_of_one_increment() -> None:
    world = known()
    for _ in range(2):
        world.seen.clear()
        for place in (0, 1, 2):
            world.ask_block(place, [b"HINCRBY", b"h", b"f", b"3"])
        world.settle()
    assert world.seen == [[b"HINCRBY", b"h", b"f", b"9"]]


def test_the_first_of_a_unit_has_the_effect() -> None:
    world = known()
    world.ask_block(0, [b"INCR", b"a"])
    world.settle()
    for place in (0, 1, 2):
        world.ask_block(place, [b"INCR", b"a"], [*EXPIRE, b"NX"])
    world.settle()
    assert world.seen[-2:] == [[b"INCRBY", b"a", b"3"], [*EXPIRE, b"NX"]]


def test_a_wrong_type_is_every_units_error() -> None:
    world = known()
    world.ask_block(0, [b"INCR", b"a"], EXPIRE)
    world.ask(0, b"HSET", b"b", b"f", b"x")
    world.settle()
    for place in (0, 1, 2):
        world.ask_block(place, [b"INCR", b"b"], [b"EXPIRE", b"b", b"5"])
        world.ask_block(place, [b"HINCRBY", b"b", b"f", b"1"], [b"EXPIRE", b"b", b"5"])
    world.settle()


def test_units_and_single_increments_keep_their_order() -> None:
    world = known()
    for place in (0, 1, 2, 0):
        world.ask(place, b"INCR", b"a")
        world.ask_block(place, [b"INCR", b"a"], EXPIRE)
        world.ask_block(place, [b"GET", b"a"], [b"INCR", b"a"])
        world.ask_block(place, [b"INCR", b"a"], [b"GET", b"a"], [b"INCR", b"b"])
        world.ask(place, b"GET", b"a")
    world.settle()


def test_transactions_make_a_key_hot() -> None:
    world = Counting(rules=[(b"", "hot", 8192, 0, False, 1)], hot=heated("off", threshold=20))
    for _ in range(20):
        for place in (0, 1, 2):
            world.ask_block(place, [b"INCR", b"a"], EXPIRE)
        world.settle()
    assert world.counters()["hot_promoted"] == 1
    world.seen.clear()
    for place in (0, 1, 2):
        world.ask_block(place, [b"INCR", b"a"], EXPIRE)
    world.settle()
    assert world.seen == [[b"INCRBY", b"a", b"3"], EXPIRE]


def test_a_pipeline_of_the_same_joins_at_once() -> None:
    world = known()
    world.ask(1, b"GET", b"b")
    world.settle()
    world.seen.clear()
    for place in (0, 1):
        world.expected[world.clients[place]] += [world.alone.run([b"INCR", b"a"]) for _ in range(500)]
        world.engine.feed(world.clients[place], request(b"INCR", b"a") * 500)
    world.settle()
    assert [words[2] for words in world.seen] == [b"1000"]
    assert world.engine.command_stats()["incr"][0] == 1001 and world.counters()["replies"] == 1002


def test_a_run_waits_its_turn() -> None:
    """Its replies come while an earlier one is owed, with what is behind them, in pieces."""
    world = known(window=6)
    world.ask(0, b"INCR", b"b")
    client = world.clients[0]
    world.expected[client] += [world.alone.run([b"INCR", b"a"]) for _ in range(9)]
    world.engine.feed(client, request(b"INCR", b"a") * 9)
    world.ask(0, b"GET", b"b")
    world.settle()


def test_a_run_that_gathers_beyond_its_deadline() -> None:
    world = known(timeout_us=400_000)
    world.engine.feed(world.clients[0], request(b"INCR", b"a"))
    world.engine.turn()
    world.send()
    world.engine.feed(world.clients[1], request(b"INCR", b"a") * 3 + request(*EXPIRE))
    world.engine.advance(200_000)
    world.engine.feed(world.clients[2], request(b"INCR", b"a") * 2 + request(*EXPIRE))
    world.engine.advance(200_000)
    world.engine.turn()
    assert errors(world, 1).count(b"'incr' was not sent") == 3
    assert world.engine.audit() == []
    world.answer()
    world.flow()
    assert errors(world, 2) == b":3\r\n:4\r\n:1\r\n"
    assert world.seen == [[b"INCRBY", b"a", b"1"], [b"INCRBY", b"a", b"2"], EXPIRE]


def test_pairs_on_a_connection_that_breaks() -> None:
    world = known()
    for place in (0, 1, 2):
        world.engine.feed(world.clients[place], request(b"INCR", b"a") + request(*EXPIRE))
    world.engine.turn()
    sent = world.engine.sent((0, 2, 0, 0), 30)
    assert sent.startswith(b"*3\r\n$6\r\nINCRBY")
    world.engine.fail((0, 2, 0, 0))
    world.engine.node_down(0, 0, b"no address")
    world.engine.turn()
    assert world.engine.audit() == []
    for place in (0, 1, 2):
        replies = errors(world, place).split(b"\r\n")
        assert replies[0].startswith(b"-ERR the fate of 'incr' is unknown")
        assert replies[1].startswith(b"-ERR 'expire' was not sent")


LIVES = st.one_of(
    st.tuples(st.sampled_from([b"EXPIRE", b"PEXPIRE"]), KEYS, st.sampled_from([b"100", b"60", b"-1", b"0"])),
    st.tuples(st.just(b"EXPIRE"), KEYS, st.just(b"60"), st.sampled_from([b"NX", b"XX"])),
)
ADDS = st.one_of(
    st.tuples(st.sampled_from([b"INCR", b"INCR", b"DECR"]), KEYS), st.tuples(st.just(b"INCRBY"), KEYS, st.just(b"5")),
    st.tuples(st.just(b"HINCRBY"), KEYS, st.just(b"f"), st.just(b"1")),
)
PAIRS = KEYS.flatmap(lambda key: st.just([(b"INCR", key), (b"EXPIRE", key, b"60")]))
STEPS = st.one_of(
    st.tuples(st.integers(0, 3), st.one_of(PAIRS, st.lists(st.one_of(ADDS, LIVES, COMMANDS), min_size=1, max_size=4)),
              st.booleans()),
    st.tuples(st.integers(0, 3), PAIRS, st.booleans()),
    st.sampled_from(["turn", "send", "answer", "some"]),
)  # fmt: skip


@settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck))
@given(steps=st.lists(STEPS, max_size=40), hot=st.sampled_from(["no", "ttl"]), most=st.sampled_from([2, 8192]))
def test_whatever_happens_each_gets_what_it_would_have_got_alone(steps, hot: str, most: int) -> None:
    """Pipelines and transactions of all kinds; every other one twice in a row, to the byte."""
    world = Counting([(b"", "all", most, 0, False, 1)], 4, hot=None if hot == "no" else heated(hot, life_us=60_000_000))
    for step in steps:
        if step == "turn":
            world.turn()
        elif step == "send":
            world.send()
        elif step == "answer":
            world.answer()
        elif step == "some":
            world.send(50)
            world.answer(9)
        elif len(world.expected[world.clients[step[0]]]) < 12:
            if step[2]:
                world.ask_block(step[0], *map(list, step[1]))
            else:
                world.ask_all(step[0], [list(words) for words in step[1] for _ in range(1 + most % 3)])
        assert world.engine.audit() == []
    world.settle()
