"""The scenarios and the bars: one row each, data only.

Unless a row says otherwise: 50 clients, 64-byte values, 100,000 keys that are all there, drawn uniformly, one engine.
"""

from __future__ import annotations

from dataclasses import dataclass, field

NODES = ("redis", "storenode")
PEERS = ("redis", "haproxy", "nutcracker", "envoy", "quench")


@dataclass(frozen=True)
class Scenario:
    """measure: a key of run.MEASURES: `load` (the generator), `idle`, `burst` (bench.crowd), `transactions`, `blocked`
    (bench.sessions) … rate: requests a second, open loop; 0: closed loop. rounds: fixes the number of rounds, for
    what only a fresh process can show."""

    name: str
    title: str
    targets: tuple[str, ...] = PEERS
    measure: str = "load"
    ops: dict[str, float] = field(default_factory=lambda: {"get": 1.0})
    fill: str = "set"  # the operation that is done once with every key before the measurement; of `hits`: the policy
    depth: int = 1
    clients: int = 50
    keys: int = 100_000
    value_size: int = 64
    rate: float = 0.0
    rounds: int | None = None


@dataclass(frozen=True)
class Bar:
    """median(metric of target) / median(metric of versus) <= at_most; without `versus`, the median itself."""

    scenario: str
    metric: str
    target: str
    at_most: float
    versus: str | None = None


SET = {"set": 1.0}

#: Requests to a storage node alone, and what fills it: name -> (shares, fill).
TYPES = {
    "incr": ({"count": 1.0}, "count"),
    "hset": ({"hset": 1.0}, "hset"),
    "hget": ({"hget": 1.0}, "hset"),
    "list": ({"lpush": 0.5, "rpop": 0.5}, "lpush-forty"),
    "sadd": ({"sadd": 1.0}, "sadd"),
    "zadd": ({"zadd": 1.0}, "zadd"),
    "zrange": ({"zrange": 1.0}, "zadd-ten"),
}

SCENARIOS = (
    *(Scenario(f"get-{depth}", f"GET, depth {depth}", depth=depth) for depth in (64, 16, 1)),
    *(Scenario(f"set-{depth}", f"SET, depth {depth}", depth=depth, ops=SET) for depth in (64, 16, 1)),
    Scenario("one-client", "GET, one client, depth 1", clients=1),
    Scenario("nodes", "GET, depth 64, 3 nodes and 100", ("quench-3-nodes", "quench-100-nodes"), depth=64),
    Scenario("engines", "GET, depth 16, 1 engine and 2", ("quench", "quench-2-engines"), depth=16),
    Scenario("node-get", "storage nodes alone: GET, depth 64", NODES, depth=64),
    Scenario("node-set", "storage nodes alone: SET, depth 64", NODES, depth=64, ops=SET),
    *(
        Scenario(f"node-{name}", f"storage nodes alone: {name}, depth 16", NODES, depth=16, ops=ops, fill=fill)
        for name, (ops, fill) in TYPES.items()
    ),
    *(
        Scenario(f"rate-{rate // 1000}k", f"GET at {rate:,}/s, open loop", depth=64, rate=rate)
        for rate in (10_000, 20_000, 40_000)
    ),
    *(
        Scenario(
            f"hits-{policy[-3:]}", f"hit ratio of {policy}, Zipf 0.99, memory for a tenth of the keys", NODES, "hits",
            fill=policy, rounds=3,
        )
        for policy in ("allkeys-lru", "allkeys-lfu")
    ),
    Scenario("transactions", "pipelines of 16 SETs, in MULTI and EXEC and without", ("quench",), "transactions"),
    Scenario("blocked", "GET at 20,000/s beside 1,000 clients in BLPOP", ("quench",), "blocked", rate=20_000),
    *(
        Scenario(
            f"pubsub-{depth}", f"1,000 subscribers, {depth} message{'s' * (depth > 1)} at a time", ("redis", "quench"),
            "pubsub", clients=1000, depth=depth,
        )
        for depth in (1, 16)
    ),
    Scenario("idle", "9,000 idle connections", PEERS, "idle", clients=9_000, rounds=1),
    Scenario("burst", "2,000 clients send 1 MB at once", PEERS, "burst", clients=2_000, value_size=1_000_000, rounds=1),
)

BARS = (
    *(
        Bar(f"{op}-{depth}", "front_us", "quench", at_most, versus)
        for op in ("get", "set")
        for depth, haproxy, nutcracker in ((64, 1.25, 0.12), (16, 0.90, 0.28), (1, 0.70, 0.80))
        for versus, at_most in (("haproxy", haproxy), ("nutcracker", nutcracker))
    ),
    Bar("one-client", "p50", "quench", 1.00, "nutcracker"),
    Bar("nodes", "front_us", "quench-100-nodes", 2.50, "quench-3-nodes"),
    Bar("engines", "front_us", "quench-2-engines", 1.30, "quench"),
    Bar("node-get", "front_us", "storenode", 0.60, "redis"),
    Bar("node-set", "front_us", "storenode", 0.60, "redis"),
    # Of about 40 % misses, half a point is a little more than 1.01 times.
    *(Bar(f"hits-{policy}", "miss_percent", "storenode", 1.01, "redis") for policy in ("lru", "lfu")),
    Bar("transactions", "multi_ratio", "quench", 1.30),
    Bar("blocked", "p99_excess", "quench", 1000.0),
    *(Bar(f"node-{name}", "front_us", "storenode", 0.90, "redis") for name in TYPES),
    *(Bar(f"pubsub-{depth}", "front_us", "quench", 10.0) for depth in (1, 16)),  # 100,000 deliveries a CPU second
    Bar("idle", "idle_bytes", "quench", 1024.0),
    Bar("burst", "peak_mb", "quench", 1073.7),
    Bar("burst", "left_ratio", "quench", 1.10),
)
