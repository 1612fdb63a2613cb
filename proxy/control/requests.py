"""Requests: the commands that engines hand to the control plane, from event to answer.

Every request is answered exactly once, also when answering it fails: its client waits behind a barrier and would wait
for ever. Requests queue here and are answered one after the other with a checkpoint between them, so a crowd that
sends INFO delays itself and not the health of nodes. The queue needs no bound: a client has one request in it at most.

Whatever has to be waited for (a description of clients) runs in a task of its own and delays nobody else.
"""

from __future__ import annotations

import logging

import hiredis
import trio

from proxy.commands import find
from proxy.control.answers import AnswerContext, answer, prepare
from proxy.control.clients import Clients
from proxy.control.engines import Engines, Event
from proxy.control.snapshot import Snapshot
from proxy.control.statistics import ClientRecord
from proxy.errors import ReplyError

log = logging.getLogger("quench.requests")

#: Seconds between attempts to post an answer to an engine whose box of orders is full.
POST_AGAIN = 0.001


class Requests:
    """Answers control-lane commands for all engines."""

    def __init__(self, engines: Engines, snapshot: Snapshot, clients: Clients) -> None:
        self._engines = engines
        self._snapshot = snapshot
        self._clients = clients
        self._queue, self._requests = trio.open_memory_channel[tuple[int, Event]](float("inf"))

    def asked(self, engine: int, event: Event) -> None:
        """One EVENT_REQUEST of an engine: it will be answered."""
        self._queue.send_nowait((engine, event))

    async def run(self) -> None:
        """Answer, for ever. The long replies of COMMAND are built first, in a thread: 12 ms each."""
        await trio.to_thread.run_sync(prepare)
        async with trio.open_nursery() as nursery:
            async for engine, event in self._requests:
                _, pool, _, protocol, client, slot, tag, data = event
                args = _arguments(data)
                row = find(args) if args else None
                if row is not None and row.name in ("client|list", "client|info"):
                    nursery.start_soon(self._describe, engine, event, args)
                else:
                    caller = ClientRecord(id=tag, address="", local_address="", protocol=protocol)
                    reply = self._answer(args, protocol, pool, caller, [])
                    self._post(nursery, engine, client, slot, reply)

    async def _describe(self, engine: int, event: Event, args: list[bytes]) -> None:
        """CLIENT LIST and CLIENT INFO: the engines are asked first."""
        _, pool, _, protocol, client, slot, tag, _ = event
        caller = ClientRecord(id=tag, address="", local_address="", protocol=protocol)
        everyone: list[ClientRecord] = []
        try:
            if args[1].lower() == b"info":
                caller = await self._clients.describe(engine, client) or caller
            else:
                everyone = await self._clients.everyone()
        except ReplyError as error:
            reply = error.reply
        except Exception:
            reply = _failed(args)
        else:
            reply = self._answer(args, protocol, pool, caller, everyone)
        await self._post_waiting(engine, client, slot, reply)

    def _answer(
        self, args: list[bytes], protocol: int, pool: int, caller: ClientRecord, everyone: list[ClientRecord]
    ) -> bytes:
        """The reply; after an exception one that says so."""
        try:
            context = AnswerContext(
                statistics=self._snapshot.take(pool),
                client=caller,
                settings=self._snapshot.config(pool),
                clients=everyone,
            )
            return answer(args, protocol, context)
        except Exception:
            return _failed(args)

    def _post(self, nursery: trio.Nursery, engine: int, client: int, slot: int, reply: bytes) -> None:
        try:
            self._engines.engines[engine].reply(client, slot, reply)
        except BlockingIOError:
            nursery.start_soon(self._post_waiting, engine, client, slot, reply)

    async def _post_waiting(self, engine: int, client: int, slot: int, reply: bytes) -> None:
        """Post, again and again while the engine's box is full: a busy engine empties it every turn."""
        while True:
            try:
                self._engines.engines[engine].reply(client, slot, reply)
                return
            except BlockingIOError:
                await trio.sleep(POST_AGAIN)


def _arguments(data: bytes) -> list[bytes]:
    """The words of a request that the engine has framed."""
    reader = hiredis.Reader()
    reader.feed(data)
    args = reader.gets()
    return args if isinstance(args, list) else []


def _failed(args: list[bytes]) -> bytes:
    """Log the exception being handled, with its traceback; the client is told that there is one."""
    name = b" ".join(args[:1])[:64]
    log.exception("request.failed command=%s", name.decode("latin-1"))
    return ReplyError("internal", command=name).reply
