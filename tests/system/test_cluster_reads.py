"""Reads of a Redis Cluster's replicas: real nodes, whose slots move and which fail over.

Values never change while they are read here, so whatever else is answered is wrong, and nil most of all: a replica is
not told that a slot is on its way, only that keys are gone.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from proxy.placement import slot_of
from tests.system.redis_cluster import ClusterNode, RedisCluster, redis_cluster
from tests.system.test_cluster import other
from tests.system.test_replicas import rows
from tests.system.tier import Link, Proxy, error, until

KEYS = [f"key:{number}" for number in range(200)]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisCluster]:
    """It is left as it was found, but for who is whose replica. Reads go on while a slot has no primary."""
    options = ("--cluster-allow-reads-when-down", "yes")
    with redis_cluster(tmp_path_factory.mktemp("cluster"), options=options) as cluster:
        yield cluster


@contextmanager
def reading(cluster: RedisCluster, directory: Path, options: str) -> Iterator[Proxy]:
    """A proxy that knows all replicas, and the keys."""
    # Without copies of hot keys, which would spare the nodes most reads.
    common = f"cluster: {cluster.seeds}\ntimeout: 5s\nhot_keys: {{copies: off}}\n"
    proxy = Proxy(directory, [], common + options)
    try:
        with proxy.link() as link:
            assert link("FLUSHALL") == b"OK"
            assert link("MSET", *[word for key in KEYS for word in (key, f"value of {key}")]) == b"OK"
            link("HSET", "{t}hash", "field", "value")
            link("RPUSH", "{t}list", "a", "b")
        until(lambda: readable(proxy) == {node.address for node in replicas(cluster)}, "all replicas may be read from")
        yield proxy
    finally:
        proxy.stop()


def readable(proxy: Proxy) -> set[str]:
    """The replicas that are up to date, by address."""
    return {row["address"] for row in rows(proxy).values() if row["role"] == "slave" and row.get("lag", "") != ""}


def replicas(cluster: RedisCluster) -> list[ClusterNode]:
    return [node for node in cluster.nodes if node.process.poll() is None and node.role() == "slave"]


def asked(nodes: Sequence[ClusterNode], command: str = "get") -> int:
    """How often these nodes have executed a command."""
    total = 0
    for node in nodes:
        for line in node("INFO", "commandstats").decode().splitlines():
            if line.startswith(f"cmdstat_{command}:calls="):
                total += int(line.partition("=")[2].partition(",")[0])
    return total


def read_all(link: Link) -> None:
    link.send(*(["GET", key] for key in KEYS))
    assert link.replies(len(KEYS)) == [f"value of {key}".encode() for key in KEYS]


class Reader(threading.Thread):
    """Reads all the time; `wrong` are the replies that were not right."""

    def __init__(self, proxy: Proxy, over: threading.Event) -> None:
        super().__init__()
        self._proxy, self._over = proxy, over
        self.wrong: list[Any] = []
        self.turns = 0

    def run(self) -> None:
        with self._proxy.link() as link:
            while not self._over.is_set():
                link.send(*(["GET", key] for key in KEYS), ["HGETALL", "{t}hash"], ["LRANGE", "{t}list", 0, -1])
                replies = link.replies(len(KEYS) + 2)
                wanted: list[Any] = [f"value of {key}".encode() for key in KEYS]
                wanted += [[b"field", b"value"], [b"a", b"b"]]
                self.wrong += [reply for reply, right in zip(replies, wanted, strict=True) if reply != right]
                self.turns += 1


@contextmanager
def readers(proxy: Proxy) -> Iterator[list[Reader]]:
    over = threading.Event()
    threads = [Reader(proxy, over) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        go_on(threads)
        yield threads
    finally:
        over.set()
        for thread in threads:
            thread.join()


def go_on(threads: list[Reader]) -> None:
    marks = [thread.turns for thread in threads]
    until(lambda: all(thread.turns > mark + 3 for thread, mark in zip(threads, marks, strict=True)), "all of them read")


def test_reads_go_to_replicas(cluster: RedisCluster, tmp_path: Path) -> None:
    with reading(cluster, tmp_path, "read_from: prefer_replica") as proxy, proxy.link() as link:
        primaries = [node for node in cluster.nodes if node not in replicas(cluster)]
        behind = asked(replicas(cluster))
        read_all(link)
        until(lambda: read_all(link) is None and asked(replicas(cluster)) > behind + len(KEYS), "replicas are asked")
        before = asked(primaries)
        read_all(link)
        assert asked(primaries) == before
        assert link("GET", "missing") is None and asked(primaries) == before + 1  # a replica may not have heard of it
        assert link("MGET", *KEYS[:50]) == [f"value of {key}".encode() for key in KEYS[:50]]
        found = rows(proxy)
        assert sorted(row["role"] for row in found.values()) == ["master"] * 3 + ["slave"] * 3
        homes = {row["address"]: row.get("replica_of") for row in found.values()}
        assert {homes[node.address] for node in replicas(cluster)} == {node.address for node in primaries}
        assert all(float(row["lag"]) < 5 for row in found.values() if row["role"] == "slave")


def test_without_replicas(cluster: RedisCluster, tmp_path: Path) -> None:
    """`primary` knows none of them; `prefer_primary` does, and asks none while all is well."""
    with reading(cluster, tmp_path, "") as proxy, proxy.link() as link:
        before = asked(replicas(cluster))
        read_all(link)
        assert asked(replicas(cluster)) == before
    proxy = Proxy(tmp_path, [], f"cluster: {cluster.seeds}\nread_from: primary")
    try:
        assert {row["role"] for row in rows(proxy).values()} == {"master"}
    finally:
        proxy.stop()


def test_a_replica_that_hangs(cluster: RedisCluster, tmp_path: Path) -> None:
    """Its reads are another node's, and after a while it is asked no more, until it is back."""
    options = "read_from: prefer_replica\nhedge: {after: 20ms, budget: 100%}"
    with reading(cluster, tmp_path, options) as proxy, proxy.link() as link:
        replica = replicas(cluster)[0]
        replica.freeze()
        try:
            read_all(link)
            until(lambda: replica.address not in readable(proxy), "the proxy notices")
            read_all(link)
        finally:
            replica.thaw()
        until(lambda: replica.address in readable(proxy), "it follows again")
        cluster.wait_well()


