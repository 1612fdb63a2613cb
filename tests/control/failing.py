"""A pool with its proxies, simulated: the deciders of `election.py` are real, and everything around them goes wrong.

Messages are late, lost or cut off; nodes die, come back empty or with an old snapshot, forget keys, and are flushed;
proxies sleep. Proxies write all the time, and every write that one of them acknowledges is kept: see
`Simulation.check`.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from proxy.control.election import Adopt, Answer, Ask, Election, Follow, Promote, Vote
from proxy.control.epoch import Place, Record, decode, encode
from proxy.control.roles import NO_ID, Report

LEASE = 0.4
KINDS = (
    "kill", "restart", "snapshot", "old", "cut", "alone", "heal", "heal", "sleep", "forget", "flush", "resync",
    "reborn",
)  # fmt: skip


@dataclass
class Node:
    """A data node; `keys` holds records only, and every data write is one step of `offset`."""

    address: str
    run_id: str = ""
    alive: bool = True
    hung: bool = False  #: it answers nobody, and its replicas think that they are linked
    primary: bool = True
    replid: str = ""
    replid2: str = NO_ID
    offset: int = 0
    follows: str = ""
    linked: bool = False
    keys: dict[str, bytes] = field(default_factory=dict)
    touched: int = 0  # changes of its own key, as WATCH sees them
    data: int = 0

    def report(self) -> Report:
        return Report(self.run_id, self.primary, self.replid, self.replid2, self.offset, self.follows, self.linked,
                      False, 0, self.data)  # fmt: skip


@dataclass
class Acknowledged:
    """A write that a client was told of."""

    at: float
    epoch: int
    place: Place
    proxy: str


class Proxy:
    """One proxy: an Election, and what an engine does about it."""

    def __init__(self, name: str, world: Simulation) -> None:
        self.name = name
        self.world = world
        self.asleep_until = 0.0
        self.inbox: list[Callable[[], None]] = []
        self.election = self.new()
        self.serial = 0

    def new(self) -> Election:
        world = self.world
        return world.election_type(
            self.name, world.members, lease=LEASE, down_after=0.5, chance=world.random.random,
            clock=lambda: 1000 + world.now, now=world.now,
        )  # fmt: skip

    def act(self) -> None:
        for action in self.election.decide(self.world.now):
            self.do(action)

    def do(self, action: object) -> None:
        world = self.world
        match action:
            case Ask(voter):
                self.ask(voter)
            case Vote(voter, serial, record):
                self.send(voter, lambda node: world.keep(node, self.name, serial, record),
                          lambda kept: self.all(self.election.voted(voter, record, kept, world.now)))  # fmt: skip
            case Promote(voter, serial):
                self.send(voter, lambda node: world.promote(node, self.name, serial),
                          lambda done: self.all(self.election.promoted(voter, done, world.now)))  # fmt: skip
            case Follow(voter, serial, primary):
                self.send(voter, lambda node: world.follow(node, self.name, serial, primary), lambda done: None)
            case Adopt():
                pass

    def all(self, actions: list) -> None:
        for action in actions:
            self.do(action)
        self.act()

    def ask(self, voter: str) -> None:
        self.serial += 1
        serial, sent = self.serial, self.world.now

        def asked(node: Node) -> tuple[Report, Record | None]:
            # WATCH, GET and INFO. A later question's WATCH takes the place of this one's, and what it found is known to
            # be the same as before only where it is a record, because no two are the same.
            report, value = node.report(), node.keys.get(voter)
            since, run_id, _, before = self.world.watches.get((self.name, voter), (0, "", 0, None))
            if run_id != node.run_id or value is None or value != before:
                since = serial
            self.world.watches[self.name, voter] = (since, node.run_id, node.touched, value)
            return report, self.world.decode(value, report)

        def answered(answer: tuple[Report, Record | None]) -> None:
            at = self.world.now if self.world.lease_from_reply else sent
            self.election.answered(voter, Answer(at, serial, *answer), self.world.now)
            self.act()

        self.send(voter, asked, answered)

    def send(self, address: str, there: Callable, back: Callable) -> None:
        """A message and its reply; either may be late or lost."""
        world = self.world

        def arrived() -> None:
            node = world.nodes[address]
            if not node.alive or node.hung or not world.reachable(self.name, address):
                return
            result = there(node)
            if world.reachable(self.name, address):
                lag = world.lags.get((self.name, address), 0.0)
                world.later(world.delay() + lag, lambda: self.receive(lambda: back(result)))

        if world.reachable(self.name, address):
            world.later(world.delay(), arrived)

    def receive(self, message: Callable[[], None]) -> None:
        if self.world.now < self.asleep_until:
            self.world.later(self.asleep_until - self.world.now, lambda: self.receive(message))
        else:
            message()

    def write(self) -> None:
        """Write to the primary of every member; acknowledged only if the lease lives when the reply comes, and the
        member's place is what it was."""
        record = self.election.record
        for member in self.world.members if record else ():
            place = record.primary(member)
            if place:
                self.send(place.address, lambda node, place=place: self.world.execute(node, place),
                          lambda done, member=member, place=place: self.written(member, place, done))  # fmt: skip

    def written(self, member: str, place: Place, done: bool) -> None:
        election, world = self.election, self.world
        if done and election.record and election.record.primary(member) == place and world.now < election.lease_until:
            world.acknowledged.setdefault(member, []).append(
                Acknowledged(world.now, election.record.epoch, place, self.name)
            )


