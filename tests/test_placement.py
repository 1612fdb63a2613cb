"""From a configuration file to the node of a key, against vectors of twemproxy 0.5.0."""

import json
from pathlib import Path
from typing import Any

import pytest

from proxy.config_file import load, loads
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


def test_the_keys_of_an_application_share_a_node() -> None:
    """Keys that Celery, RQ, BullMQ and Sidekiq were seen to use together, in the sample made for them."""
    (pool,) = load(str(Path(__file__).parents[1] / "config" / "applications.yml"), {}).pools
    ring = placement(pool)
    together = {
        "celery": (
            "celery", "celery\x06\x163", "unacked", "unacked_index", "unacked_mutex", "_kombu.binding.celery",
            "_kombu.binding_deadlines", "_kombu.binding_permanent.celery", "celery-taskset-meta-1.j", "celeryev.1",
            "celery@host.celery.pidbox",
        ),
        "rq": (
            "rq:queues", "rq:queue:default", "rq:job:1", "rq:job::1:dependencies", "rq:job:1:dependents", "rq:wip:low",
            "rq:worker:1", "rq:workers", "rq:finished:low", "rq:execution:1:2", "rq:results:1", "rq:scheduled:low",
        ),
        "bullmq": ("bull:mail:wait", "bull:mail:active", "bull:mail:events", "bull:other:id"),
        "sidekiq": ("queues", "queue:default", "processes", "worker-1:7:abc", "worker-1:7:abc-signals", "stat:failed"),
    }  # fmt: skip
    for group, keys in together.items():
        rows = routes(pool, keys)
        assert {row["group"] for row in rows} == {group}
        assert {row["node"] for row in rows} == {pool.servers[ring.node(group.encode())].label}
    assert {row["group"] for row in routes(pool, ("user:1", ":1:django.contrib.sessions.cache1"))} == {None}
