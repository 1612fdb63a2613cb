"""Real applications through the proxy over three nodes, configured as they come.

Two proxies before the same nodes. One has the groups of config/applications.yml, for applications whose transactions
and blocking commands name several keys; one splits transactions, which is what a cache needs. The programs are in
`programs/`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml

from tests import programs
from tests.environments import BUILD, node_modules, python_with
from tests.redis_server import needs_redis_server
from tests.system.tier import Node, Proxy, running_nodes, running_proxy

pytestmark = needs_redis_server

HERE = Path(__file__).parent
SAMPLE = HERE.parents[1] / "config/applications.yml"
PACKAGES = ("celery[redis]", "rq", "django", "limits[redis]", "flask-limiter", "python-redis-lock")
WITHIN = 90  # seconds that a program may take; Celery takes about twenty


class Application(NamedTuple):
    """A program, the arguments behind the port, and its steps."""

    name: str
    file: str
    steps: tuple[str, ...]
    arguments: tuple[str, ...] = ()
    pool: str = "grouped"


APPLICATIONS = [
    Application("celery", "celery_program.py", (
        "task", "many", "retry", "failure", "chain", "group", "chord", "countdown", "priority", "revoke", "forget",
    )),
    Application("celery-control", "celery_control.py", (
        "task", "ping", "inspect", "terminate", "scheduled", "purge",
    )),
    Application("rq", "rq_program.py", (
        "job", "many", "dependent", "failure", "scheduled", "repeated", "stop", "registry",
    )),
    Application("django", "django_program.py", (
        "cache", "forever", "many", "many_with_timeout", "version", "session", "clear",
    ), pool="splitting"),
    Application("limits", "limits_program.py", (
        "FixedWindowRateLimiter", "MovingWindowRateLimiter", "SlidingWindowCounterRateLimiter", "storage", "flask",
    )),
    Application("locks", "locks_program.py", ("redis-py", "python-redis-lock", "renewal")),
    *(
        Application(f"bullmq-{name}", "bullmq.js", (
            "job", "many", "retry", "failure", "delay", "priority", "flow", "repeat", "pause", "obliterate",
        ), (prefix,))
        for name, prefix in (("tagged", "{bull}"), ("grouped", "bull"))
    ),
]  # fmt: skip


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Node]]:
    with running_nodes(tmp_path_factory.mktemp("nodes"), 3) as nodes:
        yield nodes


@pytest.fixture(scope="module")
def grouped(nodes: list[Node], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    groups = yaml.safe_load(SAMPLE.read_text())["pools"]["applications"]["colocate"]
    options = f'hash_tag: "{{}}"\ncolocate: {json.dumps(groups)}'
    with running_proxy(tmp_path_factory.mktemp("grouped"), nodes, options, engines=2) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def splitting(nodes: list[Node], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    options = 'hash_tag: "{}"\ncross_node_transactions: split'
    with running_proxy(tmp_path_factory.mktemp("splitting"), nodes, options, engines=2) as proxy:
        yield proxy


def command_of(application: Application, port: object) -> list[str]:
    """How to run it; skips where it cannot be had."""
    file = str(HERE / "programs" / application.file)
    if file.endswith(".py"):
        return [str(python_with("applications", *PACKAGES)), file, str(port), *application.arguments]
    node_modules("applications-node", HERE / "package.json")
    return ["node", file, str(port), *application.arguments]


@pytest.mark.parametrize("application", APPLICATIONS, ids=[application.name for application in APPLICATIONS])
def test_application(application: Application, nodes: list[Node], request: pytest.FixtureRequest) -> None:
    proxy = request.getfixturevalue(application.pool)
    # Celery subscribes to a result without waiting for the confirmation, and does not look again: on a machine that is
    # busy enough the result may be faster. So much patience is the test's, not the proxy's: it may try again once.
    for attempt in range(2):
        for node in nodes:
            node("FLUSHALL")
        lines = programs.run(
            command_of(application, proxy.address), WITHIN,
            URL=f"redis://127.0.0.1:{proxy.address}/0", NODE_PATH=str(BUILD / "applications-node/node_modules"),
        )  # fmt: skip
        if attempt or not any("operation timed out" in line for line in lines):
            break
    programs.judge(lines, application.steps)
