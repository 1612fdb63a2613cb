"""Kept clients over a real engine: told to every lane when they leave, and released exactly once."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import trio.lowlevel
import trio.testing

from proxy.commands import COMMANDS
from proxy.control.engines import EventKind
from proxy.control.request import Request
from proxy.lanes.kept import Kept
from tests.engine.harness import build, settle
from tests.helpers import request


class Lane:
    """One engine, its kept clients, and two lanes that note whom they were told to forget."""

    def __init__(self):
        self.engine = build(1)
        self.kept = Kept(SimpleNamespace(engines=[self.engine]))
        self.forgotten = [], []
        for forgotten in self.forgotten:
            self.kept.on_forget(forgotten.append)

    def keep(self, number):
        """Have a client subscribe; what it is kept as."""
        self.engine.feed(number, request(b"SUBSCRIBE", b"a"))
        (event,) = self.engine.events()
        _, pool, database, protocol, pointer, slot, tag, _ = event
        asked = Request(0, pointer, slot, tag, pool, protocol, database, [b"SUBSCRIBE", b"a"], COMMANDS["subscribe"])
        client = self.kept.add(asked)
        assert self.kept.add(asked) is client and self.kept.get(number) is client
        self.engine.reply(pointer, slot, b"", keep=True)
        self.engine.turn()
        return client

    def read_events(self):
        for kind, _, _, _, pointer, _, tag, _ in self.engine.events():
            assert kind == EventKind.GONE
            self.kept.gone(0, pointer, tag)


def test_every_lane_forgets_a_client_that_leaves():
    lane = Lane()
    number = lane.engine.open()
    client = lane.keep(number)
    assert (client.id, client.engine, client.pool) == (number, 0, 0)
    assert lane.engine.state(number)["references"] == 1
    lane.engine.close(number)
    settle(lane.engine)
    lane.read_events()
    assert lane.forgotten == ([client], [client]) and len(lane.kept) == 0 and lane.kept.get(number) is None
    settle(lane.engine)
    lane.read_events()
    assert lane.forgotten == ([client], [client])


def test_reset_is_told_and_the_client_stays():
    lane = Lane()
    number = lane.engine.open()
    client = lane.keep(number)
    lane.kept.reset(number)
    lane.kept.reset(number + 1)
    assert lane.forgotten == ([client], [client]) and lane.kept.get(number) is client
    settle(lane.engine)
    assert lane.engine.state(number)["references"] == 1


def test_a_client_that_nobody_added_is_released_all_the_same():
    lane = Lane()
    number = lane.engine.open()
    lane.keep(number)
    lane.kept._clients.clear()
    lane.engine.close(number)
    settle(lane.engine)
    lane.read_events()
    assert lane.forgotten == ([], [])
    settle(lane.engine)


@pytest.mark.parametrize("crowd", [1, 500])
async def test_releases_wait_for_room_in_the_engines_box(crowd):
    """In the order in which they came, each once: the engine counts its references down to nothing and no further."""
    lane = Lane()
    numbers = [lane.engine.open() for _ in range(crowd)]
    for number in numbers:
        lane.keep(number)
    for number in numbers:
        lane.engine.close(number)
    settle(lane.engine)
    with pytest.raises(BlockingIOError):
        while True:
            lane.engine.list_clients(1)
    lane.read_events()
    assert len(lane.forgotten[0]) == crowd and len(lane.kept._releases) == crowd
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lane.kept.run)
        await trio.testing.wait_all_tasks_blocked()
        assert len(lane.kept._releases) == crowd
        with trio.fail_after(5):
            while lane.kept._releases:
                lane.engine.turn()
                lane.engine.events()
                await trio.lowlevel.checkpoint()
        nursery.cancel_scope.cancel()
    settle(lane.engine)
