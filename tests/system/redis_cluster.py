"""A Redis Cluster of real redis-servers, put together by hand, which is quicker than redis-cli.

Its ports are the kernel's to choose, its bus ports too. Slots are handed to the primaries in equal ranges, in their
order. `move` moves one slot with its keys as redis-cli does it when it reshards.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.system.conftest import free_port
from tests.system.tier import Node, until

SLOTS = 16384
NODE_TIMEOUT = 500  # milliseconds: as short as nodes on a busy machine stand it


class ClusterNode(Node):
    """One node of it."""

    def __init__(self, directory: Path, name: str, *options: str) -> None:
        directory.mkdir()
        self.bus = free_port()
        super().__init__(
            directory, name, "--cluster-enabled", "yes", "--cluster-node-timeout", str(NODE_TIMEOUT),
            "--cluster-port", str(self.bus), "--cluster-config-file", "nodes.conf", "--repl-diskless-sync-delay", "0",
            "--cluster-replica-validity-factor", "0", *options,
        )  # fmt: skip
        self.id = self("CLUSTER", "MYID").decode()

    def info(self, field: str) -> str:
        """A field of CLUSTER INFO."""
        lines = dict(line.split(":", 1) for line in self("CLUSTER", "INFO").decode().split("\r\n") if ":" in line)
        return lines[field]

    def role(self) -> str:
        return str(self("ROLE")[0].decode())


class RedisCluster:
    """Nodes that know each other; the first `primaries` of them hold the slots."""

    def __init__(self, directory: Path, primaries: int, replicas: int, options: Sequence[str] = ()) -> None:
        self._directory = directory
        self._options = options
        self.nodes: list[ClusterNode] = []
        try:
            for _ in range(primaries * (1 + replicas)):
                self._begin()
            for place, node in enumerate(self.nodes[:primaries]):
                first, last = place * SLOTS // primaries, (place + 1) * SLOTS // primaries - 1
                assert node("CLUSTER", "ADDSLOTSRANGE", first, last) == b"OK"
                node("CLUSTER", "SET-CONFIG-EPOCH", place + 1)
            self._meet()
            for place, node in enumerate(self.nodes[primaries:]):
                assert node("CLUSTER", "REPLICATE", self.nodes[place % primaries].id) == b"OK"
            self.wait_well()
            until(lambda: all(self._replicates(node) for node in self.nodes[primaries:]), "replicas are in sync")
        except BaseException:
            self.stop()
            raise

    def _begin(self) -> ClusterNode:
        node = ClusterNode(self._directory / f"n{len(self.nodes)}", f"n{len(self.nodes)}", *self._options)
        self.nodes.append(node)
        return node

    def _meet(self) -> None:
        for node in self.nodes[1:]:
            assert node("CLUSTER", "MEET", "127.0.0.1", self.nodes[0].port, self.nodes[0].bus) == b"OK"
        for node in self.nodes:
            until(lambda node=node: node.info("cluster_known_nodes") == str(len(self.nodes)), "all know all")

    @staticmethod
    def _replicates(node: ClusterNode) -> bool:
        return b"master_link_status:up" in node("INFO", "replication")

    def wait_well(self, nodes: Sequence[ClusterNode] | None = None) -> None:
        """Until the nodes say that all slots are served."""
        for node in nodes or self.nodes:
            until(lambda node=node: node.info("cluster_state") == "ok", "the cluster is well")

    @property
    def seeds(self) -> str:
        """As a pool's `cluster:` has them."""
        return f"[{', '.join(node.address for node in self.nodes)}]"

    def add(self) -> ClusterNode:
        """One more node, without slots."""
        node = self._begin()
        self._meet()
        self.wait_well()
        return node

    def owner(self, slot: int) -> ClusterNode:
        """The node that holds a slot, as the first one that lives knows."""
        node = next(node for node in self.nodes if node.process.poll() is None)
        for first, last, (_, port, *_), *_ in node("CLUSTER", "SLOTS"):
            if first <= slot <= last:
                return next(node for node in self.nodes if node.port == port)
        raise AssertionError(f"nobody holds slot {slot}")

    def open(self, slot: int, target: ClusterNode) -> ClusterNode:
        """Begin to move a slot: new keys go to `target`. Returns the node that has held it."""
        source = self.owner(slot)
        # Its claim has to count for more than the source's, of whose last epoch it may not have heard yet.
        until(
            lambda: int(target.info("cluster_current_epoch")) >= int(source.info("cluster_my_epoch")),
            "the target knows how far the source has counted",
        )
        assert target("CLUSTER", "SETSLOT", slot, "IMPORTING", source.id) == b"OK"
        assert source("CLUSTER", "SETSLOT", slot, "MIGRATING", target.id) == b"OK"
        return source

    def migrate(self, slot: int, source: ClusterNode, target: ClusterNode) -> None:
        """Move its keys, a few at a time."""
        while keys := source("CLUSTER", "GETKEYSINSLOT", slot, 10):
            reply: Any = source("MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "KEYS", *keys)
            assert reply in (b"OK", b"NOKEY"), reply

    def close(self, slot: int, target: ClusterNode) -> None:
        """It is moved: the target is told first, as redis-cli does."""
        primaries = [node for node in self.nodes if node.process.poll() is None and node.role() == "master"]
        for node in [target, *(node for node in primaries if node is not target)]:
            node("CLUSTER", "SETSLOT", slot, "NODE", target.id)

    def move(self, slot: int, target: ClusterNode) -> None:
        """Move a slot with its keys."""
        source = self.open(slot, target)
        self.migrate(slot, source, target)
        self.close(slot, target)

    def stop(self) -> None:
        for node in self.nodes:
            node.stop()


@contextmanager
def redis_cluster(
    directory: Path, primaries: int = 3, replicas: int = 1, options: Sequence[str] = ()
) -> Iterator[RedisCluster]:
    """A cluster that is well. Skips where redis-server is missing."""
    if shutil.which("redis-server") is None:
        pytest.skip("redis-server is not installed")
    cluster = RedisCluster(directory, primaries, replicas, options)
    try:
        yield cluster
    finally:
        cluster.stop()
