"""Cluster: what a Redis Cluster looks like, and what the engines have to be told of that. Pure: it takes `now`.

    CLUSTER SLOTS of some nodes ─► View ─► Topology.take() ─► Member, Slots: orders for the engines

A pool in front of a cluster has a fixed number of places for nodes, because the engines' pools are built once. A node
keeps its place while it is in the cluster and for `GRACE` afterwards, when whatever was under way to it is over; a
place that is free is given to the next node that appears. Nodes are known by their address as they write it
themselves: that is how MOVED names them.

Of several views the one of the highest epoch counts, of nodes that say that the cluster is well: a node that was cut
off believes in what was before. Nothing depends on it that would not be put right by a MOVED.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from proxy.address import Server
from proxy.placement import CLUSTER_SLOTS as SLOTS
from proxy.settings import Pool

__all__ = ["Change", "Member", "Place", "Slots", "Topology", "View", "home_of", "members", "present", "read_view"]

NOBODY = 0xFFFF  #: in the table of slots
GRACE = 90.0  #: seconds; longer than any idle connection of the control plane lasts
PERIOD = 5.0  #: seconds between two looks at a cluster that is well
UNSETTLED = 0.1  #: seconds between two looks at one that is not, at first,
SLOWEST = 1.0  #: and in the long run
ASKED = 3  #: nodes at once


class Place(Server, frozen=False):  # type: ignore[misc]
    """A place for a node of a cluster. It reads like a configured server; which one it is changes at run time."""

    primary: int = -1  #: the place of its primary; its own for a primary
    member: bool = False  #: it holds slots,
    first: int = -1  #: this one and higher ones
    gone: float = 0.0  #: since when it is in the cluster no more; 0: it is


def present(server: Server) -> bool:
    """Is it a node that there is now? Some places are nobody's, or their nodes have left the cluster."""
    return not isinstance(server, Place) or (server.address != "" and not server.gone)


def members(pool: Pool) -> Sequence[int]:
    """The nodes that hold keys of their own, by index: those of the ring, or those of a cluster that hold slots."""
    if not pool.cluster:
        return range(len(pool.servers))
    return [index for index, place in enumerate(pool.servers) if isinstance(place, Place) and place.member]


def home_of(pool: Pool, index: int) -> int:
    """The node that a node is a replica of, by index; its own where it is none."""
    servers = pool.servers
    if index >= len(servers):
        return pool.replica_of[index - len(servers)]
    place = servers[index]
    return place.primary if isinstance(place, Place) and place.primary >= 0 else index


# -- what a node says -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class View:
    """The cluster as one node sees it."""

    well: bool  #: it says that the cluster serves
    epoch: int
    ranges: tuple[tuple[int, int, str, tuple[str, ...]], ...]  #: first and last slot, primary, replicas


def read_view(information: bytes, slots: Sequence[Any], host: str) -> View:
    """From the replies to CLUSTER INFO and CLUSTER SLOTS of a node that was reached at `host`.

    Raises:
        ValueError: they are not what a node of a cluster says.
    """
    state = re.search(rb"cluster_state:(\w+)", information)
    epoch = re.search(rb"cluster_current_epoch:(\d+)", information)
    if state is None or epoch is None:
        raise ValueError("it does not say what CLUSTER INFO says")
    ranges = []
    for entry in slots:
        try:
            first, last, *nodes = entry
            addresses = [_address(node, host) for node in nodes]
        except (TypeError, ValueError, IndexError) as error:
            raise ValueError(f"it does not say what CLUSTER SLOTS says: {error}") from error
        if not (isinstance(first, int) and isinstance(last, int) and 0 <= first <= last < SLOTS and addresses):
            raise ValueError(f"it does not say what CLUSTER SLOTS says: {entry!r}")
        ranges.append((first, last, addresses[0], tuple(addresses[1:])))
    return View(state[1] == b"ok", int(epoch[1]), tuple(ranges))


def _address(node: Sequence[Any], host: str) -> str:
    """`host:port` as MOVED writes it, without brackets. A node that does not know its own host is where we found it."""
    name = node[0]
    if name is None or name in (b"", b"?"):
        known = dict(zip(node[3][::2], node[3][1::2], strict=True)) if name == b"?" and len(node) > 3 else {}
        name = known.get(b"ip", host.encode())
    return f"{name.decode()}:{int(node[1])}"


# -- what becomes of it -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Member:
    """This place is now the node with this address, or nobody's; `new`: it was another's before, or was away."""

    place: int
    address: str
    holds_slots: bool
    primary: int
    new: bool


