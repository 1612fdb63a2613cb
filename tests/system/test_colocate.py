"""Groups of keys through a running proxy: what needs one node works for keys that begin alike, and only for those."""

from __future__ import annotations

from pathlib import Path

import pytest
import redis

from tests.system.tier import running_nodes, running_proxy

#: Commands and transactions over several keys, as RQ uses them, without a hash tag among them.
KEYS = ["rq:queues", "rq:queue:default", "rq:queue:low", "rq:job:1", "rq:job:2", "rq:wip:default", "rq:{x}", "rq:{y}"]


@pytest.mark.parametrize("tag", ["", 'hash_tag: "{}"\n'])
def test_a_group_is_on_one_node(tmp_path: Path, tag: str) -> None:
    with running_nodes(tmp_path, 3) as nodes, running_proxy(
        tmp_path, nodes, tag + 'colocate: {rq: ["rq:"], jobs: ["celery", "unacked"]}'
    ) as proxy, redis.Redis(port=int(proxy.address), decode_responses=True) as client:
        with client.pipeline() as transaction:
            for key in KEYS:
                transaction.rpush(key, key)
            assert transaction.execute() == [1] * len(KEYS)
        assert client.lmove("rq:queue:default", "rq:wip:default") == "rq:queue:default"
        assert client.blmove("rq:wip:default", "rq:{x}", 1.0) == "rq:wip:default"
        assert client.eval("return #KEYS", 2, "rq:job:1", "rq:job:2") == 2
        homes = [number for number, node in enumerate(nodes) if node("KEYS", "rq:*")]
        assert len(homes) == 1
        client.rpush("celery", 1)
        assert client.rename("celery", "unacked")

        others = [f"user:{number}" for number in range(60)]
        client.mset(dict.fromkeys(others, "x"))
        assert all(node("KEYS", "user:*") for node in nodes)
        with pytest.raises(redis.ResponseError, match="hash to the same slot"):
            client.sinterstore("user:0", others[1:])
        with pytest.raises(redis.ResponseError, match="hash to the same slot"):
            client.eval("return 1", 60, *others)
