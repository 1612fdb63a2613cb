"""KEYS, DBSIZE, RANDOMKEY, FLUSHDB, FLUSHALL and SWAPDB: what concerns all keys of a pool."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from proxy.control.request import Request
from proxy.errors import ReplyError
from proxy.lanes.links import Links, good
from proxy.lanes.raw import NodeError, integer, join

__all__ = ["dbsize", "flush", "keys", "pick", "randomkey", "swapdb"]

#: That may bring nothing but names of copies, until RANDOMKEY says that there is no key.
DRAWS = 200


async def keys(links: Links, request: Request) -> bytes:
    """KEYS pattern: the nodes' replies one behind the other, in the order of the nodes.

    One at a time in a pool, because each may take `limits.output_hard` bytes.
    """
    async with links.turns[request.pool]:
        nodes: Sequence[int] = links.nodes(request.pool)
        if links.copied(request.pool):
            nodes = links.serving(request.pool)
            replies = [
                await links.ask(request.pool, node, request.args, protocol=request.protocol, database=request.database)
                for node in nodes
            ]
            for reply in replies:
                if not good(reply):
                    raise NodeError(reply)
        else:
            replies = await links.agreed(request, database=request.database)
        return join([links.visible(request.pool, node, keys) for node, keys in zip(nodes, replies, strict=True)])


async def dbsize(links: Links, request: Request) -> bytes:
    """DBSIZE: the sum. It would count every copy of a key."""
    if links.copied(request.pool):
        raise ReplyError("copies_refused", command="dbsize", pool=links.pool_name(request.pool))
    return b":%d\r\n" % sum(map(integer, await links.agreed(request, database=request.database)))


async def randomkey(links: Links, request: Request) -> bytes:
    """RANDOMKEY of one node, chosen by how many keys it has, so that every key is as likely as any other.

    A node whose keys have all expired has counted them and has none to give: then another one is asked. The name of a
    hot key's copy is not given to a client: that draw is made again, DRAWS times at most.
    """
    nodes = links.nodes(request.pool)
    if links.copied(request.pool):
        sizes = [0] * len(nodes)
        for node in links.serving(request.pool):
            sizes[node] = integer(await links.ask(request.pool, node, [b"DBSIZE"], database=request.database))
    else:
        sizes = [integer(reply) for reply in await links.agreed(request, [b"DBSIZE"], database=request.database)]
    nothing = b"_\r\n" if request.protocol == 3 else b"$-1\r\n"
    reply = nothing
    draws = DRAWS
    while (place := pick(sizes, random.randrange)) is not None:
        reply = await links.ask(
            request.pool, nodes[place], request.args, protocol=request.protocol, database=request.database
        )
        if not good(reply):
            raise NodeError(reply)
        if reply.startswith((b"_", b"$-1")):
            sizes[place] = 0
        elif not links.shown(request.pool, nodes[place], reply[reply.index(b"\r\n") + 2 : -2]):
            reply = nothing
            draws -= 1
            if draws == 0:
                break
        else:
            break
    return reply


def pick(sizes: Sequence[int], below: Callable[[int], int]) -> int | None:
    """A place of `sizes`, as likely as it is large; None when all are 0. `below(n)` gives a number from 0 to n - 1."""
    total = sum(sizes)
    if total == 0:
        return None
    at = below(total)
    for place, size in enumerate(sizes):
        if at < size:
            return place
        at -= size
    return None


async def flush(links: Links, request: Request) -> bytes:
    """FLUSHDB and FLUSHALL: OK only when every node said so."""
    database = request.database if request.command.name == "flushdb" else 0
    return (await links.agreed(request, database=database))[0]


async def swapdb(links: Links, request: Request) -> bytes:
    """SWAPDB is for pools of one node, where it goes the fast lane. On several it would not be atomic, and one that
    failed halfway would leave every database mixed of two, for ever."""
    raise ReplyError("refused", command=request.command.name, why="it would not be atomic over several nodes")
