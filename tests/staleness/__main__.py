"""Is the promise of hot keys kept? `python -m tests.staleness --seconds 600`: real servers, real proxies, real trouble.

Two redis-servers behind two proxies of two engines each, all keys hot. Clients write in every way there is and read
through both proxies, while connections are killed, wires stand still and nodes restart. A read has to return what was
current at some moment between its start, less the stated bound, and its end; by way of the proxy that passed a write on
the bound is nothing. Prints what was seen, and how stale it was; exit status 1 if anything was not to be believed.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from tests.proof.actors import Actor, stop
from tests.proof.pipe import Pipe, running_pipes
from tests.staleness.clients import Incrementer, Reader, Scene, Writer
from tests.staleness.trouble import Trouble
from tests.system.tier import Proxy, running_nodes, running_proxy

TRACKED_BOUND = 0.5  # seconds
TTL = 0.7  # seconds, of copies with `copies: ttl`
OPTIONS = """\
timeout: 1s
hash_tag: "{{}}"
hot_keys:
  threshold: 2/s
  copies: {copies}
  ttl: {ttl}
"""
COUNTED = ("hits", "stored", "joined", "changed", "expired", "unsure", "invalidations", "checked", "wrong")


@dataclass
class Report:
    counts: Counter[str]
    ages: list[float]  #: seconds, of stale reads, ascending
    violations: list[str]
    proxies: Counter[str] = field(default_factory=Counter)  #: what they count of hot keys, together

    def __str__(self) -> str:
        lines = [f"{name}: {number}" for name, number in sorted(self.counts.items())]
        lines += [f"proxies, {name}: {number}" for name, number in sorted(self.proxies.items())]
        if self.ages:
            marks = {"p50": 0.5, "p99": 0.99, "max": 1.0}
            told = ", ".join(
                f"{name} {1000 * self.ages[min(len(self.ages) - 1, int(part * len(self.ages)))]:.1f} ms"
                for name, part in marks.items())  # fmt: skip
            share = 100 * len(self.ages) / max(1, self.counts["reads"])
            lines.append(f"stale reads, by way of the other proxy: {len(self.ages)} ({share:.2f} % of all): {told}")
        return "\n".join([*lines, f"violations: {len(self.violations)}", *self.violations[:20]])


def run(seconds: float, seed: int = 0, copies: str = "tracked", trouble: bool = True, readers: int = 8,
        writers: int = 4) -> Report:  # fmt: skip
    """Everything for `seconds`, then stopped."""
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        directory = Path(name)
        nodes = stack.enter_context(running_nodes(directory, 2))
        pipes = stack.enter_context(running_pipes())
        wires: list[Pipe] = []
        proxies = []
        ttl = "10s" if copies == "tracked" else f"{int(TTL * 1000)}ms"
        for number in range(2):
            place = directory / f"p{number}"
            place.mkdir()
            mine = [pipes.add(node.name, node.port) for node in nodes]
            wires += mine
            options = OPTIONS.format(copies=copies, ttl=ttl)
            proxies.append(stack.enter_context(running_proxy(place, mine, options, engines=2)))
        scene = Scene(nodes, proxies, TRACKED_BOUND if copies == "tracked" else TTL)
        actors: list[Actor] = [Reader(scene, 1000 * seed + index, index % 2) for index in range(readers)]
        actors += [Writer(scene, 1000 * seed + 100 + index) for index in range(writers)]
        actors += [Incrementer(scene, 1000 * seed + 200 + index) for index in range(3)]
        if trouble:
            actors.append(Trouble(scene, 1000 * seed + 300, pipes, wires))
        for actor in actors:
            actor.start()
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and len(scene.tally.violations) < 20:
            time.sleep(0.1)
        for wire in wires:
            wire.delay = 0
            pipes.stand(wire, False)
        stop(actors, scene)
        counted = Counter[str]()
        for proxy in proxies:
            counted.update(counters_of(proxy))
    return Report(scene.tally.counts, sorted(scene.tally.ages), scene.tally.violations, counted)


def counters_of(proxy: Proxy) -> dict[str, int]:
    """The numbers of INFO hotkeys that say how much was copied and why it was not served."""
    found = {}
    for line in proxy("INFO", "hotkeys").decode().splitlines():
        name, _, value = line.partition(":")
        if value.isdigit() and any(word in name for word in COUNTED):
            found[name] = int(value)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.staleness", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--copies", choices=("tracked", "ttl"), default="tracked")
    parser.add_argument("--calm", action="store_true", help="no trouble: how stale are reads on a good day?")
    told = parser.parse_args()
    report = run(told.seconds, told.seed, told.copies, trouble=not told.calm)
    print(report)
    return 1 if report.violations else 0


if __name__ == "__main__":
    sys.exit(main())
