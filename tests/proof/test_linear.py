"""The search is searched: histories that are right, histories that are not, and a naive twin that tries every order."""

from __future__ import annotations

import itertools
import math
import random
import time

import pytest

from tests.proof.linear import ANY, Operation, linearizable
from tests.proof.models import NOT_A_NUMBER, OVERFLOW, harmless, hash_, members, string

INCR = ("INCRBY", 1)


def done(call: tuple, answer: object, began: float, ended: float, session: object = None) -> Operation:
    return Operation(call, began, ended, answer, session)


def lost(call: tuple, began: float, session: object = None) -> Operation:
    return Operation(call, began, session=session)


def brute(history: list[Operation], model, initial=None) -> bool:
    """Every order of every choice of unknown fates."""
    known = [one for one in history if one.ended < math.inf]
    unknown = [one for one in history if one.ended == math.inf]
    for size in range(len(unknown) + 1):
        for chosen in itertools.combinations(unknown, size):
            for order in itertools.permutations([*known, *chosen]):
                place = {one: number for number, one in enumerate(order)}
                if all(not (b.ended < a.began) for a, b in itertools.combinations(order, 2)) and all(
                    not (a.session is not None and a.session == b.session and place[a] > place[b])
                    for a, b in itertools.combinations([one for one in history if one in place], 2)
                ):
                    state = initial
                    for one in order:
                        state, answer = model(state, one.call)
                        if one.answer is not ANY and answer != one.answer:
                            break
                    else:
                        return True
    return False


GOOD = {
    "nothing happened": [],
    "one after the other": [done(INCR, 1, 0, 1), done(INCR, 2, 2, 3), done(("GET",), b"2", 4, 5)],
    "overlapping, in the other order": [done(INCR, 2, 0, 3), done(INCR, 1, 1, 2)],
    "a read before what it overlaps": [done(("SET", b"7"), "OK", 0, 2), done(("GET",), None, 1, 3)],
    "an unknown fate that happened late": [lost(INCR, 0), done(("GET",), None, 1, 2), done(("GET",), b"1", 3, 4)],
    "an unknown fate that never happened": [lost(INCR, 0), done(INCR, 1, 1, 2), done(("GET",), b"1", 3, 4)],
    "two of three unknown fates": [lost(("INCRBY", n), 0) for n in (3, 5, 9)] + [done(("GET",), b"12", 1, 2)],
    "answers in error": [done(("SET", b"x"), "OK", 0, 1), done(INCR, NOT_A_NUMBER, 2, 3),
                         done(("SET", b"%d" % ((1 << 63) - 1)), "OK", 4, 5), done(INCR, OVERFLOW, 6, 7)],
    "its time was up between two reads": [
        done(INCR, 1, 0, 1), done(("EXPIRE", 1), 1, 1, 2), Operation(("RUN OUT", 1), 3, 4, None),
        done(("GET",), b"1", 2.5, 3.5), done(("GET",), None, 3.2, 5)],
    "a SET in between stops the clock": [
        done(INCR, 1, 0, 1), done(("EXPIRE", 1), 1, 1, 2), done(("SET", b"9"), "OK", 2, 3),
        Operation(("RUN OUT", 1), 4, 5, None), done(("GET",), b"9", 6, 7)],
    "a wipe forgets what was acknowledged": [
        done(INCR, 1, 0, 1), Operation(("WIPE",), 1.5, 2, None), done(INCR, 1, 3, 4)],
    "a pipeline": [done(INCR, n, 0, 9, "a") for n in (1, 2, 5)] + [done(INCR, n, 0, 9, "b") for n in (3, 4, 6)],
    "a unit": [done(("MULTI", INCR, ("EXPIRE", 1)), (1, 1), 0, 1), done(INCR, 2, 2, 3)],
    "once again, on what is there already": [
        done(INCR, 1, 0, 0.5), *(done(("MULTI", ("DEL",), INCR), (1, 1), 1, 4) for _ in range(2)), done(INCR, 2, 1, 4),
        done(INCR, 2, 5, 6)],
    "unknown, then another of the session": [lost(INCR, 0, "a"), done(INCR, 2, 1, 2, "a")],
}  # fmt: skip

