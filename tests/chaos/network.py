"""Network: a network namespace for every server, on a bridge of their own, so that any of them can be cut off.

Needs root and `ip`. A partition moves the wires of some servers to a second bridge: whoever is on the same one goes on
talking, and nobody is told. Addresses are those of one /24, told apart from other runs by the number of the process.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager

from tests.system.tier import Place


def available() -> bool:
    """May namespaces be made here?"""
    if os.geteuid() or not shutil.which("ip") or not shutil.which("nsenter"):
        return False
    name = f"quench-{os.getpid()}-probe"
    if subprocess.run(["ip", "netns", "add", name], capture_output=True, check=False).returncode:
        return False
    ip("netns", "del", name)
    return True


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


class Network:
    """Servers are named by their place's host."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._mark = f"q{os.getpid()}"
        self._net = f"10.{100 + os.getpid() // 250 % 100}.{os.getpid() % 250}"
        self._count = 0
        self._wires: dict[str, str] = {}  # host → our end of its wire
        for bridge in self._bridges:
            ip("link", "add", bridge, "type", "bridge")
            stack.callback(ip, "link", "del", bridge)
            ip("link", "set", bridge, "up")
        ip("addr", "add", f"{self._net}.254/24", "dev", self._bridges[0])

    @property
    def _bridges(self) -> tuple[str, str]:
        return f"{self._mark}a", f"{self._mark}b"

    def place(self) -> Place:
        """Another namespace."""
        self._count += 1
        space, wire, host = f"quench-{self._mark}-{self._count}", f"{self._mark}v{self._count}", ""
        host = f"{self._net}.{self._count}"
        ip("netns", "add", space)
        self._stack.callback(ip, "netns", "del", space)
        ip("link", "add", wire, "type", "veth", "peer", "name", "eth0", "netns", space)
        ip("link", "set", wire, "master", self._bridges[0], "up")
        inside = ("-n", space)
        ip(*inside, "addr", "add", f"{host}/24", "dev", "eth0")
        for device in ("lo", "eth0"):
            ip(*inside, "link", "set", device, "up")
        self._wires[host] = wire
        return Place(host, ("nsenter", f"--net=/run/netns/{space}"))

    def cut(self, hosts: Iterable[str]) -> None:
        """These are on the other side from here on, together."""
        self._move([self._wires[host] for host in hosts], self._bridges[1])

    def heal(self) -> None:
        self._move(list(self._wires.values()), self._bridges[0])

    def _move(self, wires: list[str], bridge: str) -> None:
        """All in one call, so that little time passes between the first and the last."""
        lines = "".join(f"link set {wire} master {bridge}\n" for wire in wires)
        subprocess.run(["ip", "-batch", "-"], input=lines, text=True, check=True, capture_output=True)


@contextmanager
def running_network() -> Iterator[Network]:
    with ExitStack() as stack:
        yield Network(stack)
