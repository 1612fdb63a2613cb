"""Node feed: one connection to one node, on which the messages of all our clients' subscriptions come in.

Opened by the first subscription and closed a while after the last. A PING every few seconds makes a node that died
without a word show: when nothing came for `SILENCE`, the connection is given up. After any loss it is opened again,
with backoff, and everything that is wanted is subscribed to once more, so a client notices nothing but the messages
that were published meanwhile.

RESP2, because every node speaks it. The node answers the subscribing commands in their order, messages in between.
"""

from __future__ import annotations

import logging
import random
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

import hiredis
import trio

from proxy.address import Server
from proxy.control.probe import authentication, connect
from proxy.lanes.registry import Key, Kind
from proxy.settings import Pool

__all__ = ["NodeFeed", "Wanted"]

log = logging.getLogger("quench.pubsub")

PING_EVERY = 2.0  #: seconds
SILENCE = 10.0  #: seconds without a byte that end a connection
LINGER = 60.0  #: seconds that a connection stays without subscriptions
RECEIVE = 1 << 16  #: bytes, whose messages are delivered before anything else is done

#: Called with (kind, subscription, channel, payload); the channel is the subscription but for a pattern.
Deliver = Callable[[Kind, bytes, bytes, bytes], Awaitable[None]]

_SUBSCRIBE = (b"SUBSCRIBE", b"PSUBSCRIBE", b"SSUBSCRIBE")
_UNSUBSCRIBE = (b"UNSUBSCRIBE", b"PUNSUBSCRIBE", b"SUNSUBSCRIBE")
_REDIRECTIONS = ("MOVED ", "ASK ", "TRYAGAIN ", "CLUSTERDOWN ")
_MESSAGES = {b"message": Kind.CHANNEL, b"smessage": Kind.SHARD}


class Wanted:
    """One subscription at one node."""

    __slots__ = ("answered", "confirmed", "error", "gone", "key")

    def __init__(self, key: Key) -> None:
        self.key = key
        self.answered = trio.Event()  #: the node said yes or no, or was lost; another one for its next answer
        self.confirmed = False  #: by the node, on the connection that there is now
        self.error = ""  #: the node's words if it said no
        self.gone = False  #: it is wanted no more: perhaps at another node


