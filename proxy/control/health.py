"""Health: what to do about a node whose connections fail. Pure: it takes `now` and `chance`, and returns actions.

    UP ── a connection is lost ──► UP, reconnect at once, then after a growing, jittered pause
    UP ── `limit` failures in a row ──► EJECTED: requests are refused (or go to the next node of the walk)
    EJECTED ── a probe is answered ──► UP, every engine reconnects
    EJECTED ── a probe fails ──► EJECTED, probed again after `retry`

A failure is a connection that cannot be opened or breaks, requests that time out (a hang counts once a timeout, however
many requests it held up), or an error reply that says that the node serves nobody: -LOADING, -BUSY, -MASTERDOWN. (-OOM
and -READONLY are about writes: taking the node out of service for them would refuse its reads as well.) Any other reply
ends the row. Readmission only ever follows
a probe: blind readmission, as twemproxy does it, sends clients to a node that is still dead.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum


class State(Enum):
    """Of one node, for the whole process."""

    UP = "up"
    EJECTED = "ejected"


@dataclass(frozen=True, slots=True)
class Connect:
    """Have `engine` reconnect at time `at`."""

    engine: int
    at: float


@dataclass(frozen=True, slots=True)
class Eject:
    """Take the node out of service in every engine, and probe it at time `probe_at`."""

    probe_at: float


@dataclass(frozen=True, slots=True)
class Admit:
    """Put the node back into service in every engine and reconnect them all now."""


@dataclass(frozen=True, slots=True)
class Probe:
    """Probe again at time `at`."""

    at: float


Action = Connect | Eject | Admit | Probe


@dataclass(slots=True)
class NodeHealth:
    """One node's state. Times are seconds of one monotonic clock.

    limit: failures in a row that eject. retry: pause between probes. first, most: bounds of the reconnection pause.
    """

    limit: int
    retry: float
    first: float
    most: float
    state: State = State.UP
    since: float = 0.0
    reason: str = ""
    attempts: dict[int, int] = field(default_factory=dict)  # by engine: reconnections since the last success
    ejections: int = 0

    def failed(self, engine: int, failures: int, lost: bool, reason: str, now: float, chance: float) -> list[Action]:
        """A node connection of `engine` failed for the `failures`-th time in a row; `lost`: it is closed.

        `chance` in [0, 1) jitters the pause to 50 to 100 % of itself, so that proxies do not return in step.
        """
        self.reason = reason
        if self.state is State.EJECTED:
            return []
        if failures >= self.limit:
            self.state = State.EJECTED
            self.since = now
            self.ejections += 1
            self.attempts.clear()
            return [Eject(now + self.retry)]
        if not lost:
            return []
        attempt = self.attempts.get(engine, 0)
        self.attempts[engine] = attempt + 1
        if attempt == 0:
            return [Connect(engine, now)]
        pause = min(self.most, self.first * 2.0 ** min(attempt - 1, 30))
        return [Connect(engine, now + pause * (0.5 + chance / 2))]

    def opened(self, engine: int) -> None:
        """A connection of `engine` was opened."""
        self.attempts.pop(engine, None)

    def probed(self, answered: bool, reason: str, now: float) -> list[Action]:
        """The result of a probe of an ejected node."""
        if self.state is not State.EJECTED:
            return []
        if not answered:
            self.reason = reason
            return [Probe(now + self.retry)]
        self.state = State.UP
        self.since = now
        self.reason = ""
        return [Admit()]
