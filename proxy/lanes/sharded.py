"""Sharded: what can be done to a counter that is spread over several nodes, beside increments and GET.

The engines hand these commands over where one of their keys is such a counter (proxy/engine/spread.pyx); a shard is a
key of its own at a node of its own, the first one under the counter's name. What reads asks all of them. What writes
goes to one after the other where their order matters, and is not one moment: increments meanwhile happen before it or
after it, each on its shard, and a GET meanwhile may be told a sum in between. Where a time to live is set, shards that
are not there yet are made, as 0: otherwise those that come later would outlive the others.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence

import trio

from proxy.control.request import Handler, Request
from proxy.errors import ReplyError
from proxy.lanes.links import Links
from proxy.lanes.raw import NodeError, integer, parse
from proxy.placement import placement
from proxy.settings import Settings

__all__ = ["Sharded"]

SET_LIVES = frozenset({b"EX", b"PX", b"EXAT", b"PXAT"})

Shard = tuple[int, bytes]  # node and name
Does = Callable[["_Counter"], Awaitable[bytes]]


class Sharded:
    """The handlers of all pools that have such counters."""

    def __init__(self, links: Links, settings: Settings) -> None:
        self._links = links
        self._rules = [
            {rule.prefix.encode(): rule.shards or 1 for rule in pool.counters.rules} for pool in settings.pools
        ]
        self._rings = [
            placement(pool) if any(count > 1 for count in rules.values()) else None
            for pool, rules in zip(settings.pools, self._rules, strict=True)
        ]

    def handlers(self) -> Mapping[str, Handler]:
        """By command name."""
        one: dict[str, Does] = {
            "set": _Counter.set_, "setnx": _Counter.set_, "setex": _Counter.set_, "psetex": _Counter.set_,
            "getset": _Counter.getset, "getdel": _Counter.getdel, "type": _Counter.type_, "persist": _Counter.persist,
            **dict.fromkeys(("ttl", "pttl", "expiretime", "pexpiretime"), _Counter.lives),
            **dict.fromkeys(("expire", "pexpire", "expireat", "pexpireat"), _Counter.expire),
        }  # fmt: skip
        many = dict.fromkeys(("del", "unlink", "exists", "touch"), self._count)
        handlers: dict[str, Handler] = {name: self._one(does) for name, does in one.items()}
        return {**handlers, **many, "mget": self._mget}

    def _one(self, does: Does) -> Handler:
        async def answer(request: Request) -> bytes:
            return await does(self._counter(request, request.args[1]))

        return answer

    def _counter(self, request: Request, key: bytes) -> _Counter:
        """A counter, or any other key, which is one shard."""
        rules = self._rules[request.pool]
        count = rules[max((prefix for prefix in rules if key.startswith(prefix)), key=len)]
        ring = self._rings[request.pool]
        assert ring is not None, "an engine hands over what it spreads"
        nodes = ring.candidates(key, count)
        shards = [(node, key + b"\0#%d" % place if place else key) for place, node in enumerate(nodes)]
        return _Counter(self._links, request, shards)

    async def _each(self, request: Request, does: Callable[[_Counter, int], Awaitable[None]]) -> None:
        """For every key of the request, all at once."""
        try:
            async with trio.open_nursery() as nursery:
                for place, key in enumerate(request.args[1:]):
                    nursery.start_soon(does, self._counter(request, key), place)
        except* ReplyError as errors:
            raise _first(errors) from None

    async def _count(self, request: Request) -> bytes:
        """DEL, UNLINK, EXISTS or TOUCH: of a counter one counts, however many of its shards were there."""
        found = [0] * (len(request.args) - 1)

        async def does(counter: _Counter, place: int) -> None:
            found[place] = any(map(integer, await counter.all(request.args[0])))

        await self._each(request, does)
        return b":%d\r\n" % sum(found)

    async def _mget(self, request: Request) -> bytes:
        nil = b"_\r\n" if request.protocol == 3 else b"$-1\r\n"
        found = [nil] * (len(request.args) - 1)

        async def does(counter: _Counter, place: int) -> None:
            values = [parse(reply)[0] for reply in await counter.all(b"MGET")]
            if len(values) == 1:
                found[place] = nil if values[0] is None else _bulk(values[0])
            elif any(value is not None for value in values):
                found[place] = _bulk(b"%d" % _sum(values))

        await self._each(request, does)
        return b"*%d\r\n" % len(found) + b"".join(found)


class _Counter:
    """One counter, and a request that names it."""

    def __init__(self, links: Links, request: Request, shards: Sequence[Shard]) -> None:
        self._links = links
        self._request = request
        self._shards = shards

    async def one(self, shard: Shard, *words: bytes) -> bytes:
        """Ask a shard: a command, and what follows the key. Raises ReplyError, also for the node's own error."""
        node, name = shard
        request = self._request
        reply = await self._links.ask(
            request.pool, node, [words[0], name, *words[1:]], protocol=2, database=request.database
        )
        if reply.startswith(b"-"):
            raise NodeError(reply)
        return reply

    async def all(self, *words: bytes, but_first: bool = False) -> list[bytes]:
        """Ask all of them at once, or all but the first."""
        shards = self._shards[1:] if but_first else self._shards
        replies = [b""] * len(shards)

        async def ask(place: int) -> None:
            replies[place] = await self.one(shards[place], *words)

        try:
            async with trio.open_nursery() as nursery:
                for place in range(len(shards)):
                    nursery.start_soon(ask, place)
        except* ReplyError as errors:
            raise _first(errors) from None
        return replies

    def _nil(self) -> bytes:
        return b"_\r\n" if self._request.protocol == 3 else b"$-1\r\n"

    def _refused(self, option: bytes) -> ReplyError:
        return ReplyError("sharded", command=f"{self._request.command.name} {option.decode('latin-1')}".lower(),
                          pool=self._links.pool_name(self._request.pool))  # fmt: skip

    # -- what reads ---------------------------------------------------------------------------------------------------

    async def type_(self) -> bytes:
        """TYPE: of the first shard that is there."""
        kinds = await self.all(b"TYPE")
        return next((kind for kind in kinds if kind != b"+none\r\n"), kinds[0])

    async def lives(self) -> bytes:
        """TTL and its kin: the longest of those that are there; -1, for ever, is longer than any."""
        times = [integer(reply) for reply in await self.all(self._request.args[0])]
        there = [time for time in times if time != -2]
        return b":%d\r\n" % (-2 if not there else -1 if -1 in there else max(there))

    # -- what writes --------------------------------------------------------------------------------------------------

    async def set_(self) -> bytes:
        """SET with EX, PX, EXAT, PXAT, NX or XX; SETNX, SETEX, PSETEX.

        The first shard has the value. With NX and XX it decides, once all were asked whether they are there.
        """
        name = self._request.command.name
        key_and_value = self._request.args[1:]
        value, options = key_and_value[1], [word.upper() for word in key_and_value[2:]]
        if name in ("setex", "psetex"):
            value, options = key_and_value[2], [b"EX" if name == "setex" else b"PX", key_and_value[1]]
        elif name == "setnx":
            options = [b"NX"]
        life: tuple[bytes, bytes] | None = None
        only = b""
        rest = list(options)
        while rest:
            word = rest.pop(0)
            if word in SET_LIVES and rest and life is None:
                life = word, rest.pop(0)
            elif word in (b"NX", b"XX") and not only:
                only = word
            elif word in (b"GET", b"KEEPTTL", b"IFEQ", b"IFNE", b"IFDEQ", b"IFDNE"):
                raise self._refused(word)
            else:
                raise ReplyError("syntax")
        said_no = b":0\r\n" if name == "setnx" else self._nil()
        if only and any(map(integer, await self.all(b"EXISTS"))) == (only == b"NX"):
            return said_no
        until = [] if life is None else list(_point(life))
        # A shard that is left over from before would be added to the value; one that is made anew lives as long.
        if life is None:
            await self.all(b"DEL", but_first=True)
        else:
            await self.all(b"SET", b"0", *until, but_first=True)
        reply = await self.one(self._shards[0], b"SET", value, *until)
        return b":1\r\n" if name == "setnx" else reply

    async def getset(self) -> bytes:
        """GETSET: what each shard had, in one moment for each, so no increment is lost between two."""
        first = await self.one(self._shards[0], b"GETSET", self._request.args[2])
        return self._summed([first, *await self.all(b"GETDEL", but_first=True)])

    async def getdel(self) -> bytes:
        return self._summed(await self.all(b"GETDEL"))

    def _summed(self, replies: Sequence[bytes]) -> bytes:
        values = [parse(reply) for reply in replies]
        return self._nil() if all(value is None for value in values) else _bulk(b"%d" % _sum(values))

    async def persist(self) -> bytes:
        return b":%d\r\n" % any(map(integer, await self.all(b"PERSIST")))

    async def expire(self) -> bytes:
        """EXPIRE and its kin: to the same moment for all. With NX, XX, GT or LT the first shard decides."""
        words = self._request.args
        number = _number(words[2])
        point = _point((words[0].upper(), words[2]))[1]
        if not any(map(integer, await self.all(b"EXISTS"))):
            return b":0\r\n"
        if number is None:
            return await self.one(self._shards[0], *words[0:1], *words[2:])  # its error
        await self.all(b"INCRBY", b"0")
        reply = await self.one(self._shards[0], b"PEXPIREAT", point, *words[3:])
        if reply == b":1\r\n":
            await self.all(b"PEXPIREAT", point, but_first=True)
        return reply


