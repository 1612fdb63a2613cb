"""From a configuration file to the node of a key, against vectors of twemproxy 0.5.0."""

import json
from pathlib import Path
from typing import Any

import pytest

from proxy.config_file import loads
from proxy.placement import placement, pointless, routes
from proxy.settings import Pool

RINGS = json.loads((Path(__file__).parent / "data" / "ketama_vectors.json").read_text())["rings"]


def pool_of(ring: dict[str, Any], hash_: str) -> Pool:
    """The ring's servers in a nutcracker.yml, loaded."""
    servers = "".join(f"   - {server}\n" for server in ring["servers"])
    (pool,) = loads(f"a:\n  listen: x:1\n  redis: true\n  hash: {hash_}\n  servers:\n{servers}").pools
    return pool


@pytest.mark.parametrize("ring", RINGS, ids=lambda ring: ring["pool"])
def test_labels_and_points(ring: dict[str, Any]) -> None:
    pool = pool_of(ring, "fnv1a_64")
    assert [server.label for server in pool.servers] == ring["labels"]
    assert [server.weight for server in pool.servers] == ring["weights"]
    points = placement(pool).points()
    owners = [node for _, node in points]
    assert [owners.count(index) for index in range(len(pool.servers))] == ring["points_per_server"]
    assert pointless(pool) == [index for index, count in enumerate(ring["points_per_server"]) if not count]


@pytest.mark.parametrize("ring", RINGS, ids=lambda ring: ring["pool"])
def test_where_keys_live(ring: dict[str, Any]) -> None:
    for hash_, places in ring["place"].items():
        pool = pool_of(ring, hash_)
        keys = {bytes.fromhex(key).decode(): home for key, home in places.items()}
        rows = routes(pool, tuple(keys))
        assert [row["address"] for row in rows] == [pool.servers[home].address for home in keys.values()]
        assert [row["node"] for row in rows] == [pool.servers[home].label for home in keys.values()]
