"""Key copies: is a key the same at two nodes, and making it so. For pools with `replication: ring`.

A key is taken over as a whole: DUMP and PEXPIRETIME of one node, RESTORE at the other, or DEL where the first has none.
The other node's key is watched meanwhile, so that a write that reaches it in between is never overwritten.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any

import trio

from proxy.errors import ReplyError
from proxy.lanes.links import Links, good
from proxy.lanes.raw import NodeError, integer, parse

__all__ = ["CHANGED", "COPIED", "SAME", "KeyCopies"]

SAME, COPIED, CHANGED = "same", "copied", "changed"

#: Keys of one batch that are looked at together.
TOGETHER = 64



def _pairs(flat: list[Any]) -> list[tuple[Any, Any]]:
    return sorted(zip(flat[::2], flat[1::2], strict=True))


#: By type: what has all that a key holds, and how to compare two replies to it.
_WHOLE: dict[bytes, tuple[tuple[bytes, ...], tuple[bytes, ...], Callable[[Any], Any]]] = {
    b"string": ((b"GET",), (), lambda value: value),
    b"list": ((b"LRANGE",), (b"0", b"-1"), lambda value: value),
    b"set": ((b"SMEMBERS",), (), sorted),
    b"hash": ((b"HGETALL",), (), _pairs),
    b"zset": ((b"ZRANGE",), (b"0", b"-1", b"WITHSCORES"), _pairs),
}


def _restore(key: bytes, state: tuple[bytes, int]) -> tuple[bytes, ...]:
    """The RESTORE that makes a key what `state` says."""
    value, expires = state
    return b"RESTORE", key, b"%d" % max(expires, 0), value[value.index(b"\r\n") + 2 : -2], b"ABSTTL"


class KeyCopies:
    """Compares and copies keys between nodes of one process's pools."""

    def __init__(self, links: Links) -> None:
        self._links = links
        self._turns: dict[tuple[int, int, int], trio.Lock] = defaultdict(trio.Lock)

    async def ask(self, pool: int, node: int, database: int, *words: bytes, line: int = 0) -> bytes:
        """One node's raw reply.

        Raises:
            ReplyError: there is none, or it is an error.
        """
        reply = await self._links.ask(pool, node, words, database=database, line=line)
        if not good(reply):
            raise NodeError(reply)
        return reply

    def alone(self, pool: int, node: int, database: int) -> trio.Lock:
        """Held by who uses line 1 to a node, where commands in a row must be nobody else's."""
        return self._turns[pool, node, database]

    async def state(self, pool: int, node: int, database: int, key: bytes, line: int = 0) -> tuple[bytes, int]:
        """A key's DUMP, raw, and when it expires, in ms; -2: there is none, -1: never."""
        value = await self.ask(pool, node, database, b"DUMP", key, line=line)
        expires = integer(await self.ask(pool, node, database, b"PEXPIRETIME", key, line=line))
        return value, expires

    async def alike(self, pool: int, database: int, key: bytes, one: int, other: int) -> bool:
        """Do two nodes hold the same under a key?"""
        ours = await self.state(pool, one, database, key)
        theirs = await self.state(pool, other, database, key)
        return await self._same(pool, database, key, one, ours, other, theirs)

    async def _same(
        self, pool: int, database: int, key: bytes, one: int, ours: tuple[bytes, int], other: int,
        theirs: tuple[bytes, int],
    ) -> bool:  # fmt: skip
        """The order of a hash's fields is the process's own, so two DUMPs of the same may differ."""
        if ours[1] != theirs[1] or ours[0] == theirs[0]:
            return ours == theirs
        kinds = {parse(await self.ask(pool, node, database, b"TYPE", key)) for node in (one, other)}
        kind = kinds.pop()
        whole = _WHOLE.get(kind.encode() if isinstance(kind, str) else kind)
        if kinds or whole is None:
            return False
        before, behind, sort = whole
        replies = [await self.ask(pool, node, database, *before, key, *behind) for node in (one, other)]
        return bool(replies[0] == replies[1] or sort(parse(replies[0])) == sort(parse(replies[1])))

    async def copy(self, pool: int, database: int, key: bytes, source: int, target: int) -> str:
        """Make a key at `target` what it is at `source`. SAME: it was; COPIED; CHANGED: it was written meanwhile.

        Raises:
            ReplyError: a node gave no answer.
        """
        theirs = await self.state(pool, source, database, key)
        ours = await self.state(pool, target, database, key)
        if await self._same(pool, database, key, source, theirs, target, ours):
            return SAME
        if ours[1] == -2 and theirs[1] != -2:
            reply = await self._links.ask(pool, target, _restore(key, theirs), database=database)
            if good(reply):
                return COPIED
            if not reply.startswith(b"-BUSYKEY"):
                raise NodeError(reply)
        async with self.alone(pool, target, database):
            return await self._replace(pool, database, key, source, target)

    async def _replace(self, pool: int, database: int, key: bytes, source: int, target: int) -> str:
        """`copy`, over what is there."""
        over = False
        try:
            await self.ask(pool, target, database, b"WATCH", key, line=1)
            ours = await self.state(pool, target, database, key, line=1)
            theirs = await self.state(pool, source, database, key)
            if await self._same(pool, database, key, source, theirs, target, ours):
                return SAME
            await self.ask(pool, target, database, b"MULTI", line=1)
            words = (b"DEL", key) if theirs[1] == -2 else (*_restore(key, theirs), b"REPLACE")
            await self.ask(pool, target, database, *words, line=1)
            reply = await self.ask(pool, target, database, b"EXEC", line=1)
            over = True
            return COPIED if reply.startswith(b"*1") and b"\r\n-" not in reply[:6] else CHANGED
        finally:
            if not over:
                with trio.CancelScope(shield=True), trio.move_on_after(1), suppress(ReplyError):
                    await self._links.ask(pool, target, [b"DISCARD"], database=database, line=1)
                    await self._links.ask(pool, target, [b"UNWATCH"], database=database, line=1)

    async def each(self, keys: Sequence[bytes], work: Callable[[bytes], Awaitable[object]]) -> None:
        """`await work(key)` for all of them, TOGETHER at a time."""
        limit = trio.Semaphore(TOGETHER)

        async def one(key: bytes) -> None:
            async with limit:
                await work(key)

        async with trio.open_nursery() as nursery:
            for key in keys:
                nursery.start_soon(one, key)
