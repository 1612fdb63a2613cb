"""MEMORY STATS over all nodes: bytes and numbers added up, shares averaged by memory in use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from proxy.control.reply import encode
from proxy.control.request import Request
from proxy.lanes.links import Links
from proxy.lanes.raw import parse

__all__ = ["merge", "stats"]

#: A mean, not a sum: what a node uses beyond its start, divided by its keys.
PER_KEY = b"keys.bytes-per-key"


async def stats(links: Links, request: Request) -> bytes:
    """MEMORY STATS: asked with RESP3, where a share (a double) can be told from a number of bytes (an integer)."""
    replies = [parse(reply) for reply in await links.agreed(request, protocol=3)]
    return encode(merge(replies), request.protocol)


def merge(replies: Sequence[Mapping[bytes, Any]]) -> dict[bytes, Any]:
    """Of all nodes. Integers are summed, the databases' maps too; doubles are means weighted by total.allocated."""
    weights = [reply.get(b"total.allocated", 1) for reply in replies]
    made = _merge(replies, weights)
    if made.get(b"keys.count") and PER_KEY in made:
        used = made.get(b"total.allocated", 0) - made.get(b"startup.allocated", 0)
        made[PER_KEY] = max(used, 0) // made[b"keys.count"]
    return made


def _merge(replies: Sequence[Mapping[bytes, Any]], weights: Sequence[int]) -> dict[bytes, Any]:
    made: dict[bytes, Any] = {}
    for field in dict.fromkeys(field for reply in replies for field in reply):
        found = [(reply[field], weight) for reply, weight in zip(replies, weights, strict=True) if field in reply]
        values = [value for value, _ in found]
        if isinstance(values[0], dict):
            made[field] = _merge(values, [weight for _, weight in found])
        elif isinstance(values[0], float):
            made[field] = sum(value * weight for value, weight in found) / max(sum(weight for _, weight in found), 1)
        elif isinstance(values[0], int):
            made[field] = sum(values)
        else:
            made[field] = values[0]
    return made
