"""`quench run` as a process: signals, exit statuses, and what operators' tools see."""

from __future__ import annotations

import redis

from tests.system.conftest import pool_config


def test_serves(redis_nodes, proxy_process):
    process, port = proxy_process(pool_config(redis_nodes(2)))
    with redis.Redis(port=port) as client:
        assert client.set("a", "b")
        assert client.get("a") == b"b"
    process.terminate()
    assert process.wait(10) == 0
