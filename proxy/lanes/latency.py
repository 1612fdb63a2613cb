"""LATENCY over all nodes, and what nodes say in prose: one report behind the other, each under its node's name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from proxy.control.reply import Verbatim, encode
from proxy.control.request import Request
from proxy.lanes.links import Links, good
from proxy.lanes.raw import integer, join, parse

__all__ = ["graph", "histogram", "history", "latest", "merge_histograms", "merge_latest", "reset", "told"]

#: command → calls, and how many took at most so many microseconds (cumulative), as LATENCY HISTOGRAM says it.
Histograms = Mapping[bytes, Mapping[bytes, Any]]


async def latest(links: Links, request: Request) -> bytes:
    """LATENCY LATEST: event, time and duration of its latest spike on any node, and the worst there was on any."""
    return encode(merge_latest([parse(reply) for reply in await links.agreed(request)]), request.protocol)


def merge_latest(replies: Sequence[Sequence[Sequence[Any]]]) -> list[list[Any]]:
    """By event, in the order in which the nodes first name them."""
    found: dict[bytes, list[Any]] = {}
    for reply in replies:
        for event, at, duration, worst, *more in reply:
            known = found.get(event)
            if known is None:
                found[event] = [event, at, duration, worst, *more]
                continue
            known[1:3] = max(known[1:3], [at, duration])
            known[3] = max(known[3], worst)
    return list(found.values())


async def history(links: Links, request: Request) -> bytes:
    """LATENCY HISTORY event: the samples of all nodes, by time; at most 160 a node."""
    samples = sorted(parse(join(await links.agreed(request))))
    return encode(samples, request.protocol)


async def reset(links: Links, request: Request) -> bytes:
    """LATENCY RESET [event ...]: how many series were forgotten, those of all nodes counted."""
    return b":%d\r\n" % sum(map(integer, await links.agreed(request)))


async def histogram(links: Links, request: Request) -> bytes:
    """LATENCY HISTOGRAM [command ...]: calls and counts added up."""
    replies = [parse(reply) for reply in await links.agreed(request, protocol=3)]
    return encode(merge_histograms(replies), request.protocol)


def merge_histograms(replies: Sequence[Histograms]) -> dict[bytes, Any]:
    """Nodes leave out the buckets in which nothing was counted, so what each bucket adds is summed, not the totals."""
    calls: Counter[bytes] = Counter()
    added: dict[bytes, Counter[int]] = {}
    for reply in replies:
        for command, row in reply.items():
            calls[command] += row[b"calls"]
            buckets = added.setdefault(command, Counter())
            below = 0
            for bound, total in sorted(row[b"histogram_usec"].items()):
                buckets[bound] += total - below
                below = total
    made: dict[bytes, Any] = {}
    for command, buckets in added.items():
        total = 0
        cumulative = {}
        for bound in sorted(buckets):
            total += buckets[bound]
            cumulative[bound] = total
        made[command] = {b"calls": calls[command], b"histogram_usec": cumulative}
    return made


async def told(links: Links, request: Request) -> bytes:
    """LATENCY DOCTOR, MEMORY DOCTOR, MEMORY MALLOC-STATS: what each node has to say."""
    return _reports(
        links, request, dict(zip(links.nodes(request.pool), await links.agreed(request, protocol=2), strict=False)),
    )  # fmt: skip


async def graph(links: Links, request: Request) -> bytes:
    """LATENCY GRAPH event: of each node that has samples of it; an error where none has."""
    outcomes = await links.every(request, protocol=2)
    drawn = {node: reply for node, reply in zip(links.nodes(request.pool), outcomes, strict=False) if good(reply)}
    for outcome in outcomes:
        if not good(outcome) and (not drawn or not (isinstance(outcome, bytes) and b"No samples" in outcome)):
            raise links.failure(request.pool, request.command, outcomes)
    return _reports(links, request, drawn)


def _reports(links: Links, request: Request, replies: Mapping[int, bytes]) -> bytes:
    """One text of many; the replies are bulk strings."""
    texts = [
        f"# node {links.name(request.pool, node)}\n{parse(reply).decode('utf-8', 'replace').rstrip()}\n"
        for node, reply in replies.items()
    ]
    return encode(Verbatim("\n".join(texts)), request.protocol)
