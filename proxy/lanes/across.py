"""Across: which function answers which command that visits every node, as the handlers that `Requests` takes.

In a pool of one node most of them are never asked: a row of the command table with `one_node` goes the fast lane there.
The others come out byte for byte as that node would answer.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

from proxy.control.request import Handler, Request
from proxy.lanes import functions, keyspace, latency, memory, scripts, slowlog
from proxy.lanes.links import Links
from proxy.lanes.scan import scan
from proxy.lanes.scripts import Scripts

__all__ = ["COMMANDS", "handlers"]

Merged = Callable[[Links, Request], Awaitable[bytes]]

#: By full command name.
_MERGED: dict[str, Merged] = {
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
    "latency|doctor": latency.told,
    "latency|graph": latency.graph,
    "latency|histogram": latency.histogram,
    "latency|history": latency.history,
    "latency|latest": latency.latest,
    "latency|reset": latency.reset,
    "memory|doctor": latency.told,
    "memory|malloc-stats": latency.told,
    "memory|purge": functions.everywhere,
    "memory|stats": memory.stats,
    "randomkey": keyspace.randomkey,
    "scan": scan,
    "script|kill": scripts.kill,
    "slowlog|get": slowlog.get,
    "slowlog|len": slowlog.length,
    "slowlog|reset": functions.everywhere,
    "swapdb": keyspace.swapdb,
}

#: Those that the engines have to hear of, too.
_SCRIPTS: dict[str, Callable[[Links, Scripts, Request], Awaitable[bytes]]] = {
    "script|exists": scripts.exists,
    "script|flush": scripts.flush,
    "script|load": scripts.load,
}

#: The names of all of them.
COMMANDS = frozenset(_MERGED) | frozenset(_SCRIPTS)


def handlers(links: Links, known: Scripts) -> dict[str, Handler]:
    """By full command name, as `Requests` wants them."""
    return {
        **{name: partial(merged, links) for name, merged in _MERGED.items()},
        **{name: partial(function, links, known) for name, function in _SCRIPTS.items()},
    }
