"""The bodies that engines keep: two real engines are told by the lane, of more than they have room for."""

from __future__ import annotations

import hashlib
from types import SimpleNamespace

import pytest
import trio
import trio.testing

from proxy.control.engines import EventKind
from proxy.lanes import scripts
from proxy.lanes.scripts import MOST_BYTES, MOST_SCRIPTS, Scripts
from tests.engine.harness import build, conn, key_on, settle
from tests.helpers import request


def digest(body):
    return hashlib.sha1(body).hexdigest().encode()


class Lane:
    """Two engines with a client each, and their scripts; engines carry out their orders when they are to settle."""

    def __init__(self):
        self.engines = [build(1), build(1)]
        self.clients = [engine.open() for engine in self.engines]
        self.scripts = Scripts(SimpleNamespace(engines=self.engines, post=self.post), self.settled)
        self.silent = False

    async def post(self, order):
        order()

    async def settled(self):
        await trio.lowlevel.checkpoint()
        if self.silent:
            raise scripts.ReplyError("clients_unknown", engine=0, limit=1000)
        self.turn()

    def turn(self):
        for engine in self.engines:
            settle(engine)

    def sends(self, body):
        """By engine: does EVALSHA take the body along?"""
        self.turn()
        found = []
        for engine, client in zip(self.engines, self.clients, strict=True):
            engine.feed(client, request(b"EVALSHA", digest(body), b"1", key_on(0, 1)))
            found.append(engine.sent(conn(0)) == request(b"EVAL", body, b"1", key_on(0, 1)))
            engine.answer(conn(0), b"-ERR no\r\n")
            settle(engine)
            engine.take(client)
        return found


@pytest.fixture
def lane():
    return Lane()


def body(number):
    return b"return %d" % number


async def test_learned_by_all_and_forgotten_by_pool(lane):
    await lane.scripts.learn(0, body(0))
    await lane.scripts.learn(1, body(1))
    assert lane.scripts.knows(0, digest(body(0)).upper()) and not lane.scripts.knows(1, digest(body(0)))
    assert lane.sends(body(0)) == [True, True] and lane.sends(body(1)) == [False, False], "another pool's"
    await lane.scripts.forget(0)
    assert lane.sends(body(0)) == [False, False] and not lane.scripts.knows(0, digest(body(0)))
    assert lane.scripts.knows(1, digest(body(1)))


async def test_room_is_made_by_those_that_nobody_names(lane):
    """1024 places: of what was loaded or named by a digest nothing goes while there is anything else."""
    await lane.scripts.learn(0, body(0), [b"a" * 40])
    await lane.scripts.learn(0, body(1))
    assert lane.sends(body(1)) == [True, True], "which names it"
    for number in range(2, 3 * MOST_SCRIPTS):
        await lane.scripts.learn(0, body(number))
    lane.turn()
    kept = [number for number in range(3 * MOST_SCRIPTS) if lane.scripts.knows(0, digest(body(number)))]
    assert kept == [0, 1, *range(2 * MOST_SCRIPTS + 2, 3 * MOST_SCRIPTS)]
    assert lane.sends(body(0)) == lane.sends(body(1)) == lane.sends(body(kept[2])) == [True, True]
    assert lane.sends(body(2)) == [False, False]


async def test_where_all_are_named_the_oldest_goes(lane):
    for number in range(MOST_SCRIPTS + 1):
        await lane.scripts.learn(0, body(number), [b"a" * 40])
    assert not lane.scripts.knows(0, digest(body(0))) and lane.scripts.knows(0, digest(body(1)))


async def test_bytes_are_bounded_too(lane):
    large = [b"return %d --" % number + b"x" * (MOST_BYTES // 4) for number in range(5)]
    for one in large:
        await lane.scripts.learn(0, one)
    assert [lane.scripts.knows(0, digest(one)) for one in large] == [False, False, True, True, True]
    await lane.scripts.learn(0, b"x" * (MOST_BYTES + 1))
    assert not lane.scripts.knows(0, digest(b"x" * (MOST_BYTES + 1))) and lane.scripts.knows(0, digest(large[4]))


async def test_serials_of_the_last_place_begin_again(lane):
    lane.scripts._free.clear()
    lane.scripts._free.append((1 << 32) - MOST_SCRIPTS)
    for number in range(3):
        await lane.scripts.learn(0, body(number))
        assert lane.sends(body(number)) == [True, True]
    assert not lane.scripts.knows(0, digest(body(0)))


@pytest.mark.parametrize("silent", [False, True])
async def test_who_brought_one_goes_on_when_all_have_it(lane, silent):
    lane.silent = silent
    engine, client = lane.engines[0], lane.clients[0]
    engine.events()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lane.scripts.run)
        evals = [request(b"EVAL", body(number), b"1", key_on(0, 1)) for number in range(3)]
        for number, data in enumerate(evals):
            engine.feed(client, data)
            [told] = [event for event in engine.events() if event[0] == EventKind.SCRIPT]
            assert told[7] == body(number) and not engine.sent(conn(0))
            lane.scripts.brought(0, told[1], told[4], told[7])
            await trio.testing.wait_all_tasks_blocked()
            lane.turn()
            assert engine.sent(conn(0)) == data
            engine.answer(conn(0), b":1\r\n")
            settle(engine)
            assert engine.take(client) == b":1\r\n"
        lane.engines[1].feed(lane.clients[1], evals[0])
        assert lane.engines[1].sent(conn(0)) == evals[0], "it is known there"
        assert lane.sends(body(2)) == [True, True]
        nursery.cancel_scope.cancel()
