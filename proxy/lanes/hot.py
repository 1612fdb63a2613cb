"""Hot: HOTKEYS, and what the engines have to know of one another about hot keys.

An engine that finds a hot key says so once; the others are told, because each sees only its share of a key's requests.
How hot the keys are is asked of the engines when somebody wants to know. Commands for all keys that visit the nodes by
way of the control plane void every copy, before and after.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from struct import Struct

from proxy.control.clients import Clients
from proxy.control.engines import Engines
from proxy.control.reply import Simple, encode
from proxy.control.request import Answer, Handler, Request
from proxy.control.statistics import HotKeyStatistics
from proxy.errors import ReplyError
from proxy.settings import Settings

__all__ = ["Hot", "HotKey", "read_heat"]

#: Keys that HOTKEYS GET shows unless told.
SHOWN = 16

#: Commands that may write any key and that no engine sees.
_VOID = ("flushall", "flushdb", "swapdb")

#: hot_describe() of hot.pyx: eleven numbers, the last of them the length of the key that follows.
_HEAT = Struct("=11Q")


@dataclass(frozen=True, slots=True)
class HotKey:
    """One hot key, as one engine sees it or all of them together. Rates are requests a second, smoothed."""

    pool: int
    key: bytes
    read_rate: int
    write_rate: int
    reads: int  #: since it became hot, as all that follows
    writes: int
    hits: int  #: reads answered from copies
    joined: int  #: reads answered together with another one
    bytes: int  #: of its requests, and of the replies from copies
    seconds: float
    copies: int = 0  #: on other nodes

    @property
    def rate(self) -> int:
        """Requests a second."""
        return self.read_rate + self.write_rate

    def __add__(self, other: HotKey) -> HotKey:
        """The same key at another engine."""
        return HotKey(
            self.pool, self.key, self.read_rate + other.read_rate, self.write_rate + other.write_rate,
            self.reads + other.reads, self.writes + other.writes, self.hits + other.hits, self.joined + other.joined,
            self.bytes + other.bytes, max(self.seconds, other.seconds), max(self.copies, other.copies),
        )  # fmt: skip


def read_heat(data: bytes) -> Iterator[HotKey]:
    """The hot keys of one engine, from what it said to `list_hot_keys`."""
    at = 0
    while at < len(data):
        numbers = _HEAT.unpack_from(data, at)
        pool, read_rate, write_rate, reads, writes, hits, joined, size, age, copies, length = numbers
        at += _HEAT.size
        key = data[at : at + length]
        yield HotKey(pool, key, read_rate, write_rate, reads, writes, hits, joined, size, age / 1e6, copies)
        at += length


class Hot:
    """The hot keys of all engines."""

    #: By full command name, the method that answers it.
    COMMANDS: Mapping[str, str] = {"hotkeys|get": "get", "hotkeys|reset": "reset"}

    def __init__(self, settings: Settings, engines: Engines, clients: Clients) -> None:
        self._names = [pool.name for pool in settings.pools]
        self._engines = engines
        self._clients = clients
        self._known: list[HotKey] = []

    def handlers(self, lanes: Mapping[str, Handler]) -> dict[str, Handler]:
        """For `Requests`: its own commands, and those of `lanes` that void copies, wrapped."""
        own = {name: getattr(self, method) for name, method in self.COMMANDS.items()}
        return {**own, **{name: partial(self._void, lanes[name]) for name in _VOID}}

    async def _void(self, handler: Handler, request: Request) -> bytes | Answer:
        self._engines.forget_copies()
        try:
            return await handler(request)
        finally:
            self._engines.forget_copies()

    def found(self, engine: int, pool: int, key: bytes) -> None:
        """EVENT_HOT: `engine` found a hot key."""
        for index, other in enumerate(self._engines.engines):
            if index != engine:
                with suppress(BlockingIOError):  # it will find out by itself
                    other.hot_key(pool, key)

    async def ask(self) -> list[HotKey]:
        """The hot keys of all engines and pools, the hottest first.

        Raises:
            ReplyError: an engine did not say in time.
        """
        keys: dict[tuple[int, bytes], HotKey] = {}
        for data in await self._clients.hot_keys():
            for key in read_heat(data):
                place = (key.pool, key.key)
                keys[place] = keys[place] + key if place in keys else key
        self._known = sorted(keys.values(), key=lambda key: -key.rate)
        return self._known

    def known(self) -> tuple[HotKeyStatistics, ...]:
        """What was found when somebody asked last, for INFO."""
        return tuple(
            HotKeyStatistics(key.key, self._names[key.pool], key.rate, key.copies, key.hits)
            for key in self._known[:SHOWN]
        )

    async def before_info(self, request: Request) -> None:
        """Ask the engines if this INFO shows the hot keys."""
        words = {word.lower() for word in request.args[1:]}
        if not words or words & {b"hotkeys", b"default", b"all", b"everything"}:
            with suppress(ReplyError):
                await self.ask()

    async def get(self, request: Request) -> bytes:
        """HOTKEYS GET [count]: the hottest keys of the pool, the hottest first, in the shape of Valkey's reply."""
        count = SHOWN
        if len(request.args) == 3:
            try:
                count = int(request.args[2])
            except ValueError:
                count = 0
            if count < 1:
                raise ReplyError("not_an_integer")
        elif len(request.args) > 3:
            raise ReplyError("wrong_arity", command=request.command.name)
        keys = [key for key in await self.ask() if key.pool == request.pool][:count]
        return encode([self._entry(key) for key in keys], request.protocol)

    @staticmethod
    def _entry(key: HotKey) -> dict[bytes, object]:
        return {
            b"key": key.key, b"db": 0, b"qps": key.rate, b"reads": key.reads, b"writes": key.writes,
            b"bytes": key.bytes, b"hits": key.hits, b"joined": key.joined, b"fan_out_copies": key.copies,
            b"seconds": int(key.seconds),
        }  # fmt: skip

    async def reset(self, request: Request) -> bytes:
        """HOTKEYS RESET: no key is hot until it is found again."""
        for engine in self._engines.engines:
            await self._engines.post(engine.forget_hot_keys)
        return encode(Simple("OK"), request.protocol)
