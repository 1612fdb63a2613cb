"""The judge of the chaos is judged: histories in which everything is right, and one thing wrong at a time."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest

from tests.chaos.history import (
    Findings,
    at_once,
    failed,
    in_order,
    judge,
    judge_counts,
    judge_shared,
    judge_single,
    lost_fresh,
    not_sent,
)  # fmt: skip
from tests.chaos.load import Record
from tests.proof.linear import Operation, linearizable

UNKNOWN = "ERR the fate of 'SET' is unknown: node a (…) of pool p was lost"
NOT_SENT = "ERR 'SET' was not sent: node a (…) of pool p took no request for 1000 ms"


def write(value: Any, began: float, ended: float, answer: Any = b"OK", kind: str = "single", **more: Any) -> Record:
    told = {"place": 0, "proxy": 0, "client": 0} | more
    return Record(kind, True, told["place"], value, told["proxy"], told["client"], began, ended, answer)


def read(answer: Any, began: float, ended: float, kind: str = "single", value: Any = None, **more: Any) -> Record:
    told = {"place": 0, "proxy": 0, "client": 1} | more
    answer = b"%d" % answer if isinstance(answer, int) else answer
    return Record(kind, False, told["place"], value, told["proxy"], told["client"], began, ended, answer)


WRITES = [write(1, 1, 2), write(2, 3, 4, UNKNOWN), write(3, 5, 6, NOT_SENT), write(4, 7, 8)]


@pytest.mark.parametrize(("value", "began", "ended", "verdict"), [
    (0, 0, 1.5, "right"), (0, 2.1, 3, "stale"), (1, 1.5, 2, "right"), (1, 0, 0.5, "wrong"), (1, 6, 7, "right"),
    (2, 4, 5, "right"), (2, 3.1, 3.2, "right"), (2, 2, 2.9, "wrong"), (3, 6, 9, "wrong"), (4, 7.5, 7.6, "right"),
    (1, 8.5, 9, "stale"), (2, 8.5, 9, "stale"), (4, 8.5, 9, "right"), (5, 8.5, 9, "wrong"), (None, 8.5, 9, "wrong"),
    (b"x", 8.5, 9, "wrong"),
])  # fmt: skip
def test_a_read_of_a_single_key(value: Any, began: float, ended: float, verdict: str) -> None:
    found = judge_single(WRITES, [read(value, began, ended)])
    assert ("wrong" if found.wrong else "stale" if found.stale else "right") == verdict


def test_how_stale_it_was_and_that_nobody_goes_back() -> None:
    assert judge_single(WRITES, [read(1, 8.5, 9)]).stale[0].age == pytest.approx(0.5)
    assert not judge_single(WRITES, [read(4, 7.1, 7.4), read(2, 7.3, 7.6)]).stale
    assert judge_single(WRITES, [read(4, 7.1, 7.2), read(2, 7.3, 7.6)]).stale


def shared(*rows: tuple[str, int, float, float]) -> list[Record]:
    return [
        read(value, began, ended, "shared") if verb == "r" else
        write(value, began, math.inf if verb == "u" else ended, UNKNOWN if verb == "u" else b"OK", "shared")
        for verb, value, began, ended in rows
    ]  # fmt: skip


@pytest.mark.parametrize(("rows", "valid"), [
    ([("w", 1, 0, 1), ("r", 1, 2, 3)], True), ([("r", 1, 0, 1), ("w", 1, 2, 3)], False),
    ([("w", 1, 0, 1), ("w", 2, 2, 3), ("r", 1, 4, 5)], False), ([("w", 1, 0, 1), ("w", 2, 2, 5), ("r", 1, 4, 5)], True),
    ([("w", 1, 0, 9), ("w", 2, 0, 9), ("r", 1, 1, 2), ("r", 2, 3, 4), ("r", 1, 5, 6)], False),
    ([("w", 1, 0, 9), ("w", 2, 0, 9), ("r", 2, 3, 4), ("r", 1, 5, 6)], True),
    ([("u", 1, 0, 0), ("w", 2, 1, 2), ("r", 2, 3, 4), ("r", 1, 5, 6)], True),
    ([("u", 1, 0, 0), ("w", 2, 1, 2), ("r", 2, 3, 4)], True),
    ([("w", 1, 0, 1), ("r", 1, 8, 9), ("w", 2, 3, 4)], False),
    ([("r", 7, 0, 1), ("w", 1, 2, 3), ("r", 7, 4, 5)], False),
])  # fmt: skip
def test_a_shared_key(rows: list[tuple[str, int, float, float]], valid: bool) -> None:
    assert (judge_shared(shared(*rows)) == "") is valid


def register(state: int, call: tuple[str, int]) -> tuple[int, int | None]:
    return (call[1], None) if call[0] == "w" else (state, state)


@pytest.mark.parametrize("seed", range(200))
def test_the_zones_agree_with_the_search(seed: int) -> None:
    dice = random.Random(seed)
    rows, value = [], 0
    for moment in range(1, 13):
        began, ended = moment - dice.uniform(0, 4), moment + dice.uniform(0, 4)
        if dice.random() < 0.5:
            rows.append(("w", moment, began, ended))
            value = moment
        elif value:
            rows.append(("r", value if dice.random() < 0.9 else dice.randint(1, moment), began, ended))
    rows = [row for row in rows if row[0] == "w" or any(one[:2] == ("w", row[1]) for one in rows)]
    history = [
        Operation((verb, value), began, ended, value if verb == "r" else None) for verb, value, began, ended in rows
    ]
    assert (judge_shared(shared(*rows)) == "") is linearizable(history, register, initial=-1).valid


def test_numbers_that_are_given_out_twice() -> None:
    def counted(*rows: tuple[float, float, int]) -> int:
        return len(judge_counts(write(None, began, ended, answer, "count") for began, ended, answer in rows))

    assert counted((0, 1, 1), (2, 3, 2), (2, 3, 3)) == 0
    assert counted((0, 3, 2), (1, 2, 1)) == 0
    assert counted((0, 1, 1), (0, 3, 1)) == 1
    assert counted((0, 1, 5), (2, 3, 3)) == 1


def test_numbers_of_the_fault_may_be_given_out_again_but_none_from_before() -> None:
    meanwhile, later = write(None, 11, 11.1, 9, "count"), write(None, 18, 18.1, 9, "count")
    assert not judged([*history(), meanwhile, later]).counted_twice
    assert judged([*history(), meanwhile, later, write(None, 19, 19.1, 9, "count")]).counted_twice == [
        write(None, 19, 19.1, 9, "count")
    ]
    assert judged([*history(), meanwhile, later], steady=True).counted_twice == [later]


def test_what_is_left_of_fresh_keys() -> None:
    told = (b"OK", b"OK", UNKNOWN, NOT_SENT, NOT_SENT)
    writes = [write(n, n, n + 1, answer, "fresh") for n, answer in enumerate(told)]
    lost, ghosts = lost_fresh(writes, {(0, 0): b"0", (0, 1): None, (0, 2): b"2", (0, 3): b"3", (0, 4): None})
    assert [one.value for one in lost] == [1] and [one.value for one in ghosts] == [3]


def test_two_primaries_at_once() -> None:
    told = {0: [(0.0, 1), (10.0, 1), (11.0, 2), (20.0, 2)], 1: [(0.0, 1), (10.0, 1), (20.0, 2)]}

    def witness(moment: float, process: bytes, proxy: int = 0, place: int = 0) -> Record:
        return write(None, moment, moment + 0.1, process, "witness", proxy=proxy, place=place)

    assert at_once([witness(1, b"a"), witness(2, b"a", 1), witness(12, b"b")], told, [0, 1]) == 1
    assert at_once([witness(1, b"a"), witness(2, b"b", 1)], told, [0, 1]) == 2
    assert at_once([witness(1, b"a"), witness(2, b"b", 1, 1)], told, [0, 1]) == 1
    assert at_once([witness(1, b"a"), witness(15, b"b", 1)], told, [0, 1]) == 1  # who knows in which epoch
    assert at_once([], {}, [0]) == 0


def test_two_primaries_replace_the_same_value() -> None:
    told = {0: [(0.0, 1), (10.0, 1), (11.0, 2), (20.0, 2)]}

    def link(moment: float, replaced: bytes, place: int = 0) -> Record:
        return write(None, moment, moment + 0.1, replaced, "chain", place=place)

    assert at_once([link(1, b"0"), link(2, b"7"), link(3, b"0", 1), link(12, b"7")], told, [0, 0]) == 1
    assert at_once([link(1, b"0"), link(2, b"7"), link(3, b"7")], told, [0, 0]) == 2


def test_reads_that_stand_beside_a_write_of_their_client() -> None:
    writes = [write(1, 2, 3), write(9, 2, 3, kind="fresh"), write(2, 5, math.inf, UNKNOWN),
              write(None, 10, 11, b"x", "witness", place=3)]  # fmt: skip

    def stands(began: float, ended: float, kind: str = "single", value: Any = None, **more: Any) -> bool:
        return bool(in_order([read("ERR", began, ended, kind, value, **({"client": 0} | more))], writes))

    assert stands(1, 2.5) and stands(2.5, 4) and stands(1, 4) and stands(6, 7)
    assert stands(10.5, 12) and not stands(10.5, 12, client=1)
    assert not stands(1, 1.9) and not stands(3.1, 4.9)
    assert not stands(1, 4, client=1) and not stands(1, 4, proxy=1) and not stands(1, 4, place=1)
    assert not stands(1, 4, "fresh", 8) and stands(1, 4, "fresh", 9)


def history() -> list[Record]:
    """Struck at 10, relieved at 12; place 0 is the victim's, place 1 is not."""
    return [
        write(1, 1, 1.1), read(1, 2, 2.1), write(5, 3, 3.1, kind="fresh"), read(b"5", 4, 4.1, "fresh", 5, client=0),
        write(7, 5, 5.1, kind="shared"), read(7, 6, 6.1, "shared"), write(None, 7, 7.1, 1, "count"),
        write(2, 10.1, 10.2, NOT_SENT), write(3, 11, 11.3), read(3, 11.4, 11.5), write(4, 16, 16.1), read(4, 17, 17.1),
        write(1, 11, 11.1, proxy=1, place=1),
    ]  # fmt: skip


