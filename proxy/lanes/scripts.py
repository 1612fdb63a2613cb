"""Scripts: SCRIPT LOAD, EXISTS, FLUSH and KILL, and the bodies that the engines are told of.

`Scripts` decides which bodies the engines keep, so that EVALSHA reaches a node as EVAL until that node is known to
hold the script (proxy/engine/scripts.pxd): those that came last through this proxy, by SCRIPT LOAD or EVAL, up to a
number and a size. Whoever sent one is answered when all engines have it.
"""

from __future__ import annotations

import hashlib
import logging
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

import trio

from proxy.control.engines import Engines
from proxy.control.request import Request
from proxy.engine.engine import Engine
from proxy.errors import ReplyError
from proxy.lanes.links import Links, Outcome, good
from proxy.lanes.raw import parse

__all__ = ["Scripts", "exists", "flush", "kill", "load"]

log = logging.getLogger("quench.scripts")

#: Bodies kept at most, and their bytes, in every engine. The engines have room for 1024: SCRIPTS in types.pxd.
MOST_SCRIPTS = 1024
MOST_BYTES = 16 << 20
#: Serials have 32 bits, and 0 is none: that of the last place goes from here back to MOST_SCRIPTS.
LAST_SERIAL = 1 << 32


@dataclass(slots=True)
class _Kept:
    serial: int
    size: int  #: bytes
    loaded: bool = False  #: by SCRIPT LOAD, which is for nothing but EVALSHA
    shared: bool = False  #: every engine has it


class Scripts:
    """The bodies that the engines keep, by pool and digest.

    Where there is no room for another one, the oldest goes that nobody is known to name by its digest: an application
    that makes up a new body for every EVAL displaces its own. If there is none, the oldest of all.
    """

    def __init__(self, engines: Engines, settled: Callable[[], Awaitable[None]]) -> None:
        """`settled` waits until every engine has carried out what it was told, or raises ReplyError."""
        self._engines = engines
        self._settled = settled
        self._free = deque(range(1, MOST_SCRIPTS + 1))  # serials; each comes with a place in the engines, modulo
        self._kept: OrderedDict[tuple[int, bytes], _Kept] = OrderedDict()
        self._bytes = 0
        self._telling = trio.Lock()  # all engines are told of all changes in one order
        self._sender, self._brought = trio.open_memory_channel[tuple[int, int, int, bytes]](float("inf"))

    def knows(self, pool: int, digest: bytes) -> bool:
        """Is EVALSHA of this digest (in hex digits of either case) sure to find its script?"""
        return (pool, digest.lower()) in self._kept

    def brought(self, engine: int, pool: int, client: int, body: bytes) -> None:
        """One EVENT_SCRIPT of an engine: its client will go on. Each client has one at most, and engines limit them."""
        self._sender.send_nowait((engine, pool, client, body))

    async def run(self) -> None:
        """Learn what EVAL brings, for ever."""
        async with trio.open_nursery() as nursery:
            async for engine, pool, client, body in self._brought:
                nursery.start_soon(self._learn_brought, self._engines.engines[engine], pool, client, body)

    async def _learn_brought(self, engine: Engine, pool: int, client: int, body: bytes) -> None:
        """Whatever becomes of learning, the client that waits goes on, once."""
        try:
            await self.learn(pool, body)
        except Exception:
            log.exception("script.failed bytes=%d", len(body))
        await self._engines.post(partial(engine.go_on, client))

    async def learn(self, pool: int, body: bytes, held_by: Sequence[bytes] = ()) -> None:
        """From now on this script is sent to nodes that may not hold it. When this returns, it is by every engine.

        `held_by`: processes with these run_ids have loaded it, by node; empty: that one has not, or is not there.
        """
        if len(body) > MOST_BYTES:
            return
        made = hashlib.sha1(body)
        key = pool, made.hexdigest().encode()
        async with self._telling:
            if key not in self._kept:
                while self._kept and (not self._free or self._bytes + len(body) > MOST_BYTES):
                    await self._forget(self._dispensable())
                serial = self._free.popleft()
                self._kept[key] = _Kept(serial, len(body))
                self._bytes += len(body)
                await self._tell(lambda engine: engine.learn_script(pool, serial, made.digest(), body))
            kept = self._kept[key]
            kept.loaded = kept.loaded or bool(held_by)
            for node, run_id in enumerate(held_by):
                if not run_id:
                    continue
                await self._tell(partial(_held, kept.serial, pool, node, run_id))
        if kept.shared:
            return
        # An engine that says nothing for long takes its orders before anything else when it goes on.
        with suppress(ReplyError):
            await self._settled()
        kept.shared = True
        await self._tell(lambda engine: engine.script_shared(kept.serial))

    async def forget(self, pool: int) -> None:
        """The scripts of a pool were flushed; when this returns, every engine has forgotten them."""
        async with self._telling:
            for key in [key for key in self._kept if key[0] == pool]:
                await self._forget(key)
        with suppress(ReplyError):
            await self._settled()

    def _dispensable(self) -> tuple[int, bytes]:
        """Whose turn it is to go. Costs a look at all, but only where there is no room."""
        named = set[int]().union(*(engine.scripts_named() for engine in self._engines.engines))
        for key, kept in self._kept.items():
            if not kept.loaded and kept.serial not in named:
                return key
        return next(iter(self._kept))

    async def _forget(self, key: tuple[int, bytes]) -> None:
        kept = self._kept.pop(key)
        self._bytes -= kept.size
        following = kept.serial + MOST_SCRIPTS
        self._free.append(following if following < LAST_SERIAL else following - LAST_SERIAL or MOST_SCRIPTS)
        await self._tell(lambda engine: engine.forget_script(kept.serial))

    async def _tell(self, order: Callable[[Engine], None]) -> None:
        """Give every engine an order; one whose box is full empties it every turn."""
        for engine in self._engines.engines:
            await self._engines.post(partial(order, engine))


