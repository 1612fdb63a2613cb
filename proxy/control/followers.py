"""Followers: the replicas of Redis Clusters, which of them may be read from, and how late they are. Effects only.

Which nodes there are, and who follows whom, `clusters.py` finds out. Every primary that has replicas, and each of
these, is asked four times a second what it says of its replication, on a connection that is kept for it; what that is
worth `freshness.py` decides, and the engines are told.
"""

from __future__ import annotations

import time
from collections.abc import Mapping

import hiredis
import trio

from proxy.address import Server
from proxy.control.cluster import Place
from proxy.control.engines import Engines
from proxy.control.freshness import Freshness, Replication
from proxy.control.probe import authentication, connect, exchange
from proxy.control.readable import Readable
from proxy.settings import Pool, Settings

__all__ = ["Followers"]

#: Seconds between two questions to a node, and between two looks at what was answered.
EVERY = 0.25
#: Seconds that a node may take to answer, and to be connected to.
PATIENCE = 1.0
#: Seconds that a node's answer counts. Whether it still serves the engines find, and sooner.
COUNTS = 3.0


class Followers:
    """All pools in front of a cluster whose replicas are to be read from."""

    def __init__(self, settings: Settings, engines: Engines) -> None:
        self._pools = {
            index: _Pool(index, pool, engines)
            for index, pool in enumerate(settings.pools)
            if pool.cluster and pool.read_from != "primary"
        }

    async def run(self) -> None:
        """For ever."""
        async with trio.open_nursery() as nursery:
            for pool in self._pools.values():
                nursery.start_soon(pool.run)

    def lag(self, pool: int, place: int) -> float | None:
        """Seconds that a replica may be behind; None: that is not known."""
        return self._pools[pool].lag(place) if pool in self._pools else None


class _Pool:
    """One of them."""

    def __init__(self, index: int, pool: Pool, engines: Engines) -> None:
        self._pool = pool
        self._readable = Readable(index, pool.name, engines)
        self._places = [place for place in pool.servers if isinstance(place, Place)]
        self._asking: dict[str, trio.CancelScope] = {}  # by address, as all that follows
        self._said: dict[str, tuple[float, Replication]] = {}
        self._of: dict[str, Freshness] = {}

    async def run(self) -> None:
        async with trio.open_nursery() as nursery:
            while True:
                now = time.monotonic()
                followed = self._followed()
                for address in {*followed.values(), *(self._places[index].address for index in followed)}:
                    if address not in self._asking:
                        self._asking[address] = trio.CancelScope()
                        nursery.start_soon(self._ask, address, self._asking[address])
                await self._judge(followed, now)
                await trio.sleep(EVERY)

    def _followed(self) -> dict[int, str]:
        """The address of its primary, by the place of each replica there is."""
        return {
            index: self._places[place.primary].address
            for index, place in enumerate(self._places)
            if place.address and not place.gone and place.primary not in (-1, index)
        }

    async def _judge(self, followed: Mapping[int, str], now: float) -> None:
        primaries = set(followed.values())
        replicas = {self._places[index].address for index in followed}
        for address in self._asking.keys() - primaries - replicas:
            self._asking.pop(address).cancel()
        for address in self._of.keys() - primaries:
            del self._of[address]
        for index in range(len(self._places)):
            if index not in followed:
                self._readable.forget(index)
        for address in primaries:
            self._of.setdefault(address, Freshness()).heard(*self._answer(address, now))
        for index, primary in followed.items():
            address = self._places[index].address
            asked, said = self._answer(address, now)
            if said is not None and said.primary:
                continue  # it was promoted; what it does not serve it sends elsewhere, and soon it is no replica to us
            await self._readable.tell(index, address, *self._of[primary].judge(asked, said))

    def _answer(self, address: str, now: float) -> tuple[float, Replication | None]:
        """When a node was asked, and what it said; None if it did not, or too long ago."""
        asked, said = self._said.get(address, (now, None))
        return asked, said if now - asked <= COUNTS else None

    async def _ask(self, address: str, scope: trio.CancelScope) -> None:
        """Ask one node until it is no longer of interest, and connect again whenever the connection is lost."""
        with scope:
            while True:
                try:
                    with trio.fail_after(PATIENCE):
                        stream = await connect(Server(address))
                    async with stream:
                        await self._talk(address, stream)
                except (
                    OSError, UnicodeError, ValueError, trio.TooSlowError, trio.BrokenResourceError, hiredis.HiredisError
                ):  # fmt: skip
                    await trio.sleep(EVERY)  # that its connection is lost the engines find, and say
        self._said.pop(address, None)

    async def _talk(self, address: str, stream: trio.abc.Stream) -> None:
        reader = hiredis.Reader()
        commands = authentication(self._pool)
        while True:
            asked = time.monotonic()
            with trio.fail_after(PATIENCE):
                replies = await exchange(stream, reader, [*commands, ("INFO", "replication")])
            commands = []
            said = None if isinstance(replies[-1], hiredis.ReplyError) else Replication.parse(replies[-1])
            if said is not None:
                self._said[address] = asked, said
            await trio.sleep(EVERY)

    def lag(self, place: int) -> float | None:
        return self._readable.lag(place, time.monotonic())
