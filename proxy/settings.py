"""Settings: a checked configuration in memory, and the errors of one that is not.

Owns the structs that the rest of the proxy reads (`Settings` > `Pool` > `Group`, `User`, `Limits` …), their
defaults, and `Secret`, a password that does not print. `options.py` says for each field how it is spelled in a file and
what it means to a user; `config_file.load` makes a Settings, `config_text.effective` turns it back into text.

Everything is frozen: the control plane replaces a Settings, it never edits one. Durations are seconds, sizes bytes.
"""

import os

from msgspec import Struct

from proxy.address import Listen, Server

MASK = "********"


class Secret:
    """A password. It prints as a mask, no encoder takes it, and `reveal()` is the only way to its text."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The password itself."""
        return self._text

    def __repr__(self) -> str:
        return f"Secret({MASK})"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)


class Reconnect(Struct, frozen=True, kw_only=True):
    """Backoff between attempts to connect to a node that refuses, in seconds: doubled from `first` up to `most`."""

    first: float = 0.05
    most: float = 2.0


class Limits(Struct, frozen=True, kw_only=True):
    """What one client, one node connection and one engine may take. What the data plane keeps has its bound here."""

    window: int = 1024
    output_soft: int = 1 << 20
    output_hard: int = 1 << 30
    output_pubsub: int = 32 << 20
    output_pubsub_soft: int = 8 << 20
    output_pubsub_time: float = 60.0
    output_total: int = 1 << 30
    query_buffer: int = 1 << 30
    input_total: int = 384 << 20
    backlog: int = 256 << 20
    bulk: int = 256 << 10
    max_bulk: int = 512 << 20
    max_tombstones: int = 1024
    tombstone_age: float = 30.0
    max_blocked: int = 2000
    max_watching: int = 2000
    retained: int = 64 << 20


#: Whom reads are asked of, where there are replicas; types.pxd numbers them in this order.
READ_FROM = ("primary", "prefer_primary", "prefer_replica", "nearest", "any")

#: `hedge.after`: what 95 of 100 replies of a node take no longer than.
P95 = "p95"


class Hedge(Struct, frozen=True, kw_only=True):
    """When a read that takes long is asked of a second node, too, and how many may be: in percent of all reads."""

    after: float | str | None = None
    budget: int = 5


class HotPrefix(Struct, frozen=True, kw_only=True):
    """What differs for hot keys that begin with `prefix`; None: nothing."""

    prefix: str
    strategy: str | None = None
    copies: str | None = None
    ttl: float | None = None
    stale_if_error: float | None = None
    shield: float | None = None
    early: bool | None = None
    fan_out: int | None = None
    fan_out_ttl: float | None = None


class HotKeys(Struct, frozen=True, kw_only=True):
    """What a pool does about keys that are asked for most."""

    enabled: bool = True
    threshold: int = 1000
    strategy: str = "local"
    copies: str = "tracked"
    ttl: float = 10.0
    stale_if_error: float | None = None
    shield: float | None = None
    early: bool = False
    fan_out: int = 2
    fan_out_ttl: float = 1.0
    memory: int = 64 << 20
    max_value: int = 64 << 10
    max_keys: int = 1024
    share: bool = False
    replicas: bool = False
    prefixes: tuple[HotPrefix, ...] = ()

    @property
    def fans_out(self) -> bool:
        """Some hot keys have copies on other nodes."""
        return self.enabled and any(
            (rule.strategy or self.strategy) != "local" for rule in (HotPrefix(prefix=""), *self.prefixes)
        )

    @property
    def shields(self) -> bool:
        """Some loaders are shielded."""
        return self.shield is not None or any(rule.shield is not None for rule in self.prefixes)


class RingCopies(Struct, frozen=True, kw_only=True):
    """With `replication: ring`: how many nodes have a key, and how many of them have to confirm."""

    copies: int = 3
    write: str = "quorum"
    read: str = "one"
    hint_window: float = 3 * 3600.0
    max_hints: int = 100_000
    anti_entropy: int = 200


class CounterPrefix(Struct, frozen=True, kw_only=True):
    """What differs for counters that begin with `prefix`; None: nothing."""

    prefix: str
    mode: str | None = None
    window: float | None = None
    max_batch: int | None = None
    shards: int | None = None


class Counters(Struct, frozen=True, kw_only=True):
    """Which increments of a pool travel together, and how long they wait for one another, in seconds."""

    keys: str | tuple[str, ...] = "hot"  # hot, all, off, or prefixes
    mode: str = "exact"
    window: float = 0.0
    max_batch: int = 8192
    shards: int = 1
    prefixes: tuple[CounterPrefix, ...] = ()

    @property
    def rules(self) -> tuple[CounterPrefix, ...]:
        """All of them, in full: for every key, and by prefix. Of prefixes that are told twice the last counts."""
        listed = [CounterPrefix(prefix=prefix) for prefix in self.keys] if isinstance(self.keys, tuple) else []
        return tuple(
            CounterPrefix(
                prefix=rule.prefix, mode=rule.mode or self.mode, max_batch=rule.max_batch or self.max_batch,
                shards=rule.shards or 1,
                window=self.window if rule.window is None else rule.window,
            )
            for rule in (CounterPrefix(prefix=""), *listed, *self.prefixes)
        )  # fmt: skip