def judged(records: list[Record], left: bytes | None = b"5", **more: Any) -> Findings:
    return judge(records, 10, 12, [0, 1], 0, {(0, 5): left}, {1}, **more)


def test_a_run_in_which_all_is_well() -> None:
    found = judged(history())
    assert (found.reads, found.writes) == (5, 8) and len(found.failed_writes) == 1
    assert not any([found.failed_reads, found.lost, found.ghosts, found.stale, found.not_linearizable,
                    found.counted_twice])  # fmt: skip
    assert found.flow == math.inf  # proxy 1 had no write to the victim acknowledged
    assert judged([*history(), write(9, 11.5, 11.9, kind="fresh", proxy=1)]).flow == pytest.approx(1.9)


@pytest.mark.parametrize(("spoilt", "what"), [
    ([read("ERR node a (…) of pool p did not answer 'GET' within 1000 ms", 11, 12)], "failed_reads"),
    ([read(None, 11, 12)], "failed_reads"), ([read(None, 11, 12, "fresh", 5)], "failed_reads"),
    ([read(9, 11, 12)], "failed_reads"), ([read(2, 18, 19)], "failed_reads"), ([read(1, 11.6, 12)], "stale"),
    ([read(3, 18, 19)], "stale_outside"), ([write(None, 18, 19, 1, "count")], "counted_twice"),
    (shared(("w", 8, 17, 18), ("w", 9, 18.1, 18.2), ("r", 8, 18.3, 18.4)), "not_linearizable"),
])  # fmt: skip
def test_one_thing_wrong(spoilt: list[Record], what: str) -> None:
    assert getattr(judged([*history(), *spoilt]), what)


def test_a_write_that_is_gone() -> None:
    assert len(judged(history(), left=None).lost) == 1


def test_a_fault_that_excuses_nothing() -> None:
    rows = [*history(), read(1, 11.6, 12)]
    assert not judged(rows).stale_outside and judged(rows, steady=True).stale_outside


@pytest.mark.parametrize(("text", "refused"), [
    (UNKNOWN, False), (NOT_SENT, True), ("no answer", False), ("ERR node a (…) of pool p is down: refused", True),
    ("LOADING Redis is loading the dataset in memory", True), ("NOREPLICAS Not enough good replicas to write.", True),
])  # fmt: skip
def test_what_an_error_says(text: str, refused: bool) -> None:
    record = write(1, 0, 1, text)
    assert failed(record) and not_sent(record) is refused
