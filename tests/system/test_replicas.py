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
        assert {row["state"] for row in found.values()} <= {"up", "behind"}  # they were not told to replicate
        assert all(int(row["requests"]) > 0 for row in list(found.values())[:2])
        assert proxy("DBSIZE") == 20
        assert proxy("FLUSHALL") == b"OK"
    finally:
        proxy.stop()


def lines(proxy: Proxy, section: str) -> dict[str, str]:
    """INFO of a section, by field."""
    text = proxy("INFO", section).decode()
    return dict(line.split(":", 1) for line in text.splitlines() if ":" in line)


def test_reads_survive_the_death_of_a_node(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> None:
    """kill -9 of a primary under load: every read is answered, with the right value."""
    with running_nodes(tmp_path_factory.mktemp("mortal"), 2) as [primary, replica]:
        replica("REPLICAOF", "127.0.0.1", primary.port)
        proxy = Proxy(tmp_path, servers([primary, replica]), "timeout: 3s")
        try:
            for number in range(100):
                assert proxy("SET", f"k{number}", number) == b"OK"
            until(lambda: replica("DBSIZE") == 100, "the replica has all")
            proxy.log.wait_for(r"replica\.readable")
            with proxy.link() as link:
                for turn in range(300):
                    if turn == 100:
                        primary.kill()
                    wanted = [str((turn * 7 + number) % 100).encode() for number in range(16)]
                    link.send(*(("GET", b"k" + number) for number in wanted))
                    assert link.replies(16) == wanted
                    assert link("MGET", "k1", "k2", "nothing") == [b"1", b"2", None]
                error = link("SET", "k1", "x")
                assert "n0" in str(error)
            assert int(lines(proxy, "stats")["replica_reads"]) > 1000
        finally:
            proxy.stop()


def test_reads_survive_a_node_that_hangs(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> None:
    """SIGSTOP: within one deadline every read is answered by the replica."""
    with running_nodes(tmp_path_factory.mktemp("frozen"), 2) as [primary, replica]:
        replica("REPLICAOF", "127.0.0.1", primary.port)
        proxy = Proxy(tmp_path, servers([primary, replica]), "timeout: 800ms\nhot_keys: {enabled: false}")
        try:
            assert proxy("SET", "k", "v") == b"OK"
            until(lambda: replica("GET", "k") == b"v", "the replica has it")
            proxy.log.wait_for(r"replica\.readable")
            primary.freeze()
            with proxy.link() as link:
                for _ in range(5):
                    assert link("GET", "k") == b"v"
            primary.thaw()
            stats = lines(proxy, "stats")
            assert int(stats["retries"]) >= 1 and stats["timed_out_requests"] == "0"
        finally:
            primary.thaw()
            proxy.stop()


def test_a_replica_that_is_behind_is_not_read(nodes: list[Node], tmp_path: Path) -> None:
    proxy = Proxy(tmp_path, servers(nodes), "read_from: prefer_replica\nmax_replica_lag: 2s")
    try:
        for _ in range(2):
            proxy.log.wait_for(r"replica\.readable .*n[23]")
        assert proxy("SET", "k", "v") == b"OK"
        home = next(place for place in (0, 1) if nodes[place]("GET", "k") == b"v")
        until(lambda: nodes[home + 2]("GET", "k") == b"v", "it has arrived")
        # Changed behind everybody's back, so that who answers is plain to see.
        nodes[home + 2]("CONFIG", "SET", "replica-read-only", "no")
        assert nodes[home + 2]("SET", "k", "replica") == b"OK"
        until(lambda: proxy("GET", "k") == b"replica", "it is read")
        nodes[home + 2]("REPLICAOF", "NO", "ONE")
        proxy.log.wait_for(r"replica\.unreadable")
        until(lambda: proxy("GET", "k") == b"v", "it is not read any more")
    finally:
        nodes[home + 2]("REPLICAOF", "127.0.0.1", nodes[home].port)
        until(lambda: b"master_link_status:up" in nodes[home + 2]("INFO", "replication"), "it follows again")
        proxy.stop()
