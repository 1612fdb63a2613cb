"""Link: one connection of the control plane to one node, for commands that no engine sends.

A request's life here: it waits in `_unsent` until the link is open and the requests before it are written, then in
`_sent` until its reply. Replies come in the order of the requests, so any number of tasks may ask at once. They are
whole and raw: see proxy/wire/framer.pxd for why.

It keeps an engine's promises. A request has the pool's `timeout`. One that was not written by then is withdrawn, and
its error says so. A read that was written leaves a tombstone, whose late reply is dropped. A write that was written
ends the link, and the engines have the node kill it (`on_ghost`), so that it cannot land after a newer write of theirs.
What a reply may take is the asker's to say (`Room`): a larger one is dropped as it arrives.
"""

from __future__ import annotations

import math
import os
import socket
import struct
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import hiredis
import trio

from proxy.address import Server
from proxy.commands import Command
from proxy.errors import ReplyError
from proxy.settings import Pool
from proxy.wire.framer import ReplyFramer

__all__ = ["Link", "Room"]

#: Seconds without a request after which a link is closed.
IDLE = 60.0


@dataclass(slots=True)
class Room:
    """Bytes that the replies to one command may take yet, all nodes together."""

    left: int
    limit: int = 0

    def __post_init__(self) -> None:
        self.limit = self.left


@dataclass(slots=True, eq=False)
class _Asked:
    """One request."""

    command: Command
    data: bytes
    room: Room
    since: float
    sent: bool = False  # its first byte may have been given to the kernel
    abandoned: bool = False  # a tombstone: nobody waits for it any more
    charged: int = 0  # bytes of its reply that were taken from `room`
    reply: bytes = b""
    error: ReplyError | None = None
    done: trio.Event = field(default_factory=trio.Event)


class _RefusedError(Exception):
    """The node did not take the greeting; the text is its own."""


def _pack(words: Sequence[str | bytes]) -> bytes:
    packed: tuple[Any, ...] = tuple(words)
    data: bytes = hiredis.pack_command(packed)
    return data


def words_of(error: BaseException) -> str:
    """What the system said; trio wraps it, once more where it tried several addresses, and adds words of its own."""
    cause = error.__cause__ or error
    if isinstance(cause, BaseExceptionGroup):
        cause = cause.exceptions[0]
    if isinstance(cause, OSError) and cause.errno is not None and cause.errno > 0:
        return os.strerror(cause.errno)
    return getattr(cause, "strerror", None) or str(cause) or type(cause).__name__


