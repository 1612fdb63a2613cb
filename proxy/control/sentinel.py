"""Sentinel: following Redis Sentinel, for pools with `failover: sentinel`.

Every sentinel is asked for each master by name, once a second and whenever it publishes +switch-master; after a lost
connection it is asked again first, so nothing is missed. Of what several say the highest configuration epoch counts: a
sentinel that was cut off may still name a master that has been replaced.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import Any

import hiredis
import trio

from proxy.address import Server
from proxy.control.probe import connect
from proxy.settings import Pool

log = logging.getLogger("quench.failover")

EVERY = 1.0  # seconds between questions to a sentinel
PATIENCE = 2.0  # seconds that it may take to answer

Told = Callable[[str, str, str], Awaitable[None]]


class Sentinel:
    """The sentinels of one pool. `run` it in a task."""

    def __init__(self, pool: Pool, masters: Sequence[str], on_told: Told) -> None:
        """`on_told(name, address, why)` hears of each master once it is known, and whenever it is another one."""
        self._pool = pool
        self._masters = masters
        self._on_told = on_told
        self._known: dict[str, tuple[int, str]] = {}  # by name: configuration epoch and address
        self._asked: set[str] = set()  # sentinels with a task
        self._nursery: trio.Nursery | None = None

    async def run(self) -> None:
        """For ever."""
        async with trio.open_nursery() as self._nursery:
            for sentinel in self._pool.sentinels:
                self._watch(sentinel)

    def _watch(self, sentinel: Server) -> None:
        if sentinel.address not in self._asked and self._nursery is not None:
            self._asked.add(sentinel.address)
            self._nursery.start_soon(self._follow, sentinel)

    async def _follow(self, sentinel: Server) -> None:
        """Ask one sentinel for ever."""
        before = ""
        while True:
            try:
                async with (
                    aclosing(_Link(await _within(connect(sentinel)))) as asking,
                    aclosing(_Link(await _within(connect(sentinel)))) as hearing,
                ):
                    await _within(hearing.ask("SUBSCRIBE", "+switch-master"))
                    before = ""
                    while True:
                        await self._ask(asking, sentinel)
                        with trio.move_on_after(EVERY):
                            await hearing.reply()
            except (OSError, trio.BrokenResourceError, trio.TooSlowError, hiredis.HiredisError, ValueError) as error:
                why = str(error) or type(error).__name__
                if why != before:
                    log.warning("sentinel.lost pool=%s sentinel=%s reason=%r", self._pool.name, sentinel.address, why)
                before = why
            await trio.sleep(EVERY)

    async def _ask(self, link: _Link, sentinel: Server) -> None:
        for name in self._masters:
            # In one go, so that the epoch is that of the address. MASTER has an address as well, but while a sentinel
            # repoints the replicas it is still the old master's, beside the epoch of the new one.
            fields, (host, port) = await _within(
                link.ask_all(("SENTINEL", "MASTER", name), ("SENTINEL", "GET-MASTER-ADDR-BY-NAME", name))
            )
            address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
            epoch = int(_pairs(fields).get("config-epoch", "0"))
            known = self._known.get(name)
            if known is None or epoch > known[0]:
                self._known[name] = epoch, address
                await self._on_told(name, address, f"sentinel {sentinel.address} says so, in epoch {epoch}")
            for other in await _within(link.ask("SENTINEL", "SENTINELS", name)):
                found = _pairs(other)
                self._watch(Server(f"{found['ip']}:{found['port']}"))


class _Link:
    """One connection to a sentinel."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self._stream = stream
        self._reader = hiredis.Reader(encoding="utf-8", errors="replace")

    async def ask(self, *words: str) -> Any:
        """Raises hiredis.ReplyError when the sentinel refuses."""
        (reply,) = await self.ask_all(words)
        return reply

    async def ask_all(self, *requests: tuple[Any, ...]) -> list[Any]:
        """Several in one write. Raises hiredis.ReplyError when the sentinel refuses any."""
        await self._stream.send_all(b"".join(map(hiredis.pack_command, requests)))
        return [await self.reply() for _ in requests]

    async def reply(self) -> Any:
        """The next reply, or message."""
        while (reply := self._reader.gets()) is False:
            received = await self._stream.receive_some(65536)
            if not received:
                raise ConnectionError("it closed the connection")
            self._reader.feed(bytes(received))
        if isinstance(reply, hiredis.ReplyError):
            raise reply
        return reply

    async def aclose(self) -> None:
        await trio.aclose_forcefully(self._stream)


async def _within(work: Awaitable[Any]) -> Any:
    with trio.fail_after(PATIENCE):
        return await work


def _pairs(flat: Sequence[str]) -> dict[str, str]:
    return dict(zip(flat[::2], flat[1::2], strict=False))
