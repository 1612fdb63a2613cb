"""What the proxy knows about itself at one moment, as frozen records.

Whoever owns a number fills its field here; INFO, CLIENT LIST and the metrics read these records and nothing else.
Nothing in this file counts: the engines do, and a record is a copy.

Units: bytes, seconds (float) and microseconds (int, where Redis has them). Counters run from the start of the process.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = [
    "ClientRecord",
    "CommandStatistics",
    "DatabaseStatistics",
    "Histogram",
    "HotKeyStatistics",
    "NodeStatistics",
    "PoolStatistics",
    "Statistics",
]


@dataclass(frozen=True, slots=True)
class Histogram:
    """Durations counted in powers of two: bucket 0 holds those below 1 µs, bucket b those in [2^(b-1), 2^b) µs."""

    buckets: tuple[int, ...] = ()

    @property
    def count(self) -> int:
        return sum(self.buckets)

    def percentile(self, percent: float) -> float:
        """The duration in µs that ``percent`` of the observations do not exceed; 0 without observations.

        The rank is interpolated inside its bucket, so the error is below the bucket's width: a factor of two at most.
        """
        rank = self.count * percent / 100
        below = 0
        for bucket, count in enumerate(self.buckets):
            if count and below + count >= rank:
                low = 0.0 if bucket == 0 else float(1 << (bucket - 1))
                return low + (float(1 << bucket) - low) * (rank - below) / count
            below += count
        return 0.0

    def __add__(self, other: Histogram) -> Histogram:
        """Both together, bucket by bucket: how engines are summed."""
        size = max(len(self.buckets), len(other.buckets))
        padded = [(*histogram.buckets, *(0,) * (size - len(histogram.buckets))) for histogram in (self, other)]
        return Histogram(tuple(map(sum, zip(*padded, strict=True))))


    def __sub__(self, other: Histogram) -> Histogram:
        """What was counted since `other`, an earlier reading of the same buckets."""
        earlier = (*other.buckets, *(0,) * (len(self.buckets) - len(other.buckets)))
        return Histogram(tuple(now - before for now, before in zip(self.buckets, earlier, strict=True)))


@dataclass(frozen=True, slots=True)
class CommandStatistics:
    """One command's counters."""

    calls: int = 0
    microseconds: int = 0  #: total time from request to reply
    rejected: int = 0  #: refused before they were sent: arity, rights, lane
    failed: int = 0  #: answered with an error


@dataclass(frozen=True, slots=True)
class CopiesStatistics:
    """A node of a pool with `replication: ring`."""

    state: str  #: serves, mending, gone, lost: attendance.State
    missed: int  #: keys that are hinted about it, all holders together, at the last look
    replayed: int  #: hints about it that this proxy has carried out
    mended: int  #: keys that this proxy has given it
    repaired: int  #: of these, keys that were found to differ, by a read, a doubt or the background comparison