class NodeFeed:
    """The subscriptions of one node of one pool."""

    def __init__(
        self, pool: Pool, server: Server, deliver: Deliver, changed: Callable[[], None],
        on_redirect: Callable[[str], None] = lambda text: None,
    ) -> None:  # fmt: skip
        """`changed` is called when `complete` has become another; `on_redirect(text)` when a node of a cluster says
        that a shard channel is not its own."""
        self._on_redirect = on_redirect
        self._again: list[Wanted] = []  # to be asked for once more
        self.complete = False  #: what was wanted when the connection was opened is confirmed on it
        self.down = ""  #: why there is no connection, after an attempt that failed
        self._pool = pool
        self._server = server
        self._deliver = deliver
        self._changed = changed
        self._wanted: dict[Key, Wanted] = {}
        # Answers to come; events: of PING, and with their key of what is dropped.
        self._expected: deque[Wanted | trio.Event | tuple[Key, trio.Event]] = deque()
        self._caught_up = Wanted((Kind.CHANNEL, b""))  # expected behind all that a new connection subscribes to first
        self._fence: trio.Event | None = None  # a PING that is not sent yet
        self._connected = False
        self._out: list[bytes] = []
        self._serving = trio.CancelScope()
        self._write = trio.Event()

    @property
    def name(self) -> str:
        return self._server.name or self._server.address

    @property
    def address(self) -> str:
        return self._server.address

    def move(self, server: Server) -> None:
        """Another server is the node from here on."""
        self._server = server
        self._serving.cancel()

    def want(self, key: Key) -> Wanted:
        """Be subscribed from now on; wait for `answered`."""
        wanted = self._wanted.get(key)
        if wanted is None:
            wanted = self._wanted[key] = Wanted(key)
            self._subscribe(wanted)
        return wanted

    def drop(self, key: Key) -> trio.Event | None:
        """Be subscribed no more; set when the node counts us no more. None: it does not."""
        wanted = self._wanted.pop(key, None)
        if wanted is not None:
            wanted.gone = True
            wanted.answered.set()
        if wanted is None or not self._connected:
            return None
        dropped = trio.Event()
        self._expected.append((key, dropped))
        self._send(_UNSUBSCRIBE[key[0]], key[1])
        return dropped

    def has(self, key: Key) -> bool:
        """Does the node count us for this subscription now?"""
        wanted = self._wanted.get(key)
        return wanted is not None and wanted.confirmed

    def fence(self) -> trio.Event | None:
        """Set when everything that was published at the node before now has been delivered; None: that is lost.

        A PING, which those share who ask before it is sent: a crowd that subscribes costs one a round trip.
        """
        if self._connected and self._fence is None:
            self._fence = trio.Event()
            self._expected.append(self._fence)
            self._send(b"PING")
        return self._fence

    def _subscribe(self, wanted: Wanted) -> None:
        if self._connected:
            self._expected.append(wanted)
            self._send(_SUBSCRIBE[wanted.key[0]], wanted.key[1])
        self._write.set()

    def _send(self, *words: Any) -> None:
        self._out.append(hiredis.pack_command(words))
        self._write.set()

    # -- the connection ---------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Keep a connection while anything is wanted, for ever."""
        failures = 0
        while True:
            while not self._wanted:
                await self._wake()
            try:
                with trio.CancelScope() as self._serving:
                    await self._serve()
                if not self._serving.cancelled_caught:
                    continue
                self._lost("another node takes its place")
                continue
            except* (OSError, UnicodeError, trio.BrokenResourceError, trio.ClosedResourceError,
                     hiredis.ProtocolError, _LostError) as group:  # fmt: skip
                why = _words(group)
            was_connected = self._lost(why)
            failures = 1 if was_connected else failures + 1
            log.warning("pubsub.lost pool=%s node=%s reason=%r", self._pool.name, self.name, why)
            backoff = self._pool.reconnect
            wait = min(backoff.most, backoff.first * 2.0 ** min(failures - 1, 20))
            await trio.sleep(wait * (0.5 + random.random() / 2))

    def _lost(self, why: str) -> bool:
        """The connection is gone; was it there at all?"""
        was_connected = self._connected
        self._ended()
        self.down = why
        for wanted in self._wanted.values():
            wanted.confirmed = False
            wanted.answered.set()
            wanted.answered = trio.Event()
        return was_connected

    def _ended(self) -> None:
        self._connected = False
        for expected in self._expected:
            if isinstance(expected, tuple):
                expected[1].set()
            elif isinstance(expected, trio.Event):
                expected.set()
        self._again.clear()
        self._expected.clear()
        self._out.clear()
        self._fence = None
        self._complete(False)

    def _complete(self, complete: bool) -> None:
        if complete != self.complete:
            self.complete = complete
            self._changed()

    async def _wake(self) -> None:
        await self._write.wait()
        self._write = trio.Event()

    async def _serve(self) -> None:
        """One connection, from its opening to its loss; returns when nothing was wanted for a while."""
        with trio.move_on_after(self._pool.connect_timeout) as opening:
            stream = await connect(self._server)
        if opening.cancelled_caught:
            raise _LostError("connecting took too long")
        async with stream:
            reader = hiredis.Reader()
            with trio.move_on_after(self._pool.connect_timeout) as opening:
                await self._greet(stream, reader)
            if opening.cancelled_caught:
                raise _LostError("it did not answer a PING")
            self._connected = True
            self.down = ""
            log.info("pubsub.open pool=%s node=%s subscriptions=%d", self._pool.name, self.name, len(self._wanted))
            for wanted in self._wanted.values():
                self._subscribe(wanted)
            self._expected.append(self._caught_up)
            self._send(b"PING")
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._writer, stream)
                nursery.start_soon(self._pinger, nursery.cancel_scope)
                await self._reader(stream, reader)
            self._ended()

    async def _greet(self, stream: trio.abc.Stream, reader: hiredis.Reader) -> None:
        commands = [*authentication(self._pool), (b"PING",)]
        await stream.send_all(b"".join(hiredis.pack_command(command) for command in commands))
        for _ in commands:
            while (reply := reader.gets()) is False:
                reader.feed(await _receive(stream))
            if isinstance(reply, hiredis.ReplyError):
                raise _LostError(str(reply))

    async def _writer(self, stream: trio.abc.Stream) -> None:
        while True:
            await self._wake()
            data = b"".join(self._out)
            self._out.clear()
            self._fence = None
            if data:
                await stream.send_all(data)

    async def _pinger(self, scope: trio.CancelScope) -> None:
        idle = 0.0
        while True:
            await trio.sleep(PING_EVERY)
            idle = 0.0 if self._wanted else idle + PING_EVERY
            if idle >= LINGER:
                scope.cancel()
            again, self._again = self._again, []
            for wanted in again:
                if self._wanted.get(wanted.key) is wanted:
                    self._subscribe(wanted)
            self._expected.append(trio.Event())
            self._send(b"PING")

    async def _reader(self, stream: trio.abc.Stream, reader: hiredis.Reader) -> None:
        while True:
            with trio.move_on_after(SILENCE) as patience:
                data = await _receive(stream)
            if patience.cancelled_caught:
                raise _LostError(f"it said nothing for {SILENCE:.0f} s")
            reader.feed(data)
            while (reply := reader.gets()) is not False:
                match reply:
                    case [b"message" | b"smessage" as word, bytes(channel), bytes(payload)]:
                        await self._deliver(_MESSAGES[word], channel, channel, payload)
                    case [b"pmessage", bytes(pattern), bytes(channel), bytes(payload)]:
                        await self._deliver(Kind.PATTERN, pattern, channel, payload)
                    case _:
                        self._answered(reply)
                        # Who waited for this answer has to be a receiver before the messages behind it are handed out:
                        # its task runs in the next step of the loop, and this one goes on in the step after.
                        await trio.lowlevel.checkpoint()
                        await trio.lowlevel.checkpoint()

    def _answered(self, reply: object) -> None:
        """The answer to the oldest command that has none."""
        if isinstance(reply, list) and reply[0] == b"sunsubscribe" and not self._dropping(reply[1]):
            # The slot has left this node.
            lost = self._wanted.get((Kind.SHARD, reply[1]))
            if lost is not None and self._pool.cluster:
                self._elsewhere(lost, "MOVED")
            return
        if not self._expected:
            raise _LostError("it sent a reply that nobody asked for")
        wanted = self._expected.popleft()
        if isinstance(wanted, tuple):
            wanted = wanted[1]
        if isinstance(wanted, trio.Event):
            wanted.set()
            return
        if wanted is self._caught_up:
            self._complete(True)
        if self._wanted.get(wanted.key) is not wanted:
            return
        if self._pool.cluster and isinstance(reply, hiredis.ReplyError) and str(reply).startswith(_REDIRECTIONS):
            self._elsewhere(wanted, str(reply))
            return
        if isinstance(reply, hiredis.ReplyError):
            # Refused: by rights, or because this node knows no subscriptions. Not asked again until somebody does.
            wanted.error = str(reply)
            log.warning("pubsub.refused pool=%s node=%s reason=%r", self._pool.name, self.name, wanted.error)
            del self._wanted[wanted.key]
        wanted.confirmed = not wanted.error
        wanted.answered.set()


    def _dropping(self, name: bytes) -> bool:
        """Is the oldest answer to come that to our own SUNSUBSCRIBE of this channel?"""
        return bool(self._expected) and isinstance(self._expected[0], tuple) and (
            self._expected[0][0] == (Kind.SHARD, name))

    def _elsewhere(self, wanted: Wanted, text: str) -> None:
        """The node does not have the channel's slot. Whoever looks after the cluster will find out who has; until
        we are told to want it no more, this one is asked again now and then."""
        wanted.confirmed = False
        self._again.append(wanted)
        self._on_redirect(text)


class _LostError(Exception):
    """The connection is of no use; the text says why."""


async def _receive(stream: trio.abc.Stream) -> bytes:
    data = await stream.receive_some(RECEIVE)
    if not data:
        raise _LostError("it closed the connection")
    return bytes(data)


def _words(error: BaseException) -> str:
    """The first reason of a group of them."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return str(error) or type(error).__name__