def _held(serial: int, pool: int, node: int, run_id: bytes, engine: Engine) -> None:
    engine.script_held(serial, pool, node, run_id)


async def load(links: Links, scripts: Scripts, request: Request) -> bytes:
    """SCRIPT LOAD script: the digest, once every node has it and the engines know the body."""
    reply = (await links.agreed(request))[0]
    nodes = links.nodes(request.pool)
    held_by = [
        links.run_id(request.pool, node, request.protocol) if node in nodes else b"" for node in range(max(nodes) + 1)
    ]
    await scripts.learn(request.pool, request.args[2], held_by)
    return reply


async def exists(links: Links, scripts: Scripts, request: Request) -> bytes:
    """SCRIPT EXISTS sha1 ...: 1 where EVALSHA will work: the proxy knows the body, or every node has it."""
    digests = request.args[2:]
    found = [scripts.knows(request.pool, digest) for digest in digests]
    if not all(found):
        everywhere = zip(*map(parse, await links.agreed(request)), strict=True)
        found = [known or all(held) for known, held in zip(found, everywhere, strict=True)]
    return b"*%d\r\n" % len(found) + b"".join(b":%d\r\n" % each for each in found)


async def flush(links: Links, scripts: Scripts, request: Request) -> bytes:
    """SCRIPT FLUSH [ASYNC|SYNC]: on every node, and the bodies that the engines keep."""
    outcomes = await links.every(request)
    if any(map(good, outcomes)):
        await scripts.forget(request.pool)
    if not all(map(good, outcomes)):
        raise links.failure(request.pool, request.command, outcomes)
    assert isinstance(outcomes[0], bytes)
    return outcomes[0]


async def kill(links: Links, request: Request) -> bytes:
    """SCRIPT KILL and FUNCTION KILL: whatever runs, wherever it does. OK when one node had something to kill."""
    outcomes = await links.every(request)
    return most_telling(outcomes) or failed(links, request, outcomes)


def most_telling(outcomes: list[Outcome]) -> bytes:
    """A node's OK, else what a node says about a script that cannot be killed; empty when there is neither."""
    for outcome in outcomes:
        if good(outcome):
            return outcome
    for outcome in outcomes:
        if isinstance(outcome, bytes) and not outcome.startswith(b"-NOTBUSY"):
            return outcome
    return b""


def failed(links: Links, request: Request, outcomes: list[Outcome]) -> bytes:
    """Nothing ran at the nodes that answered; those that did not are named."""
    silent = [outcome for outcome in outcomes if isinstance(outcome, ReplyError)]
    if silent:
        raise links.failure(request.pool, request.command, outcomes)
    assert isinstance(outcomes[0], bytes)
    return outcomes[0]
