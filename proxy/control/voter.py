"""Voter: the connection to one data node on which a pool's proxies agree: asking it, and having it do things.

Everything happens in one task and one at a time. A question is WATCH of the node's record, GET of it, and INFO; what
is done afterwards is a MULTI on the same connection, so it happens only if the record is what it was. A second
question does not make the first one void, as long as there was a record and it was the same: no two records are.

A replica takes no writes, and a primary whose replicas are gone may take none; a record is not data, so for as long
as it takes to be written (one pipeline) they do.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import hiredis
import trio

from proxy.address import Server
from proxy.control.election import Answer, Follow, Promote, Vote
from proxy.control.epoch import decode, encode, key
from proxy.control.probe import authentication, connect, exchange
from proxy.control.roles import Report, parse
from proxy.settings import Pool

log = logging.getLogger("quench.failover")

#: Seconds between questions.
EVERY = 0.1
#: Seconds that a node may take to answer, and to be connected to; silence is judged by others, and sooner.
PATIENCE = 1.0

Act = Vote | Promote | Follow


class UnansweredError(Exception):
    """The node did not answer as one does that serves; the text is why."""


class Voter:
    """One node of `pool`. `run` has to be started in a task."""

    def __init__(
        self, pool: Pool, server: Server, agent: str,
        on_answer: Callable[[str, Answer], None],
        on_silent: Callable[[str, str], None],
        on_done: Callable[[Act, bool], None],
    ) -> None:  # fmt: skip
        """`on_answer(address, answer)`; `on_silent(address, why)` when it could not be asked; `on_done(act, done)`."""
        self.address = server.address
        self._pool = pool
        self._server = server
        self._agent = agent
        self._key = key(pool.name, server.address)
        self._records = [key(pool.name, node.address) for node in pool.nodes]
        self._on_answer = on_answer
        self._on_silent = on_silent
        self._on_done = on_done
        self._acts: deque[Act] = deque()
        self._ask_at = 0.0
        self._work = trio.Event()
        self._stream: trio.abc.Stream | None = None
        self._reader = hiredis.Reader()
        self._serial = 0
        self._since = 0  # the first question since which the record is the same; 0: not watched
        self._value: bytes | None = None
        self._report: Report | None = None
        self._run_id = ""

    def ask(self) -> None:
        """Ask it now."""
        self._ask_at = 0.0
        self._work.set()

    def act(self, act: Act) -> None:
        """Have it do something."""
        self._acts.append(act)
        self._work.set()

    async def run(self) -> None:
        """Ask, and have it act, until cancelled; connects again whenever the connection is lost."""
        while True:
            try:
                with trio.fail_after(PATIENCE):
                    await self._open()
                while True:
                    await self._turn()
            except trio.TooSlowError:
                self._on_silent(self.address, "it does not answer")
            except (OSError, trio.BrokenResourceError, hiredis.HiredisError, ValueError, UnansweredError) as error:
                why = str(error) or type(error).__name__
                self._on_silent(self.address, why)
            finally:
                if self._stream is not None:
                    with trio.CancelScope(shield=True), suppress(OSError, trio.BrokenResourceError):
                        await trio.aclose_forcefully(self._stream)
                    self._stream = None
            while self._acts:
                self._on_done(self._acts.popleft(), False)
            await trio.sleep(EVERY)

    async def _open(self) -> None:
        self._reader = hiredis.Reader()
        self._since = 0
        self._stream = await connect(self._server)
        if isinstance(self._stream, trio.SocketStream):
            self._stream.setsockopt(trio.socket.IPPROTO_TCP, trio.socket.TCP_NODELAY, 1)
        replies = await self._say(*authentication(self._pool), ("CLIENT", "SETNAME", self._agent), ("INFO", "server"))
        for reply in (*replies[:-2], replies[-1]):
            if isinstance(reply, hiredis.ReplyError):
                raise UnansweredError(str(reply))
        text = replies[-1].decode()
        self._run_id = text.partition("run_id:")[2].partition("\r\n")[0]

    async def _turn(self) -> None:
        """One thing: what is to be done first, else a question when it is time."""
        with trio.move_on_after(max(0.0, self._ask_at - time.monotonic())):
            await self._work.wait()
        self._work = trio.Event()
        with trio.fail_after(PATIENCE):
            if self._acts:
                act = self._acts[0]
                done = await self._do(act)
                self._acts.popleft()
                self._on_done(act, done)
                self._work.set()
            elif time.monotonic() >= self._ask_at:
                self._ask_at = time.monotonic() + EVERY
                await self._question()

    async def _question(self) -> None:
        sent = time.monotonic()
        self._serial += 1
        unwatched, watched, value, info, keys, records = await self._say(
            ("UNWATCH",), ("WATCH", self._key), ("GET", self._key), ("INFO", "replication"), ("DBSIZE",),
            ("EXISTS", *self._records),
        )
        for reply in (unwatched, watched, value, info, keys, records):
            if isinstance(reply, hiredis.ReplyError):
                raise UnansweredError(str(reply))
        if value is None or value != self._value or not self._since:
            self._since = self._serial
        self._value = value
        # Records are no data: its own, and those that were its primary's.
        self._report = report = parse(self._run_id, info.decode(), keys - records)
        self._on_answer(self.address, Answer(sent, self._serial, report, decode(value, report)))

    async def _do(self, act: Act) -> bool:
        if not 0 < self._since <= act.serial or self._report is None:
            return False
        self._since = 0
        if isinstance(act, Vote):
            return await self._keep(encode(act.record, self._report), self._report.primary)
        target = ("NO", "ONE") if isinstance(act, Promote) else tuple(act.primary.rsplit(":", 1))
        log.warning("failover.act pool=%s node=%s command=%r", self._pool.name, self.address,
                    " ".join(("REPLICAOF", *target)))  # fmt: skip
        return _executed(await self._say(("MULTI",), ("REPLICAOF", *target), ("EXEC",)))

    async def _keep(self, value: bytes, primary: bool) -> bool:
        """SET, where nothing is to be written."""
        parameter = "min-replicas-to-write" if primary else "replica-read-only"
        (found,) = await self._say(("CONFIG", "GET", parameter))
        if isinstance(found, hiredis.ReplyError):
            log.warning("failover.voter pool=%s node=%s reason=%r", self._pool.name, self.address, str(found))
            return False
        before = found[1].decode() if len(found) == 2 else "0"
        lax = "0" if primary else "no"
        if before == lax:
            return _executed(await self._say(("MULTI",), ("SET", self._key, value), ("EXEC",)))
        replies = await self._say(
            ("CONFIG", "SET", parameter, lax),
            ("MULTI",), ("SET", self._key, value), ("CONFIG", "SET", parameter, before), ("EXEC",),
        )  # fmt: skip
        kept = _executed(replies[1:])
        if not kept:
            await self._say(("CONFIG", "SET", parameter, before))
        return kept

    async def _say(self, *commands: Sequence[Any]) -> list[Any]:
        """The replies; errors of the node are among them."""
        assert self._stream is not None
        return await exchange(self._stream, self._reader, [tuple(command) for command in commands])


def _executed(replies: Sequence[Any]) -> bool:
    """EXEC did what was queued."""
    done = replies[-1]
    return isinstance(done, list) and not any(isinstance(reply, hiredis.ReplyError) for reply in done)
