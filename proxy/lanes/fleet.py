"""Fleet: the hot keys that other proxies of a pool found, through the nodes' own publish and subscribe.

For pools with `hot_keys.share`. A key that becomes hot here is published on one channel, which lives on a node as any
channel does; whoever hears of one has it counted and copied from then on. Nothing depends on it: a message that is lost
costs the others the time that finding the key takes them.
"""

from __future__ import annotations

import secrets
from contextlib import suppress
from functools import partial

import trio

from proxy.address import Server
from proxy.control.engines import Engines
from proxy.errors import ReplyError
from proxy.lanes.links import Links
from proxy.lanes.node_feed import NodeFeed
from proxy.lanes.registry import Kind
from proxy.placement import placement
from proxy.settings import Settings

__all__ = ["Fleet"]

#: The channel, one a pool of nodes.
CHANNEL = b"__quench__:hot"

#: Keys that wait to be published; more are not told.
WAITING = 1024


class Fleet:
    """What the proxies of each pool tell one another."""

    def __init__(self, settings: Settings, engines: Engines, links: Links) -> None:
        self._engines = engines
        self._links = links
        self._own = secrets.token_hex(8).encode()  # not to listen to ourselves
        self._send, self._found = trio.open_memory_channel[tuple[int, bytes]](WAITING)
        self._node: dict[int, int] = {}  # pool → where its channel lives
        self._feeds: list[NodeFeed] = []
        for index, pool in enumerate(settings.pools):
            if pool.hot_keys.enabled and pool.hot_keys.share and pool.distribution != "random":
                node = self._node[index] = placement(pool).node(CHANNEL)
                feed = NodeFeed(pool, pool.servers[node], partial(self._heard, index), lambda: None)
                feed.want((Kind.CHANNEL, CHANNEL))
                self._feeds.append(feed)

    def moved(self, pool: int, node: int, server: Server) -> None:
        """Another server is behind a node."""
        if self._node.get(pool) == node:
            self._feeds[list(self._node).index(pool)].move(server)

    async def run(self) -> None:
        """Listen and publish, for ever."""
        async with trio.open_nursery() as nursery:
            for feed in self._feeds:
                nursery.start_soon(feed.run)
            async for pool, key in self._found:
                with suppress(ReplyError):
                    await self._links.ask(pool, self._node[pool], [b"PUBLISH", CHANNEL, self._own + key])

    def found(self, pool: int, key: bytes) -> None:
        """An engine found a hot key."""
        if pool in self._node:
            with suppress(trio.WouldBlock):
                self._send.send_nowait((pool, key))

    async def _heard(self, pool: int, kind: Kind, subscription: bytes, channel: bytes, payload: bytes) -> None:
        if payload.startswith(self._own):
            return
        for engine in self._engines.engines:
            with suppress(BlockingIOError):
                engine.hot_key(pool, payload[len(self._own) :])
