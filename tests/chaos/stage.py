"""Stage: a whole tier for one run of the chaos: primaries with replicas or a ring of plain nodes, and two proxies.

Where the shape asks for spaces, every node and every proxy has a network namespace of its own, and clients come in by
unix sockets, so that a proxy that is cut off has clients all the same. Where it asks for wires, a pipe stands between
each proxy and each node, which can be slow or stand still.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from proxy.options import OPTIONS
from tests.chaos.load import Place
from tests.chaos.network import Network, running_network
from tests.proof.pipe import Pipe, Pipes, running_pipes
from tests.proof.servers import StoreNode
from tests.system.conftest import ROOT
from tests.system.tier import HERE, Node, Proxy, until

#: By name: the class, and what names a parameter on its command line.
MAKES: dict[str, tuple[type[Node], str]] = {"redis": (Node, "--{} {}"), "quench": (StoreNode, "--set {}={}")}
KNOWN = {option.key for option in OPTIONS}


def known(key: str) -> bool:
    """Does this Quench have that option?"""
    return key in KNOWN


@dataclass(frozen=True)
class Shape:
    """`options`: lines of the pool, by option, left out where this Quench lacks it. `more`: parameters of each node."""

    members: int = 3
    replicas: int = 1
    options: tuple[tuple[str, str], ...] = ()
    more: tuple[tuple[str, str], ...] = ()
    spaces: bool = False
    wires: bool = False


class Stage:
    def __init__(self, shape: Shape, make: str, directory: Path, stack: ExitStack) -> None:
        self.shape, self.make = shape, make
        self._directory = directory
        self.network: Network | None = stack.enter_context(running_network()) if shape.spaces else None
        self.pipes: Pipes | None = stack.enter_context(running_pipes()) if shape.wires else None
        self.wires: list[Pipe] = []
        count = shape.members * (1 + shape.replicas)
        with ThreadPoolExecutor(count) as pool:
            self.nodes = list(pool.map(self._node, range(count)))
        for node in self.nodes:
            stack.callback(node.stop)
        self.replicas_of = {
            member: self.nodes[shape.members + member * shape.replicas :][: shape.replicas]
            for member in range(shape.members)
        }  # fmt: skip
        self._replicate()
        self.proxies = [self._proxy(number) for number in range(2)]
        for proxy in self.proxies:
            stack.callback(proxy.stop)
        self.paused: set[int] = set()
        self.places: list[Place] = []

    def _node(self, number: int) -> Node:
        directory = self._directory / f"n{number}"
        directory.mkdir()
        place = self.network.place() if self.network else HERE
        kind, parameter = MAKES[self.make]
        options = [word for pair in self.shape.more for word in parameter.format(*pair).split()]
        return kind(directory, f"n{number}", *options, place=place)

    def _replicate(self) -> None:
        """Every replica follows its member, and has caught up."""
        delay = "repl-diskless-sync-delay"
        for member, replicas in self.replicas_of.items():
            primary = self.nodes[member]
            if replicas:
                usual = primary("CONFIG", "GET", delay)
                primary("CONFIG", "SET", delay, "0")
                for replica in replicas:
                    replica("REPLICAOF", primary.place.host, primary.port)
                for replica in replicas:
                    until(lambda node=replica: b"master_link_status:up" in node("INFO", "replication"), "it follows")
                primary("CONFIG", "SET", delay, usual[1] if usual else "5")

    def _proxy(self, number: int) -> Proxy:
        place = self.network.place() if self.network else HERE
        directory = self._directory / f"p{number}"
        directory.mkdir()
        addresses = {}
        for node in self.nodes:
            if self.pipes is not None:
                wire = self.pipes.add(node.name, node.port)
                self.wires.append(wire)
                addresses[node.name] = f"127.0.0.1:{wire.port}"
            else:
                addresses[node.name] = node.address
        servers = []
        for member in range(self.shape.members):
            node = self.nodes[member]
            behind = ", ".join(f"'{addresses[one.name]} {one.name}'" for one in self.replicas_of[member])
            replicas = f", replicas: [{behind}]" if behind else ""
            servers.append(f"{{address: '{addresses[node.name]}:1 {node.name}'{replicas}}}")
        lines = [f"{key}: {value}" for key, value in self.shape.options if known(key.partition(".")[0]) or any(
            name.startswith(key + ".") for name in KNOWN)]  # fmt: skip
        options = "\n".join(['hash_tag: "{}"', "hot_keys: {enabled: false}", *lines])
        listen = str(directory / "q.sock") if self.network else "127.0.0.1:0"
        return Proxy(directory, servers, options, 2, listen, place)

    def settle_places(self, count: int) -> None:
        """Hash tags, each with the member that has its keys; all keys that are to be there are."""
        tags = [str(number) for number in range(count)]
        told = subprocess.run(
            [sys.executable, "-m", "proxy", "route", "--json", "-c", str(self._directory / "p0" / "quench.yml"),
             *(f"{{{tag}}}" for tag in tags)], cwd=ROOT, check=True, capture_output=True, text=True,
        )  # fmt: skip
        names = [node.name for node in self.nodes]
        rows = json.loads(told.stdout)
        self.places = [Place(tag, names.index(row["node"])) for tag, row in zip(tags, rows, strict=True)]
        with self.proxies[0].link() as link:
            for place in self.places:
                for kind in ("single", "shared", "count", "chain"):
                    assert (reply := link("SET", f"{{{place.tag}}}:{kind}", "0")) == b"OK", reply

    @property
    def primary(self) -> Node:
        """Of the member that faults are about: the first."""
        return self.nodes[0]

    def freeze_proxy(self, number: int) -> None:
        self.proxies[number].started.process.send_signal(19)
        self.paused.add(number)

    def thaw_proxies(self) -> None:
        for number in self.paused:
            self.proxies[number].started.process.send_signal(18)
        self.paused.clear()

    def fields(self, number: int, timeout: float = 2) -> list[dict[str, str]]:
        """INFO nodes of a proxy."""
        with self.proxies[number].link(timeout=timeout) as link:
            text = link("INFO", "nodes").decode()
        rows = (line.partition(":")[2] for line in text.splitlines() if re.match(r"node\d+:", line))
        return [dict(field.split("=", 1) for field in row.split(",") if "=" in field) for row in rows]

    def belief(self, number: int) -> tuple[tuple[str, str], ...]:
        """Where a proxy thinks that each member's primary is."""
        return tuple(sorted((row["name"], row["address"]) for row in self.fields(number) if "replica_of" not in row))

    def agreed(self) -> bool:
        """Do all proxies say the same, and do the nodes say so, too?"""
        try:
            beliefs = {self.belief(number) for number in range(len(self.proxies))}
            if len(beliefs) != 1:
                return False
            if self.wires or not self.shape.replicas:
                return True
            named = {address for _, address in beliefs.pop()}
            roles = {node.address: node("INFO", "replication") for node in self.nodes if node.address in named}
            return len(roles) == len(named) and all(b"role:master" in text for text in roles.values())
        except (OSError, ConnectionError, AssertionError):
            return False

    def doubled(self) -> int:
        """Reads that the proxies have asked of a second node so far: hedges, and those that were lost."""
        total = 0
        for number, proxy in enumerate(self.proxies):
            if number in self.paused:
                continue
            with proxy.link() as link:
                found = re.findall(rb"\r\n(?:hedges|retries):(\d+)", link("INFO", "stats"))
                total += sum(map(int, found))
        return total

    def left(self, wanted: Sequence[tuple[int, int]]) -> dict[tuple[int, int], Any]:
        """Fresh keys in the end, by place and number, asked until they are answered."""
        found: dict[tuple[int, int], Any] = {}
        deadline = time.monotonic() + 30
        while (rest := [one for one in wanted if one not in found]) and time.monotonic() < deadline:
            with suppress(OSError, ConnectionError), self.proxies[0].link() as link:
                for start in range(0, len(rest), 500):
                    part = rest[start : start + 500]
                    link.send(*(("GET", f"{{{self.places[place].tag}}}:{number}") for place, number in part))
                    for one, reply in zip(part, link.replies(len(part)), strict=True):
                        if not isinstance(reply, Exception):
                            found[one] = reply
        return found


class Epochs(threading.Thread):
    """Asks the proxies all the time in which epoch they are."""

    def __init__(self, stage: Stage) -> None:
        super().__init__(name="epochs", daemon=True)
        self.told: dict[int, list[tuple[float, int]]] = {number: [] for number in range(len(stage.proxies))}
        self._stage = stage
        self._over = threading.Event()

    def run(self) -> None:
        links: dict[int, Any] = {}
        while not self._over.wait(0.03):
            for number, told in self.told.items():
                if number in self._stage.paused:
                    continue
                try:
                    if number not in links:
                        links[number] = self._stage.proxies[number].link(timeout=2)
                    before = time.monotonic()
                    text = links[number]("INFO", "nodes")
                    if found := re.search(rb"epoch[=:](\d+)", text):
                        told.append((before, int(found[1])))
                except (OSError, ConnectionError):
                    links.pop(number, None)
        for link in links.values():
            link.close()

    def stop(self) -> None:
        self._over.set()
        self.join(10)


@contextmanager
def running_stage(shape: Shape, make: str, directory: Path) -> Iterator[Stage]:
    with ExitStack() as stack:
        yield Stage(shape, make, directory, stack)
