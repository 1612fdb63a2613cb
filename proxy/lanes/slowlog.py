"""SLOWLOG GET and LEN over all nodes. Entries stay as the nodes wrote them, but for their number."""

from __future__ import annotations

from collections.abc import Sequence

from proxy.control.request import Request
from proxy.errors import ReplyError
from proxy.lanes.links import Links
from proxy.lanes.raw import elements, integer

__all__ = ["get", "length", "merge"]

#: Entries that SLOWLOG GET shows unless told.
SHOWN = 10


async def get(links: Links, request: Request) -> bytes:
    """SLOWLOG GET [count]: the latest of all nodes; -1 is all there are."""
    count = SHOWN
    if len(request.args) == 3:
        try:
            count = int(request.args[2])
        except ValueError:
            count = -2
        if count < -1:
            raise ReplyError("slowlog_count")
    elif len(request.args) > 3:
        raise ReplyError("wrong_arity", command=request.command.name)
    return merge(await links.agreed(request), count)


async def length(links: Links, request: Request) -> bytes:
    """SLOWLOG LEN: the sum."""
    return b":%d\r\n" % sum(map(integer, await links.agreed(request)))


def merge(replies: Sequence[bytes], count: int) -> bytes:
    """The `count` latest entries of all nodes (-1: all), the latest first.

    Each node counts its entries for itself; an entry's number here is ``its own * nodes + node``, so that it is
    unique and stays the same, as those who poll the log rely on.
    """
    found: list[tuple[int, int, bytes]] = []
    for node, reply in enumerate(replies):
        for raw in elements(reply):
            number, at, *rest = elements(raw)
            made = integer(number) * len(replies) + node
            found.append((-integer(at), -made, b"*%d\r\n:%d\r\n" % (2 + len(rest), made) + b"".join((at, *rest))))
    found.sort()
    shown = found if count < 0 else found[:count]
    return b"*%d\r\n" % len(shown) + b"".join(entry for _, _, entry in shown)
