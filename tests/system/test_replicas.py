"""A pool whose nodes have replicas: real redis-servers that follow one another, behind a real proxy."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.redis_server import needs_redis_server
from tests.system.tier import Node, Proxy, running_nodes, until

pytestmark = needs_redis_server


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Node]]:
    """Two primaries, then a replica of each that has caught up."""
    with running_nodes(tmp_path_factory.mktemp("nodes"), 4) as nodes:
        for primary, replica in zip(nodes[:2], nodes[2:], strict=True):
            replica("REPLICAOF", "127.0.0.1", primary.port)
        for replica in nodes[2:]:
            until(lambda replica=replica: b"master_link_status:up" in replica("INFO", "replication"), "it follows")
        yield nodes


def servers(nodes: list[Node]) -> list[str]:
    """Entries of `servers`: each of the first half with its replica."""
    half = len(nodes) // 2
    return [
        f"{{address: '{primary.server}', replicas: ['127.0.0.1:{replica.port} {replica.name}']}}"
        for primary, replica in zip(nodes[:half], nodes[half:], strict=True)
    ]


def rows(proxy: Proxy) -> dict[str, dict[str, str]]:
    """INFO nodes: the fields of each node by its name."""
    lines = proxy("INFO", "nodes").decode().splitlines()[1:]
    found = [dict(field.split("=", 1) for field in line.partition(":")[2].split(",")) for line in lines]
    return {row["name"]: row for row in found}


@pytest.mark.parametrize("options", ["", "preconnect: false"])
def test_replicas_have_rows_and_no_keys(nodes: list[Node], tmp_path: Path, options: str) -> None:
    proxy = Proxy(tmp_path, servers(nodes), options)
    try:
        for number in range(20):
            assert proxy("SET", f"key:{number}", number) == b"OK"
        found = rows(proxy)
        assert [row["role"] for row in found.values()] == ["master", "master", "slave", "slave"]
        assert [row.get("replica_of") for row in found.values()] == [None, None, nodes[0].name, nodes[1].name]
        assert {row["state"] for row in found.values()} == {"up"}
        assert all(int(row["requests"]) > 0 for row in list(found.values())[:2])
        assert proxy("DBSIZE") == 20
        assert proxy("FLUSHALL") == b"OK"
    finally:
        proxy.stop()
