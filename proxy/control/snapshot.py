"""Snapshot: the proxy's statistics at this moment, as INFO shows them, and the settings as CONFIG GET shows them.

The engines count, and nothing is kept here but what a single reading cannot tell: the rate of requests and the
highest memory use, sampled once a second. Reading does not stop an engine.
"""

from __future__ import annotations

import os
import resource
import secrets
import time
from collections import Counter
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import trio

from proxy.control.engines import Engines
from proxy.control.nodes import Nodes
from proxy.control.statistics import CommandStatistics, Histogram, NodeStatistics, PoolStatistics, Statistics
from proxy.errors import ERRORS
from proxy.settings import Pool, Settings

SAMPLE_EVERY = 1.0  # seconds

_PAGE = os.sysconf("SC_PAGESIZE")


def _version() -> str:
    try:
        return version("quench-proxy")
    except PackageNotFoundError:
        return "0"


class Snapshot:
    """Takes `Statistics` from what the engines, the node tasks and the process know."""

    def __init__(
        self, settings: Settings, engines: Engines, nodes: Nodes,
        subscriptions: Callable[[], tuple[int, int, int, int]] = lambda: (0, 0, 0, 0),
    ) -> None:  # fmt: skip
        """`subscriptions`: subscribed clients, and different channels, patterns and shard channels."""
        self._subscriptions = subscriptions
        self._settings = settings
        self._engines = engines
        self._nodes = nodes
        self._version = _version()
        self._run_id = secrets.token_hex(20)
        self._started = time.monotonic()
        self._rate = 0.0
        self._peak = 0

    async def sample(self) -> None:
        """Keep the rate and the peak up to date, for ever."""
        before, at = self._counters()["requests"], trio.current_time()
        while True:
            await trio.sleep(SAMPLE_EVERY)
            counters, now = self._counters(), trio.current_time()
            self._rate = (counters["requests"] - before) / (now - at)
            self._peak = max(self._peak, _memory(counters))
            before, at = counters["requests"], now

    def take(self, pool: int) -> Statistics:
        """The proxy as seen by a client of `pool`, an index of the settings' pools. Takes well below 1 ms."""
        engines = self._engines.engines
        counters = self._counters()
        memory = _memory(counters)
        self._peak = max(self._peak, memory)
        usage = resource.getrusage(resource.RUSAGE_SELF)
        latencies: dict[str, Histogram] = {}
        commands: Counter[tuple[str, int]] = Counter()
        errors: Counter[str] = Counter()
        for engine in engines:
            for name, buckets in engine.latency().items():
                latencies[name] = latencies.get(name, Histogram()) + Histogram(tuple(buckets))
            for name, values in engine.command_stats().items():
                for place, value in enumerate(values):
                    commands[name, place] += value
            for code, made in engine.error_stats().items():
                if made:
                    errors[ERRORS[code].text.partition(" ")[0]] += made
        subscribers, channels, patterns, shard_channels = self._subscriptions()
        return Statistics(
            version=self._version,
            process_id=os.getpid(),
            run_id=self._run_id,
            uptime=time.monotonic() - self._started,
            tcp_port=self._port(pool),
            config_file=self._settings.file,
            engines=len(engines),
            clients=counters["clients"],
            pubsub_clients=subscribers,
            pubsub_channels=channels,
            pubsub_patterns=patterns,
            pubsub_shard_channels=shard_channels,
            pushes=counters["pushes"],
            output_closed=counters["output_closed"] + counters["pubsub_closed"],
            pubsub_closed=counters["pubsub_closed"],
            max_clients=sum(map(_most_clients, self._settings.pools)),
            connections_accepted=counters["accepted"],
            connections_rejected=counters["rejected_clients"],
            connections_closed=counters["closed"],
            memory=memory,
            memory_peak=self._peak,
            memory_resident=_resident(),
            requests=counters["requests"],
            requests_per_second=self._rate,
            bytes_in=counters["bytes_in"],
            bytes_out=counters["bytes_out"],
            reads=latencies["read"].count,
            writes=latencies["write"].count,
            split_requests=counters["split"],
            timeouts=counters["timeouts"],
            late_replies=counters["late_replies"],
            turns=counters["turns"],
            cpu_system=usage.ru_stime,
            cpu_user=usage.ru_utime,
            commands={
                name: CommandStatistics(*(commands[name, place] for place in range(4)))
                for name in sorted({name for name, _ in commands})
            },
            latencies=latencies,
            errors=dict(errors),
            pools=self._pools(),
        )

    def config(self, pool: int) -> Mapping[str, object]:
        """What CONFIG GET says to a client of `pool`, under Redis's names."""
        settings = self._settings.pools[pool]
        return {
            "bind": settings.listen.host,
            "client-query-buffer-limit": settings.limits.query_buffer,
            "databases": 16,
            "io-threads": self._settings.engines,
            "maxclients": _most_clients(settings),
            "port": self._port(pool),
            "proto-max-bulk-len": settings.limits.max_bulk,
            "tcp-backlog": settings.backlog,
            "unixsocket": settings.listen.path or "",
        }

    def _counters(self) -> Counter[str]:
        """Summed over the engines."""
        total: Counter[str] = Counter()
        for engine in self._engines.engines:
            total.update(engine.counters())
        return total

    def _port(self, pool: int) -> int:
        return 0 if self._settings.pools[pool].listen.path else int(self._engines.ports[pool].rpartition(":")[2])

    def _pools(self) -> tuple[PoolStatistics, ...]:
        """By pool, the engines added up."""
        by_engine: list[list[dict[str, Any]]] = [engine.pool_stats() for engine in self._engines.engines]
        return tuple(
            PoolStatistics(
                name=pool.name,
                listen=self._engines.ports[index],
                clients=sum(pools[index]["clients"] for pools in by_engine),
                nodes=tuple(
                    self._node(pool, index, place, [pools[index]["nodes"][place] for pools in by_engine])
                    for place in range(len(pool.servers))
                ),
            )
            for index, pool in enumerate(self._settings.pools)
        )

    def _node(self, pool: Pool, index: int, place: int, parts: list[dict[str, int]]) -> NodeStatistics:
        server = pool.servers[place]
        total: Counter[str] = Counter()
        for part in parts:
            total.update(part)
        state = self._nodes.records(index)[place].state
        return NodeStatistics(
            name=server.name or server.address,
            address=server.address,
            # Where no other node takes over its keys an ejected node is simply down.
            state="down" if state == "ejected" and not pool.auto_eject else state,
            connections=total["connections"],
            in_flight=total["in_flight"],
            backlog=total["backlog"],
            requests=total["requests"],
            errors=total["errors"],
            timeouts=total["timeouts"],
            losses=total["losses"],
            bytes_in=total["bytes_in"],
            bytes_out=total["bytes_out"],
            microseconds=total["latency_us"],
        )


def _memory(counters: Mapping[str, int]) -> int:
    """Bytes of buffers: chunks, and input that requests have reserved."""
    return counters["chunk_bytes"] + counters["input_reserved"]


def _most_clients(pool: Pool) -> int:
    """The pool's limit; where it has none, open files are."""
    return pool.client_connections or resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def _resident() -> int:
    """Bytes of memory the process has in use."""
    with open("/proc/self/statm", "rb") as file:
        return int(file.read().split()[1]) * _PAGE
