"""Replicas: the tasks that ask nodes about their replication, and tell the engines which replicas may be read."""

from __future__ import annotations

import logging
import time
from contextlib import suppress
from typing import Any

import hiredis
import trio

from proxy.address import Server
from proxy.control.freshness import Freshness, Replication
from proxy.control.probe import authentication, connect
from proxy.engine.engine import Engine
from proxy.settings import Pool, Settings

log = logging.getLogger("quench.replicas")

EVERY = 0.25  # seconds between two questions to a node


class Asker:
    """One connection to a node, opened again when it is needed."""

    def __init__(self, pool: Pool, server: Server) -> None:
        self._pool, self._server = pool, server
        self._stream: trio.abc.Stream | None = None
        self._reader = hiredis.Reader()

    async def replication(self) -> Replication | None:
        """What the node says of its replication; None when it does not within `connect_timeout`."""
        with trio.move_on_after(self._pool.connect_timeout):
            try:
                return Replication.parse(await self._ask())
            except (OSError, UnicodeError, trio.BrokenResourceError, trio.ClosedResourceError, hiredis.ProtocolError):
                pass
        await self.close()
        return None

    async def close(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            await trio.aclose_forcefully(stream)

    async def _ask(self) -> bytes:
        if self._stream is None:
            self._reader = hiredis.Reader()
            self._stream = await connect(self._server)
            for command in authentication(self._pool):
                await self._say(self._stream, *command)
        reply = await self._say(self._stream, "INFO", "replication")
        return reply if isinstance(reply, bytes) else b""

    async def _say(self, stream: trio.abc.Stream, *words: Any) -> object:
        await stream.send_all(hiredis.pack_command(words))
        while (reply := self._reader.gets()) is False:
            received = await stream.receive_some(65536)
            if not received:
                raise trio.BrokenResourceError
            self._reader.feed(bytes(received))
        return reply


class Replicas:
    """All replicas of all pools, for all engines of the process."""

    def __init__(self, settings: Settings, engines: list[Engine]) -> None:
        self._settings = settings
        self._engines = engines
        self._told: dict[tuple[int, int], bool] = {}

    async def run(self) -> None:
        """Keep the engines told, for ever."""
        async with trio.open_nursery() as nursery:
            for index, pool in enumerate(self._settings.pools):
                for member, server in enumerate(pool.servers):
                    if server.replicas:
                        nursery.start_soon(self._watch, index, member)

    async def _watch(self, pool: int, member: int) -> None:
        """One member of a ring and its replicas."""
        settings = self._settings.pools[pool]
        places = [member] + [
            place for place, primary in enumerate(settings.replica_of, len(settings.servers)) if primary == member
        ]  # fmt: skip
        askers = [Asker(settings, settings.nodes[place]) for place in places]
        said: list[Replication | None] = [None] * len(places)
        freshness = Freshness()

        async def ask(number: int) -> None:
            said[number] = await askers[number].replication()

        while True:
            asked = time.monotonic()
            # The primary first: what it says is what the replicas are measured by.
            await ask(0)
            freshness.heard(asked, said[0])
            async with trio.open_nursery() as nursery:
                for number in range(1, len(places)):
                    nursery.start_soon(ask, number)
            for place, one in zip(places[1:], said[1:], strict=True):
                self._tell(pool, place, *freshness.judge(one))
            await trio.sleep(EVERY)

    def _tell(self, pool: int, place: int, readable: bool, fresh: float) -> None:
        if self._told.get((pool, place)) != readable:
            self._told[pool, place] = readable
            settings = self._settings.pools[pool]
            node = settings.nodes[place]
            log.info("replica.%s pool=%s node=%s", "readable" if readable else "unreadable", settings.name,
                     node.name or node.address)  # fmt: skip
        for engine in self._engines:
            with suppress(BlockingIOError):  # it is told again in a moment
                engine.readable(pool, place, readable, int(fresh * 1e6))
