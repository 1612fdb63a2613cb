"""The micro-benchmark: what one request costs the engine, without sockets, kernel or Python in the measured loops.

One client asks 64 single-key requests at a time of two nodes; the same recorded bytes go through a `Probe` over and
over, the loops and the clock being C. Each figure is the minimum of 20 repetitions, in nanoseconds per request.

    python -m bench.micro [--json]

`framing`, `lookup` and `routing` are parts of `take`, timed alone. `take` is everything from received bytes to queued
request, `reply` from a node's bytes to the client's output, `end` the end of the turn, `empty` the release of the sent
buffers; `turn` is the sum of these four.
"""

from __future__ import annotations

import argparse
import json
from typing import Any

from proxy.acl import default_user
from proxy.engine.engine import EngineGroup
from proxy.engine.probe import Probe
from proxy.engine.ring import Placement

DEPTH = 64
NODES = 2
VALUE = b"v" * 64
ROUNDS = 1000
REPETITIONS = 20
PARTS = ("framing", "lookup", "routing", "take", "reply", "end", "empty", "turn")
HUGE = 1 << 31

#: Requests are counted as by default, one in 15 of them, and no key can become hot: there is no place for one.
COOLS = {"threshold": 1000, "memory": HUGE, "max_value": 65536, "max_keys": 0,
         "rules": [(b"", "tracked", 10_000_000, 0, 0, False, 0, 0)]}

#: Hot keys are found and copied as by default, but that no node has to track them.
HOT = COOLS | {"max_keys": 1024, "rules": [(b"", "ttl", 10_000_000, 0, 0, False, 0, 0)]}

#: Increments of hot keys travel together, as by default; no key is hot.
COUNTS = [(b"", "hot", 8192, 0, False, 1)]


#: Where nodes have replicas: as by default, and hedges.
READS = {"from": 1, "hot": False, "lag_us": 0, "retained": HUGE, "quantile": True, "after_us": 0, "budget": 50}


def words(*arguments: bytes) -> bytes:
    return b"*%d\r\n" % len(arguments) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in arguments)


def operations() -> dict[str, tuple[list[list[bytes]], bytes]]:
    """The requests of one pass by operation, and the reply to each of them."""
    keys = [b"key:%012d" % (index * 7919) for index in range(DEPTH)]
    return {
        "GET": ([[b"GET", key] for key in keys], b"$%d\r\n%s\r\n" % (len(VALUE), VALUE)),
        "SET": ([[b"SET", key, VALUE] for key in keys], b"+OK\r\n"),
        "INCR": ([[b"INCR", key] for key in keys], b":1\r\n"),
    }


def prepare(
    hot: dict[str, Any] | None = None, counters: list[tuple[bytes, str, int, int, bool, int]] | None = None,
    replicas: int = 0,
) -> tuple[Probe, Placement]:
    """An engine whose one pool has two open nodes, each with so many replicas."""
    placement = Placement([b"n%d" % node for node in range(NODES)], [1] * NODES)
    engine = Probe(EngineGroup(1), 0, b"quench:0:0", HUGE, HUGE)
    limits = dict.fromkeys(
        ("window", "output_soft", "output_hard", "query_buffer", "backlog", "bulk", "max_bulk", "most_blocked",
         "most_watching", "most_tombstones", "pubsub_hard", "pubsub_soft", "pubsub_soft_us"),
        1 << 30)
    limits |= dict.fromkeys(("most_clients", "timeout_us", "connect_timeout_us", "tombstone_us"), 0)
    engine.add_pools([{
        "name": b"micro", "listener": -1, "unix_socket": False, "placement": placement, "auto_eject": False,
        "nil_on_error": False, "split_transactions": False, "database": 0,
        "users": [default_user(None)], "node_auth": [], "hot": hot, "counters": counters,
        "replica_of": [node for node in range(NODES) for _ in range(replicas)], "reads": READS, "limits": limits,
        "nodes": [(b"n%d" % node, b"n%d" % node) for node in range(NODES * (1 + replicas))],
    }])
    for node in range(NODES * (1 + replicas)):
        engine.connect(node)
    return engine, placement


