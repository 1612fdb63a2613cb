"""Databases: how many keys a pool has, for INFO's Keyspace section.

INFO is what an operator sends when something is wrong, so it must not hang on the nodes: they are asked at most once
a second, are given `PATIENCE`, and one that does not answer counts with what it said last.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress

import trio

from proxy.control.request import Request
from proxy.control.statistics import DatabaseStatistics
from proxy.errors import ReplyError
from proxy.lanes.links import Links

__all__ = ["Databases", "read_keyspace"]

#: Seconds that the nodes are given to answer.
PATIENCE = 0.25

#: Seconds for which an answer is good.
FRESH = 1.0

#: INFO's arguments that show the section; without any it is shown.
SHOWN_BY = frozenset({b"keyspace", b"default", b"all", b"everything"})

_LINE = re.compile(rb"^db(\d+):keys=(\d+),expires=(\d+),avg_ttl=(\d+)", re.MULTILINE)


def read_keyspace(text: bytes) -> dict[int, DatabaseStatistics]:
    """A node's Keyspace section, by database."""
    return {
        int(number): DatabaseStatistics(int(keys), int(expires), int(ttl))
        for number, keys, expires, ttl in _LINE.findall(text)
    }


class Databases:
    """What the nodes said last, by pool and node."""

    def __init__(self, links: Links) -> None:
        self._links = links
        self._said: dict[tuple[int, int], Mapping[int, DatabaseStatistics]] = {}
        self._asked: dict[int, float] = {}  # pool → when
        self._asking: dict[int, trio.Event] = {}  # pool → set when that is over

    def known(self, pool: int) -> dict[int, DatabaseStatistics]:
        """By database, all nodes added up."""
        total: dict[int, DatabaseStatistics] = {}
        for node in self._links.nodes(pool):
            for number, database in self._said.get((pool, node), {}).items():
                total[number] = total.get(number, DatabaseStatistics()) + database
        return total

    async def before_info(self, request: Request) -> None:
        """Ask the nodes if this INFO shows them and what is known is old; one question serves all who wait for it."""
        pool = request.pool
        if len(request.args) > 1 and not SHOWN_BY & {word.lower() for word in request.args[1:]}:
            return
        if pool in self._asking:
            await self._asking[pool].wait()
            return
        if trio.current_time() - self._asked.get(pool, -FRESH) < FRESH:
            return
        over = self._asking[pool] = trio.Event()
        try:
            with trio.move_on_after(PATIENCE):
                async with trio.open_nursery() as nursery:
                    for node in self._links.nodes(pool):
                        nursery.start_soon(self._ask, pool, node)
        finally:
            self._asked[pool] = trio.current_time()
            del self._asking[pool]
            over.set()

    async def _ask(self, pool: int, node: int) -> None:
        with suppress(ReplyError):
            self._said[pool, node] = read_keyspace(await self._links.ask(pool, node, [b"INFO", b"keyspace"]))
