"""Failover: the tasks that act on what `election.py`, `roles.py` and Sentinel say. Effects only.

For every pool with replicas, all of its nodes are asked what they are, ten times a second. From that follow, by way of
orders to the engines: who sits behind each member of the ring (seats.py), until when writes may be acknowledged (the
lease), which replicas may be read from, and how far each is behind.

    failover: off       whoever the nodes themselves say is primary
    failover: promote   whoever the record of the pool's epoch says is
    failover: sentinel  whoever Sentinel says is
"""

from __future__ import annotations

import logging
import os
import random
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial

import trio

from proxy.address import Server
from proxy.control.election import Action, Adopt, Answer, Ask, Election
from proxy.control.engines import Engines, process_name
from proxy.control.freshness import Freshness, Replication
from proxy.control.readable import Readable
from proxy.control.resolve import socket_address
from proxy.control.roles import leading
from proxy.control.seats import Seats
from proxy.control.sentinel import Sentinel
from proxy.control.voter import EVERY, Act, Voter
from proxy.settings import Pool, Settings

log = logging.getLogger("quench.failover")

#: Seconds of a lease on an epoch's record.
LEASE = 0.4
#: Seconds between decisions that nothing asked for.
TICK = 0.05
#: Seconds that a member may be without a primary before requests for it are refused at once.
PATIENCE = 10.0
#: Seconds that the proxy waits at start to learn who is primary.
SETTLE = 2.0
#: Seconds without an answer after which what a node said last is not to be relied on.
FRESH = 1.0


@dataclass(slots=True)
class ReplicationRecord:
    """What is known of a node's replication, as INFO shows it."""

    name: str
    address: str
    role: str = "unknown"  #: primary, replica, vacant (a member without one) or unknown: it did not answer yet
    state: str = "up"  #: up, suspect, down or behind
    lag: float | None = None  #: seconds that a replica is behind
    epoch: int = 0


@dataclass(slots=True)
class _Member:
    """A member of the ring and its replicas."""

    name: str
    nodes: tuple[int, ...]  #: in the engines: the member itself first
    addresses: tuple[str, ...]
    freshness: Freshness = field(default_factory=Freshness)
    run_id: str = ""  #: of the process that is to be in the member's seat; "": any
    vacant_since: float | None = None
    refused: bool = False


