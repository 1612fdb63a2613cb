"""Kept: the clients that the control plane goes on naming after it has answered them: subscribers, monitors.

A request's client is a pointer that is valid until the request is answered. A lane that wants to push to it later
answers with `Answer(keep=True)` and calls `Kept.add` in the same step, without an await between the two: from then on
the pointer is valid until the engine has been told otherwise. Every kept client's end is one EVENT_GONE; `gone` tells
the lanes, which forget the client at once and post no order that names it any more, and then releases it, exactly once.
A client that sends RESET stays kept, but has to be forgotten by every lane just the same: the engine leaves RESET of a
kept client to the control plane.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import trio

from proxy.control.engines import POST_AGAIN, Engines
from proxy.control.request import Request

__all__ = ["Kept", "KeptClient"]


@dataclass(frozen=True, slots=True, eq=False)
class KeptClient:
    """One client that may be pushed to; there is one object a client, so identity is equality."""

    id: int  #: unique in this process
    engine: int
    pointer: int  #: for the engine's orders
    pool: int


class Kept:
    """All kept clients of all engines."""

    def __init__(self, engines: Engines) -> None:
        self._engines = engines
        self._clients: dict[int, KeptClient] = {}
        self._forget: list[Callable[[KeptClient], None]] = []
        self._releases: deque[tuple[int, int]] = deque()
        self._late = trio.Event()

    def __len__(self) -> int:
        return len(self._clients)

    def on_forget(self, forget: Callable[[KeptClient], None]) -> None:
        """Have `forget` called for each client that leaves or sends RESET, whether or not that lane knows it."""
        self._forget.append(forget)

    def get(self, number: int) -> KeptClient | None:
        """The kept client of this id."""
        return self._clients.get(number)

    def add(self, request: Request) -> KeptClient:
        """Keep the client of a request that is being answered with `Answer(keep=True)`; adding it again is harmless."""
        client = self._clients.get(request.client_id)
        if client is None:
            client = KeptClient(request.client_id, request.engine, request.client, request.pool)
            self._clients[client.id] = client
        return client

    def gone(self, engine: int, pointer: int, number: int) -> None:
        """EVENT_GONE of an engine."""
        client = self._clients.pop(number, None)
        if client is not None:
            self._tell(client)
        self._releases.append((engine, pointer))
        if len(self._releases) > 1 or not self._release():
            self._late.set()

    def reset(self, number: int) -> None:
        """The client sent RESET: it stays, what is pushed to it ends."""
        client = self._clients.get(number)
        if client is not None:
            self._tell(client)

    async def run(self) -> None:
        """Post the releases that did not fit an engine's box, for ever."""
        while True:
            await self._late.wait()
            self._late = trio.Event()
            while not self._release():  # noqa: ASYNC110 - an engine cannot say that its box has room
                await trio.sleep(POST_AGAIN)

    def _tell(self, client: KeptClient) -> None:
        for forget in self._forget:
            forget(client)

    def _release(self) -> bool:
        """Post what waits; False while a box is full."""
        while self._releases:
            engine, pointer = self._releases[0]
            try:
                self._engines.engines[engine].release(pointer)
            except BlockingIOError:
                return False
            self._releases.popleft()
        return True
