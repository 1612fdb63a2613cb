"""What hot counters cost a node: one key that everybody increments, alone or with an EXPIRE behind it.

Writes are read off the nodes' INFO commandstats; what was warmed up with counts on neither side.
"""

from __future__ import annotations

import selectors
import time
from contextlib import closing

from bench.crowd import connect, disperse
from bench.heat import Nodes, Sample, loaded
from bench.load import Load, Options
from bench.process import cpu_ns
from bench.targets import Running

WARM_UP = 0.5
"""Seconds: a key is found to be hot within 0.1."""

KEY = b"counter:%012d" % 0
INCR = b"*2\r\n$4\r\nINCR\r\n$%d\r\n%b\r\n" % (len(KEY), KEY)
EXPIRE = b"*3\r\n$6\r\nEXPIRE\r\n$%d\r\n%b\r\n$4\r\n3600\r\n" % (len(KEY), KEY)


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
    crowd = connect(target.port, clients)
    errors = 0
    try:
        with selectors.DefaultSelector() as selector, closing(Nodes(target.node_ports)) as nodes:
            for link in crowd:
                selector.register(link, selectors.EVENT_READ, bytearray())
                link.sendall(INCR + EXPIRE)
            done, warm = 0, time.monotonic() + WARM_UP
            before, end = 0, warm + seconds
            while (now := time.monotonic()) < end:
                if warm and now >= warm:
                    done, warm, before = 0, 0.0, nodes.calls(b"expire")
                for chosen, _ in selector.select(0.1):
                    link, unread = chosen.fileobj, chosen.data
                    unread += link.recv(1 << 12)
                    if unread.count(b"\n") == 2:
                        errors += not unread.endswith(b"\r\n:1\r\n") or not unread.startswith(b":")
                        unread.clear()
                        done += 1
                        link.sendall(INCR + EXPIRE)
            reached = nodes.calls(b"expire") - before
    finally:
        disperse(crowd)
    return {"writes": reached / max(done, 1) * 1000, "rate": done / seconds, "errors": errors}
