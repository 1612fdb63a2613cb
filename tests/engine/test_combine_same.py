"""SADD and PFADD of the same elements: one is as good as many, and only the first one adds."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.engine.tallying import Counting
from tests.engine.test_combine import KEYS

ONE, TWO = [b"SADD", b"a", b"x"], [b"SADD", b"a", b"x", b"y"]


def test_the_same_leave_as_one() -> None:
    world = Counting()
    for place in (0, 1, 2, 0):
        world.ask(place, *ONE)
    world.settle()
    assert world.seen == [ONE]
    world.ask(0, *ONE)
    world.ask(1, *TWO)
    world.ask(2, *ONE)
    world.settle()
    assert sorted(world.seen[1:]) == sorted([ONE, TWO])


def test_what_names_the_set_goes_behind() -> None:
    world = Counting()
    for place in (0, 1):
        world.ask(place, *ONE)
    world.ask(2, b"SREM", b"a", b"x")
    world.ask(0, *ONE)
    world.ask(1, b"PFADD", b"a", b"x")
    world.ask(2, b"SCARD", b"a")
    world.settle()
    assert [words[0] for words in world.seen] == [b"SADD", b"SREM", b"SADD", b"PFADD", b"SCARD"]


def test_an_expiry_travels_behind() -> None:
    world = Counting()
    for place in (0, 1, 2):
        world.ask(place, *ONE)
        world.ask(place, b"EXPIRE", b"a", b"60")
    world.settle()
    assert world.seen == [ONE, [b"EXPIRE", b"a", b"60"]]


def test_of_another_type_it_is_everybodys_error() -> None:
    world = Counting()
    world.ask(0, b"SET", b"a", b"1")
    for place in (0, 1, 2):
        world.ask(place, *ONE)
        world.ask(place, b"PFADD", b"a")
    world.settle()


ADDS = st.one_of(
    st.tuples(st.sampled_from([b"SADD", b"SADD", b"SADD", b"SREM", b"PFADD"]), KEYS, st.just(b"x")),
    st.tuples(st.sampled_from([b"SCARD", b"DEL", b"INCR"]), KEYS), st.tuples(st.just(b"EXPIRE"), KEYS, st.just(b"60")),
)  # fmt: skip
STEPS = st.one_of(
    st.tuples(st.integers(0, 3), ADDS), st.tuples(st.integers(0, 3), ADDS), st.sampled_from(["turn", "send", "answer"]),
)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(steps=st.lists(STEPS, max_size=50), most=st.sampled_from([2, 8192]))
def test_whatever_happens_each_gets_what_it_would_have_got_alone(steps, most: int) -> None:
    """All add the same: several that add different elements to one set at once may do so in another order."""
    world = Counting([(b"", "all", most, 0, False, 1)], 4)
    for step in steps:
        if isinstance(step, str):
            getattr(world, step)()
        elif len(world.expected[world.clients[step[0]]]) < 10:
            world.ask(step[0], *step[1])
        assert world.engine.audit() == []
    world.settle()
