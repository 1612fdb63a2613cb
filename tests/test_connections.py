"""The worst case of node connections, against the engine's own numbers and by hand."""

import re
from pathlib import Path

from click.testing import CliRunner

from proxy.cli import cli
from proxy.config_file import loads
from proxy.connections import DATABASES, KINDS, RESP_VERSIONS, burdens, report

POOL = "engines: 3\npools:\n  a:\n    listen: 127.0.0.1:6400\n    servers: [n1:1, n2:1]\n"


def test_the_engine_has_as_many_places() -> None:
    header = (Path(__file__).parents[1] / "proxy" / "engine" / "types.pxd").read_text()
    (databases,) = re.findall(r"^    DATABASES = (\d+)", header, re.MULTILINE)
    assert int(databases) == DATABASES
    assert re.search(rf"^    CONNS = {RESP_VERSIONS} \* DATABASES \* {KINDS}\b", header, re.MULTILINE)


def test_one_pool() -> None:
    first, second = burdens(loads(POOL))
    assert (first.address, second.address) == ("n1:1", "n2:1")
    assert (first.usual, first.engines, first.private, first.most) == (3, 192, 4000, 4194)
    facts, warnings = report(loads(POOL))
    assert facts == [
        "connections to each of 2 nodes (n1:1, …): 3 as a rule, 4194 at worst (192 of engines, 4000 of clients that "
        "block or watch, 2 of the control plane)",
        "maxclients 10000, Redis's default, is enough for 2 such proxies",
    ]
    assert warnings == []


def test_pools_that_share_a_node() -> None:
    text = POOL + "  b:\n    listen: 127.0.0.1:6401\n    servers: [n2:1 x, n2:1 y]\n    client_connections: 100\n"
    first, second = burdens(loads(text))
    assert (first.usual, first.private, second.usual, second.private) == (3, 4000, 9, 4200)
    facts, _ = report(loads(text))
    assert [fact.partition(":1: ")[0] for fact in facts[:2]] == ["connections to n1", "connections to n2"]


def test_too_many_is_a_warning() -> None:
    text = POOL + "    client_connections: 0\n    limits: {max_blocked: 9000, max_watching: 900}\n"
    facts, (warning,) = report(loads(text))
    assert len(facts) == 1
    assert warning.startswith("each of 2 nodes (n1:1, …): 10094 connections at worst are more than 10000, Redis's")
    result = CliRunner().invoke(cli, ["check", "-"], input=text)
    assert (result.exit_code, result.stderr) == (0, f"warning: {warning}\n")
    assert result.stdout.splitlines()[1:] == facts
    fewer = report(loads(text.replace("900}", "0}").replace("9000", "8000")))
    assert fewer[0][-1].endswith("is enough for 1 such proxy")
