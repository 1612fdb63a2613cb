"""SCAN over all nodes of a pool: one after the other, with one cursor.

The client's cursor is ``cursor of the node * number of nodes + node``, so it says all there is to know and the proxy
keeps nothing: any proxy before the same nodes can go on where another stopped. A node whose scan ends hands over to
the next one, and 0 comes back after the last. What SCAN promises holds as each node keeps it for its own keys: what
is there from start to end is returned at least once.

Why a product and no bit field: it is exact for every cursor below 2^64 ÷ nodes, it is the node's own cursor in a pool
of one node, and it stays as small as can be. A node's cursor is below the size of its key table (a 64-bit number in
principle; 2^40 is a table of more memory than machines have), so the product stays below 2^53 for thousands of nodes,
and clients that hold a cursor in a double lose nothing. One that does not fit 64 bits is an error, never wrapped.

A node that is down is an error, at its turn: were it skipped, its keys would look deleted. The client may go on with
the same cursor when the node is back.
"""

from __future__ import annotations

from proxy.control.request import Request
from proxy.errors import ReplyError
from proxy.lanes.links import Links, good
from proxy.lanes.raw import NodeError, elements

__all__ = ["compose", "scan", "take_apart"]

#: Cursors are unsigned and 64 bits wide.
MOST = 1 << 64


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


async def scan(links: Links, request: Request) -> bytes:
    """SCAN cursor [MATCH pattern] [COUNT count] [TYPE type], and what a node may know besides."""
    nodes = len(links.nodes(request.pool))
    text = request.args[1]
    if not text.isdigit() or len(text) > 20 or int(text) >= MOST:
        raise ReplyError("cursor")
    node, cursor = take_apart(int(text), nodes)
    if links.copied(request.pool) and not links.serves(request.pool, node):
        # What it has is shown by the others.
        following = b"%d" % compose(node, 0, nodes)
        return b"*2\r\n$%d\r\n%b\r\n*0\r\n" % (len(following), following)
    words = [request.args[0], b"%d" % cursor, *request.args[2:]]
    reply = await links.ask(request.pool, node, words, protocol=request.protocol, database=request.database)
    if not good(reply):
        raise NodeError(reply)
    # The cursor is a bulk string: $n, then its digits.
    head, keys = elements(reply)
    try:
        following = b"%d" % compose(node, int(head.split(b"\r\n")[1]), nodes)
    except ValueError:
        raise ReplyError("cursor_range", node=links.name(request.pool, node)) from None
    keys = links.visible(request.pool, node, keys)
    return b"*2\r\n$%d\r\n%b\r\n%b" % (len(following), following, keys)