#: What the engines count of each node, in the order in which INFO shows it: fields of NodeStatistics.
NODE_COUNTERS = (
    "requests", "errors", "timeouts", "losses", "retries", "hedges", "hedges_won", "hints", "bytes_in", "bytes_out",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class NodeStatistics:
    """One node of one pool, all engines together."""

    name: str
    address: str  #: host:port or the path of a socket
    role: str = "master"  #: master or slave, as Redis says
    replica_of: str = ""  #: the member of the ring, by its label; "" for a member
    state: str = "up"  #: up, suspect, down, ejected; of a replica behind, too: it is not read from
    lag: float | None = None  #: seconds that a replica is behind; None: not known
    epoch: int = 0  #: of the record by which its pool goes; 0: there is none
    connections: int = 0
    in_flight: int = 0  #: requests sent and not answered
    backlog: int = 0  #: bytes queued and not sent
    requests: int = 0
    errors: int = 0  #: error replies
    timeouts: int = 0
    losses: int = 0  #: connections that broke
    retries: int = 0  #: reads that it was asked for because another node had failed or was too late
    hedges: int = 0  #: and before that was known
    hedges_won: int = 0  #: of these, those that it answered first
    hints: int = 0  #: with replication: ring: writes that this proxy noted it has missed
    promotions: int = 0  #: of a member: replicas that this process has put into its place
    bytes_in: int = 0
    bytes_out: int = 0
    microseconds: int = 0  #: total time from sending to reply
    copies: CopiesStatistics | None = None  #: with replication: ring


@dataclass(frozen=True, slots=True)
class PoolStatistics:
    """One pool and its nodes."""

    name: str
    listen: str
    nodes: tuple[NodeStatistics, ...] = ()
    clients: int = 0
    promotions: int = 0  #: of replicas, by this process

    @property
    def members(self) -> tuple[NodeStatistics, ...]:
        """The nodes of the ring, without their replicas."""
        return tuple(node for node in self.nodes if not node.replica_of)

    @property
    def live(self) -> int:
        """How many nodes take requests, replicas included."""
        return sum(node.state in ("up", "suspect") for node in self.nodes)

    @property
    def state(self) -> str:
        """``up``, ``degraded`` when a node is missing, ``down`` when all of the ring are."""
        if self.live == len(self.nodes):
            return "up"
        return "degraded" if any(node.state in ("up", "suspect") for node in self.members) else "down"


@dataclass(frozen=True, slots=True)
class DatabaseStatistics:
    """One database of one pool, its nodes added up."""

    keys: int = 0
    expires: int = 0  #: keys with a time to live
    average_ttl: int = 0  #: of those, milliseconds

    def __add__(self, other: DatabaseStatistics) -> DatabaseStatistics:
        """Both together, the mean weighted."""
        expires = self.expires + other.expires
        ttl = self.average_ttl * self.expires + other.average_ttl * other.expires
        return DatabaseStatistics(self.keys + other.keys, expires, ttl // expires if expires else 0)


#: What the engines count of hot keys and copies, in the order in which INFO shows it. The comments of counters.pxd say
#: what each is.
HEAT_COUNTERS = (
    "hot_promoted", "hot_demoted", "copy_hits", "copies_stored", "copy_refreshes", "copies_changed", "copies_expired",
    "copies_unsure", "copies_evicted", "copies_stale", "reads_joined", "fetches_stale", "invalidations",
    "copies_checked", "copies_wrong", "copies_wrong_us", "shield_misses", "shield_loads", "shield_early", "shield_nils",
    "fan_out_reads", "fan_out_hits", "fan_out_fills", "fan_out_tombstones",
)  # fmt: skip


#: What they count of reads that replicas may answer, likewise.
READ_COUNTERS = ("replica_reads", "retries", "hedges", "hedges_won", "hedges_denied", "reads_let_go")

#: How many increments left together: the upper ends of the buckets of counters.pxd, the last of which has none.
WAVES = (*(str(1 << bucket) for bucket in range(15)), "more")


@dataclass(frozen=True, slots=True)
class HotKeyStatistics:
    """One key that is hot at the moment."""

    key: bytes
    pool: str
    rate: float  #: requests a second
    copies: int = 0  #: fan-out copies
    hits: int = 0  #: answered from copies


@dataclass(frozen=True, slots=True)
class Statistics:
    """The whole proxy at one moment."""

    version: str
    process_id: int
    run_id: str  #: forty hex digits, new with each process
    uptime: float
    time: float = 0.0  #: of day, since the epoch
    tcp_port: int = 0
    config_file: str = ""
    engines: int = 1

    clients: int = 0
    max_clients: int = 0
    blocked_clients: int = 0
    pubsub_clients: int = 0
    tracking_clients: int = 0
    watching_clients: int = 0
    pubsub_channels: int = 0
    pubsub_patterns: int = 0
    pubsub_shard_channels: int = 0
    pushes: int = 0  #: messages given to clients
    output_closed: int = 0  #: clients closed for what they did not read
    pubsub_closed: int = 0  #: subscribers among them
    largest_input_buffer: int = 0
    largest_output_buffer: int = 0
    connections_accepted: int = 0
    connections_rejected: int = 0
    connections_closed: int = 0

    memory: int = 0  #: buffers and copies
    memory_peak: int = 0
    memory_resident: int = 0  #: of the process
    memory_limit: int = 0  #: 0: none
    memory_of_system: int = 0

    requests: int = 0
    requests_per_second: float = 0.0
    bytes_in_per_second: float = 0.0
    bytes_out_per_second: float = 0.0
    bytes_in: int = 0  #: from clients
    bytes_out: int = 0
    reads: int = 0
    writes: int = 0
    split_requests: int = 0
    coalesced_requests: int = 0
    combined_requests: int = 0
    copy_hits: int = 0
    copy_misses: int = 0
    timeouts: int = 0
    late_replies: int = 0  #: dropped, their client was answered already
    transactions: int = 0
    blocked_requests: int = 0  #: that waited at a node, ever
    lost_pops: int = 0  #: replies to clients that left while they waited
    turns: int = 0

    cpu_system: float = 0.0
    cpu_user: float = 0.0

    commands: Mapping[str, CommandStatistics] = field(default_factory=dict)  #: by the table's name, ``client|id``
    latencies: Mapping[str, Histogram] = field(default_factory=dict)  #: by command, of the replies of nodes
    errors: Mapping[str, int] = field(default_factory=dict)  #: error replies by their first word
    pools: tuple[PoolStatistics, ...] = ()
    databases: Mapping[int, DatabaseStatistics] = field(default_factory=dict)  #: of the client's pool, by number
    heat: Mapping[str, int] = field(default_factory=dict)  #: HEAT_COUNTERS
    hints: int = 0  #: writes that a node was said to have missed, with replication: ring
    doubts: int = 0  #: replies of a node that were others than the first one's
    replicated: Mapping[str, int] = field(default_factory=dict)  #: READ_COUNTERS
    increments: int = 0  #: that were looked at together
    early: int = 0  #: requests of counters that were answered before their node had them
    early_pending: int = 0  #: of them, those that it has not confirmed
    early_lost: int = 0  #: and those that it may not have
    waves: Mapping[str, int] = field(default_factory=lambda: dict.fromkeys(WAVES, 0))  #: that they left as, by WAVES
    hot_keys: tuple[HotKeyStatistics, ...] = ()


@dataclass(frozen=True, slots=True)
class ClientRecord:
    """One client's connection, as CLIENT LIST shows it."""

    id: int
    address: str
    local_address: str
    pool: int = 0  #: index in Settings.pools
    fd: int = -1
    name: str = ""
    age: float = 0.0
    idle: float = 0.0
    database: int = 0
    protocol: int = 2
    subscriptions: int = 0  #: channels
    pattern_subscriptions: int = 0
    shard_subscriptions: int = 0
    queued: int = -1  #: commands in MULTI; -1 outside of one
    watched: int = 0
    subscriber: bool = False  #: in subscribe mode
    monitor: bool = False
    tracking: bool = False
    blocked: bool = False
    waits: tuple[tuple[int, int], ...] = ()  #: where: nodes by index, and the CLIENT ID there that waits for it
    no_evict: bool = False
    no_touch: bool = False
    closing: bool = False
    unix: bool = False
    input_bytes: int = 0  #: read and not yet dispatched
    input_room: int = 0
    output_bytes: int = 0  #: owed or waiting to be sent
    output_replies: int = 0
    memory: int = 0
    events: str = "r"
    command: str = "NULL"  #: the last one, ``client|id``; NULL before the first
    user: str = "default"
    library_name: str = ""
    library_version: str = ""
