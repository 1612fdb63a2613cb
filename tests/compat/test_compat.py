"""What a client of a bare redis-server 7.0.15 gets to see, it gets to see from the proxy: the same bytes.

Every difference is a row of `differences.py`, and every row is a difference.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from functools import cache
from itertools import chain, islice

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.compat import cases
from tests.compat.__main__ import table
from tests.compat.cases import Case, Step
from tests.compat.differences import DIFFERENCES, EVERYWHERE, MOST, ONE, documented
from tests.compat.replies import Match, alike
from tests.compat.tier import Arrangement, Difference, Pair
from tests.redis_server import needs_redis_server
from tests.system.tier import Node

pytestmark = needs_redis_server

#: Commands without a case of their own: replication streams, and a self-test that takes seconds.
LEFT_OUT = {"psync", "sync", "pfselftest"}


def names_of(reference: Node) -> list[str]:
    """Every command of redis-server, subcommands included."""
    found = []
    for row in reference("COMMAND"):
        found += [row[0].decode(), *(subcommand[0].decode() for subcommand in row[9])]
    return found


#: Differences that the tests below came upon, by arrangement, and how many tests looked for them; the last test wants
#: every documented one among them.
SEEN: dict[str, set[str]] = {}
LOOKED: Counter[str] = Counter()
LOOKS = 8  # four tests, two protocols


def one_by_one(pair: Pair, protocol: int, compared: Iterable[Case]) -> Iterator[Difference]:
    """Where cases differ, each run on an empty database."""
    for case in compared:
        if found := pair.compare(case, protocol):
            yield found


def at_once(pair: Pair, protocol: int, compared: Iterable[Case]) -> Iterator[Difference]:
    """Where cases differ that prepare their own keys, sent a hundred in a write."""
    rest = iter(compared)
    while batch := list(islice(rest, 100)):
        pair.empty()
        yield from pair.compare_at_once(tuple(chain(*batch)), protocol)


def judge(pair: Pair, differences: Iterable[Difference]) -> None:
    """No command may differ but the documented ones."""
    name = pair.arrangement.name
    LOOKED[name] += 1
    undocumented: dict[str, list[Difference]] = {}
    for found in differences:
        SEEN.setdefault(name, set()).add(found.command)
        if found.command not in documented(name):
            undocumented.setdefault(found.command, []).append(found)
    text = "\n".join(f"{command}: {len(found)} differ, the first {found[0]}" for command, found in undocumented.items())
    assert not undocumented, text


def test_every_command_has_a_case(pair: Pair) -> None:
    if pair.arrangement.name != ONE:
        pytest.skip("the cases are the same")
    covered = {step.command for case in cases.written() for step in case if step.words}
    names = names_of(pair.reference)
    containers = {name.partition("|")[0] for name in names if "|" in name}
    insides = {name for name in names if name.startswith("cluster|")}  # derived cases suffice: all answer alike
    assert set(names) - covered - containers - insides <= LEFT_OUT
    assert len({case[0].command for case in cases.arities(names)}) > 300


def test_written_cases(pair: Pair, protocol: int) -> None:
    judge(pair, one_by_one(pair, protocol, cases.written()))


def test_numbers_of_arguments(pair: Pair, protocol: int) -> None:
    judge(pair, one_by_one(pair, protocol, cases.arities(names_of(pair.reference))))


def test_keys_of_every_type(pair: Pair, protocol: int) -> None:
    together = one_by_one if pair.arrangement.spread else at_once  # there a refused one leaves other keys behind
    judge(pair, together(pair, protocol, cases.of_every_type()))


def test_transactions(pair: Pair, protocol: int) -> None:
    judge(pair, one_by_one(pair, protocol, cases.in_transactions()))


def test_every_row_is_a_difference(pair: Pair) -> None:
    """Runs behind the tests that gather them."""
    name = pair.arrangement.name
    if LOOKED[name] < LOOKS:
        pytest.skip("not all of the tests that find differences have run")
    assert documented(name) - SEEN[name] == set(), "no difference any more"


def test_the_list_is_short_and_names_nothing_twice() -> None:
    assert len(DIFFERENCES) <= MOST
    for name in EVERYWHERE:
        listed = [command for row in DIFFERENCES if name in row.arrangements for command in row.commands]
        assert len(listed) == len(set(listed)), name


def test_the_table_has_every_row() -> None:
    assert table().count("\n") == len(DIFFERENCES) + 1


def test_a_reference_does_not_differ_from_itself(pair: Pair, protocol: int) -> None:
    """The marks of the cases are enough: two redis-servers answer them alike."""
    if pair.arrangement.name != ONE:
        pytest.skip("a redis-server is one node")
    alone = Pair(Arrangement("redis-server", 1, pair.arrangement.tag), pair.nodes[0].port, pair.reference, pair.nodes)
    try:
        for case in cases.written():
            assert not (found := alone.compare(case, protocol)), found
    finally:
        alone.close()


@pytest.mark.parametrize(
    ("ours", "theirs", "match", "same"),
    [
        (b"*2\r\n:1\r\n:2\r\n", b"*2\r\n:2\r\n:1\r\n", Match.BYTES, False),
        (b"*2\r\n:1\r\n:2\r\n", b"*2\r\n:2\r\n:1\r\n", Match.ORDER, True),
        (b"~2\r\n:1\r\n:2\r\n", b"*2\r\n:2\r\n:1\r\n", Match.ORDER, False),
        (b"*2\r\n:1\r\n:3\r\n", b"*2\r\n:2\r\n:1\r\n", Match.ORDER, False),
        (b"%2\r\n+a\r\n:1\r\n+b\r\n:2\r\n", b"%2\r\n+b\r\n:2\r\n+a\r\n:1\r\n", Match.ORDER, True),
        (b"%2\r\n+a\r\n:2\r\n+b\r\n:1\r\n", b"%2\r\n+b\r\n:2\r\n+a\r\n:1\r\n", Match.ORDER, False),
        (b"*2\r\n:1\r\n$1\r\na\r\n", b"*2\r\n:2\r\n$2\r\nbc\r\n", Match.SHAPE, True),
        (b"$-1\r\n", b"$2\r\nbc\r\n", Match.SHAPE, False),
        (b"*1\r\n:1\r\n", b"*0\r\n", Match.SHAPE, False),
        (b"-ERR a\r\n", b"-ERR b\r\n", Match.SHAPE, True),
        (b"-ERR a\r\n", b"-WRONG a\r\n", Match.SHAPE, False),
        (b"*1\r\n:1\r\n", b"*0\r\n", Match.TYPE, True),
        (b"$1\r\na\r\n", b"-ERR\r\n", Match.TYPE, False),
    ],
)
def test_replies_are_compared(ours: bytes, theirs: bytes, match: Match, same: bool) -> None:
    assert alike(ours, theirs, match) is same


@cache
def ordered(arrangement: str) -> tuple[Step, ...]:
    """Requests for pipelines in any order: without what depends on chance, order or clock, or is known to differ."""
    known = documented(arrangement)
    return tuple(
        step for step in cases.requests()
        if step.match is Match.BYTES and step.command not in known
        and step.command not in cases.UNCERTAIN | {"smembers", "sunion", "sdiff", "sinter", "sscan", "sort", "dump"}
    )  # fmt: skip


def test_pipelines_in_any_order(pair: Pair, protocol: int) -> None:
    """Requests of the written cases, shuffled into one write, some inside transactions."""
    name = pair.arrangement.name
    one = st.sampled_from(ordered(name)).map(lambda step: (step,))
    with_keys = [step for step in ordered(name) if step.keys and cases.has_place(step)]
    block = st.lists(st.sampled_from(with_keys), max_size=8).map(
        lambda steps: (Step((b"MULTI",)), *steps, Step((b"EXEC",)))
    )
    piece = one if pair.arrangement.spread else one | one | one | block

    @settings(
        max_examples=60, derandomize=True, deadline=None, database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )  # fmt: skip
    @given(st.lists(piece, min_size=10, max_size=60))
    def run(pieces: list[Case]) -> None:
        pair.empty()
        found = pair.compare_at_once(tuple(step for piece in pieces for step in piece), protocol)
        assert not found, "\n".join(map(str, found))

    run()
