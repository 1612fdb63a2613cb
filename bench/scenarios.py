"""The scenarios and the bars: one row each, data only.

Unless a row says otherwise: 50 clients, 64-byte values, 100,000 keys that are all there, drawn uniformly, one engine.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from bench.targets import COPY_TTL_MS

NODES = ("redis", "storenode")
PEERS = ("redis", "haproxy", "nutcracker", "envoy", "quench")


@dataclass(frozen=True)
class Scenario:
    """measure: a key of run.MEASURES: `load` (the generator), `idle`, `burst` (bench.crowd), `transactions`, `blocked`
    (bench.sessions) … rate: requests a second, open loop; 0: closed loop. writes: SETs a second of the one hot key.
    rounds: fixes the number of rounds, for what only a fresh process can show."""

    name: str
    title: str
    targets: tuple[str, ...] = PEERS
    measure: str = "load"
    ops: dict[str, float] = field(default_factory=lambda: {"get": 1.0})
    fill: str = "set"  # the operation that is done once with every key before the measurement; of `hits`: the policy,
    # of `disturbance`: what is written
    depth: int = 1
    clients: int = 50
    keys: int = 100_000
    value_size: int = 64
    rate: float = 0.0
    zipf: float = 0.0
    writes: float = 0.0
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

#: Hot keys: `quench` looks for them, `quench-cold` does not; `quench-1s` keeps copies for 1 s.
HEAT = (
    Scenario(
        "heat-key", "one key, GET, depth 64", ("redis", "floor", "quench", "quench-cold"), "hot-key", depth=64, keys=1,
    ),
    Scenario(
        "heat-written", "one key, GET, depth 64, written once a second; copies live 1 s",
        ("redis", "floor", "quench-1s"), "hot-key", depth=64, keys=1, writes=1,
    ),
    *(
        Scenario(
            f"heat-zipf-{reads}", f"Zipf 1.2 over 1,000,000 keys, 4 nodes, {reads} % GET, depth 64",
            ("quench-4-nodes", "quench-4-nodes-cold"), "zipf", depth=64, keys=1_000_000, zipf=1.2,
            ops={"get": reads / 100, "set": 1 - reads / 100},
        )
        for reads in (99, 90)
    ),
    Scenario("heat-uniform", "nothing is hot: GET, depth 64", ("quench", "quench-cold"), depth=64),
    Scenario("heat-micro", "nothing is hot: bench.micro, a turn's ns per request", ("quench",), "micro"),
    Scenario(
        "heat-sudden", "a key asked for 20,000 times a second at once, beside as many requests for others", ("quench",),
        "sudden", fill="hset", keys=10_000, rate=20_000,
    ),
    Scenario(
        "heat-stale", "written through one proxy, read through another that uses 30 % of a core",
        ("quench-twice", "quench-twice-ttl"), "stale", depth=16,
    ),
    Scenario(
        "heat-stampede", "1,000 clients, by way of two proxies, miss one key at once; loading it takes 200 ms",
        ("quench-twice-shield", "quench-twice"), "stampede", clients=1000,
    ),
)
HEAT_BARS = (
    Bar("heat-key", "front_us", "quench", 1 / 3.5, "redis"),
    Bar("heat-key", "front_us", "quench", 1.15, "floor"),
    Bar("heat-key", "reached", "quench", 1.0),
    Bar("heat-written", "front_us", "quench-1s", 1 / 3.5, "redis"),
    Bar("heat-written", "reached", "quench-1s", 1.0),
    Bar("heat-zipf-99", "busiest", "quench-4-nodes", 1.2),
    Bar("heat-zipf-99", "busiest_cpu", "quench-4-nodes", 1.2),
    Bar("heat-zipf-90", "over_floor", "quench-4-nodes", 1.05),
    Bar("heat-micro", "get_more_ns", "quench", 10.0),
    Bar("heat-micro", "set_more_ns", "quench", 10.0),
    Bar("heat-sudden", "highest_ms", "quench", 100.0),
    Bar("heat-stale", "p99_ms", "quench-twice", 5.0),
    Bar("heat-stale", "highest_ms", "quench-twice-ttl", COPY_TTL_MS),
    Bar("heat-stampede", "loads", "quench-twice-shield", 1.0),
)

#: Hot counters, merged with a window or without; `quench-apart` does not merge.
COUNTERS = (
    Scenario("count-1", "200 clients INCR one key", ("quench", "quench-apart"), "counter", clients=200),
    Scenario("count-window-1", "the same, gathered for 50 ms", ("quench-50ms",), "counter", clients=200),
    Scenario(
        "count-window-16", "the same, depth 16, gathered for 50 ms", ("quench-50ms",), "counter", clients=200, depth=16,
    ),
    Scenario("count-pairs", "200 clients, INCR and EXPIRE of one key, pipelined", ("quench",), "pairs", clients=200),
    Scenario(
        "count-16", "50 clients INCR one key, depth 16: CPU of proxy and node", ("redis", "floor", "quench"),
        "counter",
        depth=16,
    ),
)
COUNTER_BARS = (
    Bar("count-1", "writes", "quench", 1000 / 20),
    Bar("count-1", "p50", "quench", 1.1, "quench-apart"),
    Bar("count-window-1", "writes", "quench-50ms", 1000 / 150),
    Bar("count-window-16", "writes", "quench-50ms", 1.0),
    Bar("count-pairs", "writes", "quench", 1000 / 20),
    Bar("count-16", "both_us", "quench", 1 / 2, "redis"),
    Bar("heat-micro", "incr_more_ns", "quench", 10.0),
)

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
    *(
        Scenario(
            f"during-{what}", f"2,000,000 keys, 80 % GET and 20 % SET at 5,000/s, {title}", NODES, "disturbance",
            ops={"get": 0.8, "set": 0.2}, fill=what, keys=2_000_000, rate=5_000.0, rounds=3,
        )
        for what, title in (("snapshot", "one snapshot after another"), ("rewrite", "one log rewrite after another"))
    ),
    Scenario("sync", "full sync of 1,000,000 keys to a replica", NODES, "sync", keys=1_000_000, rounds=5),
    Scenario("transactions", "pipelines of 16 SETs, in MULTI and EXEC and without", ("quench",), "transactions"),
    Scenario("blocked", "GET at 20,000/s beside 1,000 clients in BLPOP", ("quench",), "blocked", rate=20_000),
    *(
        Scenario(
            f"pubsub-{depth}", f"1,000 subscribers, {depth} message{'s' * (depth > 1)} at a time", ("redis", "quench"),
            "pubsub", clients=1000, depth=depth,
        )
        for depth in (1, 16)
    ),
    *HEAT,
    *COUNTERS,
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
    *(Bar(f"during-{what}", "p999_ratio", "storenode", 2.0) for what in ("snapshot", "rewrite")),
    Bar("sync", "seconds", "storenode", 1.50, "redis"),
    Bar("transactions", "multi_ratio", "quench", 1.30),
    Bar("blocked", "p99_excess", "quench", 1000.0),
    *(Bar(f"node-{name}", "front_us", "storenode", 0.90, "redis") for name in TYPES),
    *(Bar(f"pubsub-{depth}", "front_us", "quench", 10.0) for depth in (1, 16)),  # 100,000 deliveries a CPU second
    *HEAT_BARS,
    *COUNTER_BARS,
    Bar("idle", "idle_bytes", "quench", 1024.0),
    Bar("burst", "peak_mb", "quench", 1073.7),
    Bar("burst", "left_ratio", "quench", 1.10),
)
