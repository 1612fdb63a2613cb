"""Health: what to do about nodes that fail. Pure: it takes `now` and `chance`, and returns actions.

    UP ── a connection is lost, or a request fails ──► SUSPECT: reconnect, or ask it PING
    SUSPECT ── a connection opens, or a PING is answered ──► UP
    SUSPECT ── `limit` failures in a row, or too many of all requests time out ──► DOWN: requests are refused (or go to
        the next node of the walk)
    DOWN ── `retry` is over ──► PROBING ── the probe is not answered ──► DOWN
    PROBING ── it is answered ──► UP: every engine reconnects

A failure is a connection that cannot be opened or breaks, requests that time out (a hang counts once a timeout,
however many requests it held up), a PING that is not answered where the pool asks for them (`every`), or an error reply
that says that the node serves nobody: -LOADING, -BUSY, -MASTERDOWN. (-OOM and -READONLY are about writes: taking the
node out of service for them would refuse its reads as well.) Any other reply ends the row. Readmission only ever
follows a probe: blind readmission, as twemproxy does it, sends clients to a node that is still dead.

Whether a node that answers has what it should have is judged elsewhere: replicas by freshness.py, a primary that
came back empty by election.py, nodes with `replication: ring` by attendance.py. None of them is read before it has
caught up.

Where others take over a dead node's keys, and more than `panic` of a pool would be out, none is: it is likelier that
this proxy sees badly than that so many died, and the few would drown in the keys of the many. (After Envoy's panic
threshold.) Nodes that are down are then tried like any other, and still probed.

All pauses are jittered, so that proxies that saw the same death do not return in step.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum

__all__ = ["Action", "Admit", "Connect", "Eject", "NodeHealth", "Ping", "PoolHealth", "Probe", "State"]

#: Samples of a node's counters that its rate of failures is judged by, and requests below which it is not.
SAMPLES = 10
FEW = 20


class State(Enum):
    """Of one node, for the whole process."""

    UP = "up"
    SUSPECT = "suspect"
    DOWN = "down"
    PROBING = "probing"


@dataclass(frozen=True, slots=True)
class Connect:
    """Have `engine` reconnect at time `at`."""

    engine: int
    at: float


@dataclass(frozen=True, slots=True)
class Eject:
    """Take the node out of service in every engine."""


@dataclass(frozen=True, slots=True)
class Admit:
    """Put the node back into service in every engine and reconnect them all now."""


@dataclass(frozen=True, slots=True)
class Probe:
    """Probe a node that is down at time `at`: `probing`, then `probed`."""

    at: float


@dataclass(frozen=True, slots=True)
class Ping:
    """Ask a node that is not down for a PING at time `at`: `pinged`."""

    at: float


Action = Connect | Eject | Admit | Probe | Ping


def _jittered(pause: float, chance: float) -> float:
    """75 to 125 % of it."""
    return pause * (0.75 + chance / 2)


@dataclass(slots=True)
class NodeHealth:
    """One node's state. Times are seconds of one monotonic clock, `chance` is in [0, 1).

    limit: failures in a row that take it out. retry: pause between probes. first, most: bounds of the reconnection
    pause. every: pause between PINGs of a node that is well; None: it is asked only while it is suspect. rate: share of
    requests that time out which takes it out; None: no share does.
    """

    limit: int
    retry: float
    first: float
    most: float
    every: float | None = None
    rate: float | None = None
    state: State = State.UP
    since: float = 0.0
    reason: str = ""
    attempts: dict[int, int] = field(default_factory=dict)  # by engine: reconnections since the last success
    ejections: int = 0
    spared: bool = False  #: it is down, and in service all the same: see PoolHealth
    silent: int = 0  #: PINGs in a row that were not answered
    asked: bool = False  #: a Ping is on its way
    samples: deque[tuple[int, int]] = field(default_factory=lambda: deque(maxlen=SAMPLES + 1))  #: (requests, timeouts)

    @property
    def out(self) -> bool:
        """It was given up; it may be spared all the same."""
        return self.state in (State.DOWN, State.PROBING)

    def begin(self, now: float, chance: float) -> list[Action]:
        """The node is there: a first PING, where nodes are asked without a reason, at any time of the first period."""
        return [] if self.every is None or self.asked else self._ping(now + self.every * chance)

    def failed(self, engine: int, failures: int, lost: bool, reason: str, now: float, chance: float) -> list[Action]:
        """A node connection of `engine` failed for the `failures`-th time in a row; `lost`: it is closed."""
        if self.out and not self.spared:
            self.reason = reason
            return []
        if not self.out and failures >= self.limit:
            return self._down(reason, now, chance)
        if not self.out:
            self._become(State.SUSPECT, reason, now)
        if not lost:
            return [] if self.out or self.asked else self._ping(now)
        attempt = self.attempts.get(engine, 0)
        self.attempts[engine] = attempt + 1
        if attempt == 0 and not self.out:
            return [Connect(engine, now)]
        pause = min(self.most, self.first * 2.0 ** min(max(attempt - 1, 0), 30))
        return [Connect(engine, now + pause * (0.5 + chance / 2))]

    def opened(self, engine: int, now: float) -> None:
        """A connection of `engine` was opened."""
        self.attempts.pop(engine, None)
        if self.state is State.SUSPECT and not self.attempts:
            self._become(State.UP, "", now)

    def pinged(self, answered: bool, reason: str, now: float, chance: float) -> list[Action]:
        """What became of a Ping."""
        self.asked = False
        if self.out:
            return []
        if answered:
            self.silent = 0
            if self.state is State.SUSPECT and not self.attempts:
                self._become(State.UP, "", now)
        elif self.every is not None:
            self.silent += 1
            if self.silent >= self.limit:
                return self._down(reason, now, chance)
            self._become(State.SUSPECT, reason, now)
        if self.every is None and self.state is State.UP:
            return []
        return self._ping(now + _jittered(self.retry if self.every is None else self.every, chance))

    def counted(self, requests: int, timeouts: int, now: float, chance: float) -> list[Action]:
        """The node's counters, ever growing, at one of many equal steps."""
        self.samples.append((requests, timeouts))
        if self.rate is None or self.out:
            return []
        asked, late = requests - self.samples[0][0], timeouts - self.samples[0][1]
        if asked < FEW or late < self.rate * asked:
            return []
        return self._down(f"{late} of {asked} requests timed out", now, chance)

    def probing(self, now: float) -> None:
        """The probe of a node that is down begins."""
        if self.state is State.DOWN:
            self._become(State.PROBING, self.reason, now)

    def probed(self, answered: bool, reason: str, now: float, chance: float) -> list[Action]:
        """And ends."""
        if not self.out:
            return []
        if not answered:
            self._become(State.DOWN, reason, now)
            return [Probe(now + _jittered(self.retry, chance))]
        self._become(State.UP, "", now)
        self.spared = False
        self.attempts.clear()
        return [Admit(), *self.begin(now, chance)]

    def _down(self, reason: str, now: float, chance: float) -> list[Action]:
        self._become(State.DOWN, reason, now)
        self.ejections += 1
        self.attempts.clear()
        self.samples.clear()
        self.silent = 0
        return [Eject(), Probe(now + _jittered(self.retry, chance))]

    def _become(self, state: State, reason: str, now: float) -> None:
        self.reason = reason
        if state is not self.state:
            self.state = state
            self.since = now

    def _ping(self, at: float) -> list[Action]:
        self.asked = True
        return [Ping(at)]


@dataclass(slots=True)
class PoolHealth:
    """The nodes of a ring that take over each other's keys. `panic`: the share of them that may be out, 1: all."""

    members: Sequence[NodeHealth]
    panic: float
    panicking: bool = False

    def weigh(self) -> list[tuple[int, Action]]:
        """After any change: nodes to admit though they are down, and those to eject when the panic is over."""
        out = sum(member.out for member in self.members)
        self.panicking = out > self.panic * len(self.members)
        actions: list[tuple[int, Action]] = []
        for place, member in enumerate(self.members):
            if not member.out or member.spared is self.panicking:
                continue
            member.spared = self.panicking
            actions.append((place, Admit() if self.panicking else Eject()))
        return actions
