"""Unmodified clients through the proxy: one program each, that goes through the same ten steps.

Two engines before three nodes. The programs are in `scenarios/`; each runs in an environment that holds its client, and
says of every step how it went. One of the steps has a node killed and started again under the connected client.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests import programs
from tests.environments import BUILD, node_modules, python_with
from tests.redis_server import needs_redis_server
from tests.system.tier import Node, Proxy, running_nodes, running_proxy

pytestmark = needs_redis_server

HERE = Path(__file__).parent
STEPS = ("connect", "pipeline", "transaction", "pubsub", "blocking", "scan", "script", "binary", "large", "restart")
WITHIN = 60  # seconds that a scenario may take; none takes ten

OTHERS = ("redis==5.0.8", "valkey", "coredis", "trio")
CURRENT = ()  # what the tests themselves run in


class Scenario(NamedTuple):
    """A program of `scenarios/`, where it runs, and what it is told besides the port."""

    name: str
    file: str
    packages: tuple[str, ...] = CURRENT
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    steps: tuple[str, ...] = STEPS


SCENARIOS = [
    Scenario("redis-py-resp2", "redis_py.py", CURRENT, ("redis",), ("2",)),
    Scenario("redis-py-resp3", "redis_py.py", CURRENT, ("redis",), ("3",)),
    Scenario("redis-py-5.0-resp2", "redis_py.py", OTHERS, ("redis",), ("2",)),
    Scenario("redis-py-5.0-resp3", "redis_py.py", OTHERS, ("redis",), ("3",)),
    Scenario("valkey-py-resp2", "redis_py.py", OTHERS, ("valkey",), ("2",)),
    Scenario("valkey-py-resp3", "redis_py.py", OTHERS, ("valkey",), ("3",)),
    Scenario("redis-py-asyncio-resp2", "redis_py_asyncio.py", CURRENT, ("redis",), ("2",)),
    Scenario("redis-py-asyncio-resp3", "redis_py_asyncio.py", CURRENT, ("redis",), ("3",)),
    Scenario("redis-py-5.0-asyncio", "redis_py_asyncio.py", OTHERS, ("redis",), ("2",)),
    Scenario("valkey-py-asyncio", "redis_py_asyncio.py", OTHERS, ("valkey",), ("3",)),
    Scenario("coredis-trio", "coredis_trio.py", OTHERS),
    Scenario("ioredis", "ioredis.js"),
    Scenario("node-redis-resp2", "node_redis.js", after=("2",)),
    Scenario("node-redis-resp3", "node_redis.js", after=("3",)),
    Scenario("redis-cli-resp2", "redis_cli.py", after=("2",)),
    Scenario("redis-cli-resp3", "redis_cli.py", after=("3",)),
    Scenario("redis-benchmark", "redis_benchmark.py",
             steps=("defaults", "pipelined", "resp3", "threads", "command", "database")),
]


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Node]]:
    with running_nodes(tmp_path_factory.mktemp("nodes"), 3) as nodes:
        yield nodes


@pytest.fixture(scope="module")
def proxy(nodes: list[Node], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    with running_proxy(tmp_path_factory.mktemp("proxy"), nodes, 'hash_tag: "{}"', engines=2) as proxy:
        yield proxy


def command_of(scenario: Scenario, port: int) -> list[str]:
    """How to run it; skips where its client cannot be had."""
    file = HERE / "scenarios" / scenario.file
    if file.suffix == ".py":
        python = python_with("clients/python", *scenario.packages) if scenario.packages else sys.executable
        return [str(python), str(file), *scenario.before, str(port), *scenario.after]
    node_modules("clients/node", HERE / "package.json")
    return ["node", str(file), str(port), *scenario.after]


def run(scenario: Scenario, nodes: list[Node], port: int) -> list[str]:
    """Its lines; restarts a node when it asks."""

    def restart() -> None:
        nodes[1].kill()
        nodes[1].start()

    modules = str(BUILD / "clients/node/node_modules")
    return programs.run(command_of(scenario, port), WITHIN, restart, NODE_PATH=modules)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=[scenario.name for scenario in SCENARIOS])
def test_client(scenario: Scenario, nodes: list[Node], proxy: Proxy) -> None:
    for node in nodes:
        node("FLUSHALL")
    assert isinstance(proxy.address, int)
    programs.judge(run(scenario, nodes, proxy.address), scenario.steps)
