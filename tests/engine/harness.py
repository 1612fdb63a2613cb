"""An engine without sockets for a test: a Probe with pools, its nodes open, and the small words the tests share."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from proxy.acl import default_user
from proxy.engine.engine import EngineGroup
from proxy.engine.probe import Probe
from proxy.engine.ring import Placement
from proxy.settings import Secret, User
from tests.helpers import bulk
from tests.oracle import resp

LIMITS: dict[str, int] = {
    "window": 1024, "most_clients": 0, "output_soft": 1 << 20, "output_hard": 1 << 30, "query_buffer": 1 << 30,
    "pubsub_hard": 32 << 20, "pubsub_soft": 8 << 20, "pubsub_soft_us": 60_000_000,
    "backlog": 64 << 20, "bulk": 256 << 10, "max_bulk": 512 << 20, "timeout_us": 0, "connect_timeout_us": 1_000_000,
    "most_blocked": 2000, "most_watching": 2000, "most_tombstones": 1024, "tombstone_us": 60_000_000,
}
MOVE_AT = 32768         # bytes of a request or reply that is handed on as a chunk of its own
CHUNK = 16384 - 64      # bytes of a pooled chunk
TICK_US = 10_000


@cache
def ring(nodes: int) -> Placement:
    return Placement([b"n%d" % index for index in range(nodes)], [1] * nodes)


#: `reads` of a pool: prefer_primary, no hedges.
READS = {"from": 1, "hot": False, "lag_us": 0, "retained": 1 << 20, "quantile": False, "after_us": 0, "budget": 0}


def build(
    nodes: int = 2, *, password: bytes | None = None, users: Sequence[User] = (), nil_on_error: bool = False,
    split: bool = False, auto_eject: bool = False, hot: dict[str, Any] | None = None,
    counters: list[tuple[bytes, str, int, int, bool, int]] | None = None,
    group: EngineGroup | None = None, index: int = 0, input_limit: int = 1 << 30, output_limit: int = 1 << 40,
    failover: str = "off", connect: bool = True, replicas: int = 0, reads: dict[str, Any] | None = None,
    copies: tuple[int, int, int] | None = None, **limits: int,
) -> Probe:
    """A probe of one pool `p` with nodes n0, n1, …; `connect`: their connections of RESP2 and RESP3 are open.

    `replicas`: of each node, readable; those of n0 come behind the last member. `copies`: of each key,
    and the levels of writes and reads. `hot`: as `heated()` makes it. `group`,
    `index`: of several engines, which one.
    """
    if not users:
        users = (default_user(None if password is None else Secret(password.decode())),)
    engine = Probe(group or EngineGroup(1), index, b"quench:0:%d" % index, input_limit, output_limit)
    engine.add_pools([{
        "name": b"p", "listener": -1, "unix_socket": False, "placement": ring(nodes),
        "auto_eject": auto_eject or copies is not None, "copies": copies,
        "nil_on_error": nil_on_error, "split_transactions": split, "database": 0, "users": users, "node_auth": [],
        "hot": hot, "counters": counters, "failover": failover,
        "nodes": [(b"n%d" % index, b"10.0.0.%d:6379" % index) for index in range(nodes * (1 + replicas))],
        "reads": READS | (reads or {}),
        "replica_of": [index for index in range(nodes) for _ in range(replicas)],
        "limits": {**LIMITS, **limits},
    }])
    if connect:
        for node in range(nodes * (1 + replicas)):
            if node >= nodes:
                engine.readable(0, node, True, 0)
            for protocol in (2, 3):
                engine.connect(node, protocol)
                engine.connect(node, protocol, bulk=1)
        for node in range(nodes if copies else 0):
            # Opening one without a socket failed at first.
            engine.set_away(0, node, 0)
            engine.turn()
        engine.events()
    return engine


def heated(
    copies: str = "tracked", life_us: int = 10_000_000, stale_us: int = 0, *, threshold: int = 1,
    memory: int = 1 << 20, max_value: int = 10_000, max_keys: int = 100, shield_us: int = 0,
) -> dict[str, Any]:
    """`hot` of `build`, with one rule for all keys. The default threshold lets no hot key become cold."""
    return {"threshold": threshold, "memory": memory, "max_value": max_value, "max_keys": max_keys,
            "rules": [(b"", copies, life_us, stale_us, shield_us, False, 0, 0)]}


def conn(node: int, protocol: int = 2, database: int = 0, bulk: int = 0) -> tuple[int, int, int, int]:
    return (node, protocol, database, bulk)


def key_on(node: int, nodes: int = 2, tag: int = 0) -> bytes:
    """A key that lives on `node`; another one for each `tag` below 40."""
    return _keys(nodes)[node][tag]


@cache
def _keys(nodes: int) -> list[list[bytes]]:
    found: list[list[bytes]] = [[] for _ in range(nodes)]
    number = 0
    while min(map(len, found)) < 40:
        key = b"k%d" % number
        found[ring(nodes).node(key)].append(key)
        number += 1
    return found


def settle(engine: Probe, rounds: int = 3) -> None:
    """Let everything happen that needs no bytes and no time."""
    for _ in range(rounds):
        engine.turn()
    assert engine.audit() == []


class TestNode:
    """A storage node that keeps nothing: its reply to a request is a function of the request.

    A value is its key, repeated up to the length that the key ends with (`name:100`); `nil:…` has none, a key that
    starts with `err` gives an error. What came is kept in `seen`.
    """

    __test__ = False

    def __init__(self, index: int, nodes: int) -> None:
        self.index, self.nodes = index, nodes
        self.inbox = b""
        self.seen: list[list[bytes]] = []

    def receive(self, data: bytes) -> list[bytes]:
        """The replies to every request that `data` completes."""
        self.inbox += data
        framing = resp.frame_requests(self.inbox)
        assert framing.error is None
        self.inbox = self.inbox[len(self.inbox) - framing.left :]
        for args in framing.items:
            if args[0].upper() in (b"MGET", b"DEL"):
                assert {ring(self.nodes).node(key) for key in args[1:]} == {self.index}
            elif args[0].upper() == b"MSET":
                assert {ring(self.nodes).node(key) for key in args[1::2]} == {self.index}
            else:
                assert ring(self.nodes).node(args[1]) == self.index
        self.seen += framing.items
        return [serve(args) for args in framing.items]


def value(key: bytes) -> bytes | None:
    if key.startswith(b"nil"):
        return None
    size = int(key.rpartition(b":")[2]) if b":" in key else len(key)
    return (key * (size // len(key) + 1))[:size]


def serve(args: list[bytes], protocol: int = 2) -> bytes:
    """The reply of one node, or of all together, to a request."""
    name = args[0].upper()
    keys = args[1::2] if name == b"MSET" else args[1:] if name in (b"MGET", b"DEL") else args[1:2]
    for key in keys:
        if key.startswith(b"err"):
            return b"-ERR no %s\r\n" % key
    if name == b"MGET":
        return b"*%d\r\n" % len(keys) + b"".join(serve([b"GET", key], protocol) for key in keys)
    if name == b"DEL":
        return b":%d\r\n" % sum(not key.startswith(b"nil") for key in keys)
    if name == b"GET":
        found = value(args[1])
        return bulk(found) if found is not None else b"_\r\n" if protocol == 3 else b"$-1\r\n"
    if name == b"SET":
        return b"+OK %d\r\n" % len(args[2])
    assert name == b"MSET", args
    return b"+OK\r\n"
