"""Across: which function answers which command that visits every node, as the handlers that `Requests` takes.

In a pool of one node most of them pass the request and the reply on as they are; those that would not come out byte
for byte the same are wrapped in `alone`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

from proxy.control.request import Handler, Request
from proxy.lanes import functions, keyspace, latency, memory, scripts, slowlog
from proxy.lanes.links import Links
from proxy.lanes.scan import scan
from proxy.lanes.scripts import Scripts

__all__ = ["handlers"]

Merged = Callable[[Links, Request], Awaitable[bytes]]

#: Answered by all nodes of a pool together; by the node itself where there is one.
MERGED: dict[str, Merged] = {
    "latency|doctor": latency.told,
    "latency|graph": latency.graph,
    "latency|histogram": latency.histogram,
    "latency|history": latency.history,
    "latency|latest": latency.latest,
    "latency|reset": latency.reset,
    "memory|doctor": latency.told,
    "memory|malloc-stats": latency.told,
    "memory|stats": memory.stats,
    "randomkey": keyspace.randomkey,
    "scan": scan,
    "slowlog|get": slowlog.get,
    "slowlog|len": slowlog.length,
}

#: The same for one node and for many.
EVERYWHERE: dict[str, Merged] = {
    "dbsize": keyspace.dbsize,
    "flushall": keyspace.flush,
    "flushdb": keyspace.flush,
    "function|delete": functions.everywhere,
    "function|dump": functions.dump,
    "function|flush": functions.everywhere,
    "function|kill": scripts.kill,
    "function|list": functions.list_,
    "function|load": functions.everywhere,
    "function|restore": functions.everywhere,
    "function|stats": functions.stats,
    "keys": keyspace.keys,
    "memory|purge": functions.everywhere,
    "script|kill": scripts.kill,
    "slowlog|reset": functions.everywhere,
    "swapdb": keyspace.swapdb,
}


def handlers(links: Links, known: Scripts) -> dict[str, Handler]:
    """By full command name, as `Requests` wants them."""
    return {
        **{name: partial(alone, links, merged) for name, merged in MERGED.items()},
        **{name: partial(merged, links) for name, merged in EVERYWHERE.items()},
        "script|exists": partial(scripts.exists, links, known),
        "script|flush": partial(scripts.flush, links, known),
        "script|load": partial(scripts.load, links, known),
    }


async def alone(links: Links, merged: Merged, request: Request) -> bytes:
    """The reply of the only node as it is, else what `merged` makes of many."""
    if len(links.nodes(request.pool)) > 1:
        return await merged(links, request)
    return await links.ask(
        request.pool, 0, request.args, protocol=request.protocol, database=request.database
    )