class PoolFailover:
    """One pool. `run` it in a task."""

    def __init__(self, index: int, pool: Pool, engines: Engines, seats: Seats) -> None:
        self.index = index
        self._pool = pool
        self._engines = engines
        self._seats = seats
        self._generation = 0
        self._readable = Readable(index, pool.name, engines)
        self._read_at = 0.0
        self._answers: dict[str, Answer] = {}
        self._why: dict[str, str] = {}  # by address: why it could not be asked; "" when it was
        self._states: dict[str, str] = {}
        self.promotions: Counter[int] = Counter()  # by member, in the engines' number
        self._wake = trio.Event()
        self._nursery: trio.Nursery | None = None
        self.settled = trio.Event()  #: every member is known to have a primary, or not
        replicas = {
            member: [node for node, of in enumerate(pool.replica_of, len(pool.servers)) if of == member]
            for member in range(len(pool.servers))
        }
        self.members = [
            _Member(server.name or server.address, (member, *replicas[member]),
                    (server.address, *(replica.address for replica in server.replicas)))
            for member, server in enumerate(pool.servers)
        ]  # fmt: skip
        agent = f"quench:{os.getpid()}:failover"
        self._voters = {
            node.address: Voter(pool, node, agent, self._answered, self._silent, self._done) for node in pool.nodes
        }
        self.election: Election | None = None
        if pool.failover == "promote":
            self.election = Election(
                process_name(),
                {member.name: member.addresses for member in self.members},
                lease=LEASE, down_after=pool.down_after, chance=random.random, clock=time.time, now=time.monotonic(),
            )  # fmt: skip

    async def run(self) -> None:
        """For ever."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            if self._pool.failover == "promote":
                for member in self.members:
                    await self._sit(member, "", "", "no record yet")
            for voter in self._voters.values():
                nursery.start_soon(voter.run)
            if self._pool.failover == "sentinel":
                names = [member.name for member in self.members]
                nursery.start_soon(Sentinel(self._pool, names, self._told).run)
            while True:
                with trio.move_on_after(TICK):
                    await self._wake.wait()
                self._wake = trio.Event()
                await self._decide()

    def suspect(self, node: int) -> None:
        """An engine has trouble with a node."""
        voter = self._voters.get(self._seats.server(self.index, node).address)
        if voter is not None:
            voter.ask()

    # -- what voters say ----------------------------------------------------------------------------------------------

    def _answered(self, address: str, answer: Answer) -> None:
        before = self._answers.get(address)
        if before is not None and before.report.run_id != answer.report.run_id:
            log.warning("failover.restarted pool=%s node=%s keys=%d", self._pool.name, address, answer.report.keys)
        self._answers[address] = answer
        self._why[address] = ""
        if self.election is not None:
            self.election.answered(address, answer, time.monotonic())
        self._wake.set()

    def _silent(self, address: str, why: str) -> None:
        if not self._why.get(address):
            log.warning("failover.unanswered pool=%s node=%s reason=%r", self._pool.name, address, why)
        self._why[address] = why
        self._wake.set()

    def _done(self, act: Act, done: bool) -> None:
        assert self.election is not None
        now = time.monotonic()
        match act:
            case _ if hasattr(act, "record"):
                self._do(self.election.voted(act.voter, act.record, done, now))
            case _ if hasattr(act, "primary"):
                log.info("failover.replica pool=%s node=%s of=%s done=%s", self._pool.name, act.voter, act.primary,
                         done)  # fmt: skip
            case _:
                member = next(member for member in self.members if act.voter in member.addresses)
                self.promotions[member.nodes[0]] += done
                log.warning("failover.promoted pool=%s node=%s done=%s", self._pool.name, act.voter, done)
                self._do(self.election.promoted(act.voter, done, now))
        self._wake.set()

    def _do(self, actions: list[Action]) -> list[Adopt]:
        """Everything but adopting, which is returned."""
        adopted = []
        for action in actions:
            match action:
                case Adopt():
                    adopted.append(action)
                case Ask(voter):
                    self._voters[voter].ask()
                case _:
                    self._voters[action.voter].act(action)
        return adopted

    # -- deciding -----------------------------------------------------------------------------------------------------

    async def _decide(self) -> None:
        now = time.monotonic()
        if self.election is not None:
            for adopted in self._do(self.election.decide(now)):
                record = adopted.record
                log.info("failover.epoch pool=%s epoch=%d proxy=%s why=%r", self._pool.name, record.epoch, record.proxy,
                         adopted.why)  # fmt: skip
                places = [(member, record.primary(member.name)) for member in self.members]
                # Engines hear of a generation with the seats that change, and so there is none where no seat does.
                if any(self._seated(member) != (place.address, place.run_id) for member, place in places):
                    self._generation = (self._generation + 1) & 0xFFFF
                for member, place in places:
                    await self._sit(member, place.address, place.run_id, adopted.why)
                if all(record.primary(member.name) for member in self.members):
                    self.settled.set()
            self._engines.lease(self.index, self._generation, self.election.lease_until)
        elif self._pool.failover == "off":
            for member in self.members:
                now_there = self._seats.server(self.index, member.nodes[0]).address
                address = leading(now_there, member.addresses, {
                    address: answer.report for address, answer in self._reports(now).items()
                })
                if address != now_there:
                    await self._sit(member, address, "", f"{address} says that it is the primary")
            if all(address in self._why for address in self._voters):
                self.settled.set()
        if now >= self._read_at:
            self._read_at = now + EVERY
            await self._read(now)
            await self._refuse(now)

    def _reports(self, now: float) -> Mapping[str, Answer]:
        return {address: answer for address, answer in self._answers.items() if now - answer.sent < FRESH}

    async def _told(self, name: str, address: str, why: str) -> None:
        """Sentinel said who is primary."""
        for member in self.members:
            if member.name == name and self._seats.server(self.index, member.nodes[0]).address != address:
                await self._sit(member, address, "", why)
        self.settled.set()

    def _seated(self, member: _Member) -> tuple[str, str]:
        """Address and run_id of its primary, both "" where it has none."""
        first = member.nodes[0]
        address = "" if self._seats.empty(self.index, first) else self._seats.server(self.index, first).address
        return address, member.run_id

    async def _sit(self, member: _Member, address: str, run_id: str, why: str) -> None:
        """The member's primary is at `address` from here on, and its replicas are the others; "": it has none."""
        if self._seated(member) == (address, run_id):
            return
        first, (before, _) = member.nodes[0], self._seated(member)
        log.warning("failover.primary pool=%s member=%s before=%s now=%s why=%r", self._pool.name, member.name,
                    before or "nobody", address or "nobody", why)  # fmt: skip
        member.run_id = run_id
        await self._order(first, address, run_id)
        if not address:
            member.vacant_since = time.monotonic()
            return
        member.vacant_since, member.refused = None, False
        others = [other for other in member.addresses if other != address]
        for node, other in zip(member.nodes[1:], others, strict=False):
            if self._seats.server(self.index, node).address != other:
                await self._order(node, other, "")

    async def _order(self, node: int, address: str, run_id: str) -> None:
        """Tell the engines at once where it is known, and else when it could be looked up."""
        self._seats.change(self.index, node, address)
        found = b""
        if address:
            try:
                found = await socket_address(Server(address))
            except (OSError, UnicodeError) as error:
                log.warning("failover.lookup pool=%s node=%s reason=%r", self._pool.name, address, str(error))
        for engine in self._engines.engines:
            await self._engines.post(partial(
                engine.seat, self.index, node, run_id.encode(), address.encode() if found else b"", found,
                self._generation, self._pool.failover != "off",
            ))  # fmt: skip

    async def _read(self, now: float) -> None:
        """Which replicas may be read from, and how far is each behind?"""
        reports = self._reports(now)
        for member in self.members:
            primary = None
            if not self._seats.empty(self.index, member.nodes[0]):
                primary = reports.get(self._seats.server(self.index, member.nodes[0]).address)
            if primary is not None and member.run_id not in ("", primary.report.run_id):
                primary = None
            member.freshness.heard(now if primary is None else primary.sent, _replication(primary))
            for node in member.nodes[1:]:
                server = self._seats.server(self.index, node)
                answer = reports.get(server.address)
                may, fresh = member.freshness.judge(now if answer is None else answer.sent, _replication(answer))
                await self._readable.tell(node, server.name or server.address, may, fresh)

    async def _refuse(self, now: float) -> None:
        """Requests do not wait for ever for a primary that does not come."""
        for member in self.members:
            if member.vacant_since is not None and not member.refused and now - member.vacant_since > PATIENCE:
                member.refused = True
                log.error("failover.stuck pool=%s member=%s: no node can be its primary", self._pool.name, member.name)
                for engine in self._engines.engines:
                    await self._engines.post(partial(
                        engine.node_down, self.index, member.nodes[0], b"no node can be its primary"
                    ))  # fmt: skip

    # -- what is known ------------------------------------------------------------------------------------------------

    def record(self, node: int) -> ReplicationRecord:
        """A node, by the engines' number."""
        now = time.monotonic()
        member = next(member for member in self.members if node in member.nodes)
        epoch = self.election.record.epoch if self.election is not None and self.election.record is not None else 0
        server = self._seats.server(self.index, node)
        found = ReplicationRecord(server.name or server.address, server.address, epoch=epoch)
        answer = self._answers.get(server.address)
        if self._seats.empty(self.index, node):
            found.role, found.state = "vacant", "down"
            return found
        silent = now - answer.sent if answer is not None else FRESH
        if answer is not None and silent < FRESH:
            found.role = "primary" if answer.report.primary else "replica"
        if silent >= max(self._pool.down_after, 3 * TICK):
            found.state = "down"
        elif self._why.get(server.address):
            found.state = "suspect"
        if node != member.nodes[0] and answer is not None:
            found.lag = self._readable.lag(node, now)
            if found.state == "up" and node not in self._readable:
                found.state = "behind"
        return found


