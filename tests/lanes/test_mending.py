"""Mending before real redis-servers, with other proxies that do the same at the same time: nothing older ends over
anything newer, deletions included, and no hint is dropped before its key is the same."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest
import trio

from proxy.address import Listen, Server
from proxy.control.attendance import State
from proxy.lanes.links import OWN, Links
from proxy.lanes.mending import Mending
from proxy.settings import Pool, RingCopies, Settings
from tests.system.tier import Node, running_nodes

HINTS = OWN + b"hints:n2"


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Node]]:
    with running_nodes(tmp_path_factory.mktemp("mending"), 3) as nodes:
        yield nodes


@pytest.fixture
def nodes(servers: list[Node]) -> list[Node]:
    for node in servers:
        node("FLUSHALL")
    return servers


@asynccontextmanager
async def proxies(nodes: list[Node], count: int = 1) -> AsyncIterator[list[Any]]:
    """As many proxies' view of one pool: n0 and n1 serve, n2 came back."""
    found = []
    pool = Pool(
        name="p", listen=Listen(host="127.0.0.1"), replication="ring", ring=RingCopies(copies=3),
        servers=tuple(Server(node.address, 1, node.name) for node in nodes),
    )  # fmt: skip
    async with trio.open_nursery() as nursery:
        for _ in range(count):
            settings = Settings(engines=1, pools=(pool,))
            mending = Mending(settings, SimpleNamespace(engines=[]), Links(settings, nursery), trio.lowlevel.checkpoint)
            mine = mending._pools[0]
            for member, state in zip(mine.members, (State.SERVES, State.SERVES, State.MENDING), strict=True):
                member.state = state
            mine._databases = [{0}, {0}, {0}]
            found.append(mine)
        with trio.fail_after(30):
            yield found
        nursery.cancel_scope.cancel()


def first_on(mine: Any, node: int) -> bytes:
    """A key whose walk begins there."""
    return next(key for key in (b"k%d" % n for n in range(99)) if mine._ring.candidates(key, 3)[0] == node)


def meanwhile(mine: Any, act: Callable[[], object]) -> None:
    """Do it each time between the two reads of a key that is about to be replaced at n2."""
    state = mine._keys.state

    async def interrupted(pool: int, node: int, database: int, key: bytes, line: int = 0) -> Any:
        found = await state(pool, node, database, key, line)
        if line:
            act()
        return found

    mine._keys.state = interrupted


async def test_a_hint_is_kept_until_its_key_is_the_same(nodes: list[Node]) -> None:
    async with proxies(nodes) as (mine,):
        nodes[0]("SET", "a", "new")
        nodes[1]("SET", "a", "new")
        nodes[2]("SET", "a", "old")
        nodes[0]("ZADD", HINTS, 1, "a")
        busy = [True]
        meanwhile(mine, lambda: busy and nodes[2]("APPEND", "a", "+"))
        await mine._mend(2)
        assert nodes[0]("ZCARD", HINTS) == 1, "every copy was void"
        busy.clear()
        await mine._mend(2)
        assert nodes[0]("ZCARD", HINTS) == 0 and nodes[2]("GET", "a") == b"new"


@pytest.mark.parametrize("newer", [b"new", None], ids=["set", "deleted"])
async def test_a_node_that_another_proxy_knows_to_be_stale_is_no_source(nodes: list[Node], newer: bytes | None) -> None:
    """That one has lost n0, and writes past it; here it serves still, and its value is the older one."""
    async with proxies(nodes) as (mine,):
        key = first_on(mine, 0)
        nodes[0]("SET", key, "old")
        for node in nodes[1:] if newer else ():
            node("SET", key, newer)
        nodes[1]("ZADD", OWN + b"hints:n0", 2, key)
        nodes[1]("ZADD", HINTS, 1, key)
        await mine._mend(2)
        assert nodes[2]("GET", key) == newer and nodes[0]("GET", key) == b"old"


async def test_what_another_proxy_notes_while_everything_is_given_is_not_forgotten(nodes: list[Node]) -> None:
    async with proxies(nodes) as (mine,):
        nodes[0]("SET", "a", "1")
        nodes[1]("SET", "a", "1")
        give = mine._give_all

        async def given(node: int) -> int:
            copied = await give(node)
            assert nodes[2]("GET", "a") == b"1"
            for other in nodes[:2]:
                other("ZADD", HINTS, 1, "a")
                other("SET", "a", "2")
            return int(copied)

        mine._give_all = given
        mine.members[2].whole = True
        await mine._mend(2)
        assert nodes[2]("GET", "a") == b"2" and nodes[0]("ZCARD", HINTS) == nodes[1]("ZCARD", HINTS) == 0


@pytest.mark.parametrize("leased", [True, False])
async def test_two_proxies_at_once(nodes: list[Node], leased: bool) -> None:
    """With the lease the work is done once; without it, as after a pause of its holder, both do, and
    nothing breaks."""
    async with proxies(nodes, 2) as both:
        wanted = {}
        for number in range(200):
            key = b"k%d" % number
            for node in nodes[:2]:
                node("SET", key, number)
                node("ZADD", HINTS, 1, key)
                if number % 3 == 0:
                    node("DEL", key)
            nodes[2]("SET", key, "old")
            wanted[key] = None if number % 3 == 0 else b"%d" % number
        async def always(*_: object) -> bool:
            return True

        for mine in () if leased else both:
            mine._leased = always
        async with trio.open_nursery() as nursery:
            for mine in both:
                nursery.start_soon(mine._mend, 2)
        assert {key: nodes[2]("GET", key) for key in wanted} == wanted
        assert [node("ZCARD", HINTS) for node in nodes[:2]] == [0, 0]
        replayed = sum(mine.replayed[2] for mine in both)
        assert replayed == 400 if leased else replayed >= 400