class Simulation:
    """`run` it, then `check` it. The same seed is the same history."""

    def __init__(self, seed: int, election_type: type[Election] = Election, calm: bool = False) -> None:
        """`calm`: nothing goes wrong by itself."""
        self.random = random.Random(seed)
        self.calm = calm
        self.lags: dict[tuple[str, str], float] = {}  # by proxy and node: what a reply takes longer
        self.now = 0.0
        self.election_type = election_type
        self.lease_from_reply = False
        self.decode = decode
        self.members = {"a": ("a1", "a2", "a3")} if seed % 2 else {"a": ("a1", "a2"), "b": ("b1", "b2")}
        self.nodes: dict[str, Node] = {}
        for nodes in self.members.values():
            for place, address in enumerate(nodes):
                node = Node(address, self.id(), replid=self.id(), primary=place == 0, follows=nodes[0] if place else "")
                self.nodes[address] = node
        self.watches: dict[tuple[str, str], tuple[int, str, int, bytes | None]] = {}
        self.snapshots: dict[str, dict[str, bytes]] = {}
        self.cut: set[tuple[str, str]] = set()
        self.events: list[tuple[float, int, Callable[[], None]]] = []
        self.numbers = 0
        self.acknowledged: dict[str, list[Acknowledged]] = {}
        self.proxies = [Proxy(f"p{number}", self) for number in range(3)]

    # -- time and messages ------------------------------------------------------------------------------------------

    def id(self) -> str:
        return f"{self.random.getrandbits(160):040x}"

    def later(self, delay: float, what: Callable[[], None]) -> None:
        self.numbers += 1
        heapq.heappush(self.events, (self.now + delay, self.numbers, what))

    def delay(self) -> float:
        if self.calm or self.random.random() < 0.97:
            return 0.0002 + self.random.random() * 0.002
        return self.random.random() * (0.1 if self.random.random() < 0.6 else 1.5)

    def reachable(self, one: str, other: str) -> bool:
        return (one, other) not in self.cut and (other, one) not in self.cut and (
            self.calm or self.random.random() > 0.01
        )

    def every(self, seconds: float, what: Callable[[], None]) -> None:
        def again() -> None:
            what()
            self.later(seconds * (0.9 + self.random.random() / 5), again)

        self.later(self.random.random() * seconds, again)

    def run(self, seconds: float, calm: float = 0.0) -> Simulation:
        """`seconds` of trouble, then `calm` seconds without any."""
        for proxy in self.proxies:
            def tick(proxy: Proxy = proxy) -> None:
                if self.now >= proxy.asleep_until:
                    proxy.act()

            def ask(proxy: Proxy = proxy) -> None:
                if self.now >= proxy.asleep_until:
                    for voter in self.nodes:
                        proxy.ask(voter)

            def write(proxy: Proxy = proxy) -> None:
                if self.now >= proxy.asleep_until:
                    proxy.write()

            self.every(0.05, tick)
            self.every(0.1, ask)
            self.every(0.01, write)
        self.every(0.02, self.replicate)
        self.every(0.7, self.trouble)
        self._until(seconds)
        self.calm = True
        self.cut.clear()
        for node in self.nodes.values():
            if not node.alive:
                self.restart(node)
        self._until(seconds + calm)
        return self

    def _until(self, end: float) -> None:
        while self.events and self.events[0][0] <= end:
            self.now, _, what = heapq.heappop(self.events)
            what()
        self.now = end

    # -- what nodes do ------------------------------------------------------------------------------------------------

    def unchanged(self, node: Node, proxy: str, serial: int) -> bool:
        since, run_id, touched, _ = self.watches.pop((proxy, node.address), (0, "", 0, None))
        return 0 < since <= serial and (run_id, touched) == (node.run_id, node.touched)

    def keep(self, node: Node, proxy: str, serial: int, record: Record) -> bool:
        if not self.unchanged(node, proxy, serial):
            return False
        node.keys[node.address] = encode(record, node.report())
        node.touched += 1
        return True

    def promote(self, node: Node, proxy: str, serial: int) -> bool:
        if not self.unchanged(node, proxy, serial):
            return False
        if not node.primary:
            node.primary, node.follows, node.linked = True, "", False
            node.replid, node.replid2 = self.id(), node.replid
        return True

    def follow(self, node: Node, proxy: str, serial: int, primary: str) -> bool:
        if not self.unchanged(node, proxy, serial):
            return False
        if node.follows != primary:
            node.primary, node.follows, node.linked = False, primary, False
        return True

    def execute(self, node: Node, place: Place) -> bool:
        if not node.primary or node.run_id != place.run_id:
            return False
        node.offset += 1
        node.data += 1
        return True

    def replicate(self) -> None:
        """Replicas follow: in part where their stream allows it, else anew; a new copy brings the primary's keys."""
        for node in self.nodes.values():
            if not node.alive or node.primary:
                continue
            source = self.nodes[node.follows]
            node.linked = source.alive and (node.address, node.follows) not in self.cut
            if not node.linked or self.random.random() < 0.2:
                continue
            if node.replid != source.replid:
                if node.replid == source.replid2 and node.offset <= source.offset:
                    node.replid, node.replid2 = source.replid, node.replid
                else:
                    self.copy(node, source)
            elif node.offset > source.offset:
                self.copy(node, source)
            # What a primary writes under its own name its replicas have, too.
            if source.address in source.keys:
                node.keys[source.address] = source.keys[source.address]
            node.offset, node.data = source.offset, source.data

    def copy(self, node: Node, source: Node) -> None:
        node.keys = dict(source.keys)
        node.touched += 1
        node.replid, node.replid2, node.offset, node.data = source.replid, NO_ID, source.offset, source.data

    # -- what goes wrong ----------------------------------------------------------------------------------------------

    def restart(self, node: Node, keys: dict[str, bytes] | None = None) -> None:
        node.alive, node.run_id, node.primary, node.follows, node.linked = True, self.id(), True, "", False
        node.replid, node.replid2, node.offset, node.data = self.id(), NO_ID, 0, 0
        node.keys = dict(keys or {})
        node.touched += 1

    def part(self, side: set[str]) -> None:
        """Nodes and proxies of this side, and all others, do not reach each other any more."""
        everybody = {*self.nodes, *(proxy.name for proxy in self.proxies)}
        self.cut |= {pair for one in side for other in everybody - side for pair in ((one, other), (other, one))}

    def trouble(self) -> None:
        if self.calm:
            return
        pick = self.random
        node = self.nodes[pick.choice(list(self.nodes))]
        proxy = pick.choice(self.proxies)
        kind = pick.choice(KINDS)
        if kind == "kill" and sum(not node.alive for node in self.nodes.values()) == 0:
            node.alive = False
        elif kind == "restart" and not node.alive:
            self.restart(node)
        elif kind == "snapshot":
            self.snapshots[node.address] = dict(node.keys)
        elif kind == "old" and node.address in self.snapshots:
            self.restart(node, self.snapshots[node.address])
        elif kind == "cut":
            self.cut.add((proxy.name, node.address))
        elif kind == "alone":
            self.part({proxy.name, node.address})
        elif kind == "heal":
            self.cut.clear()
        elif kind == "sleep":
            proxy.asleep_until = self.now + pick.random() * 2
        elif kind == "forget":
            node.keys.pop(node.address, None)
            node.touched += 1
        elif kind == "flush" and pick.random() < 0.3:
            for each in self.nodes.values():
                each.keys.clear()
                each.touched += 1
        elif kind == "resync" and not node.primary and self.nodes[node.follows].alive:
            self.copy(node, self.nodes[node.follows])
        elif kind == "reborn" and pick.random() < 0.5:
            proxy.election = proxy.new()

    # -- the verdict --------------------------------------------------------------------------------------------------

    def check(self) -> None:
        """At most one primary takes acknowledged writes in an epoch, and none after that of a later epoch did."""
        for member, writes in self.acknowledged.items():
            places: dict[int, Place] = {}
            for before, after in itertools.pairwise(writes):
                assert before.place == after.place or before.epoch < after.epoch, (
                    f"{member}: {after} although {before}"
                )
            for write in writes:
                assert places.setdefault(write.epoch, write.place) == write.place, f"{member}: two primaries, {write}"
