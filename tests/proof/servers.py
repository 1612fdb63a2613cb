"""Servers to torment: a redis-server or a storage node of ours, behind the same handle."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.system.conftest import start
from tests.system.tier import Node

LOGGED = ("--appendonly", "yes")  #: of either: what was acknowledged is there again after a kill


class StoreNode(Node):
    """`quench node`, on the port that it got first."""

    def start(self) -> None:
        started = start(
            self._stack, *self.place.prefix, sys.executable, "-m", "proxy", "node", "--listen", self.address,
            "--dir", str(self._directory), *self.options, pipe="stdout",
        )  # fmt: skip
        self.process = started.process
        self.port = int(started.log.wait_for(r"ready on \S+:(\d+)")[1])


@contextmanager
def running_servers(directory: Path, *servers: tuple[type[Node], tuple[str, ...]]) -> Iterator[list[Node]]:
    """One for each row of a class and its options, named n0, n1, …"""
    with ExitStack() as stack:
        nodes = []
        for number, (kind, options) in enumerate(servers):
            (directory / f"n{number}").mkdir()
            nodes.append(kind(directory / f"n{number}", f"n{number}", *options))
            stack.callback(nodes[-1].stop)
        yield nodes


def keeps(node: Node) -> bool:
    """Does what it acknowledged outlive a kill?"""
    return "--appendonly" in node.options
