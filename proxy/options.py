"""Options: the one table of everything that can be said in a configuration file.

A row gives an option's key, the kind of value (spelling and unit), where it applies, its bounds and one sentence for
the user; its default is the default of the field of that name in `settings.py`. The loader, `quench config
--describe` and `config/quench.yml` are all made from these rows, so an option is added by adding a field there, a row
here, and the code that reads it.
"""

from typing import Any, Literal

from msgspec import UNSET, Struct, UnsetType
from msgspec.structs import fields

from proxy.settings import P95, READ_FROM, Counters, Hedge, HotKeys, Limits, Pool, Reconnect, RingCopies

Kind = Literal[
    "engines", "listen", "servers", "seeds", "groups", "users", "acl_file", "duration", "size", "count", "flag",
    "choice", "tag", "text", "secret", "file", "rate", "hot_prefixes", "counter_prefixes", "delay", "percent",
    "counted", "addresses",
]  # fmt: skip
Where = Literal["both", "native", "nutcracker"]

HASHES = (
    "murmur", "fnv1a_64", "fnv1a_32", "fnv1_64", "fnv1_32", "md5", "crc16", "crc32", "crc32a", "one_at_a_time",
    "jenkins", "hsieh",
)  # fmt: skip

#: Options of pools whose nodes are on a ring, and of those whose nodes are a Redis Cluster.
RING = ("servers", "hash", "hash_tag", "colocate", "distribution")
CLUSTER = ("cluster", "cluster_nodes")

GROUPS: dict[str, type[Struct]] = {
    "reconnect": Reconnect, "ring": RingCopies, "hedge": Hedge, "hot_keys": HotKeys, "limits": Limits,
    "counters": Counters,
}  # fmt: skip


class Option(Struct, frozen=True):
    """One row. `key` is the place within a pool (`timeout`, `limits.window`), or within the file for `engines`."""

    key: str
    kind: Kind
    help: str
    where: Where = "native"
    least: float = 0  # bounds of a number, in the unit of the field
    most: float = float("inf")
    choices: tuple[str, ...] = ()
    endless: bool = False  # a duration that may be `none`
    nutcracker: Any = UNSET  # the default in a nutcracker.yml, where it is another one
    sets: tuple[str, ...] | None = None  # no field of its own: the fields that it fills

    @property
    def group(self) -> str:
        """`limits`, `reconnect`, or "" for an option of the pool itself."""
        return self.key.rpartition(".")[0]

    @property
    def name(self) -> str:
        """The last word of the key: the name of the field."""
        return self.key.rpartition(".")[2]

    @property
    def default(self) -> Any:
        """The default in a native file; UNSET if there is none."""
        if self.key == "engines":
            return "auto"
        if self.sets is not None:
            return UNSET
        return _defaults(GROUPS[self.group] if self.group else Pool)[self.name]

    @property
    def nullable(self) -> bool:
        """None is a value of it."""
        return self.endless or self.default is None

    @property
    def required(self) -> bool:
        """A pool without it is an error."""
        return self.sets is None and isinstance(self.default, UnsetType)


def _defaults(struct: type[Struct]) -> dict[str, Any]:
    return {field.name: field.default if not field.required else UNSET for field in fields(struct)}


ENGINES = Option("engines", "engines", "data-plane threads; auto is one per usable CPU", least=1, most=256)

