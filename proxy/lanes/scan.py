"""SCAN over all nodes of a pool: one after the other, with one cursor.

The client's cursor is ``cursor of the node * number of nodes + node``, so it says all there is to know and the proxy
keeps nothing: any proxy before the same nodes can go on where another stopped. A node whose scan ends hands over to
the next one, and 0 comes back after the last. What SCAN promises holds as each node keeps it for its own keys: what
is there from start to end is returned at least once.

Why a product and no bit field: it is exact for every cursor below 2^64 ÷ nodes, it is the node's own cursor in a pool
of one node, and it stays as small as can be. A node's cursor is below the size of its key table (a 64-bit number in
principle; 2^40 is a table of more memory than machines have), so the product stays below 2^53 for thousands of nodes,
and clients that hold a cursor in a double lose nothing. One that does not fit 64 bits is an error, never wrapped.

The nodes of a cluster have no order that all proxies know, and they come and go. There the cursor says the lowest slot
of the node that is scanned, and something of the node's address: nodes follow one another by their lowest slot, and one
that has taken over another's slots does not go on with the other's cursor, which means nothing to it. That is an error,
and the scan has to begin anew. Of slots that move meanwhile keys may be missed, as with any client of a cluster.

A node that is down is an error, at its turn: were it skipped, its keys would look deleted. The client may go on with
the same cursor when the node is back.
"""

from __future__ import annotations

from bisect import bisect_right
from zlib import crc32

from proxy.control.cluster import Place
from proxy.control.request import Request
from proxy.errors import ReplyError
from proxy.lanes.links import Links, good
from proxy.lanes.raw import NodeError, elements
from proxy.placement import CLUSTER_SLOTS

__all__ = ["compose", "compose_slot", "mark_of", "scan", "take_apart"]

#: Cursors are unsigned and 64 bits wide.
MOST = 1 << 64

#: Marks of nodes in a cluster's cursors; 0 is none.
MARKS = 256


def compose(node: int, cursor: int, nodes: int) -> int:
    """The client's cursor for `cursor` of `node`; 0 when that ends the last node's scan.

    Raises:
        ValueError: it does not fit 64 bits.
    """
    if cursor == 0:
        return (node + 1) % nodes
    if (made := cursor * nodes + node) >= MOST:
        raise ValueError(f"cursor {cursor} of node {node} does not fit 64 bits with {nodes} nodes")
    return made


def take_apart(cursor: int, nodes: int) -> tuple[int, int]:
    """Which node is next, and its own cursor."""
    return cursor % nodes, cursor // nodes


def compose_slot(slot: int, mark: int, cursor: int) -> int:
    """The client's cursor for `cursor` of the node of a cluster whose lowest slot and mark are these.

    Raises:
        ValueError: it does not fit 64 bits.
    """
    if (made := (cursor * MARKS + mark) * CLUSTER_SLOTS + slot) >= MOST:
        raise ValueError(f"cursor {cursor} does not fit 64 bits with a slot")
    return made


def mark_of(place: Place) -> int:
    """What a cursor says of its node: enough to notice nearly always that it is another one."""
    return 1 + crc32(place.address.encode()) % (MARKS - 1)


class _Ring:
    """Where the cursors of a pool with a ring lead."""

    def __init__(self, links: Links, pool: int) -> None:
        self._nodes = len(links.nodes(pool))

    def take_apart(self, cursor: int) -> tuple[int, int]:
        """The node that is next, and its own cursor. Raises ReplyError: there is no such node any more."""
        return take_apart(cursor, self._nodes)

    def compose(self, node: int, cursor: int) -> int:
        """What the client is told. Raises ValueError: it does not fit."""
        return compose(node, cursor, self._nodes)


class _Cluster:
    """The same of a cluster."""

    def __init__(self, links: Links, pool: int) -> None:
        places = links.places(pool)
        self._order = sorted((places[node].first, node) for node in links.nodes(pool))
        self._places = places

    def take_apart(self, cursor: int) -> tuple[int, int]:
        rest, slot = divmod(cursor, CLUSTER_SLOTS)
        inner, mark = divmod(rest, MARKS)
        at = bisect_right(self._order, (slot, len(self._places))) - 1
        if not self._order or (at < 0 and mark):
            raise ReplyError("cursor_lost")
        node = self._order[max(at, 0)][1]
        if mark not in (0, mark_of(self._places[node])):
            raise ReplyError("cursor_lost")
        return node, inner

    def compose(self, node: int, cursor: int) -> int:
        first = self._places[node].first
        if cursor:
            return compose_slot(first, mark_of(self._places[node]), cursor)
        return next((other for other, _ in self._order if other > first), 0)


async def scan(links: Links, request: Request) -> bytes:
    """SCAN cursor [MATCH pattern] [COUNT count] [TYPE type], and what a node may know besides."""
    text = request.args[1]
    if not text.isdigit() or len(text) > 20 or int(text) >= MOST:
        raise ReplyError("cursor")
    walk = _Cluster(links, request.pool) if links.places(request.pool) else _Ring(links, request.pool)
    node, cursor = walk.take_apart(int(text))
    if links.copied(request.pool) and not links.serves(request.pool, node):
        # What it has is shown by the others.
        following = b"%d" % walk.compose(node, 0)
        return b"*2\r\n$%d\r\n%b\r\n*0\r\n" % (len(following), following)
    words = [request.args[0], b"%d" % cursor, *request.args[2:]]
    reply = await links.ask(request.pool, node, words, protocol=request.protocol, database=request.database)
    if not good(reply):
        raise NodeError(reply)
    # The cursor is a bulk string: $n, then its digits.
    head, keys = elements(reply)
    try:
        following = b"%d" % walk.compose(node, int(head.split(b"\r\n")[1]))
    except ValueError:
        raise ReplyError("cursor_range", node=links.name(request.pool, node)) from None
    keys = links.visible(request.pool, node, keys)
    return b"*2\r\n$%d\r\n%b\r\n%b" % (len(following), following, keys)
