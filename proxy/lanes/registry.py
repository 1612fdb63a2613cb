"""Registry: who of our clients is subscribed to what. Pure: no trio, no engine, one for each pool.

An `Audience` is what a message needs: the clients of one subscription as one array of pointers for each engine. The
array is kept as bytes until the audience changes, so a message costs one dictionary look-up and one order an engine,
however many receive it.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping
from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from proxy.lanes.kept import KeptClient

__all__ = ["Audience", "Key", "Kind", "Registry"]


class Kind(IntEnum):
    """What is subscribed to; AudienceKind of the engine."""

    CHANNEL = 0
    PATTERN = 1
    SHARD = 2


#: A subscription by its name.
Key = tuple[Kind, bytes]


class Audience:
    """The clients of one subscription, by engine; `head` opens each of its messages, payload excluded."""

    __slots__ = ("_arrays", "_pointers", "head", "size")

    def __init__(self, key: Key) -> None:
        kind, name = key
        words = (b">4\r\n$8\r\npmessage\r\n", b">3\r\n$7\r\nmessage\r\n", b">3\r\n$8\r\nsmessage\r\n")
        opening = words[0] if kind is Kind.PATTERN else words[1] if kind is Kind.CHANNEL else words[2]
        self.head = b"%b$%d\r\n%b\r\n" % (opening, len(name), name)
        self.size = 0
        self._pointers: dict[int, dict[int, None]] = {}  # by engine, in the order of subscribing
        self._arrays: dict[int, bytes] | None = {}

    def add(self, client: KeptClient) -> None:
        self._pointers.setdefault(client.engine, {})[client.pointer] = None
        self.size += 1
        self._arrays = None

    def remove(self, client: KeptClient) -> None:
        pointers = self._pointers[client.engine]
        del pointers[client.pointer]
        if not pointers:
            del self._pointers[client.engine]
        self.size -= 1
        self._arrays = None

    def arrays(self) -> Mapping[int, bytes]:
        """By engine, what `Engine.push` wants to know of the receivers."""
        if self._arrays is None:
            self._arrays = {engine: array("Q", pointers).tobytes() for engine, pointers in self._pointers.items()}
        return self._arrays


class Registry:
    """All subscriptions of the clients of one pool."""

    def __init__(self) -> None:
        self._audiences: dict[Key, Audience] = {}
        self.totals = [0, 0, 0]  #: different subscriptions, by kind
        self._names: dict[KeptClient, tuple[dict[bytes, None], ...]] = {}  # by kind, in the order of subscribing

    def __len__(self) -> int:
        """Clients with at least one subscription."""
        return len(self._names)

    def add(self, key: Key, client: KeptClient) -> bool:
        """Subscribe; False if it was already."""
        kind, name = key
        names = self._names.setdefault(client, ({}, {}, {}))[kind]
        if name in names:
            return False
        names[name] = None
        audience = self._audiences.get(key)
        if audience is None:
            audience = self._audiences[key] = Audience(key)
            self.totals[kind] += 1
        audience.add(client)
        return True

    def remove(self, key: Key, client: KeptClient) -> bool:
        """Unsubscribe; False if it was not subscribed."""
        kind, name = key
        names = self._names.get(client)
        if names is None or name not in names[kind]:
            return False
        del names[kind][name]
        if not any(names):
            del self._names[client]
        self._leave(key, client)
        return True

    def forget(self, client: KeptClient) -> list[Key]:
        """Unsubscribe from everything; from what."""
        left = self.of(client)
        self._names.pop(client, None)
        for key in left:
            self._leave(key, client)
        return left

    def _leave(self, key: Key, client: KeptClient) -> None:
        audience = self._audiences[key]
        audience.remove(client)
        if not audience.size:
            del self._audiences[key]
            self.totals[key[0]] -= 1

    # -- what is asked --------------------------------------------------------------------------------------------

    def audience(self, key: Key) -> Audience | None:
        """Who receives the messages of this subscription; None: nobody."""
        return self._audiences.get(key)

    def size(self, key: Key) -> int:
        """How many clients are subscribed."""
        audience = self._audiences.get(key)
        return 0 if audience is None else audience.size

    def keys(self) -> Iterable[Key]:
        """Every subscription that somebody has."""
        return self._audiences.keys()

    def names(self, kind: Kind, client: KeptClient) -> list[bytes]:
        """What one client is subscribed to, oldest first."""
        return list(self._names.get(client, ({}, {}, {}))[kind])

    def of(self, client: KeptClient) -> list[Key]:
        """All that one client is subscribed to."""
        return [(kind, name) for kind in Kind for name in self.names(kind, client)]

    def counts(self, client: KeptClient) -> tuple[int, int, int]:
        """How many subscriptions one client has, by kind."""
        channels, patterns, shards = self._names.get(client, ({}, {}, {}))
        return len(channels), len(patterns), len(shards)
