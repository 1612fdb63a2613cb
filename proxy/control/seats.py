"""Seats: which server is behind each node at present. It begins with the configuration; failover changes it.

Whoever connects to a node asks here where it is, and is told when that changes.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace

from proxy.address import Server
from proxy.settings import Settings


class Seats:
    """Those of all pools. A member of the ring keeps its name; a replica has that of the server."""

    def __init__(self, settings: Settings) -> None:
        self._named = [
            tuple(replace(server, name=server.name or server.address, replicas=()) for server in pool.nodes)
            for pool in settings.pools
        ]
        self._members = [len(pool.servers) for pool in settings.pools]
        self._servers: list[list[Server | None]] = [list(named) for named in self._named]
        self._listeners: list[Callable[[int, int], None]] = []

    def server(self, pool: int, node: int) -> Server:
        """The server behind a node; while there is none, the configured one."""
        return self._servers[pool][node] or self._named[pool][node]

    def empty(self, pool: int, node: int) -> bool:
        """Nobody is there."""
        return self._servers[pool][node] is None

    def place(self, pool: int, address: str) -> int | None:
        """The node whose seat the server at `address` has."""
        for node, server in enumerate(self._servers[pool]):
            if server is not None and server.address == address:
                return node
        return None

    def change(self, pool: int, node: int, address: str) -> None:
        """Another server is behind a node; an empty address: none."""
        named = self._named[pool][node]
        if node >= self._members[pool]:
            named = next((server for server in self._named[pool] if server.address == address), named)
        self._servers[pool][node] = replace(named, address=address) if address else None
        for listener in self._listeners:
            listener(pool, node)

    def listen(self, listener: Callable[[int, int], None]) -> None:
        """Have `listener(pool, node)` called after every change."""
        self._listeners.append(listener)