BAD = {
    "off by one": [done(INCR, 1, 0, 1), done(INCR, 3, 2, 3)],
    "the same number twice": [done(INCR, 1, 0, 3), done(INCR, 1, 1, 2)],
    "an acknowledged increment is lost": [done(INCR, 1, 0, 1), done(("GET",), None, 2, 3)],
    "a lost one, seen at the end only": [done(INCR, 1, 0, 1), done(INCR, 2, 0, 1), done(("GET",), b"1", 2, 3)],
    "applied twice": [done(INCR, 1, 0, 1), done(("GET",), b"2", 2, 3)],
    "an unknown fate that happened twice": [lost(INCR, 0), done(("GET",), b"2", 1, 2)],
    "an unknown fate before it was sent": [done(("GET",), b"1", 0, 1), lost(INCR, 2)],
    "what was not sent, and happened": [done(("GET",), b"1", 1, 2)],
    "a flush behind the SET it was before": [
        done(INCR, 1, 0, 1, "a"), done(("SET", b"50"), "OK", 2, 3, "b"), done(("GET",), b"51", 4, 5, "b")],
    "in one pipeline the other way round": [done(INCR, 2, 0, 9, "a"), done(INCR, 1, 0, 9, "a")],
    "a read of before": [done(INCR, 1, 0, 1), done(INCR, 2, 2, 3), done(("GET",), b"1", 4, 5)],
    "there and back": [done(INCR, 1, 0, 9), done(("GET",), b"1", 1, 2), done(("GET",), None, 3, 4)],
    "it outlived its time": [
        done(INCR, 1, 0, 1), done(("EXPIRE", 1), 1, 1, 2), Operation(("RUN OUT", 1), 3, 4, None),
        done(("GET",), b"1", 4.5, 5)],
    "it went before its time": [
        done(INCR, 1, 0, 1), done(("EXPIRE", 1), 1, 1, 2), Operation(("RUN OUT", 1), 3, 4, None),
        done(("GET",), None, 2.1, 2.5)],
    "a time that a merged pair forgot": [
        done(("MULTI", INCR, ("EXPIRE", 1)), (1, 1), 0, 1), Operation(("RUN OUT", 1), 3, 4, None),
        done(INCR, 2, 5, 6)],
    "an error that was none": [done(("SET", b"5"), "OK", 0, 1), done(INCR, NOT_A_NUMBER, 2, 3)],
    "unknown, behind another of its session": [
        lost(INCR, 0, "a"), done(INCR, 1, 1, 2, "a"), done(("GET",), b"2", 3, 4)],
}  # fmt: skip


@pytest.mark.parametrize("name", GOOD)
def test_what_is_right_is_believed(name: str) -> None:
    verdict = linearizable(GOOD[name], string, harmless)
    assert verdict.valid, str(verdict)
    assert brute(GOOD[name], string)


@pytest.mark.parametrize("name", BAD)
def test_what_is_wrong_is_not(name: str) -> None:
    verdict = linearizable(BAD[name], string, harmless)
    assert verdict.valid is False, str(verdict)
    assert not brute(BAD[name], string)
    assert verdict.stuck and "NOT LINEARIZABLE" in str(verdict)


def test_what_follows_from_another() -> None:
    expire = done(("EXPIRE", 1), 1, 2, 3)
    end = Operation(("RUN OUT", 1), 2.9, 4, after=expire)
    assert linearizable([done(INCR, 1, 0, 1), expire, end, done(INCR, 1, 5, 6)], string).valid
    assert linearizable([done(INCR, 1, 0, 1), expire, end, done(INCR, 2, 5, 6)], string).valid is False


