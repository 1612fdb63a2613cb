"""Links: the control plane's connections to all nodes, and asking one node, or every node of a pool, for something.

One link per (pool, node, protocol, database) in use: opened by the first request, closed when idle, replaced when it
broke. A node that is ejected is not asked: it is an error at once, as in the engines.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeGuard

import trio

from proxy.commands import COMMANDS, Command, find
from proxy.control.cluster import Place, members
from proxy.control.request import Request
from proxy.control.seats import Seats
from proxy.errors import ReplyError
from proxy.lanes.link import Link, Room
from proxy.lanes.raw import NodeError, elements, is_copy, without_copies
from proxy.settings import Settings

__all__ = ["OWN", "Links", "Outcome", "good"]

log = logging.getLogger("quench.links")

#: What became of a request at one node: its raw reply, an error reply included; or why there is none.
Outcome = bytes | ReplyError

#: What the names of the proxies' own keys begin with, at nodes that have copies of keys.
OWN = b"\0quench:"

#: Of the nodes that failed, how many an error names.
NAMED = 3


class Links:
    """The links of one process."""

    def __init__(
        self,
        settings: Settings,
        nursery: trio.Nursery,
        down: Callable[[int, int], str] = lambda pool, node: "",
        on_ghost: Callable[[int, int, int, bytes], None] = lambda pool, node, ghost, run_id: None,
        seats: Seats | None = None,
        fenced: Callable[[int], bool] = lambda pool: False,
    ) -> None:
        """`down(pool, node)` says why a node is not to be asked now, or ""; `on_ghost(pool, node, id, run_id)` hears
        of connections that were given up with a write on them; `fenced(pool)`: what is written may not be acknowledged
        now. Links run in `nursery`."""
        self._settings = settings
        self._nursery = nursery
        self._down = down
        self._seats = seats or Seats(settings)
        self._seats.listen(self._moved)
        self._fenced = fenced
        self._on_ghost = on_ghost
        self.turns = [trio.Lock() for _ in settings.pools]  #: by pool: held by who gathers much
        #: With `replication: ring`: is (pool, node) read from?
        self.serves: Callable[[int, int], bool] = lambda pool, node: True
        #: And the node that is right about a key of a pool; None: none is there.
        self.first: Callable[[int, bytes], int | None] = lambda pool, key: None
        self._links: dict[tuple[int, int, int, int, int], Link] = {}

    def nodes(self, pool: int) -> Sequence[int]:
        """The nodes of a pool that hold keys of their own; those of a cluster come and go."""
        return members(self._settings.pools[pool])

    def places(self, pool: int) -> list[Place]:
        """The places of a pool in front of a cluster, by node; none in other pools."""
        return [server for server in self._settings.pools[pool].servers if isinstance(server, Place)]

    def copies(self, pool: int) -> bool:
        """Are there keys of ours at the nodes, copies of hot ones and records, which clients are not shown?"""
        settings = self._settings.pools[pool]
        return settings.failover == "promote" or (settings.hot_keys.fans_out and len(settings.servers) > 1)

    def copied(self, pool: int) -> bool:
        """Is every key at several nodes?"""
        return self._settings.pools[pool].copied

    def shown(self, pool: int, node: int, key: bytes) -> bool:
        """Is a key at a node one that clients are shown, and shown there?"""
        if self.copied(pool):
            return self.first(pool, key) == node and not key.startswith(OWN)
        return not (self.copies(pool) and is_copy(key))

    def visible(self, pool: int, node: int, keys: bytes) -> bytes:
        """An array of keys of a node, raw, without those that clients are not shown there."""
        if not self.copied(pool):
            return without_copies(keys) if self.copies(pool) else keys
        kept = [key for key in elements(keys) if self.shown(pool, node, key[key.index(b"\r\n") + 2 : -2])]
        return b"".join([b"*%d\r\n" % len(kept), *kept])

    def serving(self, pool: int) -> list[int]:
        """With `replication: ring`: the nodes that are read from."""
        return [node for node in self.nodes(pool) if self.serves(pool, node)]

    def _moved(self, pool: int, node: int) -> None:
        """Another server is behind a node."""
        for key, link in self._links.items():
            if key[:2] == (pool, node) and not link.closed:
                link.moved()

    def room(self, pool: int) -> Room:
        """What all replies to one command may take together."""
        return Room(self._settings.pools[pool].limits.output_hard)

    def pool_name(self, pool: int) -> str:
        """A pool as people know it."""
        return self._settings.pools[pool].name

    def name(self, pool: int, node: int) -> str:
        """A node as people know it: name and address."""
        server = self._seats.server(pool, node)
        return f"{server.name or server.address} ({server.address})"

    def run_id(self, pool: int, node: int, protocol: int, database: int = 0) -> bytes:
        """The process of a node, as the link that was asked last knows it; empty where that does not."""
        link = self._links.get((pool, node, protocol, database, 0))
        return b"" if link is None else link.run_id

    async def ask(
        self, pool: int, node: int, words: Sequence[bytes], *, protocol: int = 2, database: int = 0,
        room: Room | None = None, line: int = 0,
    ) -> bytes:  # fmt: skip
        """One node's reply, raw; it may be an error reply. `line`: another connection than everybody's.

        Raises:
            ReplyError: there is none; the text says what is known of the request.
        """
        command = find(list(words)) or COMMANDS["command"]
        settings = self._settings.pools[pool]
        reason = "it has no primary now" if self._seats.empty(pool, node) else self._down(pool, node)
        if reason:
            server = self._seats.server(pool, node)
            raise ReplyError(
                "node_down", command=command.name, node=server.name or server.address, address=server.address,
                pool=settings.name, reason=reason,
            )  # fmt: skip
        key = pool, node, protocol, database, line
        link = self._links.get(key)
        if link is None or link.closed:
            agent = b"quench:%d:control" % os.getpid()
            link = Link(
                settings, self._seats.server(pool, node), protocol, database, agent, partial(self._on_ghost, pool, node)
            )
            self._links[key] = link
            self._nursery.start_soon(self._run, link)
        since = trio.current_time()
        reply = await link.ask(command, list(words), room or self.room(pool))
        if command.may_write and self._fenced(pool) and not reply.startswith(b"-"):
            server = self._seats.server(pool, node)
            raise ReplyError(
                "fenced", command=command.name, node=server.name or server.address, address=server.address,
                pool=settings.name, elapsed=int((trio.current_time() - since) * 1000),
            )  # fmt: skip
        return reply

    async def _run(self, link: Link) -> None:
        """Run a link; a mistake in it ends the link, and not the proxy."""
        try:
            await link.run()
        except Exception:
            log.exception("link.failed")

    async def every(
        self, request: Request, words: Sequence[bytes] | None = None, *, protocol: int = 0, database: int = 0
    ) -> list[Outcome]:
        """What becomes of `words` (the request's own) at each node of the pool, by node; all are asked at once, and
        share one room. `protocol` 0 is the client's."""
        nodes = self.nodes(request.pool)
        outcomes: list[Outcome] = [b""] * len(nodes)
        room = self.room(request.pool)

        async def one(place: int, node: int) -> None:
            try:
                outcomes[place] = await self.ask(
                    request.pool, node, request.args if words is None else words,
                    protocol=protocol or request.protocol, database=database, room=room,
                )  # fmt: skip
            except ReplyError as error:
                outcomes[place] = error

        async with trio.open_nursery() as nursery:
            for place, node in enumerate(nodes):
                nursery.start_soon(one, place, node)
        if not nodes:
            raise ReplyError("pool_down", pool=self._settings.pools[request.pool].name, command=request.command.name)
        return outcomes

    async def agreed(
        self, request: Request, words: Sequence[bytes] | None = None, *, protocol: int = 0, database: int = 0
    ) -> list[bytes]:
        """The replies of all nodes, raw and no error among them.

        Raises:
            ReplyError: a node failed. Where they all say the same it is that, else it names those that failed.
        """
        outcomes = await self.every(request, words, protocol=protocol, database=database)
        replies = [outcome for outcome in outcomes if good(outcome)]
        if len(replies) == len(outcomes):
            return replies
        raise self.failure(request.pool, request.command, outcomes)

    def failure(self, pool: int, command: Command, outcomes: Sequence[Outcome]) -> ReplyError:
        """The error for a command that did not work at every node."""
        failed = [place for place, outcome in enumerate(outcomes) if not good(outcome)]
        nodes = self.nodes(pool)
        first = outcomes[failed[0]]
        if isinstance(first, bytes) and all(outcome == first for outcome in outcomes):
            return NodeError(first)
        if isinstance(first, ReplyError) and (len(outcomes) == 1 or (
            not command.write and (len(failed) == 1 or first.code == "gathered_limit")
        )):
            return first
        reasons = []
        for place in failed[:NAMED]:
            outcome = outcomes[place]
            if isinstance(outcome, bytes):
                name = self.name(pool, nodes[place]) if place < len(nodes) else "that is gone"
                reasons.append(f"node {name} said: {outcome[1:-2].decode('latin-1')}")
            else:
                reasons.append(outcome.text.removeprefix("ERR "))
        if len(failed) > NAMED:
            reasons.append("and so on")
        return ReplyError(
            "some_done" if command.write else "some_failed",
            command=command.name, pool=self._settings.pools[pool].name, nodes=len(outcomes), failed=len(failed),
            done=len(outcomes) - len(failed), reason="; ".join(reasons),
        )  # fmt: skip


def good(outcome: Outcome) -> TypeGuard[bytes]:
    """A reply, and not an error reply."""
    return isinstance(outcome, bytes) and not outcome.startswith((b"-", b"!"))
