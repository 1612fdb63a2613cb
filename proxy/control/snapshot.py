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
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import trio

from proxy.control.cluster import home_of, present
from proxy.control.engines import Engines
from proxy.control.failover import Failover
from proxy.control.nodes import Nodes
from proxy.control.statistics import (
    HEAT_COUNTERS,
    NODE_COUNTERS,
    READ_COUNTERS,
    WAVES,
    CommandStatistics,
    CopiesStatistics,
    DatabaseStatistics,
    Histogram,
    HotKeyStatistics,
    NodeStatistics,
    PoolStatistics,
    Statistics,
)
from proxy.errors import ERRORS
from proxy.settings import Pool, Settings

#: What Redis calls them.
ROLES = {"primary": "master", "replica": "slave", "vacant": "vacant"}

SAMPLE_EVERY = 1.0  # seconds

_PAGE = os.sysconf("SC_PAGESIZE")


def _version() -> str:
    try:
        return version("quench-proxy")
    except PackageNotFoundError:
        return "0"


#: What is counted of a node; the rest is its state at the moment.
_NODE_COUNTS = (*NODE_COUNTERS, "latency_us")

#: Counters of an engine that are none.
_GAUGES = ("clients", "chunk_bytes", "input_reserved")


@dataclass(slots=True)
class _Counts:
    """What only grows, all engines together."""

    counters: Counter[str] = field(default_factory=Counter)  #: and gauges
    latencies: dict[str, Histogram] = field(default_factory=dict)  #: by command
    kinds: Counter[str] = field(default_factory=Counter)  #: replies by latency class
    commands: Counter[tuple[str, int]] = field(default_factory=Counter)  #: by name and place in CommandStatistics
    errors: Counter[str] = field(default_factory=Counter)
    nodes: Counter[tuple[int, int, str]] = field(default_factory=Counter)

    def subtract(self, base: _Counts) -> None:
        """Count from `base` on."""
        for name, value in base.counters.items():
            if name not in _GAUGES:
                self.counters[name] -= value
        for name, histogram in base.latencies.items():
            self.latencies[name] -= histogram
        self.kinds.subtract(base.kinds)
        self.commands.subtract(base.commands)
        self.errors.subtract(base.errors)


