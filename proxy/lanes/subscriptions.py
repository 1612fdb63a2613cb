"""Subscriptions: those of one pool. Which nodes they are at, who receives their messages, what PUBLISH has to add.

A channel is at the node that its name has on the ring, as a key would be, because that is where PUBLISH goes. A pattern
is at every node, and so are the channels of key events, of which each node publishes its own. Of all this process'
clients a node sees one: its `NodeFeed`.

The nodes of a Redis Cluster pass on to one another what is published, but for shard channels and key events. So there a
channel, and a pattern too, is at one node, that of its slot; only what is named like a key event is at every primary.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import partial

import trio

from proxy.address import Server
from proxy.control.cluster import members
from proxy.control.engines import POST_AGAIN, Engines
from proxy.errors import ReplyError
from proxy.lanes.kept import KeptClient
from proxy.lanes.node_feed import NodeFeed, Wanted
from proxy.lanes.raw import NodeError
from proxy.lanes.registry import Key, Kind, Registry
from proxy.placement import placement
from proxy.settings import Pool

__all__ = ["Subscriptions"]

#: Channels that a node publishes by itself, about its own keys.
KEY_EVENTS = (b"__keyspace@", b"__keyevent@")


class Subscriptions:
    """All subscriptions of one pool of this process."""

    def __init__(
        self, index: int, pool: Pool, engines: Engines,
        owner: Callable[[bytes], int | None] = lambda name: None,
        on_redirect: Callable[[int, str], None] = lambda node, text: None,
    ) -> None:  # fmt: skip
        """`owner` and `on_redirect` are PubSub's, of this pool."""
        self._owner = owner
        self.registry = Registry()
        self._index = index
        self._pool = pool
        self._engines = engines.engines
        self._placement = placement(pool)
        self._everywhere = tuple(range(len(pool.servers)))
        self._live = bytes([1]) * len(pool.servers)
        self._claims: Counter[Key] = Counter()  # requests that are waiting for a subscription
        self._at: dict[Key, Sequence[int]] = {}  # the nodes that have it, or are to have it
        self._unposted: list[dict[Key | int, None]] = [{} for _ in self._engines]
        self._late = trio.Event()
        self.feeds = [
            NodeFeed(pool, server, self._deliver, partial(self._post, node), partial(on_redirect, node))
            for node, server in enumerate(pool.servers)
        ]

    async def run(self) -> None:
        """Look after the nodes, for ever."""
        async with trio.open_nursery() as nursery:
            for feed in self.feeds:
                nursery.start_soon(feed.run)
            nursery.start_soon(self._post_late)

    def seated(self, node: int, server: Server) -> None:
        """Another server is behind a node."""
        if node < len(self.feeds):
            self.feeds[node].move(server)

    # -- where ------------------------------------------------------------------------------------------------------

    def nodes(self, key: Key) -> Sequence[int]:
        """The nodes at which a subscription is."""
        kind, name = key
        if self._pool.cluster:
            primaries = members(self._pool)
            owner = self._owner(name)
            # While nobody knows: wherever there is an error to be had.
            return primaries if name.startswith(KEY_EVENTS) and primaries else (owner or 0,)
        if kind is Kind.PATTERN or self._pool.distribution == "random" or name.startswith(KEY_EVENTS):
            return self._everywhere
        home = self._placement.node(name)
        if not self._pool.auto_eject or self._live[home]:
            return (home,)
        # Where PUBLISH goes while its node is out; and still at home, for proxies that have not noticed.
        other = self._placement.live_node(name, self._live)
        return (home,) if other is None or other == home else (home, other)

    def live(self, live: bytes) -> None:
        """Nodes were ejected or readmitted: a byte for each, 0 while it is out."""
        if live != self._live:
            self._live = live
            self.moved()

    def moved(self) -> None:
        """Be subscribed where the channels live now."""
        for key in list(self._at):
            before, after = self._at[key], self.nodes(key)
            if before != after:
                self._at[key] = after
                for node in after:
                    self.feeds[node].want(key)
                for node in set(before) - set(after):
                    self.feeds[node].drop(key)

    # -- who --------------------------------------------------------------------------------------------------------

    async def hold(self, keys: Sequence[Key], command: str) -> None:
        """Have the nodes' word for every subscription; `add` and `settle` have to follow in the same step.

        What was published before that has been delivered by then, so nobody receives it who came later.

        Raises:
            ReplyError: a node refuses, or cannot be reached within the pool's timeout; nothing has changed.
        """
        self._claims.update(keys)
        try:
            with trio.move_on_after(math.inf if self._pool.timeout is None else self._pool.timeout):
                known = {feed for key in keys for feed in self._feeds(key) if feed.has(key)}
                fences = [feed.fence() for feed in known]
                for key, everywhere in [(key, self._want(key)) for key in keys]:
                    await self._confirmed(key, everywhere)
                await self._passed(fences)
                return
            raise self._unreachable(keys, command)
        except BaseException:
            self.settle(keys)
            raise

    async def _passed(self, fences: Iterable[trio.Event | None]) -> None:
        for fence in fences:
            if fence is not None:
                await fence.wait()

    def _feeds(self, key: Key) -> list[NodeFeed]:
        """Of the nodes that have a subscription, or are to have it."""
        return [self.feeds[node] for node in self._at.get(key, ())]

    def _want(self, key: Key) -> list[tuple[NodeFeed, Wanted]]:
        if key not in self._at:
            self._at[key] = self.nodes(key)
        return [(self.feeds[node], self.feeds[node].want(key)) for node in self._at[key]]

    async def _confirmed(self, key: Key, everywhere: Sequence[tuple[NodeFeed, Wanted]]) -> None:
        """Wait for all nodes of one subscription, which may become others meanwhile."""
        while True:
            for feed, wanted in everywhere:
                await self._answered(feed, wanted, everywhere)
            if not any(wanted.gone for _, wanted in everywhere):
                return
            everywhere = self._want(key)

    async def _answered(self, feed: NodeFeed, wanted: Wanted, everywhere: Sequence[tuple[NodeFeed, Wanted]]) -> None:
        """Wait for one node. Of several, those that cannot be reached now are left to be told when they are back."""
        while not (wanted.confirmed or wanted.gone):
            if wanted.error:
                raise NodeError(b"-%b\r\n" % wanted.error.encode("latin-1", "replace"))
            if feed.down and any(other.confirmed for _, other in everywhere):
                return
            await wanted.answered.wait()

    def _unreachable(self, keys: Sequence[Key], command: str) -> ReplyError:
        feeds = [feed for key in keys for feed in self._feeds(key)]
        missing = [feed for key in keys for feed in self._feeds(key) if not feed.has(key)]
        feed = next((feed for feed in missing if feed.down), (missing or feeds)[0])
        return ReplyError(
            "node_down", node=feed.name, address=feed.address, pool=self._pool.name, command=command,
            reason=feed.down or "it does not answer",
        )  # fmt: skip

    def add(self, key: Key, client: KeptClient) -> None:
        """The client receives what is published from now on."""
        if self.registry.add(key, client) and self.registry.size(key) > 1:
            self._post(key)

    async def caught_up(self, keys: Iterable[Key]) -> None:
        """Wait until what was published so far has been delivered to those who are subscribed."""
        await self._passed([feed.fence() for feed in {feed for key in keys for feed in self._feeds(key)}])

    def remove(self, key: Key, client: KeptClient) -> list[trio.Event]:
        """The client receives no more of it; set when the nodes do not count it any more."""
        return self._removed(key) if self.registry.remove(key, client) else []

    def forget(self, client: KeptClient) -> list[trio.Event]:
        """The client receives nothing any more; as `remove`."""
        return [event for key in self.registry.forget(client) for event in self._removed(key)]

    def _removed(self, key: Key) -> list[trio.Event]:
        if not self.registry.size(key):
            return self._leave(key)
        self._post(key)
        return []

    def settle(self, keys: Iterable[Key]) -> None:
        """The end of a `hold`: what nobody is subscribed to is given up."""
        for key in keys:
            self._claims[key] -= 1
            if not self._claims[key]:
                del self._claims[key]
            self._leave(key)

    def _leave(self, key: Key) -> list[trio.Event]:
        if self.registry.size(key) or key in self._claims:
            return []
        return [event for node in self._at.pop(key, ()) if (event := self.feeds[node].drop(key)) is not None]

    # -- messages -----------------------------------------------------------------------------------------------------

    async def _deliver(self, kind: Kind, name: bytes, channel: bytes, payload: bytes) -> None:
        key = (kind, name)
        audience = self.registry.audience(key)
        if audience is None:
            return
        if kind is Kind.PATTERN:
            message = b"%b$%d\r\n%b\r\n$%d\r\n%b\r\n" % (audience.head, len(channel), channel, len(payload), payload)
        else:
            message = b"%b$%d\r\n%b\r\n" % (audience.head, len(payload), payload)
        late = []
        for engine, pointers in audience.arrays().items():
            try:
                self._engines[engine].push(pointers, message)
            except BlockingIOError:
                late.append(engine)
        for engine in late:
            await self._deliver_late(key, engine, message)

    async def _deliver_late(self, key: Key, engine: int, message: bytes) -> None:
        """Wait for room in the engine's box, and so read no more from this node meanwhile.

        Who has left since must not be named: the receivers are looked up again each time.
        """
        while (audience := self.registry.audience(key)) is not None:
            pointers = audience.arrays().get(engine)
            if pointers is None:
                return
            try:
                self._engines[engine].push(pointers, message)
                return
            except BlockingIOError:
                await trio.sleep(POST_AGAIN)

    # -- what the engines know ----------------------------------------------------------------------------------------

    def _post(self, what: Key | int) -> None:
        """Tell every engine how many clients share a subscription, or whether a node has all of ours."""
        for engine in range(len(self._engines)):
            if what in self._unposted[engine] or not self._posted(engine, what):
                self._unposted[engine][what] = None
                self._late.set()

    def _posted(self, engine: int, what: Key | int) -> bool:
        """Post what holds now; False when the engine's box is full."""
        try:
            if isinstance(what, int):
                self._engines[engine].subscribed(self._index, what, self.feeds[what].complete)
            else:
                self._engines[engine].audience(self._index, *what, max(0, self.registry.size(what) - 1))
        except BlockingIOError:
            return False
        return True

    async def _post_late(self) -> None:
        """Post what did not fit, for ever."""
        while True:
            await self._late.wait()
            for engine, unposted in enumerate(self._unposted):
                while unposted:
                    if self._posted(engine, what := next(iter(unposted))):
                        del unposted[what]
                    else:
                        await trio.sleep(POST_AGAIN)
            self._late = trio.Event()
