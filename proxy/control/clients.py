"""Clients: who is connected, asked of the engines when somebody wants to know, and orders to many of them.

For CLIENT LIST and INFO, KILL, PAUSE and UNPAUSE.

The engines own the clients and keep no Python object of them: a list is one order to every engine and comes back as
events, text cut anywhere, put together here. While one list is on its way those who ask wait for the next and share
it, so a thousand callers cost two lists; a list that began earlier would miss clients that came since.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from itertools import count

import trio

from proxy.acl import users_of
from proxy.control.engines import Engines
from proxy.control.statistics import ClientRecord
from proxy.engine.engine import Engine
from proxy.errors import ReplyError
from proxy.settings import Settings

#: Seconds that an engine may take to describe its clients: it does so within one turn.
LIST_TIMEOUT = 1.0

#: Lines of which more are parsed in a worker thread: about 5 µs each.
LONG = 200


#: Posts an order with this tag.
_Order = Callable[[Engine, int], None]


@dataclass(slots=True)
class _Part:
    """What one engine has said so far."""

    pieces: list[bytes] = field(default_factory=list)
    whole: trio.Event = field(default_factory=trio.Event)


class Clients:
    """The clients of all engines."""

    def __init__(
        self, settings: Settings, engines: Engines,
        subscriptions: Callable[[int], tuple[int, int, int]] = lambda number: (0, 0, 0),
    ) -> None:  # fmt: skip
        """`subscriptions`: how many channels, patterns and shard channels the client of an id is subscribed to."""
        self._subscriptions = subscriptions
        self._settings = settings
        self._engines = engines
        self._users = [[user.name for user in users_of(pool)] for pool in settings.pools]
        self._parts: dict[int, _Part] = {}
        self._details: list[Callable[[ClientRecord], ClientRecord]] = []
        self._tags = count(1)
        self._turn = trio.Lock()
        self._begun = 0  # lists, ever
        self._latest = 0  # the number of the list that ended last, and what came of it
        self._outcome: list[ClientRecord] | ReplyError = []

    def add_details(self, details: Callable[[ClientRecord], ClientRecord]) -> None:
        """Have `details` fill in what the engines do not know of a client; it may run in a thread."""
        self._details.append(details)

    def listed(self, tag: int, last: bool, data: bytes) -> None:
        """Part of one engine's answer to an order; one that nobody waits for (any more) is dropped."""
        part = self._parts.get(tag)
        if part is None:
            return
        part.pieces.append(data)
        if last:
            part.whole.set()

    async def describe(self, engine: int, client: int) -> ClientRecord | None:
        """One client by its pointer, which a request that is not answered yet keeps valid; None when it has left.

        Raises:
            ReplyError: the engine did not say within `LIST_TIMEOUT`.
        """
        records = self._records([await self._ask(engine, lambda it, tag: it.list_clients(tag, client))])
        return records[0] if records else None

    async def everyone(self) -> list[ClientRecord]:
        """All clients connected now, by id.

        Raises:
            ReplyError: an engine did not describe its clients within `LIST_TIMEOUT`.
        """
        begun = self._begun
        async with self._turn:
            if self._latest <= begun:
                self._begun += 1
                try:
                    self._outcome = await self._gather()
                except ReplyError as error:
                    self._outcome = error
                self._latest = self._begun
            if isinstance(self._outcome, ReplyError):
                raise self._outcome
            return self._outcome

    async def kill(self, ids: Collection[int]) -> set[int]:
        """Close the clients with these ids; returns those that were still connected.

        Raises:
            ReplyError: an engine did not say within `LIST_TIMEOUT`.
        """
        data = array("Q", sorted(ids)).tobytes()
        answers = await self._ask_all(lambda engine, tag: engine.kill_clients(tag, data))
        return {number for answer in answers for number in array("Q", answer)}

    async def pause(self, pool: int, mode: int, milliseconds: int = 0) -> None:
        """Pause the clients of a pool (`mode` 1: what may write, 2: everything) or let them go on (0). It holds in
        every engine when this returns.

        Raises:
            ReplyError: an engine did not say within `LIST_TIMEOUT`.
        """
        await self._ask_all(lambda engine, tag: engine.pause(tag, pool, mode, milliseconds))

    async def monitor(self, pool: int, on: bool, path: bytes) -> None:
        """Have every engine show the requests of a pool, or no longer; `path`: of its unix socket, or empty.

        Raises:
            ReplyError: an engine did not say within `LIST_TIMEOUT`.
        """
        await self._ask_all(lambda engine, tag: engine.monitor(tag, pool, on, path))

    async def hot_keys(self) -> list[bytes]:
        """What each engine has to say of its hot keys; proxy.lanes.hot reads it.

        Raises:
            ReplyError: an engine did not say within `LIST_TIMEOUT`.
        """
        return await self._ask_all(lambda engine, tag: engine.list_hot_keys(tag))

    async def settled(self) -> None:
        """Wait until every engine has carried out the orders that it was given so far.

        Raises:
            ReplyError: an engine did not say within `LIST_TIMEOUT`.
        """
        await self._ask_all(lambda engine, tag: engine.echo(tag))

    async def _gather(self) -> list[ClientRecord]:
        texts = await self._ask_all(lambda engine, tag: engine.list_clients(tag))
        if sum(map(len, texts)) > LONG * 100:
            return await trio.to_thread.run_sync(self._records, texts)
        return self._records(texts)

    async def _ask_all(self, order: _Order) -> list[bytes]:
        """The answers of all engines to an order with a tag, in any order."""
        texts: list[bytes] = []
        failures: list[ReplyError] = []

        async def ask(engine: int) -> None:
            try:
                texts.append(await self._ask(engine, order))
            except ReplyError as error:
                failures.append(error)

        async with trio.open_nursery() as nursery:
            for engine in range(len(self._engines.engines)):
                nursery.start_soon(ask, engine)
        if failures:
            raise failures[0]
        return texts

    async def _ask(self, engine: int, order: _Order) -> bytes:
        tag = next(self._tags)
        part = self._parts[tag] = _Part()
        try:
            with trio.move_on_after(LIST_TIMEOUT):
                await self._engines.post(lambda: order(self._engines.engines[engine], tag))
                await part.whole.wait()
                return b"".join(part.pieces)
        finally:
            del self._parts[tag]
        raise ReplyError("clients_unknown", engine=engine, limit=int(LIST_TIMEOUT * 1000))

    def _records(self, texts: list[bytes]) -> list[ClientRecord]:
        """By id; a client that moved from one engine to another in between is there once."""
        found = {}
        for text in texts:
            for line in text.decode("ascii", "replace").splitlines():
                record = self.record(line)
                for details in self._details:
                    record = details(record)
                found[record.id] = record
        return [found[number] for number in sorted(found)]

    def user_names(self, pool: int) -> list[str]:
        """Who clients of a pool may be."""
        return self._users[pool]

    def record(self, line: str) -> ClientRecord:
        """One line of `client_describe` in proxy/engine/describe.pyx, whose order this is."""
        (
            id_, address, port, fd, name, age, idle, database, protocol, library, version, unread, unsent, commands,
            owed, command, _received, _sent, pool, letters, room, memory, queued, waits, user,
        ) = line.rstrip("\n").split("\t")  # fmt: skip
        local = self._engines.ports[int(pool)]
        unix = bool(self._settings.pools[int(pool)].listen.path)
        host = f"[{address}]" if ":" in address else address
        channels, patterns, shards = self._subscriptions(int(id_))
        return ClientRecord(
            id=int(id_),
            address=f"{local}:0" if unix else f"{host}:{port}",
            local_address=f"{local}:0" if unix else local,
            pool=int(pool),
            fd=int(fd),
            name=name,
            age=float(age),
            idle=float(idle),
            database=int(database),
            protocol=int(protocol),
            subscriptions=channels,
            pattern_subscriptions=patterns,
            shard_subscriptions=shards,
            queued=int(queued),
            subscriber="P" in letters,
            tracking="t" in letters,
            blocked="b" in letters,
            waits=tuple((int(node), int(number)) for node, number in (
                wait.split(":") for wait in waits.split(";") if wait
            )),
            no_evict="e" in letters,
            no_touch="T" in letters,
            closing="c" in letters,
            unix=unix,
            input_bytes=int(unread),
            input_room=int(room),
            output_bytes=int(unsent),
            output_replies=int(owed),
            memory=int(memory),
            command=command if int(commands) else "NULL",
            library_name=library,
            library_version=version,
            user=self._users[int(pool)][int(user)],
        )
