"""Readable: which replicas of a pool its engines may ask for reads, as they were told last. Effects: it tells them."""

from __future__ import annotations

import logging
from functools import partial

from proxy.control.engines import Engines

__all__ = ["Readable"]

log = logging.getLogger("quench.failover")


class Readable:
    """Of one pool. Nodes are the engines' numbers; moments are seconds of the monotonic clock."""

    def __init__(self, index: int, pool: str, engines: Engines) -> None:
        self._index = index
        self._pool = pool
        self._engines = engines
        self._fresh: dict[int, float] = {}  # of those that may be read from

    def __contains__(self, node: int) -> bool:
        return node in self._fresh

    async def tell(self, node: int, name: str, may: bool, fresh: float) -> None:
        """Whether a replica may be read from, and since when it may lack something (0.0: nobody knows), both as
        freshness.py judges. The second is told every time; that it may not be read from, once."""
        before = node in self._fresh
        if may != before:
            log.info("replica.%s pool=%s node=%s", "readable" if may else "unreadable", self._pool, name)
        if may or before:
            for engine in self._engines.engines:
                await self._engines.post(partial(engine.readable, self._index, node, may, int(fresh * 1e6)))
        if may:
            self._fresh[node] = fresh
        else:
            self.forget(node)

    def forget(self, node: int) -> None:
        """It is no replica any more, or another node: the engines know."""
        self._fresh.pop(node, None)

    def lag(self, node: int, now: float) -> float | None:
        """Seconds that it may be behind; None: that is not known, or it may not be read from."""
        fresh = self._fresh.get(node)
        return max(0.0, now - fresh) if fresh else None