class Group(Struct, frozen=True):
    """Keys that live together: those that begin with one of the `prefixes` have the place of the `name`."""

    name: str
    prefixes: tuple[str, ...]


class KeyPattern(Struct, frozen=True):
    """Keys that a selector opens: a glob, and what may be done to them."""

    pattern: str
    read: bool = True
    write: bool = True


class Selector(Struct, frozen=True, kw_only=True):
    """One way to be permitted: a command, all of its keys and all of its channels have to be in the same selector."""

    begins_open: bool = False  # +@all or -@all, and
    rules: tuple[str, ...] = ()  # +get, -@string, …, which then gave the next three: for ACL LIST
    commands: frozenset[str] = frozenset()  # full names, a container and its subcommands each
    first_arguments: frozenset[tuple[str, str]] = frozenset()  # (command, its first argument): +select|0
    all_commands: bool = False
    keys: tuple[KeyPattern, ...] = ()
    all_keys: bool = False
    channels: tuple[str, ...] = ()
    all_channels: bool = False

    @property
    def unrestricted(self) -> bool:
        """Permits everything."""
        return self.all_commands and self.all_keys and self.all_channels


class User(Struct, frozen=True, kw_only=True):
    """Somebody whom clients of a pool may be, and what he may do: any of his selectors is enough."""

    name: str
    enabled: bool = False
    no_password: bool = False  # any password is right
    hashes: tuple[Secret, ...] = ()  # SHA-256 of each password, in lower-case hexadecimal
    selectors: tuple[Selector, ...] = (Selector(),)  # the first one is the user's own, then those in parentheses
    scripts: bool = False  # may run scripts although he is restricted: nodes do not know his rights

    @property
    def unrestricted(self) -> bool:
        """Needs no check."""
        return any(selector.unrestricted for selector in self.selectors)


class Pool(Struct, frozen=True, kw_only=True):
    """A listener plus the nodes behind it. The defaults are those of a native file."""

    name: str
    listen: Listen
    servers: tuple[Server, ...]
    cluster: tuple[Server, ...] = ()  # seeds; the nodes are then places that change hands: control/cluster.py
    cluster_nodes: int = 64

    hash: str = "murmur"
    hash_tag: str | None = None
    colocate: tuple[Group, ...] = ()
    distribution: str = "ketama"

    timeout: float | None = 5.0
    connect_timeout: float = 1.0
    backlog: int = 512
    preconnect: bool = True
    tcpkeepalive: bool = True

    password: Secret | None = None
    users: tuple[User, ...] = ()
    node_username: str | None = None
    node_password: Secret | None = None
    redis_db: int = 0

    server_connections: int = 1
    client_connections: int = 10_000

    auto_eject: bool = False
    server_failure_limit: int = 2
    server_failure_rate: int | None = None
    server_retry_timeout: float = 1.0
    ping_every: float | None = None
    panic_threshold: int = 50
    reconnect: Reconnect = Reconnect()

    failover: str = "off"
    down_after: float = 0.5
    sentinels: tuple[Server, ...] = ()
    read_from: str = "prefer_primary"
    max_replica_lag: float | None = None
    hedge: Hedge = Hedge()

    replication: str = "node"
    ring: RingCopies = RingCopies()
    partial_mget: str = "fail"
    cross_node_transactions: str = "fail"
    hot_keys: HotKeys = HotKeys()
    limits: Limits = Limits()
    counters: Counters = Counters()

    @property
    def copied(self) -> bool:
        """Every key is at several nodes, which this proxy keeps alike."""
        return self.replication == "ring"

    @property
    def nodes(self) -> tuple[Server, ...]:
        """All nodes in the engines' order: the members of the ring, then the replicas of each."""
        return (*self.servers, *(replica for server in self.servers for replica in server.replicas))

    @property
    def replica_of(self) -> tuple[int, ...]:
        """The member, by its index, of every node behind the members."""
        return tuple(index for index, server in enumerate(self.servers) for _ in server.replicas)


class Problem(Struct, frozen=True):
    """One thing wrong, or worth a warning, at a place of a file. Line and column count from 1; 0 when unknown."""

    file: str
    line: int
    column: int
    path: str  # dotted, e.g. pools.cache.limits.window; "" for the file as a whole
    message: str  # what is wrong and what to do

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        return ": ".join(part for part in (place, self.path, self.message) if part)


class Settings(Struct, frozen=True, kw_only=True):
    """A whole configuration, checked."""

    engines: int  # data-plane threads; `auto` is already a number here
    pools: tuple[Pool, ...]
    file: str = ""  # where it was read; "" when it was not
    warnings: tuple[Problem, ...] = ()  # for people, in the order of the file

    def pool(self, name: str) -> Pool:
        """The pool called `name`. Raises KeyError."""
        for pool in self.pools:
            if pool.name == name:
                return pool
        raise KeyError(name)


class ConfigError(Exception):
    """A file that cannot be used. `problems` is everything found, in the order of the file."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__(problems)
        self.problems = sorted(problems, key=lambda problem: (problem.line, problem.column))

    def __str__(self) -> str:
        return "\n".join(str(problem) for problem in self.problems)


def usable_cpus() -> int:
    """CPUs this process may run on: what `engines: auto` becomes."""
    return len(os.sched_getaffinity(0))
