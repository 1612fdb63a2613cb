"""Monitor: MONITOR, which shows a client every request of its pool as it starts.

The engines write the lines (monitor.pyx); here is who wants them. A pool is monitored as long as one of its clients is,
and not a moment for nothing: the engines are told when the first one comes and when the last one leaves.
"""

from __future__ import annotations

import time
from array import array
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace

import trio

from proxy.control.clients import Clients
from proxy.control.engines import Engines
from proxy.control.request import Answer, Handler, Request
from proxy.errors import ReplyError
from proxy.lanes.kept import Kept, KeptClient
from proxy.settings import Settings

__all__ = ["Monitor"]


class Monitor:
    """Those who monitor, of all pools."""

    #: By full command name, the method that answers it.
    COMMANDS: Mapping[str, str] = {"monitor": "begin"}

    def __init__(self, settings: Settings, engines: Engines, clients: Clients, kept: Kept) -> None:
        self._paths = [pool.listen.path.encode() for pool in settings.pools]
        self._engines = engines
        self._clients = clients
        self._kept = kept
        self._watchers: list[set[KeptClient]] = [set() for _ in settings.pools]
        self._on = [False] * len(settings.pools)  # as the engines were told
        self._missed = [0] * len(settings.pools)
        self._turn = trio.Lock()
        self._left = trio.Event()
        kept.on_forget(self._forget)
        clients.add_details(lambda record: replace(record, monitor=True) if self.watches(record.id) else record)

    def handlers(self) -> dict[str, Handler]:
        """For `Requests`."""
        return {name: getattr(self, method) for name, method in self.COMMANDS.items()}

    def watches(self, number: int) -> bool:
        """Whether the client of this id monitors."""
        client = self._kept.get(number)
        return client is not None and client in self._watchers[client.pool]

    async def begin(self, request: Request) -> Answer:
        """MONITOR. Once more it is answered with nothing at all, as by Redis."""
        if self.watches(request.client_id):
            return Answer(b"")
        async with self._turn:
            await self._turn_on(request.pool)
            self._watchers[request.pool].add(self._kept.add(request))
            return Answer(b"+OK\r\n", keep=True)

    async def run(self) -> None:
        """Tell the engines when nobody of a pool monitors any more, for ever."""
        while True:
            await self._left.wait()
            self._left = trio.Event()
            async with self._turn:
                for pool, watchers in enumerate(self._watchers):
                    if not watchers:
                        await self._turn_off(pool)

    def shown(self, pool: int, missing: int, lines: bytes) -> None:
        """EVENT_MONITOR of an engine: pass the lines on. What does not fit an engine's box is missing, too."""
        missing += self._missed[pool]
        self._missed[pool] = 0
        if missing:
            lines = b'+%.6f [0 proxy] "%d requests are not shown: there are too many"\r\n%b' % (
                time.time(), missing, lines,
            )  # fmt: skip
        by_engine: dict[int, list[int]] = {}
        for client in self._watchers[pool]:
            by_engine.setdefault(client.engine, []).append(client.pointer)
        for engine, pointers in by_engine.items():
            try:
                self._engines.engines[engine].push(array("Q", pointers).tobytes(), lines)
            except BlockingIOError:
                self._missed[pool] += lines.count(b"\n")

    def _forget(self, client: KeptClient) -> None:
        watchers = self._watchers[client.pool]
        watchers.discard(client)
        if not watchers:
            self._left.set()

    async def _turn_on(self, pool: int) -> None:
        if not self._on[pool]:
            # First, so that whatever becomes of it somebody will turn it off again.
            self._on[pool] = True
            try:
                await self._clients.monitor(pool, True, self._paths[pool])
            except BaseException:
                self._left.set()
                raise

    async def _turn_off(self, pool: int) -> None:
        """An engine that does not answer goes on for nothing, until the next one leaves: what it shows is dropped."""
        if self._on[pool]:
            with suppress(ReplyError):
                await self._clients.monitor(pool, False, self._paths[pool])
                self._on[pool] = False
