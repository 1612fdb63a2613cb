"""What a configuration with failover has to say."""

from __future__ import annotations

import pytest

from proxy.config_file import loads
from proxy.settings import ConfigError


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("failover: promote", "three nodes or more"),
        ("failover: promote\n    down_after: 100ms", "300ms or more"),
        ("failover: sentinel", "needs sentinels"),
        ("failover: sentinel\n    sentinels: [10.0.0.9:26379]", "has none"),
        ("failover: promote\n    auto_eject: true", "take one of them out"),
    ],
)
def test_what_failover_needs(lines, said):
    with pytest.raises(ConfigError, match=said):
        loads(f"pools:\n  p:\n    listen: 127.0.0.1:1\n    servers: [127.0.0.1:2]\n    {lines}\n", "f")


def test_failover_with_replicas():
    settings = loads(
        "pools:\n  p:\n    listen: 127.0.0.1:1\n    failover: promote\n"
        "    servers: [{address: 127.0.0.1:2, replicas: [127.0.0.1:3, 127.0.0.1:4]}]\n", "f"
    )  # fmt: skip
    assert (settings.pools[0].failover, settings.pools[0].down_after) == ("promote", 0.5)


@pytest.mark.parametrize("second", ["127.0.0.1:2", "127.0.0.1:3"])
def test_two_pools_do_not_promote_at_the_same_nodes(second):
    """Each would have a record of its own of who is primary there."""
    pools = (
        "pools:\n  p:\n    listen: 127.0.0.1:1\n    failover: promote\n"
        "    servers: [{address: 127.0.0.1:2, replicas: [127.0.0.1:3, 127.0.0.1:4]}]\n"
        "  q:\n    listen: 127.0.0.1:5\n    failover: %s\n"
        f"    servers: [{{address: 127.0.0.1:6, replicas: ['{second}', 127.0.0.1:7]}}]\n"
    )
    with pytest.raises(ConfigError, match=f"pools.q.failover: pool p promotes at {second}, too"):
        loads(pools % "promote", "f")
    assert len(loads(pools % "off", "f").pools) == 2
