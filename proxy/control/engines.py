"""Engines: builds the engine threads from settings, runs them, and hands out what they report.

Owns the listeners' descriptors until an engine has them, the threads, and the reading of every engine's events.
"""

from __future__ import annotations

import logging
import os
import random
import socket
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

import trio

from proxy.acl import users_of
from proxy.engine.engine import Engine, EngineGroup
from proxy.placement import placement
from proxy.settings import P95, READ_FROM, HotPrefix, Pool, Settings

log = logging.getLogger("quench.engines")

#: (kind, pool, node, code, client, slot, tag, data) as Engine.events() gives them.
Event = tuple[int, int, int, int, int, int, int, bytes]


#: Seconds between attempts to post to an engine whose box of orders is full.
POST_AGAIN = 0.001


class EventKind:
    """The kinds of events, as `types.pxd` numbers them."""

    REQUEST = 1
    NODE = 2
    OPEN = 3
    SICK = 4
    LISTED = 5
    DRAINED = 6
    GONE = 7
    DENIED = 9
    MONITOR = 10
    SCRIPT = 11
    HOT = 12
    REDIRECTED = 40


def open_listener(pool: Pool, shared: bool) -> socket.socket:
    """A listening socket for `pool`; `shared`: one of several on the same port.

    Raises:
        OSError: the address is taken, forbidden or unknown; `strerror` names it.
    """
    listen = pool.listen
    try:
        if listen.path:
            return _unix_listener(pool)
        family = socket.AF_INET6 if ":" in listen.host else socket.AF_INET
        listener = socket.socket(family, socket.SOCK_STREAM)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if shared:
                _refuse_taken(family, (listen.host, listen.port))
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            listener.bind((listen.host, listen.port))
            listener.listen(pool.backlog)
            listener.setblocking(False)
        except BaseException:
            listener.close()
            raise
        return listener
    except OSError as error:
        raise OSError(error.errno, f"pool {pool.name} cannot listen on {listen}: {error.strerror}") from error


def _unix_listener(pool: Pool) -> socket.socket:
    """A unix socket; a path left behind by a process that is gone is replaced, one in use is an error."""
    path = pool.listen.path
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with suppress(FileNotFoundError), socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            try:
                probe.connect(path)
            except ConnectionRefusedError:
                os.unlink(path)
        listener.bind(path)
        if pool.listen.mode is not None:
            os.chmod(path, pool.listen.mode)
        listener.listen(pool.backlog)
        listener.setblocking(False)
    except BaseException:
        listener.close()
        raise
    return listener


def pool_values(pool: Pool, listener: int) -> dict[str, Any]:
    """What Engine.add_pools() wants to know about a pool; times in microseconds, texts as bytes."""
    limits = pool.limits
    node_auth: list[bytes] = []
    if pool.node_password is not None:
        node_auth = [pool.node_password.reveal().encode()]
        if pool.node_username:
            node_auth.insert(0, pool.node_username.encode())
    return {
        "name": pool.name.encode(),
        "listener": listener,
        "unix_socket": bool(pool.listen.path),
        "placement": placement(pool),
        "auto_eject": pool.auto_eject or pool.copied,
        "copies": copies_values(pool),
        "failover": pool.failover,
        "nil_on_error": pool.partial_mget == "nil",
        "split_transactions": pool.cross_node_transactions == "split",
        "database": pool.redis_db,
        "users": users_of(pool),
        "node_auth": node_auth,
        "hot": heat_values(pool),
        "counters": counter_values(pool),
        "nodes": [((node.name or node.address).encode(), node.address.encode()) for node in pool.nodes],
        "replica_of": pool.replica_of,
        "cluster": bool(pool.cluster),
        "reads": reads_values(pool),
        "limits": {
            "window": limits.window,
            "most_clients": pool.client_connections,
            "output_soft": limits.output_soft,
            "output_hard": limits.output_hard,
            "pubsub_hard": limits.output_pubsub,
            "pubsub_soft": limits.output_pubsub_soft,
            "pubsub_soft_us": int(limits.output_pubsub_time * 1e6),
            "query_buffer": limits.query_buffer,
            "backlog": limits.backlog,
            "bulk": limits.bulk,
            "max_bulk": limits.max_bulk,
            "timeout_us": 0 if pool.timeout is None else max(1, int(pool.timeout * 1e6)),
            "connect_timeout_us": max(1, int(pool.connect_timeout * 1e6)),
            "most_blocked": limits.max_blocked,
            "most_watching": limits.max_watching,
            "most_tombstones": limits.max_tombstones,
            "tombstone_us": max(1, int(limits.tombstone_age * 1e6)),
        },
    }


