"""The models of keys are Redis's, the books of them say what was seen, and a short run in trouble is exact.

`python -m tests.counters --seconds 600` is the long one.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Iterator
from pathlib import Path

import hiredis
import pytest

from tests.counters.__main__ import MAKES, run
from tests.counters.books import SLACK, Book, Entry, judge
from tests.counters.kinds import KINDS, Request, answer_of
from tests.redis_server import Connection, needs_redis_server, redis_server

pytestmark = needs_redis_server


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Connection]:
    with redis_server(tmp_path_factory.mktemp("redis")) as address:
        connection = Connection(address)
        yield connection
        connection.close()


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_answers_as_redis_does(kind: str, redis: Connection) -> None:
    dice, model, state = random.Random(kind), KINDS[kind].model, None
    for _ in range(500):
        for request in KINDS[kind].draw("key:" + kind, dice):
            if any(life < 5 for _, life in request.lives):
                continue  # the clock is not asked here
            reply = [redis(*words) for words in request.words][-1]
            state, answer = model(state, request.call)
            told = answer_of(request.call, reply)
            assert answer == (str(told) if isinstance(told, hiredis.ReplyError) else told), request


def book_of(*entries: Entry) -> Book:
    book = Book("key", "tag", "tally", 0)
    for entry in entries:
        book.enter(entry)
    return book


INCR = Request([["INCR", "key"]], ("INCRBY", 1))
GET = Request([["GET", "key"]], ("GET",))
EXPIRE = Request([["EXPIRE", "key", 1]], ("EXPIRE", 7), ((7, 1.0),))


def verdict(book: Book) -> bool | None:
    return judge(book.kind, book.history).valid


def test_an_unknown_fate_may_be_counted_once() -> None:
    for left, valid in ((b"1", True), (b"2", True), (b"3", False)):
        assert verdict(book_of(Entry(INCR, 0, 1, 1), Entry(INCR, 2), Entry(GET, 3, 4, left))) is valid


def test_a_restart_forgets_what_was_before_it() -> None:
    book = book_of(Entry(INCR, 0, 1, 1), Entry(INCR, 4, 5, 1))
    assert verdict(book) is False
    book.wiped(2, 3)
    assert verdict(book) is True


def test_time_is_up_when_it_may_be_and_not_before() -> None:
    for began, left, valid in ((2, b"1", True), (2, None, False), (3.1, b"1", True), (3.1, None, True),
                               (4 + 2 * SLACK, None, True), (4 + 2 * SLACK, b"1", False)):  # fmt: skip
        book = book_of(Entry(INCR, 0, 1, 1), Entry(EXPIRE, 2, 3, 1), Entry(GET, began, began + 0.5, left))
        assert verdict(book) is valid, (began, left)


def test_a_book_is_full_in_the_end() -> None:
    book = book_of(*(Entry(INCR, 0) for _ in range(8)))
    assert book.full and book.unknown == 8 and all(one.ended == math.inf for one in book.history)


@pytest.mark.parametrize("make", ["both", "quench"])
def test_counters_are_exact(make: str, tmp_path: Path) -> None:
    began = time.monotonic()
    report = run(6, seed=len(make), make=make, clients=6)
    assert not report.violations, str(report)
    assert report.counts["histories"] >= len(MAKES[make]) * len(KINDS), str(report)
    assert report.counts["acknowledged"] > 300, str(report)
    assert not report.counts["histories undecided"] and time.monotonic() - began < 60, str(report)
