"""Scripts: SCRIPT LOAD, EXISTS, FLUSH and KILL, and the bodies that the engines are told of.

`Scripts` decides which bodies the engines keep, so that EVALSHA reaches a node as EVAL until that node is known to
hold the script (proxy/engine/scripts.pxd): those loaded last, through this proxy, up to a number and a size.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import partial
from itertools import count

from proxy.control.engines import Engines
from proxy.control.request import Request
from proxy.engine.engine import Engine
from proxy.errors import ReplyError
from proxy.lanes.links import Links, Outcome, good
from proxy.lanes.raw import parse

__all__ = ["Scripts", "exists", "flush", "kill", "load"]

#: Bodies kept at most, and their bytes, in every engine. The engines have room for 1024: SCRIPTS in types.pxd.
MOST_SCRIPTS = 1024
MOST_BYTES = 16 << 20


class Scripts:
    """The bodies that the engines keep, by pool and digest; the oldest are forgotten first."""

    def __init__(self, engines: Engines) -> None:
        self._engines = engines
        self._serials = count(1)
        self._kept: OrderedDict[tuple[int, bytes], tuple[int, int]] = OrderedDict()  # → serial, bytes
        self._bytes = 0

    def knows(self, pool: int, digest: bytes) -> bool:
        """Is EVALSHA of this digest (in hex digits of either case) sure to find its script?"""
        return (pool, digest.lower()) in self._kept

    async def learn(self, pool: int, body: bytes, held_by: Sequence[bytes]) -> None:
        """The nodes of a pool hold this script, processes with these run_ids: from now on it is sent to those that
        come to forget it."""
        made = hashlib.sha1(body)
        key = pool, made.hexdigest().encode()
        if len(body) > MOST_BYTES:
            return
        if key not in self._kept:
            self._kept[key] = new = next(self._serials), len(body)
            self._bytes += len(body)
            while len(self._kept) > MOST_SCRIPTS or self._bytes > MOST_BYTES:
                await self._forget(next(iter(self._kept)))
            await self._tell(lambda engine: engine.learn_script(pool, new[0], made.digest(), body))
        serial, _ = self._kept.get(key, (0, 0))
        for node, run_id in enumerate(held_by):
            await self._tell(partial(_held, serial, pool, node, run_id))

    async def forget(self, pool: int) -> None:
        """The scripts of a pool were flushed."""
        for key in [key for key in self._kept if key[0] == pool]:
            await self._forget(key)

    async def _forget(self, key: tuple[int, bytes]) -> None:
        serial, size = self._kept.pop(key)
        self._bytes -= size
        await self._tell(lambda engine: engine.forget_script(serial))

    async def _tell(self, order: Callable[[Engine], None]) -> None:
        """Give every engine an order; one whose box is full empties it every turn."""
        for engine in self._engines.engines:
            await self._engines.post(partial(order, engine))


def _held(serial: int, pool: int, node: int, run_id: bytes, engine: Engine) -> None:
    engine.script_held(serial, pool, node, run_id)


async def load(links: Links, scripts: Scripts, request: Request) -> bytes:
    """SCRIPT LOAD script: the digest, once every node has it and the engines know the body."""
    reply = (await links.agreed(request))[0]
    held_by = [links.run_id(request.pool, node, request.protocol) for node in links.nodes(request.pool)]
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
