"""Publish and subscribe: SUBSCRIBE and its kin, and PUBSUB, from requests to replies.

PUBLISH is not here: it is a command for the node of its channel, in the fast lane. Nor are messages: see
subscriptions.py. A subscription is confirmed to a client when the node has confirmed it, so what is published after
that is received, and what was published before is not. Likewise the end of one: what was published before the client
asked for it is received, and for what is published after the confirmation the client is not counted.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import trio

from proxy.address import Server
from proxy.control.engines import Engines
from proxy.control.reply import encode
from proxy.control.request import Answer, Handler, Request
from proxy.errors import ReplyError
from proxy.lanes.kept import Kept, KeptClient
from proxy.lanes.links import Links
from proxy.lanes.raw import parse
from proxy.lanes.registry import Kind
from proxy.lanes.subscriptions import Subscriptions
from proxy.settings import Settings

__all__ = ["PubSub"]

_PREFIX = {Kind.CHANNEL: "", Kind.PATTERN: "p", Kind.SHARD: "s"}


#: Seconds that the end of a subscription waits for its nodes: the client's part of it is over in any case.
LEAVE_TIMEOUT = 1.0


class PubSub:
    """The subscriptions of all pools."""

    def __init__(
        self, settings: Settings, engines: Engines, kept: Kept, links: Links,
        owner: Callable[[int, bytes], int | None] = lambda pool, name: None,
        on_redirect: Callable[[int, int, str], None] = lambda pool, node, text: None,
    ) -> None:  # fmt: skip
        """Of pools in front of a cluster: `owner(pool, name)` is the node that holds a channel's slot, and
        `on_redirect(pool, node, text)` hears of one that said that it does not."""
        self._kept = kept
        self._links = links
        self.pools = [
            Subscriptions(index, pool, engines, partial(owner, index), partial(on_redirect, index))
            for index, pool in enumerate(settings.pools)
        ]
        kept.on_forget(self._forget)

    def handlers(self) -> dict[str, Handler]:
        """For `Requests`."""
        handlers: dict[str, Handler] = {
            "pubsub|channels": self._channels,
            "pubsub|shardchannels": self._channels,
            "pubsub|numsub": partial(self._numbers, Kind.CHANNEL),
            "pubsub|shardnumsub": partial(self._numbers, Kind.SHARD),
            "pubsub|numpat": self._patterns,
            "reset": self._reset,
        }
        for kind, prefix in _PREFIX.items():
            handlers[f"{prefix}subscribe"] = partial(self._subscribe, kind)
            handlers[f"{prefix}unsubscribe"] = partial(self._unsubscribe, kind)
        return handlers

    async def run(self) -> None:
        """Look after the nodes' connections, for ever."""
        async with trio.open_nursery() as nursery:
            for pool in self.pools:
                nursery.start_soon(pool.run)

    def counts(self, number: int) -> tuple[int, int, int]:
        """Channels, patterns and shard channels that the client of this id is subscribed to."""
        client = self._kept.get(number)
        return (0, 0, 0) if client is None else self.pools[client.pool].registry.counts(client)

    def totals(self) -> tuple[int, int, int, int]:
        """Clients with subscriptions; different channels, patterns and shard channels, pool by pool."""
        channels, patterns, shards = map(sum, zip(*(pool.registry.totals for pool in self.pools), strict=True))
        return sum(len(pool.registry) for pool in self.pools), channels, patterns, shards

    def live(self, pool: int, live: bytes) -> None:
        """Nodes were ejected or readmitted: channels follow what is published to them."""
        self.pools[pool].live(live)

    def seated(self, pool: int, node: int, server: Server) -> None:
        """Another server is behind a node: what is subscribed to there is subscribed to at it."""
        self.pools[pool].seated(node, server)

    def moved(self, pool: int) -> None:
        """Slots of a cluster have changed their nodes."""
        self.pools[pool].moved()

    def _forget(self, client: KeptClient) -> None:
        self.pools[client.pool].forget(client)

    # -- subscribing --------------------------------------------------------------------------------------------------

    async def _subscribe(self, kind: Kind, request: Request) -> Answer:
        pool = self.pools[request.pool]
        keys = [(kind, name) for name in request.args[1:]]
        await pool.hold(keys, request.command.name)
        client = self._kept.add(request)
        said = []
        for key in keys:
            pool.add(key, client)
            said.append(self._said(request, kind, key[1], client))
        pool.settle(keys)
        return Answer(b"".join(said), keep=True, subscriber=True)

    async def _unsubscribe(self, kind: Kind, request: Request) -> Answer:
        pool = self.pools[request.pool]
        client = self._kept.get(request.client_id)
        names = request.args[1:]
        if not names and client is not None:
            names = pool.registry.names(kind, client)
        if client is not None:
            with trio.move_on_after(LEAVE_TIMEOUT):
                await pool.caught_up([(kind, name) for name in names])
        said = []
        left: list[trio.Event] = []
        for name in names:
            if client is not None:
                left += pool.remove((kind, name), client)
            said.append(self._said(request, kind, name, client))
        if not said:
            said.append(self._said(request, kind, None, client))
        subscriber = sum(self.counts(request.client_id)) > 0
        await _all(left)
        return Answer(b"".join(said), subscriber=subscriber)

    async def _reset(self, request: Request) -> Answer:
        """RESET of a kept client; of others the engine takes care."""
        client = self._kept.get(request.client_id)
        if client is not None:
            pool = self.pools[client.pool]
            with trio.move_on_after(LEAVE_TIMEOUT):
                await pool.caught_up(pool.registry.of(client))
            left = pool.forget(client)
            self._kept.reset(client.id)
            await _all(left)
        return Answer(b"+RESET\r\n", subscriber=False, reset=True)

    def _said(self, request: Request, kind: Kind, name: bytes | None, client: KeptClient | None) -> bytes:
        """The confirmation of one name, with the number of subscriptions that are left; shard channels count apart."""
        channels, patterns, shards = self.counts(request.client_id) if client is not None else (0, 0, 0)
        count = shards if kind is Kind.SHARD else channels + patterns
        reply = encode([request.command.name, name, count], request.protocol)
        return b">" + reply[1:] if request.protocol == 3 else reply

    # -- PUBSUB -------------------------------------------------------------------------------------------------------

    async def _channels(self, request: Request) -> bytes:
        """Of all nodes together; a channel that is at several is there once."""
        if len(request.args) > 3:
            raise ReplyError("subcommand_syntax", command="PUBSUB", arguments=request.args[1][:128])
        found: dict[bytes, None] = {}
        for reply in await self._ask(request):
            found.update(dict.fromkeys(reply))
        return encode(list(found), request.protocol)

    async def _numbers(self, kind: Kind, request: Request) -> bytes:
        """What the node counts, with as many for us as we have clients; the nodes count other proxies as one, too."""
        pool = self.pools[request.pool]
        names = request.args[2:]
        counted = await self._ask(request) if names else []
        by_node = dict(zip(self._links.nodes(request.pool), counted, strict=False))
        values: list[object] = []
        for place, name in enumerate(names):
            key = (kind, name)
            others = max((by_node[node][2 * place + 1] - pool.feeds[node].has(key) for node in pool.nodes(key)
                          if node in by_node), default=0)
            values += [name, max(0, others) + pool.registry.size(key)]
        return encode(values, request.protocol)

    async def _patterns(self, request: Request) -> bytes:
        """Every proxy has its patterns at every node."""
        return encode(max(await self._ask(request)), request.protocol)

    async def _ask(self, request: Request) -> list[Any]:
        """What the nodes reply to the request itself, in their order. Raises ReplyError if one does not."""
        return [parse(reply) for reply in await self._links.agreed(request, protocol=2)]


async def _all(events: list[trio.Event]) -> None:
    with trio.move_on_after(LEAVE_TIMEOUT):
        for event in events:
            await event.wait()
