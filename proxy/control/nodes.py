"""Nodes: the tasks that act on what `health.py` decides. Effects only: look up, connect, probe, eject, admit, log."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import trio

from proxy.control.health import Action, Admit, Connect, Eject, NodeHealth, Probe, State
from proxy.control.probe import probe
from proxy.control.resolve import socket_address
from proxy.control.seats import Seats

if TYPE_CHECKING:
    from proxy.engine.engine import Engine
    from proxy.settings import Pool, Settings

log = logging.getLogger("quench.nodes")

NEVER = 1 << 30


@dataclass(frozen=True, slots=True)
class NodeRecord:
    """A node's health as INFO shows it."""

    state: str
    reason: str
    ejections: int


class Nodes:
    """All nodes of all pools, for all engines of the process."""

    def __init__(
        self, settings: Settings, engines: list[Engine], nursery: trio.Nursery,
        on_live: Callable[[int, bytes], None] = lambda pool, live: None, seats: Seats | None = None,
    ) -> None:  # fmt: skip
        """`on_live(pool, live)` is called when a node was ejected or readmitted: a byte for each member of the ring, 0
        while it is out."""
        self._on_live = on_live
        self._seats = seats or Seats(settings)
        self._settings = settings
        self._engines = engines
        self._nursery = nursery
        self._health = [
            [self._fresh(pool) for _ in pool.nodes] for pool in settings.pools
        ]

    @staticmethod
    def _fresh(pool: Pool) -> NodeHealth:
        return NodeHealth(
            # Where another node takes its place, a dead one is not given up here.
            limit=pool.server_failure_limit if pool.failover == "off" else NEVER,
            retry=pool.server_retry_timeout,
            first=pool.reconnect.first,
            most=pool.reconnect.most,
        )

    def records(self, pool: int) -> list[NodeRecord]:
        """The health of every node of a pool, in the pool's order."""
        return [NodeRecord(health.state.value, health.reason, health.ejections) for health in self._health[pool]]

    def ejected(self, pool: int, node: int) -> str:
        """Why a node is ejected; "" where it is not."""
        health = self._health[pool][node]
        return f"it was ejected: {health.reason}" if health.state is State.EJECTED else ""

    async def start(self) -> None:
        """Give every engine every node's address, and open first connections where the pool says so.

        A name that cannot be looked up now is a failure like any other: the proxy starts all the same.
        """
        async with trio.open_nursery() as nursery:
            for index, pool in enumerate(self._settings.pools):
                for place in range(0 if pool.cluster else len(pool.nodes)):
                    for engine in range(len(self._engines)):
                        nursery.start_soon(self._connect, index, place, engine, pool.preconnect)

    async def arrived(self, pool: int, node: int) -> None:
        """Another node has this place from here on, or none: what was known of the one before is void. The engines have
        its address when this returns, or have been told that there is none."""
        settings = self._settings.pools[pool]
        self._health[pool][node] = self._fresh(settings)
        with trio.move_on_after(settings.connect_timeout):
            async with trio.open_nursery() as nursery:
                for engine in range(len(self._engines)):
                    nursery.start_soon(self._connect, pool, node, engine, settings.preconnect)

    # -- what the engines report --------------------------------------------------------------------------------

    def failed(self, engine: int, pool: int, node: int, failures: int, lost: bool, reason: str) -> None:
        """A node connection failed."""
        if not self._settings.pools[pool].nodes[node].address:
            return  # a place in a pool with cluster, whose node is gone
        health = self._health[pool][node]
        actions = health.failed(engine, failures, lost, reason, trio.current_time(), random.random())
        if not any(isinstance(action, Eject) for action in actions):
            log.info("node.failed %s failures=%d reason=%r", self._name(pool, node), failures, reason)
        self._act(pool, node, actions)

    def opened(self, engine: int, pool: int, node: int) -> None:
        """A node connection is open."""
        self._health[pool][node].opened(engine)
        log.info("node.open %s engine=%d", self._name(pool, node), engine)

    # -- effects --------------------------------------------------------------------------------------------------

    def _act(self, pool: int, node: int, actions: list[Action]) -> None:
        for action in actions:
            match action:
                case Connect(engine, at):
                    self._nursery.start_soon(self._connect_at, pool, node, engine, at)
                case Eject(probe_at):
                    reason = self._health[pool][node].reason
                    log.warning("node.ejected %s reason=%r", self._name(pool, node), reason)
                    for each in self._engines:
                        each.eject(pool, node, True)
                        each.node_down(pool, node, reason.encode())
                    self._on_live(pool, self._live(pool))
                    self._nursery.start_soon(self._probe_at, pool, node, probe_at)
                case Probe(at):
                    self._nursery.start_soon(self._probe_at, pool, node, at)
                case Admit():
                    log.warning("node.admitted %s", self._name(pool, node))
                    for index, each in enumerate(self._engines):
                        each.eject(pool, node, False)
                        self._nursery.start_soon(self._connect, pool, node, index, False)
                    self._on_live(pool, self._live(pool))

    def _live(self, pool: int) -> bytes:
        members = self._health[pool][: len(self._settings.pools[pool].servers)]
        return bytes(health.state is not State.EJECTED for health in members)

    async def _connect_at(self, pool: int, node: int, engine: int, at: float) -> None:
        await trio.sleep_until(at)
        if self._health[pool][node].state is State.UP:
            await self._connect(pool, node, engine, False)

    async def _connect(self, pool: int, node: int, engine: int, open_now: bool) -> None:
        server = self._seats.server(pool, node)
        if self._seats.empty(pool, node) or not server.address:
            return  # whoever takes the place is connected to then
        try:
            address = await socket_address(server)
        except (OSError, UnicodeError) as error:  # UnicodeError: a label that IDNA does not allow
            reason = f"its address cannot be looked up: {getattr(error, 'strerror', None) or error}"
            self._engines[engine].node_down(pool, node, reason.encode())
            health = self._health[pool][node]
            attempts = health.attempts.get(engine, 0) + 1
            self.failed(engine, pool, node, attempts, True, reason)
            return
        if self._seats.server(pool, node) == server and not self._seats.empty(pool, node):
            self._engines[engine].connect_node(pool, node, address, open_now)

    async def _probe_at(self, pool: int, node: int, at: float) -> None:
        await trio.sleep_until(at)
        settings = self._settings.pools[pool]
        server = self._seats.server(pool, node)
        if not server.address:
            return
        reason = await probe(settings, server)
        self._act(pool, node, self._health[pool][node].probed(not reason, reason, trio.current_time()))

    def _name(self, pool: int, node: int) -> str:
        settings = self._settings.pools[pool]
        return f"pool={settings.name} node={settings.nodes[node].name or settings.nodes[node].address}"
