"""Placement: from the settings of a pool to its ring, and what can be said of that ring before any key is routed.

Owns how a Pool's servers become the labels and weights of `engine.ring.Placement`, so that the loader's checks, `quench
route` and the engines all place keys by the same rule.
"""

import os
from binascii import crc_hqx
from typing import Any

from proxy.engine.ring import Placement
from proxy.settings import Pool

CLUSTER_SLOTS = 16384


def placement(pool: Pool) -> Placement:
    """The ring of `pool`, every node live; of a cluster, whose slots are no ring, one that places nothing. Raises
    ValueError if there is none."""
    if pool.cluster:
        return Placement([b"cluster"], [1])
    return Placement(
        [server.label.encode() for server in pool.servers],
        [server.weight for server in pool.servers],
        distribution=pool.distribution,
        hash=pool.hash,
        hash_tag=pool.hash_tag.encode() if pool.hash_tag else None,
        colocate={group.name.encode(): [prefix.encode() for prefix in group.prefixes] for group in pool.colocate},
    )


def slot_of(key: bytes) -> int:
    """The slot of a key or channel in a Redis Cluster: CRC16 (XMODEM) of it, or of what is in its first {…} if that is
    not nothing."""
    start = key.find(b"{")
    end = key.find(b"}", start + 1)
    if start >= 0 and end > start + 1:
        key = key[start + 1 : end]
    return crc_hqx(key, 0) % CLUSTER_SLOTS


def pointless(pool: Pool) -> list[int]:
    """Indexes of the nodes that no key can reach, because their weight is too small a part of the whole."""
    if pool.distribution == "random":
        return []
    reached = {node for _, node in placement(pool).points()}
    return [index for index in range(len(pool.servers)) if index not in reached]


def routes(pool: Pool, keys: tuple[str, ...]) -> list[dict[str, Any]]:
    """For each key a dict of key, group (None if it is in none), hash, node (its label), address and replicas (their
    addresses); node and address are None when any node will do."""
    ring = placement(pool)
    rows: list[dict[str, Any]] = []
    for key in keys:
        raw = os.fsencode(key)
        if pool.cluster:
            name = raw.decode("utf-8", "backslashreplace")
            rows.append({"key": name, "group": None, "hash": slot_of(raw), "node": None, "address": None,
                         "replicas": []})  # fmt: skip
            continue
        home = None if pool.distribution == "random" else pool.servers[ring.node(raw)]
        group = ring.group(raw)
        rows.append(
            {
                "key": raw.decode("utf-8", "backslashreplace"),
                "group": group and group.decode(),
                "hash": ring.hash(raw),
                "node": home and home.label,
                "address": home and home.address,
                "replicas": [replica.address for replica in home.replicas] if home else [],
            }
        )
    return rows
