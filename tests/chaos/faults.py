"""Faults: what is done to a tier, and how good it has to be meanwhile. A row of the table is a fault with its bars."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

from tests.chaos.history import Findings
from tests.chaos.stage import Shape, Stage

DEADLINE = 1.0  # seconds, `timeout` of the pool
TIMEOUT = ("timeout", "1s")
PROMOTE = (("failover", "promote"), ("down_after", "500ms"))
REPLICATED = Shape(options=(TIMEOUT, *PROMOTE))
READS_SURVIVE = Shape(options=(TIMEOUT, *PROMOTE, ("read_from", "prefer_primary")))
RING = Shape(5, 0, (TIMEOUT, ("replication", "ring"), ("ring", "{copies: 3, write: quorum, read: quorum}")))
RING_ONE = replace(RING, options=(*RING.options[:-1], ("ring", "{copies: 3, write: quorum, read: one}")))


@dataclass(frozen=True)
class Bar:
    """`measure` of the findings has to be at most `most`, in `unit`."""

    what: str
    measure: Callable[[Findings], float]
    most: float
    unit: str = ""

    def holds(self, value: float) -> bool:
        return not math.isnan(value) and value <= self.most

    def told(self, value: float) -> str:
        return f"{value:.4g} {self.unit}".strip()


FAILED_READS = Bar(
    "failed reads that did not stand beside a write of their client",
    lambda found: len(found.failed_reads) - len(found.in_order), 0,
)  # fmt: skip
GHOSTS = Bar("writes that happened though told not sent", lambda found: len(found.ghosts), 0)
STALE = Bar("stale reads outside of the fault", lambda found: len(found.stale_outside), 0)
LINEAR = Bar("keys that were not linearizable outside of the fault", lambda found: len(found.not_linearizable), 0)
TWICE = Bar("numbers given out twice outside of the fault", lambda found: len(found.counted_twice), 0)
FLOW = Bar("time until writes flow", lambda found: 1000 * found.flow, 1500, "ms")
ONE = Bar("primaries that acknowledged in one epoch", lambda found: found.primaries, 1)
NO_LOSS = Bar("acknowledged writes lost", lambda found: len(found.lost), 0)
AGREE = Bar("until all proxies agree", lambda found: found.agreed, 2, "s")
ALWAYS = (GHOSTS, STALE, LINEAR, TWICE, ONE)


def late(records: Sequence[object], found: Findings) -> int:
    """Of these, those that began more than one deadline after the fault."""
    return sum(record.began > found.struck + DEADLINE for record in records)  # type: ignore[attr-defined]


RING_NEEDS = ("ring.copies",)
RING_BARS = (
    Bar("failed reads after one deadline", lambda found: late(found.failed_reads, found), 0),
    Bar("failed writes after one deadline", lambda found: late(found.failed_writes, found), 0), NO_LOSS, *ALWAYS,
)  # fmt: skip


def nothing(stage: Stage) -> None:
    """Neither."""


@dataclass(frozen=True)
class Fault:
    """`needs`: options without which it is pointless. `steady`: it is no excuse for anything stale."""

    told: str
    shape: Shape
    strike: Callable[[Stage], None]
    relieve: Callable[[Stage], None] = nothing
    hold: float = 4.0
    settle: float = 4.0
    bars: Sequence[Bar] = field(default=ALWAYS)
    needs: tuple[str, ...] = ()
    steady: bool = False
    reads: float = 0.7


def kill(stage: Stage) -> None:
    stage.primary.kill()


def kill_and_start(stage: Stage) -> None:
    stage.primary.kill()
    stage.primary.start()


def start(stage: Stage) -> None:
    stage.primary.start()


def freeze(stage: Stage) -> None:
    stage.primary.freeze()


def thaw(stage: Stage) -> None:
    stage.primary.thaw()


def pause(stage: Stage) -> None:
    """A proxy stands still, and so does a primary, which the other proxy has to replace meanwhile."""
    stage.freeze_proxy(1)
    stage.primary.freeze()


def resume(stage: Stage) -> None:
    """The primary of old is back first, and the proxy believes in it still."""
    stage.primary.thaw()
    stage.thaw_proxies()


def cut(*what: str) -> Callable[[Stage], None]:
    """A proxy, the first primary, or both together, apart from everybody else."""

    def strike(stage: Stage) -> None:
        assert stage.network
        hosts = {"node": stage.primary.place.host, "proxy": stage.proxies[1].place.host}
        stage.network.cut(hosts[one] for one in what)

    return strike


def heal(stage: Stage) -> None:
    assert stage.network
    stage.network.heal()


def slow(stage: Stage) -> None:
    for wire in stage.wires:
        if wire.name == stage.primary.name:
            wire.delay = 0.05


def fast(stage: Stage) -> None:
    for wire in stage.wires:
        wire.delay = 0


class Stalls:
    """Every wire stands still for 50 ms every 5 s, each in its turn."""

    def __init__(self) -> None:
        self._over = threading.Event()

    def strike(self, stage: Stage) -> None:
        self._over = over = threading.Event()

        def run() -> None:
            assert stage.pipes
            pause = 5 / len(stage.wires)
            while not over.is_set():
                for wire in stage.wires:
                    stage.pipes.stand(wire, True)
                    over.wait(0.05)
                    stage.pipes.stand(wire, False)
                    if over.wait(max(0.0, pause - 0.05)):
                        return

        threading.Thread(target=run, daemon=True).start()

    def relieve(self, stage: Stage) -> None:
        self._over.set()


class Flaps:
    """It dies and comes back, again and again."""

    def __init__(self) -> None:
        self._thread = threading.Thread()
        self._over = threading.Event()

    def strike(self, stage: Stage) -> None:
        self._over = over = threading.Event()

        def run() -> None:
            while not over.is_set():
                stage.primary.kill()
                over.wait(0.7)
                with suppress(AssertionError, RuntimeError):
                    stage.primary.start()
                over.wait(0.7)

        self._thread = threading.Thread(target=run, daemon=True)
        self._thread.start()

    def relieve(self, stage: Stage) -> None:
        self._over.set()
        self._thread.join(10)


STALLS, FLAPS = Stalls(), Flaps()
HEDGED = Shape(options=(TIMEOUT, ("read_from", "prefer_primary"), ("hedge", "{after: p95, budget: 5%}")), wires=True)
UNHEDGED = Shape(options=(TIMEOUT, ("read_from", "prefer_primary")), wires=True)
GUARDED = (("min-replicas-to-write", "1"), ("min-replicas-max-lag", "1"))
APART = Shape(options=REPLICATED.options, spaces=True, more=GUARDED)
SPACED = Shape(options=REPLICATED.options, spaces=True)
RING_APART = replace(RING, spaces=True)

FAULTS = {
    "calm": Fault("nothing", REPLICATED, nothing, bars=(FAILED_READS, NO_LOSS, *ALWAYS), steady=True),
    "kill": Fault("kill -9 of one of 3 primaries with replicas", READS_SURVIVE, kill,
                  bars=(FAILED_READS, FLOW, *ALWAYS), needs=("failover",)),
    "stop": Fault("SIGSTOP of a primary, later SIGCONT", READS_SURVIVE, freeze, thaw, bars=(
        Bar("slowest read", lambda found: 1000 * found.slowest_read, 1000 * DEADLINE, "ms"),
        Bar("p99 of clients with no request there, over 1.5 times that before and 1 ms",
            lambda found: 1000 * (found.aside_during - 1.5 * found.aside_before) - 1, 0, "ms"), FLOW, *ALWAYS),
        needs=("failover",)),
    "empty": Fault("restart empty", READS_SURVIVE, kill_and_start, bars=(FAILED_READS, FLOW, *ALWAYS), settle=8,
                   needs=("failover",)),
    "minority": Fault("a proxy and a primary are cut off together, min-replicas-to-write 1", APART,
                      cut("node", "proxy"), heal, bars=(NO_LOSS, AGREE, *ALWAYS), needs=("failover",)),
    "split": Fault("a proxy and a primary are cut off together", SPACED, cut("node", "proxy"), heal, bars=(
        Bar("acknowledged writes lost that ended over 500 ms after it",
            lambda found: sum(one.ended > found.struck + 0.5 for one in found.lost), 0), AGREE, *ALWAYS),
        needs=("failover",)),
    "cut-proxy": Fault("one proxy is cut off", SPACED, cut("proxy"), heal, bars=(NO_LOSS, AGREE, *ALWAYS)),
    "cut-node": Fault("one primary is cut off", SPACED, cut("node"), heal, bars=(FLOW, AGREE, *ALWAYS),
                      needs=("failover",)),
    "pause": Fault("a proxy stands still while the other replaces a primary", REPLICATED, pause, resume, 3,
                   bars=(AGREE, *ALWAYS), needs=("failover",)),
    "flap": Fault("a primary dies and comes back again and again", READS_SURVIVE, FLAPS.strike, FLAPS.relieve, 6, 6,
                  bars=(AGREE, *ALWAYS), needs=("failover",)),
    "slow": Fault("one node answers 100 ms later", UNHEDGED, slow, fast, bars=(FAILED_READS, NO_LOSS, *ALWAYS)),
    "stall": Fault("each wire stalls 50 ms every 5 s, hedging on", HEDGED, STALLS.strike, STALLS.relieve, 10, 1, bars=(
        FAILED_READS, Bar("p99.9 of reads", lambda found: 1000 * found.during["p99.9"], 25, "ms"),
        Bar("extra requests", lambda found: 100 * found.extra, 5, "%"), GHOSTS), needs=("hedge.after",), reads=1.0),
    "stall-unhedged": Fault("the stalls, hedging off", UNHEDGED, STALLS.strike, STALLS.relieve, 10, 1, bars=(
        FAILED_READS,
        Bar("by which p99.9 of reads is below a stall", lambda found: 50 - 1000 * found.during["p99.9"], 10, "ms")),
        reads=1.0),
    "slow-hedged": Fault("one node answers 100 ms later, hedging on", HEDGED, slow, fast, bars=(
        FAILED_READS, Bar("extra requests", lambda found: 100 * found.extra, 5, "%"), GHOSTS), needs=("hedge.after",),
        reads=1.0),
    "ring-kill": Fault("kill -9 of a node of a ring, 3 copies, quorum", RING, kill, bars=RING_BARS, needs=RING_NEEDS),
    "ring-empty": Fault("a node of a ring comes back empty", RING, kill, start, 2, 6, RING_BARS, RING_NEEDS),
    "ring-stop": Fault("SIGSTOP of a node of a ring, later SIGCONT", RING, freeze, thaw, bars=RING_BARS,
                       needs=RING_NEEDS),
    "ring-flap": Fault("a node of a ring dies and comes back empty again and again", RING, FLAPS.strike, FLAPS.relieve,
                       6, 6, (NO_LOSS, *ALWAYS), RING_NEEDS),
    "ring-cut-node": Fault("a node of a ring is cut off", RING_APART, cut("node"), heal, bars=RING_BARS,
                           needs=RING_NEEDS),
    "ring-cut-proxy": Fault("one proxy of a ring is cut off", RING_APART, cut("proxy"), heal, bars=(NO_LOSS, *ALWAYS),
                            needs=RING_NEEDS),
    "ring-split": Fault("a proxy and a node of a ring are cut off together", RING_APART, cut("node", "proxy"), heal,
                        bars=(NO_LOSS, *ALWAYS), needs=RING_NEEDS),
    "ring-stop-one": Fault("SIGSTOP of a node of a ring, and a read asks one node", RING_ONE, freeze, thaw,
                           bars=(FAILED_READS, NO_LOSS, *ALWAYS), needs=RING_NEEDS),
    "ring-empty-one": Fault("a node of a ring comes back empty, and a read asks one node", RING_ONE, kill, start, 2, 6,
                            (NO_LOSS, *ALWAYS), RING_NEEDS),
}  # fmt: skip
