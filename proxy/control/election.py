"""Election: how the proxies of a pool agree on who is the primary of each member, without any service of their own.
Pure: one proxy's part, which takes `now` and what the voters answered, and returns what is to be done.

What holds is kept by the voters (see epoch.py), and every proxy asks all of them all the time:

    lease       A majority keeps my record: until `lease` after the earliest of these questions was sent I may
                acknowledge writes by it.
    raise       Whoever wants another record writes it to a majority of those that have an older one, each only if it
                is unchanged since it was asked, and then asks them again. If that majority still has it the epoch is
                won: at the moment before the second question all of it had the new record at once, so no lease on an
                older one can begin after that moment, and after `lease` more there is none. Who forgot his record
                meanwhile is noticed by the second question.
    vacate      A primary that is dead, or whose process is not the one of the record, loses its place with a raise.
    promote     1.1 leases after its epoch was won, who raised it promotes the replica that has most of the stream, and
                raises once more with the new primary.
    re-seed     A voter without a record counts for nobody. It gets one in a raise, after that is won, and only if it
                had none before and ever since.
    start       If so many voters have forgotten that no majority has a record, they count like any other: in an epoch
                without primaries, whose number is that of no epoch before. 1.1 leases later all leases are over.

Every raise keeps a primary on which all voters agree whose record is not older than mine, and vacates the place of
any other. Everybody follows the record that a majority has. The unit of time is the second of one monotonic clock;
clocks of two proxies may differ in rate by a tenth.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from proxy.control.epoch import VACANT, Place, Record
from proxy.control.roles import Report

T = TypeVar("T")

#: What a primary's death waits for beyond the lease, so that clocks may differ.
MARGIN = 1.1
#: Seconds after which a raise that was not won is given up.
PATIENCE = 0.3
#: Seconds without a decision after which this process itself must have slept: silence until then says nothing.
STALL = 0.25
#: Seconds between attempts to make the same node a replica.
FOLLOW_AGAIN = 1.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What a voter answered."""

    sent: float  #: when it was asked
    serial: int  #: which question; what is done next is done only if its record did not change since
    report: Report
    record: Record | None


@dataclass(frozen=True, slots=True)
class Ask:
    """Ask a voter now."""

    voter: str


@dataclass(frozen=True, slots=True)
class Vote:
    """Have a voter keep `record`, if what it has is unchanged since the question `serial`."""

    voter: str
    serial: int
    record: Record


@dataclass(frozen=True, slots=True)
class Promote:
    """Make a node a primary, on the same condition."""

    voter: str
    serial: int


@dataclass(frozen=True, slots=True)
class Follow:
    """Make a node a replica of the one at `primary`, on the same condition."""

    voter: str
    serial: int
    primary: str


@dataclass(frozen=True, slots=True)
class Adopt:
    """From here on this record says where writes go. `why` is for people."""

    record: Record
    why: str


Action = Ask | Vote | Promote | Follow | Adopt


@dataclass(slots=True)
class _Raise:
    """A raise under way."""

    record: Record
    began: float
    why: str
    forgetful: dict[str, int] = field(default_factory=dict)  # voters without a record → the question that showed it
    granted: set[str] = field(default_factory=set)
    refused: int = 0
    counted: frozenset[str] = frozenset()  # the majority that granted it, since
    counted_at: float = 0.0


