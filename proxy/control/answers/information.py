"""INFO: the statistics as sections of ``key:value`` lines, under Redis's names where the meaning is the same.

Parsers fold the whole reply into one dictionary, so a key occurs once in all of it; pools, nodes and hot keys are
numbered (``node0:name=...,state=up``), as Redis numbers its replicas. A value made of ``name=value`` pairs holds no
comma or equals sign of its own: texts from outside are percent-encoded.
"""

from __future__ import annotations

import platform
import struct
from collections.abc import Callable, Iterable, Iterator
from urllib.parse import quote

from proxy.control.answers.context import AnswerContext
from proxy.control.reply import Verbatim, encode
from proxy.control.statistics import NODE_COUNTERS, NodeStatistics, Statistics

__all__ = ["REDIS_VERSION", "SECTIONS", "info", "report"]

#: The server we answer like; clients choose features by it.
REDIS_VERSION = "7.2.0"

Lines = Iterator[tuple[str, object]]


def info(args: list[bytes], protocol: int, context: AnswerContext) -> bytes:
    """INFO [section ...]; ``all`` and ``everything`` are all sections, ``default`` those shown without an argument."""
    return encode(Verbatim(report(context, [arg.decode("latin-1").lower() for arg in args[1:]])), protocol)


def report(context: AnswerContext, wanted: Iterable[str]) -> str:
    """The text of INFO for the sections named in lower case; unknown names add nothing."""
    names = set(wanted) or {"default"}
    if "default" in names:
        names |= set(SECTIONS) - _ON_DEMAND
    if names & {"all", "everything"}:
        names |= set(SECTIONS)
    parts = []
    for name, (title, lines) in SECTIONS.items():
        if name in names:
            body = "".join(f"{key}:{_line(value)}\r\n" for key, value in lines(context))
            parts.append(f"# {title}\r\n{body}")
    return "\r\n".join(parts)


