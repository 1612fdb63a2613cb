"""Counters as redis-server keeps them: the naive twin of what the combiner hands out.

A store of strings, hashes, sets and HyperLogLogs that executes one request at a time; time does not pass in it. Replies
are those of RESP2.
"""

from __future__ import annotations

from dataclasses import dataclass, field

LEAST, MOST = -(1 << 63), (1 << 63) - 1
WRONG_TYPE = b"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"
NO_INTEGER = b"-ERR value is not an integer or out of range\r\n"
NO_FIELD = b"-ERR hash value is not an integer\r\n"
OVERFLOW = b"-ERR increment or decrement would overflow\r\n"


def integer(text: bytes) -> int | None:
    """What Redis takes for a number of 64 bits."""
    try:
        value = int(text)
    except ValueError:
        return None
    return value if text == b"%d" % value and LEAST <= value <= MOST else None


def bulk(text: bytes | None) -> bytes:
    return b"$-1\r\n" if text is None else b"$%d\r\n%s\r\n" % (len(text), text)


@dataclass
class CounterStore:
    data: dict[bytes, bytes | dict[bytes, bytes] | set[bytes] | frozenset[bytes]] = field(default_factory=dict)
    lives: dict[bytes, int] = field(default_factory=dict)  # milliseconds
    executed: int = 0

    def run(self, words: list[bytes]) -> bytes:
        """The reply to one request."""
        self.executed += 1
        name = words[0].lower().decode()
        return bytes(getattr(self, f"do_{name}")(*words[1:]))

    def block(self, requests: list[list[bytes]]) -> bytes:
        """The reply to EXEC."""
        return b"*%d\r\n" % len(requests) + b"".join(map(self.run, requests))

    def add(self, key: bytes, delta: int) -> bytes:
        found = self.data.get(key, b"0")
        if not isinstance(found, bytes):
            return WRONG_TYPE
        value = integer(found)
        if value is None:
            return NO_INTEGER
        if not LEAST <= value + delta <= MOST:
            return OVERFLOW
        self.data[key] = b"%d" % (value + delta)
        return b":%d\r\n" % (value + delta)

    def do_incr(self, key: bytes) -> bytes:
        return self.add(key, 1)

    def do_decr(self, key: bytes) -> bytes:
        return self.add(key, -1)

    def do_incrby(self, key: bytes, text: bytes) -> bytes:
        delta = integer(text)
        return NO_INTEGER if delta is None else self.add(key, delta)

    def do_decrby(self, key: bytes, text: bytes) -> bytes:
        delta = integer(text)
        if delta == LEAST:
            return b"-ERR decrement would overflow\r\n"
        return NO_INTEGER if delta is None else self.add(key, -delta)

    def do_hincrby(self, key: bytes, name: bytes, text: bytes) -> bytes:
        delta = integer(text)
        if delta is None:
            return NO_INTEGER
        found = self.data.get(key, {})
        if not isinstance(found, dict):
            return WRONG_TYPE
        value = integer(found.get(name, b"0"))
        if value is None:
            return NO_FIELD
        if not LEAST <= value + delta <= MOST:
            return OVERFLOW
        self.data[key] = {**found, name: b"%d" % (value + delta)}
        return b":%d\r\n" % (value + delta)

    def do_get(self, key: bytes) -> bytes:
        found = self.data.get(key)
        return bulk(found) if found is None or isinstance(found, bytes) else WRONG_TYPE

    def do_hget(self, key: bytes, name: bytes) -> bytes:
        found = self.data.get(key, {})
        return bulk(found.get(name)) if isinstance(found, dict) else WRONG_TYPE

    def do_mget(self, *keys: bytes) -> bytes:
        found = [self.data.get(key) for key in keys]
        return b"*%d\r\n" % len(keys) + b"".join(bulk(one if isinstance(one, bytes) else None) for one in found)

    def do_set(self, key: bytes, value: bytes) -> bytes:
        self.data[key] = value
        self.lives.pop(key, None)
        return b"+OK\r\n"

    def do_hset(self, key: bytes, name: bytes, value: bytes) -> bytes:
        found = self.data.get(key, {})
        if not isinstance(found, dict):
            return WRONG_TYPE
        self.data[key] = {**found, name: value}
        return b":%d\r\n" % (name not in found)

    def do_sadd(self, key: bytes, *members: bytes) -> bytes:
        found = self.data.get(key, set())
        if not isinstance(found, set):
            return WRONG_TYPE
        self.data[key] = found | set(members)
        return b":%d\r\n" % (len(found | set(members)) - len(found))

    def do_srem(self, key: bytes, *members: bytes) -> bytes:
        found = self.data.get(key, set())
        if not isinstance(found, set):
            return WRONG_TYPE
        self.data[key] = found - set(members)
        if not self.data[key]:
            self.do_del(key)
        return b":%d\r\n" % len(found & set(members))

    def do_scard(self, key: bytes) -> bytes:
        found = self.data.get(key, set())
        return b":%d\r\n" % len(found) if isinstance(found, set) else WRONG_TYPE

    def do_pfadd(self, key: bytes, *members: bytes) -> bytes:
        """As if nothing collided."""
        found = self.data.get(key, frozenset())
        if not isinstance(found, frozenset):
            return WRONG_TYPE
        changed = key not in self.data or not found >= set(members)
        self.data[key] = found | frozenset(members)
        return b":%d\r\n" % changed

    def do_del(self, *keys: bytes) -> bytes:
        gone = [key for key in keys if self.data.pop(key, None) is not None]
        for key in gone:
            self.lives.pop(key, None)
        return b":%d\r\n" % len(gone)

    def do_rename(self, old: bytes, new: bytes) -> bytes:
        if old not in self.data:
            return b"-ERR no such key\r\n"
        self.data[new] = self.data.pop(old)
        life = self.lives.pop(old, None)
        self.lives.pop(new, None)
        if life is not None:
            self.lives[new] = life
        return b"+OK\r\n"

    def do_fcall(self, function: bytes, count: bytes, *keys: bytes) -> bytes:
        """Every function here adds 1 to its key, or to `a` behind everybody's back."""
        return self.add(keys[0] if keys else b"a", 1)

    def do_pexpire(self, key: bytes, life: bytes, option: bytes = b"") -> bytes:
        if key not in self.data or (option.lower() == b"nx" and key in self.lives):
            return b":0\r\n"
        if option.lower() == b"xx" and key not in self.lives:
            return b":0\r\n"
        if option.lower() == b"gt" and int(life) <= self.lives.get(key, 1 << 62):
            return b":0\r\n"
        if int(life) <= 0:
            self.do_del(key)
        else:
            self.lives[key] = int(life)
        return b":1\r\n"

    def do_expire(self, key: bytes, life: bytes, option: bytes = b"") -> bytes:
        return self.do_pexpire(key, b"%d" % (1000 * int(life)), option)

    def do_pttl(self, key: bytes) -> bytes:
        return b":%d\r\n" % (self.lives.get(key, -1) if key in self.data else -2)

    def do_flushall(self) -> bytes:
        self.data.clear()
        self.lives.clear()
        return b"+OK\r\n"
