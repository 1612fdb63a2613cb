"""Replicas in a configuration file: where they stand, and what is said of those that cannot be."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from proxy.address import Server
from proxy.placement import placement
from tests.test_config_file import only_pool, problems


def test_replicas_stand_behind_their_node() -> None:
    pool = only_pool(
        "pools:\n  cache:\n    listen: 127.0.0.1:6400\n    servers:\n"
        "      - {address: '10.0.0.1:6379:2 a', replicas: ['10.0.0.2:6379 b', 10.0.0.3:6379]}\n"
        "      - 10.0.0.4:6379\n"
        "      - {address: 10.0.0.5:6379, replicas: [/run/c.sock]}\n"
    )
    replicas = (Server("10.0.0.2:6379", 1, "b"), Server("10.0.0.3:6379"))
    assert pool.servers[0] == Server("10.0.0.1:6379", 2, "a", replicas)
    assert [node.address for node in pool.nodes[3:]] == ["10.0.0.2:6379", "10.0.0.3:6379", "/run/c.sock"]
    assert pool.replica_of == (0, 0, 2)
    bare = replace(pool, servers=tuple(replace(server, replicas=()) for server in pool.servers))
    assert placement(pool).points() == placement(bare).points()


@pytest.mark.parametrize(
    ("replicas", "problem"),
    [
        ("a:1", "servers[0].replicas: expected a list of addresses like [10.0.0.2:6379], got 'a:1'"),
        ("[a]", "servers[0].replicas[0]: expected host:port, got 'a'"),
        ("[b:2, '', c:1]", "servers[0].replicas[1]: expected host:port, got ''"),
        ("['b:1:2 x']", "servers[0].replicas[0]: expected host:port, got 'b:1:2'; an IPv6 address goes in brackets: "
                        "[::1]:6379"),
        ("[a:1]", "servers[0].replicas[0]: a:1 is already a node of this pool; a process has one place in it"),
        ("[c:1, c:1]", "servers[0].replicas[1]: c:1 is already a node of this pool; a process has one place in it"),
    ],
)  # fmt: skip
def test_replicas_that_are_wrong(replicas: str, problem: str) -> None:
    text = f"pools:\n  cache:\n    listen: a:1\n    servers: [{{address: a:1, replicas: {replicas}}}, b:1]\n"
    assert [found.partition("pools.cache.")[2] for found in problems(text)] == [problem]