def _replication(answer: Answer | None) -> Replication | None:
    if answer is None:
        return None
    report = answer.report
    return Replication(report.primary, report.replid, report.offset, report.linked and not report.syncing)


class Failover:
    """All pools that have replicas."""

    def __init__(self, settings: Settings, engines: Engines, seats: Seats) -> None:
        self._pools = {
            index: PoolFailover(index, pool, engines, seats)
            for index, pool in enumerate(settings.pools)
            if len(pool.nodes) > len(pool.servers) or pool.failover != "off"
        }

    async def run(self) -> None:
        """For ever."""
        async with trio.open_nursery() as nursery:
            for pool in self._pools.values():
                nursery.start_soon(pool.run)

    async def settle(self) -> None:
        """Wait until it is known who is primary, but not for ever."""
        with trio.move_on_after(SETTLE):
            for pool in self._pools.values():
                await pool.settled.wait()

    def suspect(self, pool: int, node: int) -> None:
        """An engine has trouble with a node."""
        if pool in self._pools:
            self._pools[pool].suspect(node)

    def record(self, pool: int, node: int) -> ReplicationRecord | None:
        """What is known of a node; None where nothing is asked."""
        return self._pools[pool].record(node) if pool in self._pools else None

    def fenced(self, pool: int) -> bool:
        """Writes of a pool may not be acknowledged now."""
        found = self._pools.get(pool)
        return found is not None and found.election is not None and time.monotonic() >= found.election.lease_until

    def promotions(self, pool: int, member: int | None) -> int:
        """How many this process has made: of replicas of this member, None: of all."""
        if pool not in self._pools:
            return 0
        made = self._pools[pool].promotions
        return made.total() if member is None else made[member]