def _server(context: AnswerContext) -> Lines:
    now = context.statistics
    system = platform.uname()
    yield "redis_version", REDIS_VERSION
    yield "redis_git_sha1", "00000000"
    yield "redis_git_dirty", 0
    yield "redis_build_id", now.version
    # What HELLO says too. Clients know standalone, cluster and sentinel, and a proxy is to be spoken to as the first.
    yield "redis_mode", "standalone"
    yield "proxy_version", now.version
    yield "os", f"{system.system} {system.release} {system.machine}"
    yield "arch_bits", struct.calcsize("P") * 8
    yield "monotonic_clock", "POSIX clock_gettime"
    yield "multiplexing_api", "epoll"
    yield "process_id", now.process_id
    yield "process_supervised", "no"
    yield "run_id", now.run_id
    yield "tcp_port", now.tcp_port
    yield "server_time_usec", int(now.time * 1e6)
    yield "uptime_in_seconds", int(now.uptime)
    yield "uptime_in_days", int(now.uptime // 86_400)
    yield "hz", 10
    yield "configured_hz", 10
    yield "lru_clock", int(now.time) & 0xFFFFFF
    yield "engines", now.engines
    yield "config_file", now.config_file
    yield "io_threads_active", int(now.engines > 1)


def _clients(context: AnswerContext) -> Lines:
    now = context.statistics
    yield "connected_clients", now.clients
    yield "cluster_connections", 0
    yield "maxclients", now.max_clients
    yield "client_recent_max_input_buffer", now.largest_input_buffer
    yield "client_recent_max_output_buffer", now.largest_output_buffer
    yield "blocked_clients", now.blocked_clients
    yield "tracking_clients", now.tracking_clients
    yield "pubsub_clients", now.pubsub_clients
    yield "watching_clients", now.watching_clients
    yield "clients_in_timeout_table", 0


def _memory(context: AnswerContext) -> Lines:
    now = context.statistics
    for name, size in (
        ("used_memory", now.memory),
        ("used_memory_rss", now.memory_resident),
        ("used_memory_peak", now.memory_peak),
        ("total_system_memory", now.memory_of_system),
        ("used_memory_lua", 0),
        ("used_memory_scripts", 0),
        ("maxmemory", now.memory_limit),
    ):
        yield name, size
        yield f"{name}_human", _human(size)
    yield "used_memory_peak_perc", f"{now.memory / max(now.memory_peak, now.memory, 1):.2%}"
    yield "used_memory_overhead", now.memory
    yield "used_memory_dataset", 0
    yield "used_memory_dataset_perc", "0.00%"
    yield "maxmemory_policy", "noeviction"
    yield "mem_clients_normal", now.memory
    yield "mem_clients_slaves", 0
    yield "mem_replication_backlog", 0
    yield "mem_aof_buffer", 0
    yield "mem_allocator", "libc"
    yield "active_defrag_running", 0
    yield "lazyfree_pending_objects", 0


def _persistence(context: AnswerContext) -> Lines:
    """That of a server that saves nothing and has loaded everything: clients wait while `loading` is 1."""
    now = context.statistics
    for name in ("loading", "async_loading", "rdb_changes_since_last_save", "rdb_bgsave_in_progress"):
        yield name, 0
    yield "rdb_last_save_time", int(now.time - now.uptime)
    yield "rdb_last_bgsave_status", "ok"
    yield "rdb_last_bgsave_time_sec", -1
    yield "rdb_current_bgsave_time_sec", -1
    for name in ("rdb_saves", "rdb_last_cow_size", "aof_enabled", "aof_rewrite_in_progress", "aof_rewrite_scheduled"):
        yield name, 0
    yield "aof_last_rewrite_time_sec", -1
    yield "aof_current_rewrite_time_sec", -1
    yield "aof_last_bgrewrite_status", "ok"
    yield "aof_last_write_status", "ok"
    for name in ("aof_last_cow_size", "module_fork_in_progress", "module_fork_last_cow_size"):
        yield name, 0


def _stats(context: AnswerContext) -> Lines:
    now = context.statistics
    yield "total_connections_received", now.connections_accepted
    yield "total_connections_closed", now.connections_closed
    yield "rejected_connections", now.connections_rejected
    yield "total_commands_processed", now.requests
    yield "instantaneous_ops_per_sec", int(now.requests_per_second)
    yield "total_net_input_bytes", now.bytes_in
    yield "total_net_output_bytes", now.bytes_out
    yield "instantaneous_input_kbps", f"{now.bytes_in_per_second / 1024:.2f}"
    yield "instantaneous_output_kbps", f"{now.bytes_out_per_second / 1024:.2f}"
    yield "total_reads_processed", now.reads
    yield "total_writes_processed", now.writes
    yield "pubsub_messages_pushed", now.pushes
    yield "client_output_buffer_limit_disconnections", now.output_closed
    yield "pubsub_output_limit_disconnections", now.pubsub_closed
    yield "hints", now.hints
    yield "doubts", now.doubts
    yield "total_error_replies", sum(now.errors.values())
    yield "keyspace_hits", now.copy_hits
    yield "keyspace_misses", now.copy_misses
    for name in ("expired_keys", "evicted_keys", "evicted_clients", "sync_full", "sync_partial_ok", "sync_partial_err"):
        yield name, 0
    yield "pubsub_channels", now.pubsub_channels
    yield "pubsub_patterns", now.pubsub_patterns
    yield "pubsubshard_channels", now.pubsub_shard_channels
    for name in ("latest_fork_usec", "total_forks", "tracking_total_keys", "tracking_total_items"):
        yield name, 0
    yield "unexpected_error_replies", 0
    yield "split_requests", now.split_requests
    yield "coalesced_requests", now.coalesced_requests
    yield "combined_requests", now.combined_requests
    yield "timed_out_requests", now.timeouts
    yield "late_replies", now.late_replies
    yield from now.replicated.items()
    yield "transactions", now.transactions
    yield "blocked_requests", now.blocked_requests
    yield "lost_pops", now.lost_pops
    yield "engine_turns", now.turns


def _replication(context: AnswerContext) -> Lines:
    """A primary without replicas: how the nodes are replicated is not the clients' business."""
    yield "role", "master"
    yield "connected_slaves", 0
    yield "master_failover_state", "no-failover"
    yield "master_replid", context.statistics.run_id
    yield "master_replid2", "0" * 40
    yield "master_repl_offset", 0
    yield "second_repl_offset", -1
    for name in ("active", "size", "first_byte_offset", "histlen"):
        yield f"repl_backlog_{name}", 0


def _cpu(context: AnswerContext) -> Lines:
    yield "used_cpu_sys", f"{context.statistics.cpu_system:.6f}"
    yield "used_cpu_user", f"{context.statistics.cpu_user:.6f}"
    yield "used_cpu_sys_children", "0.000000"
    yield "used_cpu_user_children", "0.000000"


def _modules(_context: AnswerContext) -> Lines:
    yield from ()


def _commandstats(context: AnswerContext) -> Lines:
    for name, row in context.statistics.commands.items():
        if row.calls or row.rejected or row.failed:
            yield (
                f"cmdstat_{name}",
                (
                    ("calls", row.calls),
                    ("usec", row.microseconds),
                    ("usec_per_call", f"{row.microseconds / max(row.calls, 1):.2f}"),
                    ("rejected_calls", row.rejected),
                    ("failed_calls", row.failed),
                ),
            )


def _latencystats(context: AnswerContext) -> Lines:
    for name, histogram in context.statistics.latencies.items():
        if histogram.count:
            values = ((f"p{percent:g}", f"{histogram.percentile(percent):.3f}") for percent in (50, 99, 99.9))
            yield f"latency_percentiles_usec_{name}", tuple(values)


def _errorstats(context: AnswerContext) -> Lines:
    for word, number in context.statistics.errors.items():
        yield f"errorstat_{quote(word)}", (("count", number),)


def _cluster(_context: AnswerContext) -> Lines:
    yield "cluster_enabled", 0


def _keyspace(context: AnswerContext) -> Lines:
    """As the nodes said a moment ago; a node that does not answer is there with what it said last."""
    for number, database in sorted(context.statistics.databases.items()):
        yield (
            f"db{number}",
            (("keys", database.keys), ("expires", database.expires), ("avg_ttl", database.average_ttl)),
        )


def _pools(context: AnswerContext) -> Lines:
    for number, pool in enumerate(context.statistics.pools):
        yield (
            f"pool{number}",
            (
                ("name", quote(pool.name)),
                ("listen", quote(pool.listen, safe="/:[]")),
                ("nodes", len(pool.nodes)),
                ("live", pool.live),
                ("state", pool.state),
                ("clients", pool.clients),
                ("promotions", pool.promotions),
            ),
        )


def _nodes(context: AnswerContext) -> Lines:
    for number, (pool, node) in enumerate(_all_nodes(context.statistics)):
        yield (
            f"node{number}",
            (
                ("name", quote(node.name)),
                ("pool", quote(pool)),
                ("address", quote(node.address, safe="/:[]")),
                ("role", node.role),
                *([("replica_of", quote(node.replica_of, safe="/:[]"))] if node.replica_of else []),
                ("state", node.state),
                *([("lag", f"{node.lag:.1f}")] if node.lag is not None else []),
                *([("epoch", node.epoch)] if node.epoch else []),
                ("connections", node.connections),
                ("in_flight", node.in_flight),
                ("backlog", node.backlog),
                *((name, getattr(node, name)) for name in NODE_COUNTERS),
                ("promotions", node.promotions),
                ("usec_per_call", f"{node.microseconds / max(node.requests, 1):.2f}"),
                *([] if node.copies is None else [
                    ("copies", node.copies.state), ("missed", node.copies.missed),
                    ("replayed", node.copies.replayed), ("mended", node.copies.mended),
                    ("repaired", node.copies.repaired),
                ]),
            ),
        )


def _all_nodes(statistics: Statistics) -> Iterator[tuple[str, NodeStatistics]]:
    for pool in statistics.pools:
        for node in pool.nodes:
            yield pool.name, node


def _hotkeys(context: AnswerContext) -> Lines:
    heat = context.statistics.heat
    yield "node_requests_saved", heat.get("copy_hits", 0) + heat.get("reads_joined", 0)
    yield from heat.items()
    for number, hot in enumerate(context.statistics.hot_keys):
        yield (
            f"hotkey{number}",
            (
                ("key", quote(hot.key, safe="")),
                ("pool", quote(hot.pool)),
                ("rate", f"{hot.rate:.1f}"),
                ("fan_out_copies", hot.copies),
                ("hits", hot.hits),
            ),
        )


def _counters(context: AnswerContext) -> Lines:
    statistics = context.statistics
    yield "increments", statistics.increments
    yield "increment_writes", sum(statistics.waves.values())
    yield "increments_by_write", tuple(statistics.waves.items())
    yield "early", statistics.early
    yield "early_pending", statistics.early_pending
    yield "early_lost", statistics.early_lost


#: name → (title, lines), in the order of the reply.
SECTIONS: dict[str, tuple[str, Callable[[AnswerContext], Lines]]] = {
    "server": ("Server", _server),
    "clients": ("Clients", _clients),
    "memory": ("Memory", _memory),
    "persistence": ("Persistence", _persistence),
    "stats": ("Stats", _stats),
    "replication": ("Replication", _replication),
    "cpu": ("CPU", _cpu),
    "modules": ("Modules", _modules),
    "commandstats": ("Commandstats", _commandstats),
    "errorstats": ("Errorstats", _errorstats),
    "latencystats": ("Latencystats", _latencystats),
    "cluster": ("Cluster", _cluster),
    "pools": ("Pools", _pools),
    "nodes": ("Nodes", _nodes),
    "hotkeys": ("Hotkeys", _hotkeys),
    "counters": ("Counters", _counters),
    "keyspace": ("Keyspace", _keyspace),
}

#: Shown only when asked for: as long as the command table.
_ON_DEMAND = frozenset({"commandstats", "latencystats"})


def _line(value: object) -> str:
    """A value, or pairs as ``a=1,b=2``; whatever could end the line is dropped."""
    text = ",".join(f"{name}={part}" for name, part in value) if isinstance(value, tuple) else str(value)
    return text.replace("\r", "").replace("\n", "")


def _human(size: int) -> str:
    """A size as Redis abbreviates it: 512B, 1.50K, 3.00M."""
    if size < 1024:
        return f"{size}B"
    power = min((size.bit_length() - 1) // 10, 5)
    return f"{size / (1 << 10 * power):.2f}{' KMGTP'[power]}"