def test_strands_of_a_session() -> None:
    def history(*strands: str | None) -> list[Operation]:
        answers = zip(strands, (2, 1), strict=True)
        return [Operation(INCR, 0, 9, answer, "a", strand) for strand, answer in answers]

    assert linearizable(history("f", "g"), string).valid
    assert not any(linearizable(history(*strands), string).valid for strands in (("f", "f"), (None, "g"), ("f", None)))


def test_other_kinds() -> None:
    assert linearizable([
        done(("HINCRBY", b"f", 2), 2, 0, 1), done(("HINCRBY", b"g", 1), 1, 0, 1), done(("HDEL", b"f"), 1, 2, 3),
        done(("HGETALL",), frozenset({(b"g", b"1")}), 4, 5), done(("DEL",), 1, 6, 7), done(("HGET", b"g"), None, 8, 9),
    ], hash_).valid  # fmt: skip
    assert not linearizable([done(("HINCRBY", b"f", 2), 2, 0, 1), done(("HINCRBY", b"g", 1), 3, 2, 3)], hash_).valid
    adds = [done(("ADD", b"x"), 1, 0, 2), done(("ADD", b"x"), 0, 0, 2)]
    assert linearizable([*adds, done(("COUNT",), 1, 3, 4)], members).valid
    assert not linearizable([*adds, done(("ADD", b"x"), 1, 3, 4)], members).valid


def history_of(dice: random.Random, size: int, sessions: int, spoilt: bool = False, told: bool = False,
               spread: float = 3.0, unknown: float = 0.15) -> list[Operation]:  # fmt: skip
    """What a single server answered, each at its whole number.

    `spoilt`: one answer is another one's. `told`: the history says what was sent in one session.
    """
    state, history = None, []
    free = [0.0] * sessions
    for moment in range(1, size + 1):
        session = dice.randrange(sessions)
        call = dice.choices(
            [INCR, ("INCRBY", -2), ("GET",), ("SET", b"%d" % (1000 * moment)), ("DEL",), ("SET", b"1"), ("SET", b"x"),
             ("WIPE",), ("MULTI", ("DEL",), INCR)], [6, 2, 3, 1, 1, 1, 0.5, 0.5, 1])[0]  # fmt: skip
        began, ended = max(free[session], moment - dice.uniform(0, spread)), moment + dice.uniform(0, spread)
        if call[0] != "GET" and dice.random() < unknown:
            if dice.random() < 0.5:
                state, _ = string(state, call)
            history.append(lost(call, began, session if told else None))
        else:
            state, answer = string(state, call)
            history.append(done(call, answer, began, ended, session if told else None))
        free[session] = moment
    if spoilt:
        known = [one for one in history if one.answer is not ANY]
        if len(known) > 1:
            one, other = dice.sample(known, 2)
            one.answer = other.answer
    if not told:
        dice.shuffle(history)
    return history


@pytest.mark.parametrize("seed", range(150))
def test_against_the_twin(seed: int) -> None:
    dice = random.Random(seed)
    for spoilt, told in itertools.product((False, True), repeat=2):
        history = history_of(dice, 6, 3, spoilt, told)
        assert linearizable(history, string, harmless).valid == brute(history, string)
        assert spoilt or linearizable(history, string, harmless).valid


def test_long_histories_are_decided() -> None:
    dice = random.Random(5)
    began = time.monotonic()
    verdict = linearizable(history_of(dice, 3000, 12, told=True, spread=6, unknown=0.002), string, harmless)
    assert verdict.valid, str(verdict)[:2000]
    wrong = history_of(dice, 3000, 12, told=True, spread=6, unknown=0.002)
    late = next(one for one in wrong if one.call == INCR and one.began > 1500 and one.answer is not ANY)
    late.answer += 1
    assert linearizable(wrong, string, harmless).valid is False
    assert time.monotonic() - began < 60


def test_time_runs_out() -> None:
    """Sums of a subset: the search is exponential in unknown fates, and gives up when it is told to."""
    history = [lost(("INCRBY", 3 * 7**n), 0) for n in range(18)] + [done(("GET",), b"2", 1, 2)]
    assert linearizable(history, string, within=0.2).valid is None
