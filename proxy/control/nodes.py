"""Nodes: the tasks that act on what `health.py` decides. Effects only: look up, connect, probe, eject, admit, log."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import trio

from proxy.control.health import Action, Admit, Connect, Eject, NodeHealth, Ping, PoolHealth, Probe, State
from proxy.control.probe import probe
from proxy.control.resolve import socket_address
from proxy.control.seats import Seats

if TYPE_CHECKING:
    from proxy.engine.engine import Engine
    from proxy.settings import Pool, Settings

log = logging.getLogger("quench.nodes")

NEVER = 1 << 30

#: Seconds between two samples of the nodes' counters.
SAMPLE = 1.0


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
        self._logged = [[State.UP for _ in pool.nodes] for pool in settings.pools]
        self._panic = [self._pool_health(index) for index in range(len(settings.pools))]

    @staticmethod
    def _fresh(pool: Pool) -> NodeHealth:
        return NodeHealth(
            # Where another node takes its place, a dead one is not given up here.
            limit=pool.server_failure_limit if pool.failover == "off" else NEVER,
            retry=pool.server_retry_timeout,
            first=pool.reconnect.first,
            most=pool.reconnect.most,
            every=pool.ping_every,
            rate=None if pool.server_failure_rate is None else pool.server_failure_rate / 100,
        )

    def _pool_health(self, index: int) -> PoolHealth:
        pool = self._settings.pools[index]
        panic = pool.panic_threshold / 100 if pool.auto_eject else 1.0
        return PoolHealth(self._health[index][: len(pool.servers)], panic)

    def records(self, pool: int) -> list[NodeRecord]:
        """The health of every node of a pool, in the pool's order."""
        return [NodeRecord(health.state.value, health.reason, health.ejections) for health in self._health[pool]]

    def ejected(self, pool: int, node: int) -> str:
        """Why a node is ejected; "" where it is not."""
        health = self._health[pool][node]
        return f"it was ejected: {health.reason}" if health.out and not health.spared else ""

    async def start(self) -> None:
        """Give every engine every node's address, and open first connections where the pool says so.

        A name that cannot be looked up now is a failure like any other: the proxy starts all the same.
        """
        async with trio.open_nursery() as nursery:
            for index, pool in enumerate(self._settings.pools):
                for place in range(0 if pool.cluster else len(pool.nodes)):
                    for engine in range(len(self._engines)):
                        nursery.start_soon(self._connect, index, place, engine, pool.preconnect)
                    self._act(index, place, self._health[index][place].begin(trio.current_time(), random.random()))
        if any(pool.server_failure_rate is not None for pool in self._settings.pools):
            self._nursery.start_soon(self._count)

    async def arrived(self, pool: int, node: int) -> None:
        """Another node has this place from here on, or none: what was known of the one before is void. The engines have
        its address when this returns, or have been told that there is none."""
        settings = self._settings.pools[pool]
        asked = self._health[pool][node].asked
        health = self._health[pool][node] = self._fresh(settings)
        health.asked = asked
        self._logged[pool][node] = State.UP
        self._panic[pool] = self._pool_health(pool)
        self._act(pool, node, health.begin(trio.current_time(), random.random()))
        with trio.move_on_after(settings.connect_timeout):
            async with trio.open_nursery() as nursery:
                for engine in range(len(self._engines)):
                    nursery.start_soon(self._connect, pool, node, engine, settings.preconnect)

    # -- what the engines report --------------------------------------------------------------------------------

    def failed(self, engine: int, pool: int, node: int, failures: int, lost: bool, reason: str) -> None:
        """A node connection failed."""
        if not self._settings.pools[pool].nodes[node].address:
            return  # a place in a pool with cluster, whose node is gone
        now, chance = trio.current_time(), random.random()
        self._act(pool, node, self._health[pool][node].failed(engine, failures, lost, reason, now, chance))

    def opened(self, engine: int, pool: int, node: int) -> None:
        """A node connection is open."""
        self._health[pool][node].opened(engine, trio.current_time())
        log.info("node.open %s engine=%d", self._name(pool, node), engine)
        self._act(pool, node, [])

    # -- effects --------------------------------------------------------------------------------------------------

    def _act(self, pool: int, node: int, actions: list[Action]) -> None:
        """Log what was decided about a node, do it, and what follows for its pool."""
        self._tell(pool, node)
        self._do(pool, node, actions)
        panic = self._panic[pool]
        before = panic.panicking
        for place, action in panic.weigh():
            self._do(pool, place, [action])
        if panic.panicking is not before:
            out = sum(member.out for member in panic.members)
            log.warning("pool.%s pool=%s down=%d nodes=%d", "panic" if panic.panicking else "calm",
                        self._settings.pools[pool].name, out, len(panic.members))  # fmt: skip

    def _do(self, pool: int, node: int, actions: list[Action]) -> None:
        for action in actions:
            match action:
                case Connect(engine, at):
                    self._nursery.start_soon(self._connect_at, pool, node, engine, at)
                case Eject():
                    reason = self._health[pool][node].reason
                    for each in self._engines:
                        each.eject(pool, node, True)
                        each.node_down(pool, node, reason.encode())
                    self._on_live(pool, self._live(pool))
                case Probe(at):
                    self._nursery.start_soon(self._probe_at, pool, node, at)
                case Ping(at):
                    self._nursery.start_soon(self._ping_at, pool, node, at)
                case Admit():
                    for index, each in enumerate(self._engines):
                        each.eject(pool, node, False)
                        self._nursery.start_soon(self._connect, pool, node, index, False)
                    self._on_live(pool, self._live(pool))

    def _tell(self, pool: int, node: int) -> None:
        """One line where the state is another one; a probe that fails changes nothing."""
        health = self._health[pool][node]
        before = self._logged[pool][node]
        state = State.DOWN if health.state is State.PROBING else health.state
        if state is before:
            return
        self._logged[pool][node] = state
        level = logging.INFO if State.DOWN not in (state, before) else logging.WARNING
        word = {State.SUSPECT: "suspect", State.DOWN: "ejected"}.get(
            state, "admitted" if before is State.DOWN else "well"
        )
        why = f" reason={health.reason!r}" if health.reason else ""
        log.log(level, "node.%s %s%s", word, self._name(pool, node), why)

    def _live(self, pool: int) -> bytes:
        members = self._health[pool][: len(self._settings.pools[pool].servers)]
        return bytes(not health.out or health.spared for health in members)

    async def _connect_at(self, pool: int, node: int, engine: int, at: float) -> None:
        await trio.sleep_until(at)
        health = self._health[pool][node]
        if not health.out or health.spared:
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
        health = self._health[pool][node]
        health.probing(trio.current_time())
        reason = await self._ask(pool, node)
        if reason is not None and self._health[pool][node] is health:
            self._act(pool, node, health.probed(not reason, reason, trio.current_time(), random.random()))

    async def _ping_at(self, pool: int, node: int, at: float) -> None:
        await trio.sleep_until(at)
        reason = await self._ask(pool, node)
        health = self._health[pool][node]
        if reason is None:
            health.asked = False
        else:
            self._act(pool, node, health.pinged(not reason, reason, trio.current_time(), random.random()))

    async def _ask(self, pool: int, node: int) -> str | None:
        """PING: "" if it was answered, else why not; None: nobody has this place."""
        server = self._seats.server(pool, node)
        if not server.address:
            return None
        return await probe(self._settings.pools[pool], server)

    async def _count(self) -> None:
        """For ever, where a rate of failures counts: the nodes' counters."""
        while True:
            await trio.sleep(SAMPLE)
            parts = [engine.pool_stats() for engine in self._engines]
            for index, pool in enumerate(self._settings.pools):
                if pool.server_failure_rate is None:
                    continue
                for node, health in enumerate(self._health[index]):
                    stats = [part[index]["nodes"][node] for part in parts]
                    requests, late = (sum(each[name] for each in stats) for name in ("requests", "timeouts"))
                    self._act(index, node, health.counted(requests, late, trio.current_time(), random.random()))

    def _name(self, pool: int, node: int) -> str:
        settings = self._settings.pools[pool]
        return f"pool={settings.name} node={settings.nodes[node].name or settings.nodes[node].address}"
