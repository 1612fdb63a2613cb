"""Naive twin of the ring: lists and linear searches, no buckets, no sentinel, no shared lookup."""

import hashlib
import math
import struct
from collections.abc import Iterator

from tests.oracle.hashes import HASHES

PROBES = 16


def float32(number: float) -> float:
    return float(struct.unpack("<f", struct.pack("<f", number))[0])


def ketama_points(weight: int, total: int, nodes: int) -> int:
    """How many points a node of this weight gets; every intermediate value is a 32-bit float."""
    share = float32(float32(weight) / float32(total))
    digests = float32(float32(float32(share * 160) / 4) * float32(nodes))
    return math.floor(float32(digests + 1e-10)) * 4


class Draws:
    """splitmix64."""

    def __init__(self, state: int) -> None:
        self.state = state

    def below(self, span: int) -> int:
        self.state = z = (self.state + 0x9E3779B97F4A7C15) % 2**64
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB % 2**64
        z ^= z >> 31
        return (z >> 32) * span >> 32


class SlowRing:
    def __init__(
        self,
        labels: list[bytes],
        weights: list[int],
        distribution: str,
        hash: str,
        hash_tag: bytes | None = None,
        colocate: dict[bytes, list[bytes]] | None = None,
    ) -> None:
        self.labels, self.weights, self.distribution, self.hash_tag = labels, weights, distribution, hash_tag
        self.colocate = colocate or {}
        self.hash_function = HASHES[hash]
        self.points: list[tuple[int, int]] = []
        self.order = sorted(range(len(labels)), key=lambda node: (len(labels[node]), labels[node]))
        if distribution == "ketama":
            for node in self.order:
                for k in range(ketama_points(weights[node], sum(weights), len(labels)) // 4):
                    digest = hashlib.md5((labels[node] + b"-" + str(k).encode())[:272]).digest()
                    self.points += [(value, node) for value in struct.unpack("<4I", digest)]
            self.points.sort(key=lambda point: point[0])
        copies = weights if distribution == "modula" else [1] * len(labels)
        self.slots = [node for node in self.order for _ in range(copies[node])]

    def group(self, key: bytes) -> bytes | None:
        fitting = [
            (len(prefix), name) for name, prefixes in self.colocate.items() for prefix in prefixes
            if not prefix.startswith(b"*") and key.startswith(prefix)
        ]  # fmt: skip
        if not fitting:
            # An entry with a star may be anywhere; of two that are as long the one that was given first counts.
            fitting = [
                (len(entry), -place, name) for place, (name, entry) in enumerate(
                    (name, entry) for name, entries in self.colocate.items() for entry in entries
                ) if entry.startswith(b"*") and entry[1:] in key
            ]  # fmt: skip
            return max(fitting)[2] if fitting else None
        return max(fitting)[1]

    def hash(self, key: bytes) -> int:
        name = self.group(key)
        if name is not None:
            return self.hash_function(name)
        if self.hash_tag is not None:
            begin = key.find(self.hash_tag[:1])
            end = key.find(self.hash_tag[1:], begin + 1)
            if begin >= 0 and end > begin + 1:
                key = key[begin + 1 : end]
        return self.hash_function(key) if key else 0

    def walk(self, key: bytes, draws: Draws | None = None) -> Iterator[int]:
        """Nodes, home first, with repetitions.  `draws`: of the random distribution; by default the key's own."""
        if len(self.labels) == 1:
            yield 0
            return
        h = self.hash(key)
        if self.distribution == "ketama":
            at = next((i for i, (value, _) in enumerate(self.points) if value >= h), 0)
            yield from (node for _, node in self.points[at:] + self.points[:at])
            return
        if self.distribution == "modula":
            draws = Draws(h)
            home = self.slots[h % len(self.slots)]
        else:
            draws = draws or Draws(h)
            home = self.slots[draws.below(len(self.slots))]
        yield home
        probes = Draws(draws.state)
        for _ in range(PROBES):
            yield self.slots[probes.below(len(self.slots))]
        after = self.order.index(home) + 1
        yield from self.order[after:] + self.order[:after]

    def node(self, key: bytes, draws: Draws | None = None) -> int:
        return next(self.walk(key, draws))

    def live_node(self, key: bytes, live: bytes, draws: Draws | None = None) -> int | None:
        return next((node for node in self.walk(key, draws) if live[node]), None)

    def candidates(self, key: bytes, most: int) -> list[int]:
        return list(dict.fromkeys(self.walk(key)))[:most]