OPTIONS: tuple[Option, ...] = (
    Option("listen", "listen", "where clients connect; port 0 is any free one; mode is octal, e.g. 0770", "both"),
    Option(
        "servers", "servers",
        "the nodes; the name, else the address exactly as written, decides which keys a node holds", "both",
    ),
    Option(
        "cluster", "seeds",
        "in place of servers: some nodes of a Redis Cluster, which are asked for the others, and who holds which keys",
    ),
    Option(
        "cluster_nodes", "count",
        "nodes of the cluster that there is room for, replicas that are read from included; beyond that, slots of "
        "further nodes are not served",
        least=1, most=1024,
    ),
    Option(
        "hash", "choice",
        "key to number; twemproxy's default, fnv1a_64, puts ten consecutive ids on one node", "both",
        choices=HASHES, nutcracker="fnv1a_64",
    ),
    Option(
        "hash_tag", "tag",
        "two characters: if a key has both, only what stands between them is hashed, e.g. \"{}\"", "both",
    ),
    Option(
        "colocate", "groups",
        "groups of keys that share a node: a key that begins with a prefix of a group is placed by the group's name, "
        "whatever its hash tag; the longest prefix counts; behind a * what may be anywhere in the key",
    ),
    Option(
        "distribution", "choice",
        "number to node: ketama is a ring; modula moves most keys when a node is added; random is any node", "both",
        choices=("ketama", "modula", "random"),
    ),
    Option(
        "timeout", "duration",
        "a reply later than this is answered with an error; none waits for ever", "both",
        least=0.001, endless=True, nutcracker=None,
    ),
    Option(
        "connect_timeout", "duration",
        "an attempt to connect to a node ends after this (in a nutcracker.yml: after its timeout)", least=0.001,
    ),
    Option("backlog", "count", "connections that may wait for accept; the kernel caps it at somaxconn", "both"),
    Option(
        "preconnect", "flag", "connect to the nodes at start rather than at the first request", "both",
        nutcracker=False,
    ),
    Option(
        "tcpkeepalive", "flag", "TCP keepalive, so that a peer that vanished without a word is noticed", "both",
        nutcracker=False,
    ),
    Option("password", "secret", "asked of clients (AUTH); without one everybody is let in"),
    Option("password_file", "file", "the password, taken from the first line of this file", sets=("password",)),
    Option(
        "users", "users",
        "who clients may be (AUTH name password) and what each may do, in the words of Redis's ACL SETUSER",
    ),
    Option("acl_file", "acl_file", "the users, taken from a file as Redis's aclfile is", sets=("users",)),
    Option("node_username", "text", "the ACL user at the nodes; without one, Redis's default user"),
    Option("node_password", "secret", "given to the nodes"),
    Option(
        "node_password_file", "file", "the node_password, taken from the first line of this file",
        sets=("node_password",),
    ),
    Option(
        "redis_auth", "secret", "the password and the node_password in one", "both",
        sets=("password", "node_password"),
    ),
    Option("redis_db", "count", "the database at the nodes that clients see as database 0", "both", most=16383),
    Option(
        "server_connections", "count",
        "accepted and without effect: one pipelined connection to a node per engine, protocol and database", "both",
        least=1,
    ),
    Option(
        "client_connections", "count",
        "clients of the pool at once, over all engines; 0 is as many as there are file descriptors", "both",
        nutcracker=0,
    ),
    Option(
        "auto_eject", "flag",
        "take a failing node out until it answers again; its keys go to the next node, so for caches only",
    ),
    Option("auto_eject_hosts", "flag", "auto_eject, as twemproxy spells it", "both", sets=("auto_eject",)),
    Option("server_failure_limit", "count", "failures in a row that eject a node", "both", least=1),
    Option(
        "server_failure_rate", "percent",
        "a node is ejected, too, when so many of its requests of the last 10s timed out, if they are 20 or more",
        least=1, most=100,
    ),
    Option(
        "server_retry_timeout", "duration",
        "the wait between probes of an ejected node, one PING each (twemproxy risks a request, every 30s)", "both",
        least=0.001, nutcracker=30.0,
    ),
    Option(
        "ping_every", "duration",
        "the wait between two PINGs of a node with which nothing is wrong; each that is not answered within "
        "connect_timeout is a failure", least=0.01, endless=True,
    ),
    Option(
        "panic_threshold", "percent",
        "with auto_eject: if more of the nodes than this would be out, none is: the proxy itself may see badly, and "
        "the few would drown in the keys of the many", least=1, most=100, nutcracker=100,
    ),
    Option("reconnect.first", "duration", "the wait after the first failed attempt to connect to a node", least=0.001),
    Option("reconnect.most", "duration", "every failure doubles the wait, up to this", least=0.001),
    Option(
        "failover", "choice",
        "a primary that dies: off waits for it; promote has the proxies agree on a replica and promote it, with three "
        "nodes or more, replicas included; sentinel does as Redis Sentinel says, where a node's name is its master's",
        choices=("off", "promote", "sentinel"),
    ),
    Option(
        "down_after", "duration", "with failover: promote a primary is dead when it has been silent for so long",
        least=0.001,
    ),
    Option("sentinels", "addresses", "with failover: sentinel whom to ask, one after the other, e.g. [10.0.0.9:26379]"),
    Option(
        "read_from", "choice",
        "where nodes have replicas: whom reads are asked of. With primary never a replica; with prefer_primary one is "
        "asked when the node itself is down, hangs or is lost",
        choices=READ_FROM,
    ),
    Option(
        "max_replica_lag", "duration", "a replica that may lack more than what its node got in this time is not asked",
        least=0.001, endless=True,
    ),
    Option(
        "hedge.after", "delay",
        f"a read without an answer for so long is asked of another node, too, and the first reply counts; {P95}: "
        "longer than 95 of 100 replies of that node take",
        least=0.0001, endless=True,
    ),
    Option("hedge.budget", "percent", "requests that may be sent so on top of all reads", least=1, most=100),
    Option(
        "replication", "choice",
        "who keeps copies of a key: the nodes themselves, if anybody does, or the proxies, on the next nodes of the "
        "key's walk round the ring, which know nothing of each other: for caches",
        choices=("node", "ring"),
    ),
    Option("ring.copies", "count", "nodes that have a key, with replication: ring", least=2, most=8),
    Option(
        "ring.write", "choice", "how many of them have to confirm a write; quorum is more than half",
        choices=("one", "quorum", "all"),
    ),
    Option(
        "ring.read", "choice", "how many of them a read asks; a quorum is compared, and mended where it differs",
        choices=("one", "quorum"),
    ),
    Option(
        "ring.hint_window", "duration",
        "how long it is noted, at the other nodes, which keys a node has missed; one that is away for longer gets "
        "everything anew",
        least=1,
    ),
    Option("ring.max_hints", "count", "and how many keys are noted, for one node and database", least=1),
    Option(
        "ring.anti_entropy", "count", "keys a second that are compared in the background, all the time; 0 is none",
        most=100000,
    ),
    Option(
        "partial_mget", "choice", "MGET when a node fails: an error for the whole command, or nil for that node's keys",
        choices=("fail", "nil"),
    ),
    Option(
        "cross_node_transactions", "choice",
        "MULTI over several nodes: CROSSSLOT, or one block a node, each atomic and all of them together not",
        choices=("fail", "split"),
    ),
    Option(
        "hot_keys.enabled", "flag",
        "find the keys that are asked for most, and spare their node: identical reads travel together",
    ),
    Option(
        "hot_keys.threshold", "rate", "requests for one key, reads and writes together, that make it hot", least=1,
    ),
    Option(
        "hot_keys.strategy", "choice",
        "where replies to reads of hot keys are copied to: into the proxy, to other nodes of the key's walk round the "
        "ring, or both",
        choices=("local", "fan_out", "both"),
    ),
    Option(
        "hot_keys.copies", "choice",
        "replies to reads of hot keys are kept and served by the proxy: while the node tells what is changed (Redis 6 "
        "and later), for a time whatever is changed elsewhere, or never",
        choices=("tracked", "ttl", "off"),
    ),
    Option(
        "hot_keys.ttl", "duration", "a copy is served no longer than this, and no longer than its key lives",
        least=0.001,
    ),
    Option(
        "hot_keys.stale_if_error", "duration", "and so much longer while its node is down; none is not at all",
        least=0.001, endless=True,
    ),
    Option(
        "hot_keys.shield", "duration",
        "GET of a missing key: one client is told nil, and will load it; the others wait so long for its SET; none: "
        "all are told nil. Best said by prefix",
        least=0.001, endless=True,
    ),
    Option(
        "hot_keys.early", "flag",
        "with a shield: one reader of a hot key is told nil shortly before it expires, and loads it anew meanwhile",
    ),
    Option("hot_keys.fan_out", "count", "nodes besides its own that have a copy of a hot key", least=1, most=8),
    Option(
        "hot_keys.fan_out_ttl", "duration",
        "a copy on another node lives no longer than this, which is how long a write by way of a proxy that does not "
        "know of it may go unseen",
        least=0.01, most=60,
    ),
    Option("hot_keys.memory", "size", "copies of all engines together", least=1024),
    Option("hot_keys.max_value", "size", "a longer reply is not copied", least=1),
    Option("hot_keys.max_keys", "count", "keys that one engine may hold to be hot", least=1, most=65536),
    Option(
        "hot_keys.share", "flag", "tell the other proxies of the pool, through a channel at a node, which keys are hot",
    ),
    Option(
        "hot_keys.replicas", "flag",
        "reads of hot keys that no copy answers are spread over the node and its replicas, whatever read_from says",
    ),
    Option(
        "hot_keys.prefixes", "hot_prefixes",
        "keys that begin so have their own strategy, copies, ttl, stale_if_error, shield, early and so on, as in "
        "{\"page:\": {copies: ttl, ttl: 1s}}; the longest prefix counts",
    ),
    Option("limits.window", "count", "requests that one client may have at the nodes; further ones wait", least=1),
    Option(
        "limits.output_soft", "size", "unread replies of a client, from where its requests are read but not sent",
        least=1024,
    ),
    Option("limits.output_hard", "size", "unread replies of a client, from where it is closed", least=1024),
    Option("limits.output_pubsub", "size", "unread output of a subscriber, from where it is closed", least=1024),
    Option(
        "limits.output_pubsub_soft", "size", "and from where it is closed after output_pubsub_time", least=1024,
    ),
    Option(
        "limits.output_pubsub_time", "duration", "how long a subscriber may be above output_pubsub_soft", least=0.001,
    ),
    Option(
        "limits.output_total", "size",
        "replies of all clients together, beyond which a client gets one reply at a time", least=1024,
    ),
    Option("limits.query_buffer", "size", "waiting requests of a client, from where it is not read from", least=1024),
    Option(
        "limits.input_total", "size",
        "requests of all clients together that wait or are incomplete; the oldest always gets in", least=1024,
    ),
    Option(
        "limits.backlog", "size",
        "unsent requests of a node connection, from where new ones get an error at once", least=1024,
    ),
    Option("limits.bulk", "size", "requests from this size travel on a connection of their own", least=1024),
    Option("limits.max_bulk", "size", "the longest string a client may send (Redis: proto-max-bulk-len)", least=1024),
    Option(
        "limits.max_tombstones", "count",
        "late replies that a node connection may still owe; with more it is replaced", least=1,
    ),
    Option(
        "limits.tombstone_age", "duration", "a node connection is replaced, too, when a reply is this late",
        least=0.001,
    ),
    Option(
        "limits.max_blocked", "count",
        "clients that may wait in blocking commands at one node, each on a connection of its own; 0 is none",
    ),
    Option(
        "limits.max_watching", "count",
        "clients that may hold a WATCH at one node, each on a connection of its own; 0 is none",
    ),
    Option(
        "limits.retained", "size",
        "where there are replicas, or a cluster: requests on their way that are kept to be asked again, of all engines "
        "together; those beyond are asked once",
        least=1024,
    ),
    Option(
        "counters.keys", "counted",
        "INCR, INCRBY, DECR, DECRBY and HINCRBY of these keys leave together while one is on its way: of keys that "
        "are hot, of all, of none (off), or of those with these prefixes; each client has the value that it would have "
        "had alone",
    ),
    Option(
        "counters.mode", "choice",
        "early: an increment is answered at once, and so are GET and HGET, from a running value that goes to the node "
        "once in each window: what the last one answered is lost with the proxy or the node. Best said by prefix",
        choices=("exact", "early"),
    ),
    Option(
        "counters.window", "duration",
        "an increment waits so long for others, besides the time that the one before it is on its way", most=0.1,
    ),
    Option("counters.max_batch", "count", "increments that leave together", least=1, most=65536),
    Option(
        "counters.shards", "count",
        "by prefix alone: each counter is spread over so many nodes. GET is told the sum, an increment the sum as last "
        "heard of; what else can be done to such counters is in the README",
        least=1, most=16,
    ),
    Option(
        "counters.prefixes", "counter_prefixes",
        "counters that begin so leave together, whatever keys says, with a mode, window, max_batch and shards of their "
        "own, as in {\"views:\": {mode: early, window: 50ms}}; the longest prefix counts",
    ),
    Option("redis", "flag", "true: the pool speaks Redis; Quench speaks nothing else", "nutcracker", sets=()),
)  # fmt: skip