class Link:
    """A connection to a node of `pool`. `run` has to be started in a task; it ends when the link does."""

    def __init__(
        self, pool: Pool, server: Server, protocol: int, database: int, agent: bytes,
        on_ghost: Callable[[int, bytes], None],
    ) -> None:  # fmt: skip
        """`agent` is its name at the node; `on_ghost(id, run_id)` hears of a link that was given up with a write on
        it that may yet be executed."""
        self.closed = False
        self.run_id = b""  #: of the node's process; empty until the link is open, or where the node does not tell
        self._pool = pool
        self._server = server
        self._protocol = protocol
        self._database = database
        self._agent = agent
        self._on_ghost = on_ghost
        self._id = 0
        self._unsent: deque[_Asked] = deque()
        self._sent: deque[_Asked] = deque()
        self._unsent_bytes = 0
        self._framer = ReplyFramer()
        self._work = trio.Event()
        self._scope = trio.CancelScope()
        self._reason = "the proxy is shutting down"

    # -- asking -----------------------------------------------------------------------------------------------------

    async def ask(self, command: Command, words: list[bytes], room: Room) -> bytes:
        """Send one request; returns its whole reply, raw.

        Raises:
            ReplyError: no reply came, or it does not fit `room`; the text says what is known of the request.
        """
        asked = _Asked(command, _pack(words), room, trio.current_time())
        if self._unsent_bytes > self._pool.limits.backlog:
            raise self._error("backlog_full", asked, limit=self._pool.limits.backlog)
        self._unsent.append(asked)
        self._unsent_bytes += len(asked.data)
        self._work.set()
        try:
            with trio.move_on_after(math.inf if self._pool.timeout is None else self._pool.timeout):
                await asked.done.wait()
        finally:
            if not asked.done.is_set():
                self._abandon(asked)
        if asked.error is not None:
            raise asked.error
        return asked.reply

    def _abandon(self, asked: _Asked) -> None:
        """Nobody waits for it any more, because its time is up or the asker was cancelled."""
        if not asked.sent:
            asked.error = self._error("timeout_not_sent", asked)
            self._unsent.remove(asked)
            self._unsent_bytes -= len(asked.data)
            return
        asked.error = self._error("timeout_write" if asked.command.may_write else "timeout_read", asked)
        asked.abandoned = True
        oldest = trio.current_time() - self._sent[0].since
        if asked.command.may_write or oldest > self._pool.limits.tombstone_age:
            self._end("a request of the control plane took too long")

    def _error(self, code: str, asked: _Asked, **more: object) -> ReplyError:
        return ReplyError(
            code,
            command=asked.command.name,
            node=self._server.name or self._server.address,
            address=self._server.address,
            pool=self._pool.name,
            elapsed=int((trio.current_time() - asked.since) * 1000),
            **more,
        )

    # -- the connection ---------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Connect, greet, serve until the link breaks or is idle; then answer whoever waits."""
        stream: trio.SocketStream | None = None
        try:
            with self._scope:
                stream = await self._open()
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._write, stream)
                    await self._read(stream)
        finally:
            self.closed = True
            self._let_go(stream)

    def moved(self) -> None:
        """Another server is its node from here on."""
        self._end("another node takes its place")

    def _end(self, reason: str) -> None:
        """The link is of no use any more; the first reason is the one that counts."""
        if self.closed:
            return
        self.closed = True
        self._reason = reason
        self._scope.cancel()
        # At once, so that the engines hear of it before they hear of the error that the client gets.
        if self._id and any(asked.command.may_write for asked in self._sent):
            self._on_ghost(self._id, self.run_id)

    async def _open(self) -> trio.SocketStream:
        """Returns a stream that was greeted; ends the link where there is none to be had."""
        reason = "connecting took too long"
        with trio.move_on_after(self._pool.connect_timeout):
            try:
                stream = (
                    await trio.open_unix_socket(self._server.path)
                    if self._server.path
                    else await trio.open_tcp_stream(self._server.host, self._server.port)
                )
                try:
                    await self._greet(stream)
                except BaseException:
                    stream.socket.close()
                    raise
                return stream
            except (OSError, UnicodeError, trio.BrokenResourceError, ValueError, _RefusedError) as error:
                reason = words_of(error)
        self._end(reason)
        await trio.sleep_forever()
        raise AssertionError("unreachable")

    async def _greet(self, stream: trio.SocketStream) -> None:
        """Authentication, protocol and database must succeed; our name, id and the node's run_id are welcome."""
        password = self._pool.node_password
        user = self._pool.node_username
        required: list[tuple[str, ...]] = []
        if self._protocol == 3:
            auth = () if password is None else ("AUTH", user or "default", password.reveal())
            required.append(("HELLO", "3", *auth))
        elif password is not None:
            required.append(("AUTH", *((user,) if user else ()), password.reveal()))
        if self._database:
            required.append(("SELECT", str(self._database)))
        welcome: list[tuple[str | bytes, ...]] = [
            ("CLIENT", "SETNAME", self._agent), ("CLIENT", "NO-EVICT", "ON"), ("CLIENT", "ID"), ("INFO", "server"),
        ]  # fmt: skip
        await stream.send_all(b"".join(map(_pack, (*required, *welcome))))
        for _ in required:
            if (reply := await self._reply(stream)).startswith(b"-"):
                raise _RefusedError(reply[1:-2].decode("latin-1"))
        _, _, number, information = [await self._reply(stream) for _ in welcome]
        if number.startswith(b":"):
            self._id = int(number[1:-2])
        _, found, run_id = information.partition(b"run_id:")
        self.run_id = run_id[:40] if found else b""

    async def _reply(self, stream: trio.SocketStream) -> bytes:
        """The next reply to the greeting. Raises ValueError and BrokenResourceError."""
        while (reply := self._framer.take()) is None:
            received = await stream.receive_some(65536)
            if not received:
                raise trio.BrokenResourceError("the node closed the connection")
            self._framer.feed(bytes(received))
        return reply

    async def _write(self, stream: trio.SocketStream) -> None:
        """Write what is asked, in order; an idle link ends."""
        while True:
            while self._unsent:
                asked = self._unsent.popleft()
                self._unsent_bytes -= len(asked.data)
                asked.sent = True
                self._sent.append(asked)
                try:
                    await stream.send_all(asked.data)
                except (trio.BrokenResourceError, OSError) as error:
                    self._end(words_of(error))
                    return
            self._work = trio.Event()
            with trio.move_on_after(IDLE):
                await self._work.wait()
                continue
            if not self._sent and not self._unsent:
                self._end("it was idle")
                return

    async def _read(self, stream: trio.SocketStream) -> None:
        """Hand replies out until the stream ends."""
        while True:
            try:
                received = await stream.receive_some(65536)
                if not received:
                    self._end("the node closed the connection")
                    return
                self._framer.feed(bytes(received))
                self._take()
            except (trio.BrokenResourceError, OSError, ValueError) as error:
                self._end(words_of(error))
                return

    def _take(self) -> None:
        """Pair the replies that are whole with the oldest requests, and look at the size of the one that is not."""
        while (reply := self._framer.take()) is not None:
            if reply.startswith(b">"):
                continue  # a push answers nothing; none was asked for
            if not self._sent:
                raise ValueError("it sent a reply that nobody asked for")
            asked = self._sent.popleft()
            if asked.abandoned:
                continue
            self._charge(asked, len(reply))
            if asked.room.left < 0 or not reply:
                asked.error = self._error("gathered_limit", asked, limit=asked.room.limit)
            asked.reply = reply
            asked.done.set()
        if self._sent:
            asked = self._sent[0]
            self._charge(asked, self._framer.held)
            if asked.abandoned or asked.room.left < 0:
                self._framer.drop()

    @staticmethod
    def _charge(asked: _Asked, size: int) -> None:
        """Its reply has `size` bytes now."""
        if size > asked.charged:
            asked.room.left -= size - asked.charged
            asked.charged = size

    def _let_go(self, stream: trio.SocketStream | None) -> None:
        """Close, and tell everybody who waits what is known of their request."""
        if stream is not None:
            if self._sent:
                # What the kernel still holds must not reach the node after the successor's first request.
                with suppress(OSError):
                    stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            stream.socket.close()
        for asked in self._sent:
            lost = "lost_write" if asked.command.may_write else "lost_read"
            self._fail(asked, lost)
        for asked in self._unsent:
            self._fail(asked, "node_down" if stream is None else "lost_not_sent")
        self._sent.clear()
        self._unsent.clear()

    def _fail(self, asked: _Asked, code: str) -> None:
        if not asked.abandoned:
            asked.error = self._error(code, asked, reason=self._reason)
            asked.done.set()
