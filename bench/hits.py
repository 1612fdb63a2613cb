"""How well a storage node keeps what will be asked for again: the hit ratio of a cache that holds a tenth of its keys.

A plain client reads keys drawn from a Zipf distribution and writes those that were missing, as an application in front
of a database does. maxmemory is set so that the node holds a tenth of the keys by its own count, whatever a key costs
it; so nodes are compared by what they evict, not by how small their keys are.
"""

from __future__ import annotations

import socket
from typing import Any

from bench.load import KeySampler
from bench.targets import Running

ZIPF = 0.99
SHARE = 10  # the node holds one in so many keys
BATCH = 500
CLOSE = 0.005  # how near to a tenth the number of keys held has to be

Reply = bytes | None


class Link:
    """A connection that sends pipelines of commands and reads replies that are no arrays."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        self.file = self.socket.makefile("rb")

    def __call__(self, *commands: tuple[bytes, ...]) -> list[Reply]:
        self.socket.sendall(
            b"".join(
                b"*%d\r\n%b" % (len(words), b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words))
                for words in commands
            )
        )
        return [self._reply() for _ in commands]

    def _reply(self) -> Reply:
        line = self.file.readline()
        if line[:1] == b"-" or not line:
            raise OSError(f"the node said {line!r}")
        if line[:1] != b"$":
            return line[1:-2]
        return None if line == b"$-1\r\n" else self.file.read(int(line[1:]) + 2)[:-2]

    def close(self) -> None:
        self.file.close()
        self.socket.close()


def used_memory(link: Link) -> int:
    (text,) = link((b"INFO", b"memory"))
    fields = dict(line.split(b":", 1) for line in (text or b"").split(b"\r\n") if b":" in line)
    return int(fields[b"used_memory"]) - int(fields.get(b"mem_not_counted_for_evict", 0))


def read_through(link: Link, sampler: KeySampler, value: bytes, requests: int) -> int:
    """Read `requests` keys, write the missing ones; the number of hits."""
    hits = 0
    for _ in range(requests // BATCH):
        keys = [b"key:%012d" % number for number in sampler.draw(BATCH)]
        found = link(*((b"GET", key) for key in keys))
        missing = [key for key, value_found in zip(keys, found, strict=True) if value_found is None]
        hits += BATCH - len(missing)
        if missing:
            link(*((b"SET", key, value) for key in missing))
    return hits


def hit_ratio(target: Running, policy: str, keys: int, value_size: int) -> dict[str, Any]:
    """A round: fill, fit maxmemory, read each key three times on average for warmth, then as often for the count."""
    link = Link(target.port)
    value = b"x" * value_size
    wanted = keys // SHARE
    sampler = KeySampler(keys, ZIPF, 7)
    link((b"CONFIG", b"SET", b"maxmemory", b"0"), (b"CONFIG", b"SET", b"maxmemory-policy", policy.encode()))
    link((b"FLUSHALL",))
    empty = used_memory(link)
    for start in range(0, wanted, BATCH):
        link(*((b"SET", b"key:%012d" % number, value) for number in range(start, start + BATCH)))
    full = used_memory(link)
    limit = full
    for _ in range(8):
        link((b"CONFIG", b"SET", b"maxmemory", b"%d" % limit))
        read_through(link, sampler, value, keys)
        held = int(link((b"DBSIZE",))[0] or 0)
        if abs(held - wanted) <= wanted * CLOSE:
            break
        limit += (wanted - held) * (full - empty) // wanted
    read_through(link, sampler, value, 3 * keys)
    requests = 3 * keys // BATCH * BATCH
    hits = read_through(link, sampler, value, requests)
    held = int(link((b"DBSIZE",))[0] or 0)
    link((b"CONFIG", b"SET", b"maxmemory", b"0"), (b"FLUSHALL",))
    link.close()
    return {
        "hit_percent": 100 * hits / requests, "miss_percent": 100 - 100 * hits / requests,
        "held_percent": 100 * held / keys, "errors": 0,
    }  # fmt: skip
