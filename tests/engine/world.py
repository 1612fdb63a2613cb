"""A world of one storage node, the engines of one process before it, clients, and a clock: what copies have to survive.

The engines are real (Probes of one EngineGroup), the node is a small model of redis-server with expiry and CLIENT
TRACKING, and every connection between them is two queues that a test moves by hand: bytes to the node, bytes back. So
any order of events can be had, and is the same each time. Every change of a key gets a number and a time; a read may
return what was current at some moment between its start and its end, less `bound_us` where the change was made behind
the back of the process, and nothing less for what this process did and acknowledged, or what ran out. What
one client reads of a key does not go back: see Caller.newest().
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

import hiredis

from proxy.engine.engine import EngineGroup
from tests.engine.harness import build, heated
from tests.helpers import bulk, request
from tests.oracle.resp import frame_replies, frame_requests

KEYS = (b"hot:a", b"hot:b")
WAKE = b"hot:c"  # read only to have ears opened
EAR = (0, -1)
RUN = b"r" * 40
LIVE_US = 500_000


@dataclass
class Wire:
    """One connection, seen from the node."""

    engine: int
    name: tuple[int, ...]
    id: int
    protocol: int
    database: int
    up: bytes = b""  # given to the kernel, not executed
    down: bytes = b""  # replied, not delivered
    tracking: bool = False
    caching: bool = False
    redirect: int = 0
    queued: list[list[bytes]] | None = None  # by MULTI
    waiting: list[bytes] | None = None  # BLPOP
    cut: bool = False  # neither end hears of the other any more


@dataclass
class Change:
    number: int
    time: int
    value: bytes | None
    expired: bool = False


@dataclass
class Ask:
    words: list[bytes]
    keys: tuple[tuple[int, bytes], ...] = ()  # of a read
    writes: tuple[tuple[int, bytes], ...] = ()  # keys that it names
    began: int = 0
    sent: int = 0  # of everything that was sent and answered, its place
    answered: int = 0
    numbers: tuple[int, ...] = ()  # by key: a read has to return what was current at this change, or later


@dataclass
class Caller:
    engine: int
    id: int
    protocol: int
    database: int
    asks: list[Ask] = field(default_factory=list)
    inbox: bytes = b""
    own: dict[tuple[int, bytes], int] = field(default_factory=dict)  # the last of its writes that was acknowledged
    seen: list[tuple[tuple[int, bytes], Ask, int]] = field(default_factory=list)  # what its reads returned, by change
    errors: list[bytes] = field(default_factory=list)
    values: list[bytes | None] = field(default_factory=list)  # that its reads returned

    def newest(self, ask: Ask, key: tuple[int, bytes]) -> int:
        """The change that this read must not go behind: of the same reads before it, which copies answer alike, and of
        an MGET that was under way with it."""
        kind = {b"MGET": b"GET"}.get(ask.words[0], ask.words[0])
        return max((number for other, before, number in self.seen if other == key and (
            before.words[0] == kind or (kind == before.words[0][1:] and before.answered > ask.sent))), default=0)


class World:
    def __init__(self, engines: int = 1, copies: str = "tracked", life_us: int = 10_000_000, tracks: bool = True,
                 stale_us: int = 0, timeout_us: int = 0, **hot: Any) -> None:
        group = EngineGroup(engines)
        self.group = group
        self.engines = [
            build(1, group=group, index=index, hot=heated(copies, life_us, stale_us, **hot), connect=False,
                  timeout_us=timeout_us)
            for index in range(engines)
        ]
        self.bound_us = LIVE_US if copies == "tracked" else life_us
        self.tracks = tracks
        self.now = 0
        self.steps = 0
        self.number = 0
        self.data: dict[tuple[int, bytes], tuple[bytes, int | None]] = {}
        self.changes: dict[tuple[int, bytes], list[Change]] = defaultdict(lambda: [Change(0, -1 << 60, None)])
        self.acknowledged: dict[tuple[int, bytes], int] = {}
        self.table: dict[bytes, set[int]] = defaultdict(set)  # of tracking: key -> ids
        self.wires: dict[tuple[int, tuple[int, ...]], Wire] = {}
        self.last_id = 100
        self.callers: list[Caller] = []
        self.seen: list[list[bytes]] = []  # executed, without what concerns tracking
        for index, engine in enumerate(self.engines):
            engine.reach(0)
            for protocol in (2, 3):
                for database in (0, 1):
                    self.connect(index, (0, protocol, database, 0))
            for key in (*KEYS, WAKE):
                engine.hot_key(0, key)
            engine.turn()

    # -- connections --------------------------------------------------------------------------------------------------

    def connect(self, index: int, name: tuple[int, ...]) -> None:
        self.engines[index].connect(*name, run=RUN)
        self.last_id += 1
        self.wires[index, name] = Wire(index, name, self.last_id, name[1], name[2])

    def open_privates(self, index: int) -> None:
        """Ears, and what BLPOP and WATCH wait for."""
        count = self.engines[index].open_privates(0, self.last_id + 1, RUN)
        for _ in range(count):
            self.last_id += 1
            place = self.private(index, self.last_id)
            state = self.engines[index].conn_state(place)
            name = EAR if state["ear"] else (0, self.last_id)
            self.wires[index, name] = Wire(index, name, self.last_id, state["protocol"], state["database"])

    def private(self, index: int, identity: int) -> tuple[int, int]:
        """The Probe's name of the private connection with this id: its place among them."""
        for place in range(100):
            if self.engines[index].conn_state((0, place))["id"] == identity:
                return (0, place)
        raise KeyError(identity)

    def name_of(self, wire: Wire) -> tuple[int, ...]:
        return wire.name if len(wire.name) == 4 or wire.name == EAR else self.private(wire.engine, wire.id)

    def there(self, wire: Wire) -> bool:
        """Does the engine still have it?"""
        try:
            return bool(self.engines[wire.engine].conn_state(self.name_of(wire)))
        except KeyError:
            return False

    def lose(self, wire: Wire, executed: int = 0) -> None:
        """The connection breaks; the node still executes so many of the requests that it was sent."""
        self.execute(wire, executed)
        self.engines[wire.engine].fail(self.name_of(wire))
        self.forget(wire)

    def cut(self, wire: Wire) -> None:
        """The node gives the connection up, of which the engine does not hear."""
        wire.cut = True
        wire.down = b""
        for ids in self.table.values():
            ids.discard(wire.id)

    def transmit(self, wire: Wire, most: int = 1 << 30) -> bool:
        if not self.there(wire):
            return False
        data = self.engines[wire.engine].sent(self.name_of(wire), most)
        wire.up += data
        return bool(data)

    def execute(self, wire: Wire, most: int = 1 << 30) -> bool:
        if wire.cut:
            return False
        framing = frame_requests(wire.up)
        assert framing.error is None
        done = 0
        for words in framing.items[:most]:
            if wire.waiting is not None:
                break
            wire.down += self.run(wire, words)
            wire.up = wire.up[len(request(*words)) :]
            done += 1
        return done > 0

    def deliver(self, wire: Wire, most: int = 1 << 30) -> bool:
        data, wire.down = wire.down[:most], wire.down[most:]
        if data and self.there(wire):
            self.engines[wire.engine].answer(self.name_of(wire), data)
        return bool(data)

    def settle(self) -> None:
        """Until nothing moves any more without time."""
        moved = True
        while moved:
            moved = False
            for wire in list(self.wires.values()):
                moved = self.transmit(wire) or moved
                moved = self.execute(wire) or moved
                moved = self.deliver(wire) or moved
            moved = self.turn() or moved
        self.collect()

    def turn(self) -> bool:
        """The end of a turn of every engine; whether a private connection opened."""
        known = self.last_id
        for index, engine in enumerate(self.engines):
            engine.turn()
            engine.events()
            self.open_privates(index)
        for wire in list(self.wires.values()):
            if not self.there(wire) or self.engines[wire.engine].conn_state(self.name_of(wire))["state"] != "open":
                self.forget(wire)
        return self.last_id != known

    def forget(self, wire: Wire) -> None:
        """The node knows this connection no more."""
        del self.wires[wire.engine, wire.name]
        for ids in self.table.values():
            ids.discard(wire.id)

    def pass_time(self, us: int) -> None:
        """The clock moves on, from one expiry to the next, and the engines notice."""
        end = self.now + us
        while True:
            due = [(when, key) for key, (_, when) in self.data.items() if when is not None and when <= end]
            fresh = [(when, key) for when, key in due if self.changes[key][-1].value is not None]
            if not fresh:
                break
            when, key = min(fresh)
            self.change(key, None, time=when, expired=True)
        self.now = end
        for engine in self.engines:
            engine.advance(us)
        self.turn()

    def live(self) -> None:
        """Have every ear heard: so reads become copies."""
        for index in range(len(self.engines)):
            if (index, EAR) not in self.wires:
                caller = self.open(index)
                for _ in range(3):
                    self.ask(caller, b"GET", WAKE)
                self.settle()
                self.leave(caller)
        self.pass_time(100_000)
        self.settle()

    # -- the node -----------------------------------------------------------------------------------------------------

    def change(self, key: tuple[int, bytes], value: bytes | None, time: int | None = None,
               expired: bool = False) -> int:  # fmt: skip
        self.number += 1
        self.changes[key].append(Change(self.number, self.now if time is None else time, value, expired))
        return self.number

    def write(self, key: tuple[int, bytes], value: bytes | None, life_us: int | None = None) -> int:
        """A change at the node, by whomever; its number."""
        self.purge(key)
        if value is None:
            existed = self.data.pop(key, None) is not None
            number = self.change(key, None)
            if existed:
                self.invalidate(key[1])
            return number
        self.data[key] = (value, None if life_us is None else self.now + life_us)
        number = self.change(key, value)
        self.invalidate(key[1])
        for wire in self.wires.values():
            if wire.waiting is not None and (wire.database, wire.waiting[1]) == key:
                words, wire.waiting = wire.waiting, None
                wire.down += self.run(wire, words)
                break
        return number

    def purge(self, key: tuple[int, bytes]) -> None:
        """What ran out is deleted when somebody looks, and only then is that told."""
        found = self.data.get(key)
        if found is not None and found[1] is not None and found[1] <= self.now:
            del self.data[key]
            self.invalidate(key[1])

    def invalidate(self, key: bytes | None) -> None:
        if key is None:
            redirects = {wire.redirect for wire in self.wires.values() if wire.tracking}
            self.table.clear()
        else:
            ids = self.table.pop(key, set())
            redirects = {wire.redirect for wire in self.wires.values() if wire.id in ids}
        for wire in self.wires.values():
            if wire.id in redirects:
                wire.down += b">2\r\n$10\r\ninvalidate\r\n" + (b"_\r\n" if key is None else b"*1\r\n" + bulk(key))

    def get(self, key: tuple[int, bytes]) -> bytes | None:
        self.purge(key)
        return self.data[key][0] if key in self.data else None

    def run(self, wire: Wire, words: list[bytes]) -> bytes:
        name = words[0].upper()
        if wire.queued is not None and name != b"EXEC":
            wire.queued.append(words)
            return b"+QUEUED\r\n"
        caching, wire.caching = wire.caching, False
        if name == b"PING":
            return b"+PONG\r\n"
        if name == b"CLIENT":
            return self.client(wire, words)
        self.seen.append(words)
        if name == b"MULTI":
            wire.queued = []
            return b"+OK\r\n"
        if name == b"EXEC":
            assert wire.queued is not None
            queued, wire.queued = wire.queued, None
            return b"*%d\r\n" % len(queued) + b"".join(self.run(wire, one) for one in queued)
        key = (wire.database, words[1]) if len(words) > 1 else (0, b"")
        if name in (b"GET", b"PTTL", b"STRLEN") and caching:
            self.table[words[1]].add(wire.id)
        if name == b"GET":
            value = self.get(key)
            return bulk(value) if value is not None else b"_\r\n" if wire.protocol == 3 else b"$-1\r\n"
        if name == b"MGET":
            return b"*%d\r\n" % len(words[1:]) + b"".join(self.run(wire, [b"GET", one]) for one in words[1:])
        if name == b"STRLEN":
            return b":%d\r\n" % len(self.get(key) or b"")
        if name == b"PTTL":
            self.purge(key)
            when = self.data[key][1] if key in self.data else 0
            return b":%d\r\n" % (-2 if key not in self.data else -1 if when is None else (when - self.now) // 1000)
        if name == b"BLPOP":
            if (value := self.get(key)) is None:
                wire.waiting = words
                return b""
            return b"*3\r\n" + bulk(words[1]) + bulk(value) + b":%d\r\n" % self.write(key, None)
        if name in (b"WATCH", b"UNWATCH"):
            return b"+OK\r\n"
        if name == b"SET" and b"NX" in words:  # the lease of a shield
            if self.get(key) is not None:
                return b"$-1\r\n"
            self.write(key, words[2], int(words[5]) * 1000)
            return b"+OK\r\n"
        number = self.run_write(name, key, words)
        return b"+OK\r\n" if name == b"SET" else b":%d\r\n" % number

    def run_write(self, name: bytes, key: tuple[int, bytes], words: list[bytes]) -> int:
        """A write; the number of its last change is its reply."""
        if name == b"SET":
            return self.write(key, words[2], int(words[4]) * 1000 if len(words) > 3 else None)
        if name in (b"DEL", b"UNLINK"):
            return max(self.write((key[0], one), None) for one in words[1:])
        if name == b"MSET":
            return max(self.write((key[0], one), value) for one, value in zip(words[1::2], words[2::2], strict=True))
        if name == b"PEXPIRE":
            value = self.get(key)
            return self.number if value is None else self.write(key, value, int(words[2]) * 1000)
        if name == b"RENAME":
            value = self.get(key)
            self.write(key, None)
            return self.write((key[0], words[2]), value)
        if name == b"FCALL":  # the last two arguments are the key and the value, whether named or not
            return self.write((key[0], words[-2]), words[-1])
        if name in (b"SWAPDB", b"FLUSHALL"):
            mine = [(database, one) for database in (0, 1) for one in KEYS]
            values = {one: self.get(one) for one in mine}
            for one in mine:
                self.data.pop(one, None)
            for database, one in mine:
                value = values[1 - database, one] if name == b"SWAPDB" else None
                self.change((database, one), value)
                if value is not None:
                    self.data[database, one] = (value, None)
            if name == b"FLUSHALL":  # redis-server tells nobody of SWAPDB
                self.invalidate(None)
            return self.number
        raise AssertionError(words)

    def client(self, wire: Wire, words: list[bytes]) -> bytes:
        what = words[1].upper()
        if what == b"CACHING":
            if not wire.tracking:
                return b"-ERR CLIENT CACHING can be called only when the client is in tracking mode\r\n"
            wire.caching = True
        elif what == b"TRACKING":
            if not self.tracks:
                return b"-ERR unknown subcommand\r\n"
            redirect = int(words[5]) if len(words) > 5 else wire.id
            if all(other.id != redirect for other in self.wires.values()):
                return b"-ERR The client ID you want redirect to does not exist\r\n"
            wire.tracking, wire.redirect = True, redirect
        return b"+OK\r\n"

    # -- clients ------------------------------------------------------------------------------------------------------

    def open(self, index: int = 0, protocol: int = 2, database: int = 0) -> Caller:
        engine = self.engines[index]
        number = engine.open()
        engine.feed(number, request(b"HELLO", b"%d" % protocol) + request(b"SELECT", b"%d" % database))
        engine.turn()
        engine.take(number)
        caller = Caller(index, number, protocol, database)
        self.callers.append(caller)
        return caller

    def leave(self, caller: Caller) -> None:
        self.callers.remove(caller)
        self.engines[caller.engine].close(caller.id)

    def ask(self, caller: Caller, *words: bytes) -> None:
        """Send one request; queued reads and writes inside MULTI are not looked at."""
        name = words[0].upper()
        key = (caller.database, words[1]) if len(words) > 1 else (0, b"")
        ask = Ask(list(words), began=self.now)
        if name in (b"GET", b"STRLEN", b"MGET"):
            ask.keys = tuple((caller.database, one) for one in words[1:])
            ask.numbers = tuple(self.acknowledged.get(one, 0) for one in ask.keys)
        elif name in (b"SET", b"PEXPIRE", b"BLPOP"):
            ask.writes = (key,)
        elif name in (b"DEL", b"UNLINK", b"RENAME"):
            ask.writes = tuple((key[0], one) for one in words[1:])
        elif name == b"MSET":
            ask.writes = tuple((key[0], one) for one in words[1::2])
        elif name == b"FCALL" and words[2] != b"0":
            ask.writes = ((caller.database, words[3]),)
        elif name in (b"FLUSHALL", b"SWAPDB"):
            ask.writes = tuple((database, one) for database in (0, 1) for one in KEYS)
        caller.asks.append(ask)
        self.steps += 1
        ask.sent = self.steps
        self.engines[caller.engine].feed(caller.id, request(*words))

    def transaction(self, caller: Caller, requests: list[list[bytes]]) -> None:
        """MULTI, these SETs and DELs, EXEC."""
        engine = self.engines[caller.engine]
        writes = tuple((caller.database, words[1]) for words in requests)
        caller.asks += [Ask([b"MULTI"]), *(Ask([b"queued"]) for _ in requests), Ask([b"EXEC"], writes=writes)]
        engine.feed(caller.id, b"".join(request(*words) for words in [[b"MULTI"], *requests, [b"EXEC"]]))

    def collect(self, caller: Caller | None = None) -> None:
        """Take what was answered, and judge it."""
        if caller is None:
            for caller in self.callers:
                self.collect(caller)
            return
        caller.inbox += self.engines[caller.engine].take(caller.id)
        framing = frame_replies(caller.inbox)
        assert framing.error is None
        if framing.left:
            caller.inbox = caller.inbox[-framing.left :]
        else:
            caller.inbox = b""
        for reply in framing.items:
            self.steps += 1
            caller.asks[0].answered = self.steps
            self.judge(caller, caller.asks.pop(0), bytes(reply))

    def judge(self, caller: Caller, ask: Ask, reply: bytes) -> None:
        if reply.startswith(b"-"):
            caller.errors.append(reply)
            return
        if ask.words[0] == b"SET":
            (key,) = ask.writes
            made = [change.number for change in self.changes[key] if change.value == ask.words[2]]
            self.acknowledge(caller, key, max(made))
            return
        if ask.keys:
            reader = hiredis.Reader()
            reader.feed(reply)
            found = reader.gets()
            for place, value in enumerate(found if ask.words[0] == b"MGET" else [found]):
                self.judge_read(caller, ask, place, value)
            return
        numbers = [int(part[1:]) for part in reply.split(b"\r\n") if part.startswith(b":")]
        if numbers:
            for key in ask.writes:
                self.acknowledge(caller, key, max(numbers))

    def acknowledge(self, caller: Caller, key: tuple[int, bytes], number: int) -> None:
        caller.own[key] = number
        self.acknowledged[key] = max(self.acknowledged.get(key, 0), number)

    def judge_read(self, caller: Caller, ask: Ask, place: int, value: Any) -> None:
        key = ask.keys[place]
        caller.values.append(value)
        least = max(ask.numbers[place], caller.own.get(key, 0))
        changes = self.changes[key]
        ages = []
        back = False
        for change, after in zip(changes, [*changes[1:], None], strict=True):
            if value != (len(change.value or b"") if ask.words[0] == b"STRLEN" else change.value):
                continue
            # A value that ran out is not to be seen any later; one that was replaced elsewhere may be, for a while.
            grace = 0 if after is None or after.expired else self.bound_us
            if after is None or (after.number > least and after.time >= ask.began - grace):
                newer = caller.newest(ask, key)
                back = after is not None and after.number <= newer
                if not back:
                    caller.seen.append((key, ask, max(change.number, newer)))
                    return
            ages.append((least - after.number, ask.began - after.time))
        if back:
            raise AssertionError(f"{ask} got {value!r} after something newer: {newer} of {changes[-6:]}")
        raise AssertionError(f"{ask} got {value!r}, which is no value of {key}, or was not since (changes, us) {ages}:"
                             f" {changes[-6:]}")

    def audit(self) -> list[str]:
        return [problem for engine in self.engines for problem in engine.audit()]
