"""What hot counters cost a node: one key that everybody increments, alone or with an EXPIRE behind it.

Writes are read off the nodes' INFO commandstats; what was warmed up with counts on neither side.
"""

from __future__ import annotations

from contextlib import closing

from bench.heat import Nodes, Sample, loaded
from bench.load import Load, Options
from bench.process import cpu_ns
from bench.targets import Running

WARM_UP = 0.5
"""Seconds: a key is found to be hot within 0.1."""


def increments(target: Running, clients: int, depth: int, seconds: float) -> Sample:
    """INCR of one key: writes at the node for 1,000 of them, and the CPU of proxy and node for each."""
    options = Options((("127.0.0.1", target.port),), clients=clients, depth=depth, keys=1, ops={"count": 1.0})
    with Load(options) as load, closing(Nodes(target.node_ports or (target.port,))) as nodes:
        load.run(seconds=WARM_UP)
        before, front, behind = written(nodes), target.front.cpu_ns(), cpu_ns(target.nodes)
        result = load.run(seconds=seconds)
        front, behind = target.front.cpu_ns() - front, cpu_ns(target.nodes) - behind
        writes = written(nodes) - before
    return {
        "writes": writes / result.requests * 1000, "both_us": (front + behind) / 1000 / result.requests,
        "front_us": front / 1000 / result.requests, "nodes_us": behind / 1000 / result.requests, **loaded(result),
    }  # fmt: skip


def written(nodes: Nodes) -> int:
    """INCRs and INCRBYs that the nodes have executed."""
    return nodes.calls(b"incr") + nodes.calls(b"incrby")


def pairs(target: Running, clients: int, seconds: float) -> Sample:
    """INCR and EXPIRE, pipelined, by clients that wait for both replies: of 1,000 pairs, how many reached the node."""
    options = Options(
        (("127.0.0.1", target.port),), clients=clients, depth=2, keys=1, ops={"count": 0.5, "count-life": 0.5},
        in_turn=True,
    )  # fmt: skip
    with Load(options) as load, closing(Nodes(target.node_ports)) as nodes:
        load.run(seconds=WARM_UP)
        before = nodes.calls(b"expire")
        result = load.run(seconds=seconds)
        reached = nodes.calls(b"expire") - before
    return {"writes": reached / result.requests * 2 * 1000, **loaded(result), "rate": result.rate / 2}