def test_a_slot_on_its_way(cluster: RedisCluster, tmp_path: Path) -> None:
    """A key that has arrived is gone at the source and at its replica, which says nil, or what else means nothing."""
    slot = slot_of(b"{t}")
    with reading(cluster, tmp_path, "read_from: prefer_replica") as proxy, proxy.link() as link:
        link("MSET", "{t}1", "a", "{t}2", "b")
        target = other(cluster, slot)
        source = cluster.open(slot, target)
        behind = next(node for node in replicas(cluster) if node("ROLE")[2] == source.port)
        for key in ("{t}1", "{t}hash", "{t}list"):
            source("MIGRATE", "127.0.0.1", target.port, key, 0, 5000)
        with Link(behind.port) as looking:
            assert looking("READONLY") == b"OK"
            until(lambda: looking("EXISTS", "{t}1") == 0, "the replica has heard")
        for _ in range(20):
            link.send(
                ["GET", "{t}1"], ["STRLEN", "{t}1"], ["TTL", "{t}1"], ["TYPE", "{t}hash"],
                ["HMGET", "{t}hash", "field"], ["HGETALL", "{t}hash"], ["HSCAN", "{t}hash", 0],
                ["LRANGE", "{t}list", 0, -1], ["GET", "{t}2"],
            )  # fmt: skip
            assert link.replies(9) == [
                b"a", 1, -1, b"hash", [b"value"], [b"field", b"value"], [b"0", [b"field", b"value"]], [b"a", b"b"], b"b"
            ]  # fmt: skip
        error(link("LPOS", "{t}hash", "x"), "^WRONGTYPE")
        link.send(["MGET", "{t}1", "{t}2"], ["PING"])
        error(link.reply(), "^TRYAGAIN ")
        assert link.reply() == b"PONG"
        cluster.migrate(slot, source, target)
        cluster.close(slot, target)
        assert link("MGET", "{t}1", "{t}2") == [b"a", b"b"]


def test_slots_move_under_readers(cluster: RedisCluster, tmp_path: Path) -> None:
    with reading(cluster, tmp_path, "read_from: any") as proxy, readers(proxy) as threads:
        for slot in [slot_of(b"{t}"), *sorted({slot_of(key.encode()) for key in KEYS})[:40]]:
            cluster.move(slot, other(cluster, slot))
        go_on(threads)
    assert [thread.wrong for thread in threads] == [[], []]


@pytest.mark.parametrize("read_from", ["prefer_primary", "prefer_replica"])
def test_a_failover_that_was_asked_for(cluster: RedisCluster, tmp_path: Path, read_from: str) -> None:
    """Two change places: the one answers reads as a primary from now on, the other one as its replica."""
    with reading(cluster, tmp_path, f"read_from: {read_from}") as proxy:
        replica = replicas(cluster)[0]
        old = next(node for node in cluster.nodes if node.port == replica("ROLE")[2])
        with readers(proxy) as threads:
            until(
                lambda: replica.role() == "master" or replica("CLUSTER", "FAILOVER") is None, "it is promoted",
                every=1.0,
            )  # fmt: skip
            go_on(threads)
            until(lambda: old.address in readable(proxy), "the proxy knows who is whose replica")
            reader = [replica if read_from == "prefer_primary" else old]
            before = asked(reader)
            go_on(threads)
            until(lambda: asked(reader) > before, "it is asked for reads")
        assert [thread.wrong for thread in threads] == [[], []]
        with proxy.link() as link:
            assert link("SET", "after", "all") == b"OK"


@pytest.mark.parametrize("read_from", ["prefer_primary", "any"])
def test_reads_survive_the_death_of_a_primary(cluster: RedisCluster, tmp_path: Path, read_from: str) -> None:
    """kill -9 of a primary: every read is answered, and right; writes flow again when the cluster has failed over."""
    with reading(cluster, tmp_path, f"read_from: {read_from}") as proxy:
        victim = cluster.owner(slot_of(KEYS[0].encode()))
        with readers(proxy) as threads, proxy.link() as link:
            victim.kill()
            until(lambda: link("SET", KEYS[0], f"value of {KEYS[0]}") == b"OK", "writes flow again")
            go_on(threads)
        assert [thread.wrong for thread in threads] == [[], []]
        victim.start()
        until(lambda: b"master_link_status:up" in victim("INFO", "replication"), "it comes back as a replica")
        cluster.wait_well()
        until(lambda: victim.address in readable(proxy), "it is read from")
