"""Are counters exact? `python -m tests.counters --seconds 600`: real servers, real proxies, real trouble.

Nodes of both makes, with a log and without, behind two proxies of two engines each. Clients increment, decrement,
read, SET, DEL and EXPIRE the same few keys, in pipelines and transactions, while nodes are killed, frozen and
restarted, wires break and proxies stand still. What was acknowledged has to be linearizable, key by key, and what is
left in the end has to be the acknowledged sum and nothing but unknown fates. Exit status 1 if it was not.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from tests.counters.books import Shelf
from tests.counters.clients import Auditor, Client, Scene
from tests.counters.kinds import KINDS
from tests.counters.trouble import Trouble
from tests.proof.actors import Actor, stop
from tests.proof.pipe import Pipe, running_pipes
from tests.proof.servers import LOGGED, StoreNode, running_servers
from tests.system.tier import Node, Proxy, running_proxy

OPTIONS = """\
timeout: 500ms
hash_tag: "{}"
hot_keys: {threshold: 2/s, copies: off}
"""
MAKES = {
    "redis": ((Node, ()), (Node, LOGGED)),
    "quench": ((StoreNode, ()), (StoreNode, LOGGED)),
    "both": ((Node, LOGGED), (StoreNode, ())),
}


@dataclass
class Report:
    counts: Counter[str]
    violations: list[str]

    def __str__(self) -> str:
        lines = [f"{name}: {number}" for name, number in sorted(self.counts.items())]
        return "\n".join([*lines, f"violations: {len(self.violations)}", *self.violations[:5]])


def tags_of(nodes: list[Node], proxy: Proxy) -> list[tuple[str, str, int]]:
    """For each kind of key and node, a hash tag that lives there."""
    wanted = [(kind, number) for kind in KINDS for number in range(len(nodes))]
    found = []
    for place in range(1000):
        if not wanted:
            break
        name = f"place:{{{place}}}"
        proxy("SET", name, "here")
        number = next(number for number, node in enumerate(nodes) if node("EXISTS", name) == 1)
        kind = next((kind for kind, where in wanted if where == number), None)
        if kind is not None:
            wanted.remove((kind, number))
            found.append((str(place), kind, number))
    return found


def run(seconds: float, seed: int = 0, make: str = "both", trouble: bool = True, clients: int = 10,
        options: str = "") -> Report:  # fmt: skip
    """Everything for `seconds`, then stopped and judged."""
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        directory = Path(name)
        nodes = stack.enter_context(running_servers(directory, *MAKES[make]))
        pipes = stack.enter_context(running_pipes())
        wires: list[Pipe] = []
        proxies = []
        for number in range(2):
            (directory / f"p{number}").mkdir()
            mine = [pipes.add(node.name, node.port) for node in nodes]
            wires += mine
            proxies.append(stack.enter_context(
                running_proxy(directory / f"p{number}", mine, OPTIONS + options, engines=2)))  # fmt: skip
        shelf = stack.enter_context(Shelf(tags_of(nodes, proxies[0])))
        scene = Scene(nodes, proxies, shelf)
        actors: list[Actor] = [Client(scene, 1000 * seed + index) for index in range(clients)]
        if trouble:
            actors.append(Trouble(scene, 1000 * seed + 300, pipes, wires))
        auditor = Auditor(scene, 1000 * seed + 400)
        for actor in (*actors, auditor):
            actor.start()
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and not scene.tally.violations:
            time.sleep(0.1)
        for wire in wires:
            wire.delay = 0
            pipes.stand(wire, False)
        stop([*actors, auditor], scene)
        auditor.finish()
    return Report(scene.tally.counts, scene.tally.violations)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.counters", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--nodes", choices=MAKES, default="both")
    parser.add_argument("--clients", type=int, default=10)
    parser.add_argument("--calm", action="store_true", help="no trouble")
    parser.add_argument("--option", action="append", default=[], metavar="YAML", help="another line of the pool")
    told = parser.parse_args()
    options = "".join(f"{line}\n" for line in told.option)
    report = run(told.seconds, told.seed, told.nodes, not told.calm, told.clients, options)
    print(report)
    return 1 if report.violations else 0


if __name__ == "__main__":
    sys.exit(main())
