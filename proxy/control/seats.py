"""Seats: which server is behind each node at present. It begins with the configuration; failover changes it.

Whoever connects to a node asks here where it is, and is told when that changes.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace

from proxy.address import Server
from proxy.settings import Settings

#: Stands for a server that was not changed.
NOBODY = Server("")


class Seats:
    """Those of all pools. A member of the ring keeps its name; a replica has that of the server."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._changed: dict[tuple[int, int], Server | None] = {}
        self._listeners: list[Callable[[int, int], None]] = []

    def server(self, pool: int, node: int) -> Server:
        """The server behind a node; while there is none, the configured one."""
        return self._changed.get((pool, node)) or self._settings.pools[pool].nodes[node]

    def empty(self, pool: int, node: int) -> bool:
        """Nobody is there."""
        return self._changed.get((pool, node), NOBODY) is None

    def change(self, pool: int, node: int, address: str) -> None:
        """Another server is behind a node; an empty address: none."""
        settings = self._settings.pools[pool]
        named = settings.nodes[node]
        if node >= len(settings.servers):
            named = next((server for server in settings.nodes if server.address == address), named)
        server = replace(named, address=address, name=named.name or named.address, replicas=())
        self._changed[pool, node] = server if address else None
        for listener in self._listeners:
            listener(pool, node)

    def listen(self, listener: Callable[[int, int], None]) -> None:
        """Have `listener(pool, node)` called after every change."""
        self._listeners.append(listener)
