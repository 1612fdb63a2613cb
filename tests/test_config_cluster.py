"""Pools in front of a Redis Cluster: what a file may say of them."""

from __future__ import annotations

import pytest

from proxy.address import Server
from proxy.config_file import loads
from proxy.config_text import effective, to_yaml
from proxy.settings import ConfigError


def problems_of(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        loads(text)
    return str(caught.value).splitlines()


def test_a_pool_in_front_of_a_cluster() -> None:
    text = (
        "pools:\n  a:\n    listen: a:1\n    cluster: [10.0.0.1:7000, '[::1]:7001']\n    cluster_nodes: 9\n"
        "    read_from: any\n"
    )
    pool = loads(text).pools[0]
    assert pool.servers == () and pool.cluster == (Server("10.0.0.1:7000"), Server("[::1]:7001"))
    assert effective(loads(to_yaml(effective(loads(text))))) == effective(loads(text))
    wrong = text + (
        "    servers: [b:1]\n    hash: murmur\n    auto_eject: true\n    redis_db: 3\n"
        "    hot_keys: {share: true, strategy: both, prefixes: {'a:': {shield: 1s}}}\n"
    )
    found = problems_of(wrong)
    assert [problem.split(": ")[1:3] for problem in found] == [
        [f"pools.a.{key}", "is not for a pool with cluster"] for key in (
            "servers", "hash", "auto_eject", "redis_db", "hot_keys.share", "hot_keys.strategy",
            "hot_keys.prefixes",
        )
    ]  # fmt: skip
    assert "failover: is not for a pool with cluster" in problems_of(text + "    failover: promote\n")[0]
    assert problems_of(text.replace("10.0.0.1:7000", "/tmp/s")) == [
        "<text>:4:15: pools.a.cluster[0]: expected host:port: nodes of a cluster name each other so"
    ]
    assert "expected a list of nodes" in problems_of(text.replace("[10.0.0.1:7000, '[::1]:7001']", "[]"))[0]
