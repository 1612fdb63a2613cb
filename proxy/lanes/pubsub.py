"""Publish and subscribe: SUBSCRIBE and its kin, and PUBSUB, from requests to replies.

PUBLISH is not here: it is a command for the node of its channel, in the fast lane. Nor are messages: see
subscriptions.py. A subscription is confirmed to a client when the node has confirmed it, so what is published after
that is received, and what was published before is not. Likewise the end of one: what was published before the client
asked for it is received, and for what is published after the confirmation the client is not counted.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import hiredis
import trio

from proxy.control.engines import Engines
from proxy.control.probe import ask
from proxy.control.reply import encode
from proxy.control.request import Answer, Handler, Request
from proxy.errors import ReplyError
from proxy.lanes.kept import Kept, KeptClient
from proxy.lanes.registry import Kind
from proxy.lanes.subscriptions import RefusedError, Subscriptions
from proxy.settings import Settings

__all__ = ["PubSub"]

_PREFIX = {Kind.CHANNEL: "", Kind.PATTERN: "p", Kind.SHARD: "s"}


#: Seconds that the end of a subscription waits for its nodes: the client's part of it is over in any case.
LEAVE_TIMEOUT = 1.0


class PubSub:
    """The subscriptions of all pools."""

    def __init__(self, settings: Settings, engines: Engines, kept: Kept) -> None:
        self._settings = settings
        self._kept = kept
        self.pools = [Subscriptions(index, pool, engines) for index, pool in enumerate(settings.pools)]
        kept.on_forget(self._forget)

    @property
    def handlers(self) -> Mapping[str, Handler]:
        """By command, for `Requests`."""
        handlers: dict[str, Handler] = {
            "pubsub|channels": partial(self._channels, "CHANNELS"),
            "pubsub|shardchannels": partial(self._channels, "SHARDCHANNELS"),
            "pubsub|numsub": partial(self._numbers, "NUMSUB", Kind.CHANNEL),
            "pubsub|shardnumsub": partial(self._numbers, "SHARDNUMSUB", Kind.SHARD),
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

    def _forget(self, client: KeptClient) -> None:
        self.pools[client.pool].forget(client)

    # -- subscribing --------------------------------------------------------------------------------------------------

    async def _subscribe(self, kind: Kind, request: Request) -> Answer:
        pool = self.pools[request.pool]
        keys = [(kind, name) for name in request.args[1:]]
        try:
            await pool.hold(keys, request.command.name)
        except RefusedError as error:
            return Answer(b"-%b\r\n" % str(error).encode())
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

    async def _channels(self, word: str, request: Request) -> bytes:
        """Of all nodes together; a channel that is at several is there once."""
        if len(request.args) > 3:
            raise ReplyError("subcommand_syntax", command="PUBSUB", arguments=request.args[1][:128])
        found: dict[bytes, None] = {}
        for reply in await self._ask_all(request, word, *request.args[2:]):
            found.update(dict.fromkeys(reply))
        return encode(list(found), request.protocol)

    async def _numbers(self, word: str, kind: Kind, request: Request) -> bytes:
        """What the node counts, with as many for us as we have clients; the nodes count other proxies as one, too."""
        pool = self.pools[request.pool]
        names = request.args[2:]
        counted = await self._ask_all(request, word, *names) if names else []
        values: list[object] = []
        for place, name in enumerate(names):
            key = (kind, name)
            others = max(
                counted[node][2 * place + 1] - pool.feeds[node].has(key) for node in pool.nodes(key)
            )
            values += [name, max(0, others) + pool.registry.size(key)]
        return encode(values, request.protocol)

    async def _patterns(self, request: Request) -> bytes:
        """Every proxy has its patterns at every node."""
        return encode(max(await self._ask_all(request, "NUMPAT")), request.protocol)

    async def _ask_all(self, request: Request, *words: str | bytes) -> list[Any]:
        """The replies of all nodes of the pool to PUBSUB …, in their order.

        Raises:
            ReplyError: a node did not answer, or answered with an error.
        """
        settings = self._settings.pools[request.pool]
        replies: list[Any] = [None] * len(settings.servers)

        async def one(node: int) -> None:
            try:
                replies[node] = await ask(settings, settings.servers[node], "PUBSUB", *words)
            except OSError as error:
                replies[node] = error

        async with trio.open_nursery() as nursery:
            for node in range(len(replies)):
                nursery.start_soon(one, node)
        for node, reply in enumerate(replies):
            if isinstance(reply, (OSError, hiredis.ReplyError)):
                feed = self.pools[request.pool].feeds[node]
                raise ReplyError(
                    "node_down", node=feed.name, address=feed.address, pool=settings.name, reason=str(reply),
                    command=request.command.name,
                )  # fmt: skip
        return replies


async def _all(events: list[trio.Event]) -> None:
    with trio.move_on_after(LEAVE_TIMEOUT):
        for event in events:
            await event.wait()