class Snapshot:
    """Takes `Statistics` from what the engines, the node tasks and the process know."""

    def __init__(
        self,
        settings: Settings,
        engines: Engines,
        nodes: Nodes,
        databases: Callable[[int], Mapping[int, DatabaseStatistics]] = lambda pool: {},
        subscriptions: Callable[[], tuple[int, int, int, int]] = lambda: (0, 0, 0, 0),
        hot_keys: Callable[[], tuple[HotKeyStatistics, ...]] = lambda: (),
        failover: Failover | None = None,
        copies: Callable[[int, int], CopiesStatistics | None] = lambda pool, node: None,
        lag: Callable[[int, int], float | None] = lambda pool, node: None,
    ) -> None:
        """`databases(pool)` is what is known of a pool's databases, without asking anybody; `subscriptions()`:
        subscribed clients, and different channels, patterns and shard channels; `hot_keys()`: as far as is known;
        `copies(pool, node)`: of a node of a pool with `replication: ring`; `lag(pool, node)`: of a replica in a
        cluster."""
        self._databases = databases
        self._failover = failover
        self._subscriptions = subscriptions
        self._hot_keys = hot_keys
        self._copies = copies
        self._lag = lag
        self._settings = settings
        self._engines = engines
        self._nodes = nodes
        self._version = _version()
        self._run_id = secrets.token_hex(20)
        self._started = time.monotonic()
        self._rates = dict.fromkeys(("requests", "bytes_in", "bytes_out"), 0.0)
        self._peak = 0
        self._changed: list[dict[str, object]] = [{} for _ in settings.pools]  # by CONFIG SET
        self._base = _Counts()

    async def sample(self) -> None:
        """Keep the rate and the peak up to date, for ever."""
        before, at = self._counters(), trio.current_time()
        while True:
            await trio.sleep(SAMPLE_EVERY)
            counters, now = self._counters(), trio.current_time()
            self._rates = {name: (counters[name] - before[name]) / (now - at) for name in self._rates}
            self._peak = max(self._peak, _memory(counters))
            before, at = counters, now

    def take(self, pool: int) -> Statistics:
        """The proxy as seen by a client of `pool`, an index of the settings' pools. Takes well below 1 ms."""
        engines = self._engines.engines
        counts = self._count()
        counters = counts.counters
        memory = _memory(counters)
        self._peak = max(self._peak, memory)
        counts.subtract(self._base)
        latencies, commands, errors = counts.latencies, counts.commands, counts.errors
        usage = resource.getrusage(resource.RUSAGE_SELF)
        # The engines share these two numbers.
        shared = [node for stats in engines[0].pool_stats() for node in stats["nodes"]]
        subscribers, channels, patterns, shard_channels = self._subscriptions()
        return Statistics(
            version=self._version,
            process_id=os.getpid(),
            run_id=self._run_id,
            uptime=time.monotonic() - self._started,
            time=time.time(),
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
            max_clients=sum(map(self._most_clients, range(len(self._settings.pools)))),
            blocked_clients=sum(node["blocked"] for node in shared),
            watching_clients=sum(node["watching"] for node in shared),
            connections_accepted=counters["accepted"],
            connections_rejected=counters["rejected_clients"],
            connections_closed=counters["closed"],
            memory=memory,
            memory_peak=self._peak,
            memory_resident=_resident(),
            memory_of_system=os.sysconf("SC_PHYS_PAGES") * _PAGE,
            requests=counters["requests"],
            requests_per_second=self._rates["requests"],
            bytes_in_per_second=self._rates["bytes_in"],
            bytes_out_per_second=self._rates["bytes_out"],
            bytes_in=counters["bytes_in"],
            bytes_out=counters["bytes_out"],
            reads=counts.kinds["read"],
            writes=counts.kinds["write"],
            split_requests=counters["split"],
            coalesced_requests=counters["reads_joined"],
            copy_hits=counters["copy_hits"],
            heat={name: counters[name] for name in HEAT_COUNTERS},
            hints=counters["hints"],
            doubts=counters["doubts"],
            replicated={name: counters[name] for name in READ_COUNTERS},
            increments=counters["increments"],
            early=counters["early"],
            early_pending=counters["early_owed"],
            early_lost=counters["early_lost"],
            waves={size: counters[f"waves_{size}"] for size in WAVES},
            hot_keys=self._hot_keys(),
            timeouts=counters["timeouts"],
            late_replies=counters["late_replies"],
            transactions=counters["transactions"],
            blocked_requests=counters["blocked"],
            lost_pops=counters["lost_pops"],
            turns=counters["turns"],
            cpu_system=usage.ru_stime,
            cpu_user=usage.ru_utime,
            commands={
                name: CommandStatistics(*(commands[name, place] for place in range(4)))
                for name in sorted({name for (name, _), value in commands.items() if value})
            },
            latencies={name: latencies[name] for name in sorted(latencies) if latencies[name].count},
            errors={word: made for word, made in errors.items() if made},
            pools=self._pools(),
            databases=self._databases(pool),
        )

    def config(self, pool: int) -> Mapping[str, object]:
        """What CONFIG GET says to a client of `pool`, under Redis's names."""
        settings = self._settings.pools[pool]
        return {
            "bind": settings.listen.host,
            "client-query-buffer-limit": settings.limits.query_buffer,
            "databases": 16,
            "io-threads": self._settings.engines,
            "maxclients": settings.client_connections or resource.getrlimit(resource.RLIMIT_NOFILE)[0],
            "port": self._port(pool),
            "proto-max-bulk-len": settings.limits.max_bulk,
            "tcp-backlog": settings.backlog,
            "unixsocket": settings.listen.path or "",
            **self._changed[pool],
        }

    def change(self, pool: int, values: Mapping[str, object]) -> None:
        """CONFIG SET has put these into effect: `config` shows them from now on."""
        self._changed[pool].update(values)

    def reset(self) -> None:
        """CONFIG RESETSTAT: what `take` counts begins at zero again. The engines go on counting."""
        self._base = self._count()

    def _count(self) -> _Counts:
        """Everything that only ever grows, since the start of the process."""
        counts = _Counts(self._counters())
        for engine in self._engines.engines:
            for name, (kind, buckets) in engine.latency().items():
                counts.latencies[name] = counts.latencies.get(name, Histogram()) + Histogram(tuple(buckets))
                counts.kinds[kind] += sum(buckets)
            for name, values in engine.command_stats().items():
                for place, value in enumerate(values):
                    counts.commands[name, place] += value
            for code, made in engine.error_stats().items():
                if made:
                    counts.errors[ERRORS[code].text.partition(" ")[0]] += made
            for pool, stats in enumerate(engine.pool_stats()):
                for place, node in enumerate(stats["nodes"]):
                    for name in _NODE_COUNTS:
                        counts.nodes[pool, place, name] += node[name]
        return counts

    def _most_clients(self, pool: int) -> int:
        """The pool's limit; where it has none, open files are."""
        return int(str(self.config(pool)["maxclients"]))

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
                promotions=self._failover.promotions(index, None) if self._failover is not None else 0,
                nodes=tuple(
                    self._node(pool, index, place, [pools[index]["nodes"][place] for pools in by_engine])
                    for place, server in enumerate(pool.nodes)
                    if present(server)
                ),
            )
            for index, pool in enumerate(self._settings.pools)
        )

    def _node(self, pool: Pool, index: int, place: int, parts: list[dict[str, int]]) -> NodeStatistics:
        server = pool.nodes[place]
        home = home_of(pool, place)
        total: Counter[str] = Counter()
        for part in parts:
            total.update(part)
        for name in _NODE_COUNTS:
            total[name] -= self._base.nodes[index, place, name]
        state = self._nodes.records(index)[place].state
        # A probe changes nothing for clients. Where another node takes over its keys a node that is down is ejected.
        if state in ("down", "probing"):
            state = "ejected" if pool.auto_eject else "down"
        name = server.name or server.address
        role, address, lag, epoch = "master" if home == place else "slave", server.address, self._lag(index, place), 0
        found = self._failover.record(index, place) if self._failover is not None else None
        if found is not None:
            name, address, lag, epoch = found.name, found.address, found.lag, found.epoch
            role = ROLES.get(found.role, role)
            state = found.state if state in ("up", "suspect") and found.state != "up" else state
        return NodeStatistics(
            name=name,
            address=address,
            role=role,
            lag=lag,
            epoch=epoch,
            replica_of="" if home == place else pool.servers[home].label,
            state=state,
            connections=total["connections"],
            in_flight=total["in_flight"],
            backlog=total["backlog"],
            promotions=self._failover.promotions(index, place) if self._failover is not None else 0,
            microseconds=total["latency_us"],
            copies=self._copies(index, place),
            **{name: total[name] for name in NODE_COUNTERS},
        )


def _memory(counters: Mapping[str, int]) -> int:
    """Bytes of buffers: chunks, and input that requests have reserved."""
    return counters["chunk_bytes"] + counters["input_reserved"]


def _resident() -> int:
    """Bytes of memory the process has in use."""
    with open("/proc/self/statm", "rb") as file:
        return int(file.read().split()[1]) * _PAGE
