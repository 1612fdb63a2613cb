"""Several engines in one process: clients are shared out evenly, and it does not matter which one they get."""

from collections import Counter

import pytest

from tests.redis_server import needs_redis_server
from tests.system.chaos_node import ChaosNode
from tests.system.tier import running_nodes, running_proxy


@pytest.mark.parametrize("engines", [2, 3])
def test_clients_are_shared_out_evenly(tmp_path, engines):
    """A node connection is named after its engine, so the node sees who serves whom."""
    node = ChaosNode()
    links = []
    try:
        with running_proxy(tmp_path, [node], engines=engines) as proxy:
            links = [proxy.link() for _ in range(50)]
            for number, link in enumerate(links):
                link.send(["SET", f"client:{number}", number])
            assert [link.reply() for link in links] == [b"OK"] * 50
            served = {entry.words[1]: entry.name for entry in node.asked("SET")}
            assert len(served) == 50
            shares = Counter(served.values())
            assert set(shares) == {b"quench:%d:%d" % (proxy.pid, engine) for engine in range(engines)}
            assert max(shares.values()) - min(shares.values()) <= 1
    finally:
        for link in links:
            link.close()
        node.stop()


@needs_redis_server
def test_traffic(tmp_path):
    """Every client sees what every other one wrote, on all nodes, with replies in order."""
    with running_nodes(tmp_path, 2) as nodes, running_proxy(tmp_path, nodes, engines=2) as proxy:
        links = [proxy.link(2 + number % 2) for number in range(20)]
        for number, link in enumerate(links):
            link.send(*(["SET", f"{number}:{key}", f"{number}={key}"] for key in range(200)))
        for link in links:
            assert link.replies(200) == [b"OK"] * 200
        for number, link in enumerate(links):
            other = (number + 7) % 20
            link.send(
                *(["GET", f"{other}:{key}"] for key in range(200)),
                ["MGET", *(f"{owner}:0" for owner in range(20))],
                ["EXISTS", *(f"{other}:{key}" for key in range(200))],
            )
        for number, link in enumerate(links):
            other = (number + 7) % 20
            assert link.replies(200) == [b"%d=%d" % (other, key) for key in range(200)]
            assert link.replies(2) == [[b"%d=0" % owner for owner in range(20)], 200]
            link.close()
        assert all(node("DBSIZE") > 500 for node in nodes)
