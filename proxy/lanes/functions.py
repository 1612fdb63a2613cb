"""FUNCTION: libraries, which are kept the same on every node.

LOAD, DELETE, FLUSH and RESTORE are done on all nodes, and OK means on all. Where a node failed the error names it:
send the command again once it is back (LOAD and RESTORE with REPLACE). What only looks (LIST, DUMP, STATS) asks every
node too, so that a node which lost its libraries is noticed.
"""

from __future__ import annotations

from proxy.control.request import Request
from proxy.lanes.links import Links
from proxy.lanes.raw import elements, parse

__all__ = ["dump", "everywhere", "list_", "stats"]


async def everywhere(links: Links, request: Request) -> bytes:
    """The reply of the nodes, when no node failed."""
    return (await links.agreed(request))[0]


async def list_(links: Links, request: Request) -> bytes:
    """FUNCTION LIST: the libraries of all nodes, each once."""
    replies = await links.agreed(request)
    if len(replies) == 1:
        return replies[0]
    found: dict[bytes, bytes] = {}
    for reply in replies:
        for library in elements(reply):
            found.setdefault(name_of(library), library)
    return b"*%d\r\n" % len(found) + b"".join(found.values())


def name_of(library: bytes) -> bytes:
    """The name in one element of FUNCTION LIST: a map, or with RESP2 its keys and values in turn."""
    value = parse(library)
    fields = value if isinstance(value, dict) else dict(zip(value[::2], value[1::2], strict=True))
    name: bytes = fields[b"library_name"]
    return name


async def dump(links: Links, request: Request) -> bytes:
    """FUNCTION DUMP: the longest payload, so that a node without libraries does not pass for all; payloads of equal
    libraries are equal but for their order."""
    return max(await links.agreed(request), key=len)


async def stats(links: Links, request: Request) -> bytes:
    """FUNCTION STATS: of the node that runs a script, if there is one, else of the first."""
    replies = await links.agreed(request)
    return next((reply for reply in replies if runs(reply)), replies[0])


def runs(reply: bytes) -> bool:
    """Does this FUNCTION STATS tell of a script that runs?"""
    value = parse(reply)
    fields = value if isinstance(value, dict) else dict(zip(value[::2], value[1::2], strict=True))
    return fields[b"running_script"] is not None
