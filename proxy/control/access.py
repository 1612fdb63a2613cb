"""Access: who the users of each pool are, and what was refused to them. The control plane's side of rights.

Users come from the configuration and do not change while the proxy runs. Engines check by themselves and report what
they refused; each report names a client and keeps its struct, so that ACL LOG can describe it even after it has left.
"""

from __future__ import annotations

import logging
import time
from contextlib import suppress

import trio

from proxy.acl import users_of
from proxy.control.answers.client import describe
from proxy.control.clients import Clients
from proxy.control.denials import DenialLog
from proxy.control.engines import Engines, Event
from proxy.control.rights import Denial
from proxy.control.statistics import ClientRecord
from proxy.errors import ReplyError
from proxy.settings import Settings, User

log = logging.getLogger("quench.access")

#: Seconds between attempts to post to an engine whose box of orders is full.
POST_AGAIN = 0.001


class Access:
    """Users by pool, and the log of refusals."""

    def __init__(self, settings: Settings, engines: Engines, clients: Clients) -> None:
        self._engines = engines
        self._clients = clients
        self._users = [users_of(pool) for pool in settings.pools]
        self._queue, self._reports = trio.open_memory_channel[tuple[int, Event]](float("inf"))
        self.denials = DenialLog()

    def users(self, pool: int) -> tuple[User, ...]:
        """The users of a pool, an index of the settings' pools, by name."""
        return self._users[pool]

    def denied(self, engine: int, event: Event) -> None:
        """One EVENT_DENIED. Reports wait in a queue that the engines' own rate bounds."""
        self._queue.send_nowait((engine, event))

    async def run(self) -> None:
        """Describe the client of each report, let go of it and keep the entry, for ever."""
        async for engine, event in self._reports:
            _, pool, _, denial, client, name_length, client_id, data = event
            record = None
            with suppress(ReplyError, BlockingIOError):
                record = await self._clients.describe(engine, client)
            if record is None:
                record = ClientRecord(id=client_id, address="", local_address="")
            await self._release(engine, client)
            self.denials.add(
                pool, Denial(denial), data[name_length:], data[:name_length], describe(record), time.time()
            )

    async def _release(self, engine: int, client: int) -> None:
        while True:
            try:
                self._engines.engines[engine].release(client)
                return
            except BlockingIOError:
                await trio.sleep(POST_AGAIN)
