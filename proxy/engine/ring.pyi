from collections.abc import Mapping, Sequence

DISTRIBUTIONS: tuple[str, ...]
"""The names a pool's `distribution` setting may have."""

class Placement:
    """Where the keys of one pool live: an immutable ring, shared by all engines.

    `labels` name the nodes in configuration order: a server's name if it has one, else `host:port` as written, without
    the port if that is 11211 (`/path:` for a unix socket).  `weights` are whole numbers from 1.  `hash_tag` is two
    bytes, opening and closing: if a key holds something between them, only that is hashed.  `colocate` maps the name
    of a group to prefixes: a key that begins with one of them (the longest counts) has the place of that name, whatever
    tag it has.  While all nodes are live every other key has the node that twemproxy 0.5.0 gives it.  Raises
    ValueError, saying what to change.
    """

    random_state: int
    """64 bits; the draws of `node` and `live_node` under the random distribution follow from it."""

    def __init__(
        self,
        labels: Sequence[bytes],
        weights: Sequence[int],
        distribution: str = "ketama",
        hash: str = "murmur",
        hash_tag: bytes | None = None,
        colocate: Mapping[bytes, Sequence[bytes]] | None = None,
    ) -> None: ...
    def __len__(self) -> int:
        """How many nodes."""

    def hash(self, key: bytes) -> int:
        """The 32-bit hash that places `key`, group and tag applied; 0 for the empty key."""

    def group(self, key: bytes) -> bytes | None:
        """The name of the group that `key` belongs to, if it begins like one."""

    def node(self, key: bytes) -> int:
        """The index of the home node; under the random distribution a new draw each time."""

    def live_node(self, key: bytes, live: bytes) -> int | None:
        """The first node of the walk whose byte in `live` is not zero; None if there is none.

        Raises ValueError unless `live` has one byte a node.
        """

    def candidates(self, key: bytes, most: int) -> list[int]:
        """Up to `most` distinct nodes in the order of the walk, home first.  A node without points is never among them.

        Under the random distribution the key's hash seeds the draw, so the answer is stable but not where `node` went.
        """

    def points(self) -> list[tuple[int, int]]:
        """(position, node), ascending: ketama's points; the last slot of each node for modula and random."""

    def shares(self) -> list[float]:
        """The share of all positions that each node owns, 0 to 1; they add up to 1.

        That is its share of the keys if the hash fills 32 bits evenly, which `crc32` (15 bits) does not.
        """

def _time_nodes(placement: Placement, keys: list[bytes], rounds: int) -> float:
    """Nanoseconds per ring_node call, over `rounds` passes of `keys`.  The micro-benchmark's way in; nothing else's."""