def measure(rounds: int = ROUNDS, repetitions: int = REPETITIONS) -> dict[str, dict[str, float]]:
    """By operation and part: nanoseconds per request, the minimum of `repetitions` of `rounds` passes each.

    `GET, cools` is GET in a pool that looks for hot keys and finds none; `GET, hot` is GET of one key that is answered
    from a copy; `INCR, counts` is INCR where increments of hot keys travel together, and none is hot; `GET, reads` and
    `SET, reads` are in a pool whose nodes have replicas. The repetitions of all operations take turns, so a busy moment
    of the machine falls on all of them.
    """
    engines = [
        (suffix, *prepare(hot, counters, replicas))
        for suffix, hot, counters, replicas in (
            ("", None, None, 0), (", cools", COOLS, None, 0), (", counts", COOLS, COUNTS, 0),
            (", reads", None, None, 1),
        )
    ]
    tracks = [
        Track(operation + suffix, engine, placement, requests, reply)
        for suffix, engine, placement in engines
        for operation, (requests, reply) in operations().items()
        if suffix != ", counts" or operation == "INCR"
    ]
    tracks.append(hot_track())
    for _ in range(repetitions):
        for track in tracks:
            track.run(rounds)
    return {track.name: {part: round(value, 1) for part, value in track.best.items()} for track in tracks}


def hot_track() -> Track:
    """GET of one key that is hot and copied."""
    engine, placement = prepare(HOT)
    requests, reply = operations()["GET"]
    track = Track("GET, hot", engine, placement, requests[:1] * DEPTH, reply)
    track.warm()
    return track


class Track:
    """One operation in one pool."""

    def __init__(self, name: str, engine: Probe, placement: Placement, requests: list[list[bytes]], reply: bytes):
        nodes = [placement.node(request[1]) for request in requests]
        self.name, self.engine, self._client = name, engine, engine.open()
        self._reply = reply
        self._data = b"".join(words(*request) for request in requests)
        self._replies = [reply * nodes.count(node) for node in range(NODES)]
        self.best = dict.fromkeys(PARTS, float("inf"))

    def warm(self) -> None:
        """Let the requests become hot: ask for them, and answer as a node what then is asked."""
        for _ in range(8):
            self.engine.feed(self._client, self._data)
            for node in range(NODES):
                name = (node, 2, 0, 0)
                for request in self.engine.sent(name).split(b"*2\r\n")[1:]:
                    self.engine.answer(name, b":-1\r\n" if b"PTTL" in request else self._reply)
            self.engine.turn()
            self.engine.take(self._client)
        self._replies = [b""] * NODES

    def run(self, rounds: int) -> None:
        """One repetition."""
        spent = [
            *self.engine.time_parts(self._data, DEPTH, rounds),
            *self.engine.time_turns(self._client, self._data, self._replies, rounds),
        ]
        for part, total in zip(PARTS, spent, strict=False):
            self.best[part] = min(self.best[part], total / (rounds * DEPTH))
        self.best["turn"] = sum(self.best[part] for part in PARTS[3:-1])


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.micro", description=__doc__.partition("\n")[0])
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="passes of 64 requests in a repetition")
    options = parser.parse_args()
    found = measure(options.rounds)
    if options.json:
        print(json.dumps({"unit": "ns per request", "depth": DEPTH, "nodes": NODES, "value_bytes": len(VALUE),
                          "repetitions": REPETITIONS, "operations": found}, indent=2))
        return
    print(f"ns per request: {DEPTH} deep, {NODES} nodes, {len(VALUE)}-byte values, minimum of {REPETITIONS}")
    print("".join(f"{name:>12}" for name in ("", *PARTS)))
    for operation, figures in found.items():
        print(f"{operation:>12}" + "".join(f"{figures[part]:12.1f}" for part in PARTS))


if __name__ == "__main__":
    main()