class Election:
    """One proxy's part in one pool."""

    def __init__(
        self, proxy: str, members: Mapping[str, tuple[str, ...]], *, lease: float, down_after: float,
        chance: Callable[[], float], clock: Callable[[], float], now: float,
    ) -> None:  # fmt: skip
        """`members`: the addresses of each member's nodes, by its label; the first is preferred where nothing else is
        known. `chance()` in [0, 1) keeps proxies from acting in step. `clock()` is the time of day in seconds, whose
        milliseconds are numbers that no epoch had."""
        self.record: Record | None = None
        self.lease_until = 0.0  #: writes may be acknowledged by `record`
        self.answers: dict[str, Answer] = {}
        self._proxy = proxy
        self._members = members
        self._voters = tuple(address for nodes in members.values() for address in nodes)
        self._majority = len(self._voters) // 2 + 1
        self._lease = lease
        self._down_after = down_after
        self._chance = chance
        self._clock = clock
        self._raise: _Raise | None = None
        self._not_before = now + chance() * lease / 4
        self._decided = now
        self._awake = now  # silence counts from here
        self._won_at = 0.0  # when the record was, if it is mine
        self._vacant_since: dict[str, float] = {}  # by member: won at, in an unbroken row of epochs of mine
        self._adopted = now
        self._behind: tuple[float, float] | None = None  # since when a voter lacks the record; until when that may last
        self._patience = 1.0
        self._promoting: dict[str, float] = {}  # by node: when it was last told
        self._promoted: dict[str, Place] = {}  # by member
        self._moved: dict[str, float] = {}  # by node: when its offset was last seen to grow
        self._streams: dict[str, str] = {}  # by member: the stream of its last primary
        self._followed: dict[str, float] = {}
        self._strange: dict[str, float] = {}  # by run_id: when another process than the record's was first seen
        self._hesitation = lease * (0.35 + 0.35 * chance())  # longer than two proxies' questions are apart

    # -- what happened ------------------------------------------------------------------------------------------------

    def answered(self, voter: str, answer: Answer, now: float) -> None:
        """A voter answered a question."""
        before = self.answers.get(voter)
        if before is not None and before.sent > answer.sent:
            return
        report = answer.report
        if before is not None and before.report.offset < report.offset and before.report.shares(report):
            self._moved[voter] = now
        self.answers[voter] = answer

    def voted(self, voter: str, record: Record, kept: bool, now: float) -> list[Action]:
        """A voter took a record, or did not."""
        current = self._raise
        if current is None or current.record != record or voter in current.forgetful:
            return []
        if not kept:
            current.refused += 1
            if len(self._voters) - current.refused < self._majority:
                self._give_up(now)
            return [Ask(voter)]
        current.granted.add(voter)
        if current.counted or len(current.granted) < self._majority:
            return []
        current.counted = frozenset(current.granted)
        current.counted_at = now
        return [Ask(granted) for granted in sorted(current.counted)]

    def promoted(self, voter: str, done: bool, now: float) -> list[Action]:
        """A node was made a primary, or was not."""
        if not done:
            self._promoting.pop(voter, None)
        return [Ask(voter)]

    # -- what to do ---------------------------------------------------------------------------------------------------

    def decide(self, now: float) -> list[Action]:
        """To be called at every answer, and at least every tenth of a second."""
        if now - self._decided > STALL:
            self._awake = now
        self._decided = now
        fresh = self._fresh(now)
        actions = self._follow_majority(fresh, now)
        self._renew(fresh)
        if self._raise is not None:
            actions += self._go_on(self._raise, fresh, now)
        if self._raise is None and now >= self._not_before and now - self._awake >= self._lease / 2:
            actions += self._begin(fresh, now)
        if self._raise is None and now < self.lease_until and self.record is not None:
            actions += self._promote(self.record, fresh, now)
            actions += self._repoint(self.record, fresh, now)
            if self._promoted and now >= self._not_before:
                actions += self._begin(fresh, now)
        return actions

    def _fresh(self, now: float) -> dict[str, Answer]:
        within = min(self._lease, self._down_after)
        return {voter: answer for voter, answer in self.answers.items() if now - answer.sent < within}

    def _follow_majority(self, fresh: Mapping[str, Answer], now: float) -> list[Action]:
        """Adopt the record that a majority has, if it is newer than mine."""
        for record in _distinct(answer.record for answer in fresh.values()):
            kept = sum(answer.record == record for answer in fresh.values())
            if kept >= self._majority and (self.record is None or record.epoch > self.record.epoch):
                if record.proxy == self._proxy:
                    continue  # a raise of mine: it has to be won
                return [self._adopt(record, now, f"{record.proxy} raised it")]
        return []

    def _adopt(self, record: Record, now: float, why: str) -> Adopt:
        mine = record.proxy == self._proxy
        self._vacant_since = {
            member: self._vacant_since.get(member, self._won_at)
            for member in self._members if mine and not record.primary(member)
        }  # fmt: skip
        self.record = record
        self.lease_until = 0.0
        self._adopted = now
        self._behind = None
        self._promoted.clear()
        self._promoting.clear()
        return Adopt(record, why)

    def _renew(self, fresh: Mapping[str, Answer]) -> None:
        if self.record is not None:
            sent = sorted((answer.sent for answer in fresh.values() if answer.record == self.record), reverse=True)
            if len(sent) >= self._majority:
                self.lease_until = max(self.lease_until, sent[self._majority - 1] + self._lease)

    # -- raising ------------------------------------------------------------------------------------------------------

    def _begin(self, fresh: Mapping[str, Answer], now: float) -> list[Action]:
        """Is there a reason to raise the epoch?"""
        record = self.record
        with_record = sum(answer.record is not None for answer in fresh.values())
        if len(fresh) < self._majority:
            return []
        if record is None or now >= self.lease_until:
            # Nobody has a majority: too many have forgotten, or a raise was not finished.
            if self._behind is None:
                wait = self._chance() / 4 if record is None else 0.5 + self._chance()
                self._behind = now, now + self._lease * wait
            if now < self._behind[1]:
                return []
            if with_record < self._majority:
                return self._start(fresh, now)
            return self._propose(fresh, {}, "no record had a majority", now)
        if self._promoted:
            places, self._promoted = self._promoted, {}
            names = ", ".join(f"{member} is at {place.address}" for member, place in places.items())
            return self._propose(fresh, places, names, now)
        for member in self._members:
            if record.primary(member) and (why := self._dead(record, member, fresh, now)):
                return self._propose(fresh, {member: VACANT}, why, now)
            idle = not record.primary(member) and record.proxy != self._proxy and self._best(member, fresh)
            if idle and now - self._adopted > self._lease * (3 + 2 * self._chance()):
                return self._propose(fresh, {}, f"{record.proxy} found no primary for {member}", now)
        return self._reseed(record, fresh, now)

    def _reseed(self, record: Record, fresh: Mapping[str, Answer], now: float) -> list[Action]:
        """A voter that lacks the record gets it with a raise; whoever raised last is to do it first."""
        behind = sorted(voter for voter, answer in fresh.items() if answer.record != record)
        if not behind:
            if self._behind is not None and now - self._adopted > self._lease:
                self._patience = 1.0
            self._behind = None
            return []
        if self._behind is None:
            wait = self._lease * (0.5 + self._chance()) * (1 if record.proxy == self._proxy else 3)
            self._behind = now, now + wait * self._patience
        if now < self._behind[1]:
            return []
        self._patience = min(self._patience * 2, 64.0)  # a voter that takes no record is not asked for ever
        return self._propose(fresh, {}, f"{', '.join(behind)} had no record, or an older one", now)

    def _start(self, fresh: Mapping[str, Answer], now: float) -> list[Action]:
        return self._propose(fresh, {}, "too few voters had a record", now, int(self._clock() * 1000), forgotten=True)

    def _propose(
        self, fresh: Mapping[str, Answer], places: Mapping[str, Place], why: str, now: float, least: int = 0,
        forgotten: bool = False,
    ) -> list[Action]:  # fmt: skip
        """Begin a raise: with these places, and those on which all who have a record agree."""
        seen = _distinct(answer.record for answer in fresh.values())
        own = self.record.epoch if self.record is not None else 0
        epoch = max([least, own + 1, *(record.epoch + 1 for record in seen)])
        current_ones = [record for record in seen if record.epoch >= own]
        surpassed = any(record != self.record for record in current_ones)
        if surpassed:
            # A raise that I do not know to be won, maybe one of mine: who was primary by it may be so for others.
            self._vacant_since.clear()
        primaries = {}
        for member in self._members:
            agreed = _distinct(record.primary(member) for record in current_ones)
            place = places.get(member, agreed[0] if len(agreed) == 1 else VACANT)
            # Who was promoted in my epoch may not be in that of somebody else.
            primaries[member] = VACANT if forgotten or (member in places and surpassed) else place
        self._raise = current = _Raise(Record(epoch, self._proxy, primaries), now, why)
        actions: list[Action] = []
        for voter, answer in fresh.items():
            if answer.record is None and not forgotten:
                current.forgetful[voter] = answer.serial
            else:
                actions.append(Vote(voter, answer.serial, current.record))
        return actions

    def _go_on(self, current: _Raise, fresh: Mapping[str, Answer], now: float) -> list[Action]:
        """Is it won, or lost?"""
        record = current.record
        held = [
            voter for voter in current.counted
            if voter in fresh and fresh[voter].sent >= current.counted_at and fresh[voter].record == record
        ]  # fmt: skip
        if len(held) >= self._majority:
            self._raise = None
            self._won_at = current.counted_at
            actions: list[Action] = [self._adopt(record, now, current.why)]
            self._renew(fresh)
            return actions + [Vote(voter, serial, record) for voter, serial in current.forgetful.items()]
        newer = any(
            answer.record is not None and answer.record != record and answer.record.epoch >= record.epoch
            for answer in fresh.values()
        )
        if newer or now - current.began > PATIENCE:
            self._give_up(now)
        return []

    def _give_up(self, now: float) -> None:
        """It was not won: whoever is first after a moment tries again."""
        self._raise = None
        self._promoted.clear()
        self._behind = None
        self._not_before = now + self._lease * (0.1 + 0.5 * self._chance())

    # -- members ------------------------------------------------------------------------------------------------------

    def _dead(self, record: Record, member: str, fresh: Mapping[str, Answer], now: float) -> str:
        """Why the primary of a member is to lose its place; "" where it is not, or where nobody could take it."""
        place = record.primary(member)
        answer = self.answers.get(place.address)
        if answer is not None and answer.report.run_id == place.run_id and answer.report.primary:
            self._streams[member] = answer.report.replid
        if not self._best(member, fresh):
            return ""
        # Who raised last raises first: two at once would get in each other's way.
        hesitation = 0.0 if record.proxy == self._proxy else self._hesitation
        if answer is not None and place.address in fresh:
            if answer.report.run_id != place.run_id:
                seen = self._strange.setdefault(answer.report.run_id, now)
                return f"{place.address} of {member} was restarted" if now - seen >= hesitation else ""
            if not answer.report.primary and now - self._adopted >= self._down_after:
                return f"{place.address} of {member} is a replica"
            return ""
        # What its replicas get of it is a sign of life, too: somebody reaches it.
        linked = [node for node in self._members[member] if node in fresh and fresh[node].report.linked]
        fed = (self._moved.get(node, 0.0) for node in linked)
        silent = now - max(self._awake, self._adopted if answer is None else answer.sent, *fed)
        if silent < self._down_after + hesitation:
            return ""
        return f"{place.address} of {member} has been silent for {silent:.2f} s"

    def _best(self, member: str, fresh: Mapping[str, Answer]) -> str:
        """Who is to be primary: the one with most of the last primary's stream; "" while there is none to be had.

        Without a last primary: who is one already and has replicas, or data; of several the first in the configuration.
        A node that lost its data is none as long as another may come back that has it.
        """
        nodes = self._members[member]
        last = self._streams.get(member, "")

        def rank(node: str) -> tuple[bool, bool, bool, int, int, int]:
            report = fresh[node].report
            related = bool(last) and last in (report.replid, report.replid2)
            first = not last and report.primary
            return related, report.keys > 0, first, report.replicas if first else 0, report.offset, -nodes.index(node)

        able = [node for node in nodes if node in fresh and not fresh[node].report.syncing]
        best = max(able, key=rank, default="")
        if best and last and len(able) < len(nodes) and not any(rank(best)[:2]):
            return ""
        return best

    def _promote(self, record: Record, fresh: Mapping[str, Answer], now: float) -> list[Action]:
        """Of an epoch that is mine, and in which all older leases are over: the best node of each member without a
        primary."""
        actions: list[Action] = []
        if record.proxy != self._proxy:
            return []
        for member, since in self._vacant_since.items():
            if member in self._promoted or now < since + self._lease * MARGIN:
                continue
            best = self._best(member, fresh)
            if not best or fresh[best].record != record:
                continue
            if fresh[best].report.primary:
                self._promoted[member] = Place(best, fresh[best].report.run_id)
                continue
            if now - self._promoting.get(best, -math.inf) > PATIENCE:
                self._promoting[best] = now
                actions.append(Promote(best, fresh[best].serial))
        return actions

    def _repoint(self, record: Record, fresh: Mapping[str, Answer], now: float) -> list[Action]:
        """Every other node of a member is a replica of its primary."""
        actions: list[Action] = []
        for member, nodes in self._members.items():
            place = record.primary(member)
            primary = fresh.get(place.address)
            if primary is None or not primary.report.primary or primary.report.run_id != place.run_id:
                continue
            for node in nodes:
                if node == place.address or node not in fresh:
                    continue
                report = fresh[node].report
                if report.follows == place.address or (report.linked and report.shares(primary.report)):
                    self._followed.pop(node, None)
                    continue
                due = self._followed.setdefault(
                    node, now + (0.0 if record.proxy == self._proxy else FOLLOW_AGAIN * (1 + self._chance()))
                )
                if now >= due:
                    self._followed[node] = now + FOLLOW_AGAIN
                    actions.append(Follow(node, fresh[node].serial, place.address))
        return actions


def _distinct(values: Iterable[T | None]) -> list[T]:
    """Without None, each once: they need not be hashable."""
    found: list[T] = []
    for value in values:
        if value is not None and value not in found:
            found.append(value)
    return found