def reads_values(pool: Pool) -> dict[str, Any]:
    """What an engine wants to know of reads that replicas may answer."""
    after = pool.hedge.after
    return {
        "from": READ_FROM.index(pool.read_from),
        "hot": pool.hot_keys.replicas,
        "lag_us": int((pool.max_replica_lag or 0) * 1e6),
        "retained": pool.limits.retained,
        "quantile": after == P95,
        "after_us": int(after * 1e6) if isinstance(after, float) else 0,
        "budget": 0 if after is None else pool.hedge.budget * 10,
    }


def copies_values(pool: Pool) -> tuple[int, int, int] | None:
    """With `replication: ring`: copies, and the levels of writes and reads as `voices.pxd` numbers them."""
    levels = {"one": 1, "quorum": 2, "all": 3}
    return (pool.ring.copies, levels[pool.ring.write], levels[pool.ring.read]) if pool.copied else None


def heat_values(pool: Pool) -> dict[str, Any] | None:
    """What an engine wants to know of a pool's hot keys; None: nothing, it leaves them alone."""
    hot = pool.hot_keys
    # Where a key has no node of its own, or several.
    if not hot.enabled or pool.distribution == "random" or pool.copied:
        return None
    rules = [HotPrefix(prefix=""), *hot.prefixes]

    def strategy(rule: HotPrefix) -> str:
        return rule.strategy or hot.strategy

    return {
        "threshold": hot.threshold,
        "memory": hot.memory,
        "max_value": hot.max_value,
        "max_keys": hot.max_keys,
        "rules": [
            (
                rule.prefix.encode(),
                "off" if strategy(rule) == "fan_out" else rule.copies or hot.copies,
                int((rule.ttl or hot.ttl) * 1e6),
                int((rule.stale_if_error or hot.stale_if_error or 0) * 1e6),
                int((rule.shield or hot.shield or 0) * 1e6),
                hot.early if rule.early is None else rule.early,
                0 if strategy(rule) == "local" or len(pool.servers) == 1 else rule.fan_out or hot.fan_out,
                int((rule.fan_out_ttl or hot.fan_out_ttl) * 1e6),
            )
            for rule in rules
        ],
    }


def counter_values(pool: Pool) -> list[tuple[bytes, str, int, int, bool, int]] | None:
    """By prefix which increments travel together, how many at most, for how many us they wait, whether they are
    answered early, and over how many nodes one is spread; None: none do."""
    counters = pool.counters
    rules = counters.rules
    every = counters.keys if isinstance(counters.keys, str) else "off"
    if pool.distribution == "random" or pool.copied or (every == "off" and len(rules) == 1):
        return None
    return [
        (rule.prefix.encode(), "all" if rule.prefix else every, rule.max_batch or counters.max_batch,
         int((rule.window or 0) * 1e6), rule.mode == "early", rule.shards or 1)
        for rule in rules
    ]  # fmt: skip


def _written(name: Any) -> str:
    """A socket's own address as people write it."""
    if isinstance(name, str):
        return name
    return f"[{name[0]}]:{name[1]}" if ":" in name[0] else f"{name[0]}:{name[1]}"


def _refuse_taken(family: int, address: tuple[str, int]) -> None:
    """With SO_REUSEPORT a second proxy of the same user would bind without complaint and take half the clients."""
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(address)


