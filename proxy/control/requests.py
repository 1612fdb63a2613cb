"""Requests: the commands that engines hand to the control plane, from event to answer.

Every request is answered exactly once, also when answering it fails: its client waits behind a barrier and would wait
for ever. Requests queue here and are answered one after the other with a checkpoint between them, so a crowd that
sends INFO delays itself and not the health of nodes. The queue needs no bound: a client has one request in it at most.

Whatever has to be waited for (a description of clients) runs in a task of its own and delays nobody else.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import partial

import hiredis
import trio

from proxy.commands import find
from proxy.control.access import Access
from proxy.control.answers import AnswerContext, answer, prepare
from proxy.control.clients import Clients
from proxy.control.denials import DenialLog
from proxy.control.engines import Engines, Event
from proxy.control.request import Answer, Handler, Request
from proxy.control.snapshot import Snapshot
from proxy.control.statistics import ClientRecord
from proxy.errors import ReplyError

log = logging.getLogger("quench.requests")


class Requests:
    """Answers control-lane commands for all engines."""

    def __init__(
        self,
        engines: Engines,
        snapshot: Snapshot,
        clients: Clients,
        handlers: Mapping[str, Handler] | None = None,
        before: Mapping[str, Callable[[Request], Awaitable[None]]] | None = None,
        access: Access | None = None,
    ) -> None:
        """`handlers`, by full command name, answer in tasks of their own; every other command is answered at once,
        but for what has to happen `before`, which is waited for in a task too. Without `access` ACL knows of nobody."""
        self._access = access
        self._engines = engines
        self._snapshot = snapshot
        self._clients = clients
        self._handlers: dict[str, Handler] = {
            "client|list": self._client_list,
            "client|info": self._client_info,
            **{name: partial(self._answer_after, first) for name, first in (before or {}).items()},
            **(handlers or {}),
        }
        self._queue, self._requests = trio.open_memory_channel[tuple[int, Event]](float("inf"))

    def asked(self, engine: int, event: Event) -> None:
        """One EVENT_REQUEST of an engine: it will be answered."""
        self._queue.send_nowait((engine, event))

    async def run(self) -> None:
        """Answer, for ever. The long replies of COMMAND are built first, in a thread: 12 ms each."""
        await trio.to_thread.run_sync(prepare)
        async with trio.open_nursery() as nursery:
            async for engine, event in self._requests:
                request = _request(engine, event)
                handler = None if request is None else self._handlers.get(request.command.name)
                if request is None:
                    self._post(nursery, engine, event[4], event[5], Answer(ReplyError("syntax").reply))
                elif handler is not None:
                    nursery.start_soon(self._handle, handler, request)
                else:
                    reply = self._answer(request, _caller(request), [])
                    self._post(nursery, engine, request.client, request.slot, Answer(reply))

    async def _handle(self, handler: Handler, request: Request) -> None:
        """Have a lane answer; whatever becomes of that, the client gets one reply."""
        try:
            made = await handler(request)
        except ReplyError as error:
            made = error.reply
        except Exception:
            made = _failed(request.args)
        answer = made if isinstance(made, Answer) else Answer(made)
        await self._post_waiting(request.engine, request.client, request.slot, answer)

    async def _client_list(self, request: Request) -> bytes:
        everyone = await self._clients.everyone()
        return self._answer(request, _caller(request), [one for one in everyone if one.pool == request.pool])

    async def _client_info(self, request: Request) -> bytes:
        caller = await self._clients.describe(request.engine, request.client)
        return self._answer(request, caller or _caller(request), [])

    async def _answer_after(self, first: Callable[[Request], Awaitable[None]], request: Request) -> bytes:
        await first(request)
        return self._answer(request, _caller(request), [])

    def _answer(self, request: Request, caller: ClientRecord, everyone: list[ClientRecord]) -> bytes:
        """The reply; after an exception one that says so."""
        try:
            context = AnswerContext(
                statistics=self._snapshot.take(request.pool),
                client=caller,
                settings=self._snapshot.config(request.pool),
                clients=everyone,
                pool=request.pool,
                users=self._access.users(request.pool) if self._access else (),
                denials=self._access.denials if self._access else DenialLog(),
                now=time.time(),
            )
            return answer(request.args, request.protocol, context)
        except Exception:
            return _failed(request.args)

    def _post(self, nursery: trio.Nursery, engine: int, client: int, slot: int, made: Answer) -> None:
        try:
            self._reply(engine, client, slot, made)
        except BlockingIOError:
            nursery.start_soon(self._post_waiting, engine, client, slot, made)

    def _reply(self, engine: int, client: int, slot: int, made: Answer) -> None:
        self._engines.engines[engine].reply(
            client, slot, made.reply, made.close, made.keep, made.subscriber, made.reset
        )

    async def _post_waiting(self, engine: int, client: int, slot: int, made: Answer) -> None:
        await self._engines.post(lambda: self._reply(engine, client, slot, made))


def _request(engine: int, event: Event) -> Request | None:
    """The event as a request; None when its words do not make one, which the engine's own framing rules out."""
    _, pool, database, protocol, client, slot, tag, data = event
    reader = hiredis.Reader()
    reader.feed(data)
    args = reader.gets()
    row = find(args) if isinstance(args, list) and args else None
    if row is None:
        return None
    return Request(engine, client, slot, tag, pool, protocol, database, args, row)


def _caller(request: Request) -> ClientRecord:
    return ClientRecord(id=request.client_id, address="", local_address="", protocol=request.protocol)


def _failed(args: list[bytes]) -> bytes:
    """Log the exception being handled, with its traceback; the client is told that there is one."""
    name = b" ".join(args[:1])[:64]
    log.exception("request.failed command=%s", name.decode("latin-1"))
    return ReplyError("internal", command=name).reply
