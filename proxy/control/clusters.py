"""Clusters: the tasks that look at Redis Clusters and tell the engines what has changed. Effects only: ask, post, log.

What it looks like, and what follows from that, is decided in `cluster.py`. A cluster is looked at every few seconds, at
once when a node redirects a request or a connection to one is lost, and again and again while something is missing.
Each time several nodes are asked, each on a connection of its own for that question.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import hiredis
import trio
from msgspec.structs import replace

from proxy.address import Server
from proxy.control.cluster import (
    PERIOD,
    SLOWEST,
    UNSETTLED,
    Change,
    Member,
    Place,
    Slots,
    Topology,
    View,
    members,
    read_view,
)  # fmt: skip
from proxy.control.engines import Engines
from proxy.control.nodes import Nodes
from proxy.control.probe import authentication, connect, exchange
from proxy.placement import slot_of
from proxy.settings import Pool, Settings

__all__ = ["Clusters", "with_places"]

log = logging.getLogger("quench.cluster")

#: Seconds between two looks at one cluster, however many redirections there are.
PAUSE = 0.05


def with_places(settings: Settings) -> Settings:
    """The settings with places for the nodes of clusters, which are changed at run time by whoever runs `Clusters`."""
    pools = [
        replace(pool, servers=tuple(Place("") for _ in range(pool.cluster_nodes))) if pool.cluster else pool
        for pool in settings.pools
    ]
    return replace(settings, pools=tuple(pools))


class Clusters:
    """All pools in front of a cluster."""

    def __init__(
        self, settings: Settings, engines: Engines, nodes: Nodes, on_moved: Callable[[int], None]
    ) -> None:
        """`settings` as with_places() made them; `on_moved(pool)` is called when slots have changed their nodes."""
        self._watched = {
            index: _Watched(index, pool, engines, nodes, on_moved)
            for index, pool in enumerate(settings.pools)
            if pool.cluster
        }

    async def start(self) -> None:
        """Look at every cluster once. One that does not answer is a line in the log: the proxy starts all the same."""
        async with trio.open_nursery() as nursery:
            for watched in self._watched.values():
                nursery.start_soon(watched.look)

    async def run(self) -> None:
        """Look after all of them, for ever."""
        async with trio.open_nursery() as nursery:
            for watched in self._watched.values():
                nursery.start_soon(watched.run)

    def redirected(self, pool: int, node: int, text: str) -> None:
        """A node said `MOVED slot address` or the like."""
        self._watched[pool].redirected(node, text)

    def failed(self, pool: int, node: int) -> None:
        """A node connection failed; of pools without a cluster that is nothing to us."""
        if pool in self._watched:
            self._watched[pool].failed(node)

    def opened(self, pool: int, node: int) -> None:
        """A node connection is open."""
        if pool in self._watched:
            self._watched[pool].failing.discard(node)

    def owner(self, pool: int, name: bytes) -> int | None:
        """The node that holds the slot of a key or channel; None: nobody does, as far as is known."""
        return self._watched[pool].topology.owner(slot_of(name))


class _Watched:
    """One pool in front of a cluster."""

    def __init__(
        self, index: int, pool: Pool, engines: Engines, nodes: Nodes, on_moved: Callable[[int], None]
    ) -> None:
        self.failing: set[int] = set()  # places to which a connection was lost
        self._index = index
        self._pool = pool
        self._engines = engines
        self._nodes = nodes
        self._on_moved = on_moved
        self._places = [place for place in pool.servers if isinstance(place, Place)]
        seeds = [f"{seed.host}:{seed.port}" for seed in pool.cluster]
        self.topology = Topology(seeds, self._places, replicas=pool.read_from != "primary")
        self._hints: dict[str, None] = {}  # addresses of nodes that are likely to know more
        self._wake = trio.Event()
        self._said = ""  # of what is wrong, in the log

    def redirected(self, node: int, text: str) -> None:
        word, _, rest = text.partition(" ")
        if word == "MOVED":
            target = rest.rpartition(" ")[2]
        if word == "MOVED" and target and not target.startswith("?"):
            self._hints[f"{self._places[node].host}{target}" if target.startswith(":") else target] = None
        if self._places[node].address:
            self._hints[self._places[node].address] = None
        self._wake.set()

    def failed(self, node: int) -> None:
        if self._places[node].member and node not in self.failing:
            self.failing.add(node)
            self._wake.set()

    async def run(self) -> None:
        pause = UNSETTLED
        while True:
            well = self.topology.settled and not self.failing and not self._said
            wait = PERIOD if well else pause
            pause = UNSETTLED if well else min(SLOWEST, pause * 1.2)
            with trio.move_on_after(wait * (0.8 + 0.4 * random.random())):
                await self._wake.wait()
            self._wake = trio.Event()
            await self.look()
            await trio.sleep(PAUSE)

    async def look(self) -> None:
        """Ask some nodes, and do what follows from what they say."""
        hints, self._hints = list(self._hints), {}
        chance = [random.random() for _ in range(len(self.topology.known) + 1)]
        views: list[View] = []
        reasons: dict[str, str] = {}
        async with trio.open_nursery() as nursery:
            for address in self.topology.whom(hints, chance):
                nursery.start_soon(self._ask, address, views, reasons)
        before = self.topology.table
        await self._act(self.topology.take(views, trio.current_time()))
        self.failing.intersection_update(members(self._pool))
        if not views:
            self._say(f"nobody answers: {'; '.join(f'{address}: {reason}' for address, reason in reasons.items())}")
        elif self.topology.without:
            self._say(f"there are {self.topology.without} nodes more than cluster_nodes leaves room for; raise it")
        elif not self.topology.settled:
            self._say("some slots have no node")
        else:
            self._say("")
        if self.topology.table != before:
            self._on_moved(self._index)

    def _say(self, what: str) -> None:
        """One line when what is wrong has changed."""
        if what != self._said:
            if what:
                log.warning("cluster.unwell pool=%s reason=%r", self._pool.name, what)
            else:
                log.info("cluster.well pool=%s nodes=%d", self._pool.name, len(members(self._pool)))
            self._said = what

    async def _ask(self, address: str, views: list[View], reasons: dict[str, str]) -> None:
        """One node's view, or why there is none."""
        reasons[address] = "it does not answer"
        with trio.move_on_after(self._pool.connect_timeout):
            try:
                server = Server(address)
                async with await connect(server) as stream:
                    information, slots = await _talk(stream, self._pool)
                views.append(read_view(information, slots, server.host))
                del reasons[address]
            except (OSError, ValueError, trio.BrokenResourceError, hiredis.HiredisError) as error:
                reasons[address] = str(error) or type(error).__name__

    async def _act(self, changes: Sequence[Change]) -> None:
        """Tell all engines, in order."""
        for change in changes:
            for engine in self._engines.engines:
                await self._engines.post(partial(_order, engine, self._index, change))
            if isinstance(change, Member):
                if change.new:
                    self.failing.discard(change.place)
                    await self._nodes.arrived(self._index, change.place)
                role = "primary" if change.holds_slots else "none" if change.primary < 0 else "replica"
                log.info(
                    "cluster.node pool=%s place=%d address=%s role=%s",
                    self._pool.name, change.place, change.address or "none", role,
                )  # fmt: skip
            else:
                log.info("cluster.slots pool=%s nodes=%d", self._pool.name, len(members(self._pool)))


def _order(engine: Any, pool: int, change: Change) -> None:
    if isinstance(change, Slots):
        engine.slots(pool, change.table)
    else:
        engine.member(
            pool, change.place, change.address.encode(), change.holds_slots, change.primary, change.new
        )  # fmt: skip


async def _talk(stream: trio.abc.Stream, pool: Pool) -> tuple[bytes, Any]:
    """CLUSTER INFO and CLUSTER SLOTS. Raises ValueError when one of them is refused."""
    commands = [*authentication(pool), ("CLUSTER", "INFO"), ("CLUSTER", "SLOTS")]
    replies = await exchange(stream, hiredis.Reader(), commands)
    for reply in replies:
        if isinstance(reply, hiredis.ReplyError):
            raise ValueError(str(reply))
    return replies[-2], replies[-1]