@dataclass(frozen=True, slots=True)
class Slots:
    """The node of each slot, as 16384 numbers of 16 bits."""

    table: bytes


Change = Member | Slots


@dataclass(slots=True)
class Topology:
    """What is known of one cluster. `places` are the pool's servers, which are changed here and nowhere else."""

    seeds: Sequence[str]  #: host:port
    places: Sequence[Place]
    replicas: bool = False  #: are to have places, too
    table: bytes = b""  #: as Slots has it
    served: int = 0  #: slots that have a node
    without: int = 0  #: nodes of the last view that got no place
    known: list[str] = field(default_factory=list)  #: addresses of all nodes, with a place or without

    def whom(self, hints: Iterable[str], chance: Sequence[float]) -> list[str]:
        """The next to be asked: those who were named by a redirection, then others, in an order by `chance` (numbers in
        [0, 1), as many as there may be nodes); the seeds come in when none of those is left."""
        drawn = sorted(self.known, key=dict(zip(self.known, chance, strict=False)).__getitem__)
        best = list(dict.fromkeys([*hints, *drawn]))
        seeds = [seed for seed in self.seeds if seed not in best]
        # One place for a seed, so that a cluster whose nodes have all changed is found again.
        best = best[: ASKED - bool(seeds)]
        offset = int(chance[0] * len(seeds)) if seeds else 0
        return [*best, *(seeds[offset:] + seeds[:offset])[: ASKED - len(best)]]

    def owner(self, slot: int) -> int | None:
        """The place of the node that holds a slot."""
        place = memoryview(self.table).cast("H")[slot] if self.table else NOBODY
        return None if place == NOBODY else int(place)

    @property
    def settled(self) -> bool:
        """Every slot is held, as far as is known."""
        return self.served == SLOTS

    def take(self, views: Sequence[View], now: float) -> list[Change]:
        """What the best of these views changes: nodes that came first, then the table, then roles, so that reads of a
        slot find its replicas until it has another node, then nodes that went."""
        if not views:
            return self._expire(now)
        view = max(views, key=lambda view: (view.well, view.epoch))
        primaries = dict.fromkeys(primary for _, _, primary, _ in view.ranges)
        replicas = {replica: primary for _, _, primary, behind in view.ranges for replica in behind
                    if replica not in primaries}  # fmt: skip
        self.known = [*primaries, *replicas]
        wanted = [*primaries, *replicas] if self.replicas else [*primaries]
        changes = self._settle(wanted, now)
        at = {place.address: index for index, place in enumerate(self.places) if place.address}
        roles: list[Change] = []
        for address in wanted:
            if address in at:
                primary = at.get(replicas.get(address, address), -1)
                roles += self._become(at[address], address in primaries, primary)
        table = array("H", [NOBODY]) * SLOTS
        self.served = 0
        for first, last, address, _ in sorted(view.ranges, reverse=True):
            if address in at:
                table[first : last + 1] = array("H", [at[address]]) * (last + 1 - first)
                self.places[at[address]].first = first
                self.served += last + 1 - first
        left = []
        for index, place in enumerate(self.places):
            if place.address and place.address not in wanted:
                place.gone = place.gone or now
                left += self._become(index, False, -1)
        made = table.tobytes()
        if made != self.table:
            self.table = made
            changes.append(Slots(made))
        return changes + roles + left + self._expire(now)

    def _settle(self, wanted: Sequence[str], now: float) -> list[Change]:
        """Give places to those that have none."""
        at = {place.address: place for place in self.places if place.address}
        free = [index for index, place in enumerate(self.places) if not place.address]
        changes: list[Change] = []
        self.without = 0
        for address in wanted:
            if address in at:
                if at[address].gone:
                    at[address].gone = 0.0
                    changes.append(Member(self.places.index(at[address]), address, False, -1, True))
            elif free:
                index = free.pop(0)
                self.places[index].address = address  # type: ignore[misc]
                self.places[index].gone = 0.0
                changes.append(Member(index, address, False, -1, True))
            else:
                self.without += 1
        return changes

    def _become(self, index: int, holds_slots: bool, primary: int) -> list[Change]:
        place = self.places[index]
        if (place.member, place.primary) == (holds_slots, primary):
            return []
        place.member, place.primary = holds_slots, primary
        return [Member(index, place.address, holds_slots, primary, False)]

    def _expire(self, now: float) -> list[Change]:
        """Places whose nodes are gone for long enough."""
        changes: list[Change] = []
        for index, place in enumerate(self.places):
            if place.address and place.gone and now - place.gone > GRACE:
                place.address = ""  # type: ignore[misc]
                changes.append(Member(index, "", False, -1, True))
        return changes