def _number(text: bytes) -> int | None:
    try:
        return int(text)
    except ValueError:
        return None


def _point(life: tuple[bytes, bytes]) -> tuple[bytes, bytes]:
    """PXAT and a moment, of EX 10 or EXPIRE 10; what is no number stays, for the node to say so."""
    word, text = life
    number = _number(text)
    if number is None:
        return b"PXAT", text
    if word in (b"EX", b"EXAT", b"EXPIRE", b"EXPIREAT"):
        number *= 1000
    if not word.endswith(b"AT"):
        if word in SET_LIVES and number <= 0:
            return b"PXAT", b"0"  # which a node refuses in the right words
        number += time.time_ns() // 1_000_000
    return b"PXAT", b"%d" % number


def _bulk(value: bytes) -> bytes:
    return b"$%d\r\n%b\r\n" % (len(value), value)


def _sum(values: Sequence[bytes | None]) -> int:
    """Raises ReplyError when one of them is no number."""
    try:
        return sum(int(value) for value in values if value is not None)
    except ValueError:
        raise NodeError(b"-ERR value is not an integer or out of range\r\n") from None


def _first(errors: BaseExceptionGroup[ReplyError]) -> ReplyError:
    """The first error of a group, and of groups in it."""
    error: BaseException = errors
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, ReplyError)
    return error