def process_name() -> str:
    """A name for this process that no other proxy has."""
    return f"{socket.gethostname()}:{os.getpid()}:{random.getrandbits(32):08x}"


class Engines:
    """The engine threads of one process."""

    def __init__(self, settings: Settings) -> None:
        """Open every listener and build every engine; nothing runs or accepts yet.

        Raises:
            OSError: a listener cannot be opened.
        """
        count = settings.engines
        self._settings = settings
        self.ports: list[str] = []
        listeners: list[list[int]] = [[] for _ in range(count)]
        for pool in settings.pools:
            first = open_listener(pool, count > 1)
            name = first.getsockname()
            self.ports.append(_written(name))
            listeners[0].append(first.detach())
            for index in range(1, count):
                # A unix socket has one listener: its clients are shared out by hand-over alone.
                listeners[index].append(-1 if pool.listen.path else self._another(pool, name))
        self._group = EngineGroup(count)
        input_limit = min(pool.limits.input_total for pool in settings.pools) // count
        output_limit = min(pool.limits.output_total for pool in settings.pools) // count
        self.engines = [
            Engine(self._group, index, b"quench:%d:%d" % (os.getpid(), index), input_limit, output_limit)
            for index in range(count)
        ]
        for index, engine in enumerate(self.engines):
            engine.add_pools([
                pool_values(pool, listeners[index][place]) for place, pool in enumerate(settings.pools)
            ])

    @staticmethod
    def _another(pool: Pool, name: Any) -> int:
        """One more listener on the port that the first one got."""
        listener = socket.socket(socket.AF_INET6 if ":" in name[0] else socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind(name)
        listener.listen(pool.backlog)
        listener.setblocking(False)
        return listener.detach()

    async def post(self, order: Callable[[], None]) -> None:
        """Post an order to an engine, again and again while its box is full: a busy engine empties it every turn."""
        while True:
            try:
                return order()
            except BlockingIOError:
                await trio.sleep(POST_AGAIN)

    def kill_ghost(self, pool: int, node: int, ghost: int, run_id: bytes) -> None:
        """Have a node kill a connection of ours that was given up, before it gets anything else from any engine."""
        for engine in self.engines:
            with suppress(BlockingIOError):  # 16384 orders are waiting: the engine has worse trouble than this
                engine.kill_ghost(pool, node, ghost, run_id)

    def forget_copies(self) -> None:
        """Every copy of every engine is void from here on."""
        self._group.forget_copies()

    def lease(self, pool: int, generation: int, until: float) -> None:
        """Writes of a pool may be acknowledged until this time.monotonic(), by engines whose seats are of this
        generation."""
        self._group.lease(pool, generation, int(until * 1e6))

    def drain(self) -> None:
        """Accept no more and let every client go that is owed nothing; the paths of unix sockets are removed."""
        for pool in self._settings.pools:
            if pool.listen.path:
                with suppress(FileNotFoundError):
                    os.unlink(pool.listen.path)
        for engine in self.engines:
            engine.drain()

    async def run(self, on_event: Callable[[int, Event], None]) -> None:
        """Run all engine threads and hand every event to `on_event(engine, event)`, until cancelled."""
        limiter = trio.CapacityLimiter(len(self.engines))
        async with trio.open_nursery() as nursery:
            for index, engine in enumerate(self.engines):
                nursery.start_soon(partial(trio.to_thread.run_sync, engine.run, limiter=limiter))
                nursery.start_soon(self._read_events, index, engine, on_event)
            try:
                await trio.sleep_forever()
            finally:
                # In a sibling of the threads' tasks, inside their nursery: outside it the nursery would wait for
                # threads that nobody has told to stop.
                for engine in self.engines:
                    engine.stop()

    async def _read_events(self, index: int, engine: Engine, on_event: Callable[[int, Event], None]) -> None:
        while True:
            await trio.lowlevel.wait_readable(engine.event_fd)
            with suppress(BlockingIOError):
                os.read(engine.event_fd, 8)
            for event in engine.events():
                on_event(index, event)
