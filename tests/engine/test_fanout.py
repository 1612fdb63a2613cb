"""Copies of hot keys on other nodes: where they are, who reads them, what ends them, and what a client may ever see.

The last tests let requests and replies travel as they like, and hold every read against the values that its key had
between the read's beginning and its end.
"""

from __future__ import annotations

import random
from collections import deque
from typing import Any

import pytest

from proxy.acl import default_user
from proxy.engine.engine import EngineGroup
from proxy.engine.probe import Probe
from tests.engine.harness import LIMITS, key_on, ring
from tests.engine.nodes import Store, Wire
from tests.helpers import request
from tests.oracle import resp

NODES = 3
KEY = key_on(0, NODES)
WALK = ring(NODES).candidates(KEY, NODES)
TTL = 1_000_000  # microseconds that a copy lives at most
TOMBSTONE = 500_000
OTHER = key_on(WALK[1], NODES, 5)
SUFFIX = [b"%b\0#%d" % (KEY, place) for place in range(NODES)]


def heat(copies: str = "off", fan_out: int = 2, **more: Any) -> dict[str, Any]:
    """Every key that is asked for a few times is hot, and stays so."""
    return {"threshold": 1, "memory": 1 << 20, "max_value": 64, "max_keys": 64,
            "rules": [(b"", copies, 10_000_000, 0, 0, False, fan_out, TTL)], **more}  # fmt: skip


def probe(group: EngineGroup, index: int = 0, hot: dict[str, Any] | None = None, **more: Any) -> Probe:
    engine = Probe(group, index, b"quench:0:0", 1 << 30, 1 << 40)
    engine.add_pools([{
        "name": b"p", "listener": -1, "unix_socket": False, "placement": ring(NODES), "auto_eject": False,
        "nil_on_error": False, "split_transactions": False, "database": 0, "users": (default_user(None),),
        "node_auth": [], "hot": hot or heat(), "counters": None,
        "replica_of": [], "nodes": [(b"n%d" % node, b"10.0.0.%d:6379" % node) for node in range(NODES)],
        "limits": {**LIMITS, **more},
    }])  # fmt: skip
    for node in range(NODES):
        for protocol in (2, 3):
            engine.connect(node, protocol)
    engine.events()
    return engine


class World:
    """Processes of an engine or several, before the same nodes."""

    def __init__(self, processes: int = 1, engines: int = 1, **more: Any) -> None:
        self.now = 0
        self.stores = [Store() for _ in range(NODES)]
        self.wires = [
            Wire(probe(group, index, **more), self.stores)
            for group in [EngineGroup(engines) for _ in range(processes)] for index in range(engines)
        ]  # fmt: skip
        self.start = {}
        self.advance(10 * TTL)

    def advance(self, us: int) -> None:
        self.now += us
        for wire in self.wires:
            wire.engine.advance(us)

    def settle(self) -> None:
        for _ in range(3):
            for wire in self.wires:
                wire.settle(self.now)

    def ask(self, client: int, *words: bytes, wire: int = 0) -> bytes:
        """One request and everything that it sets off, but nothing that takes time."""
        self.wires[wire].engine.feed(client, request(*words))
        self.settle()
        return self.wires[wire].engine.take(client)

    def heat_up(self, client: int, key: bytes = KEY, wire: int = 0, reads: int = 30) -> None:
        """Ask until there are copies."""
        for _ in range(reads):
            self.ask(client, b"GET", key, wire=wire)

    def copies(self) -> dict[int, bytes]:
        """By place in the walk, what is there."""
        found = {place: self.stores[node].get(SUFFIX[place], self.now) for place, node in enumerate(WALK)}
        return {place: value for place, value in found.items() if value is not None}

    def counters(self, wire: int = 0) -> dict[str, int]:
        return self.wires[wire].engine.counters()


def test_copies_are_on_the_next_nodes_of_the_walk():
    world = World()
    client = world.wires[0].engine.open()
    world.ask(client, b"SET", KEY, b"value")
    world.heat_up(client)
    assert sorted(world.copies()) == [1, 2]
    assert all(copy.endswith(b"$5\r\nvalue\r\n") for copy in world.copies().values())
    assert world.ask(client, b"GET", KEY) == b"$5\r\nvalue\r\n"
    counters = world.counters()
    assert counters["fan_out_fills"] == 2
    assert 0 < counters["fan_out_hits"] == counters["fan_out_reads"] < 30


def test_one_copy_where_one_is_wanted():
    world = World(hot=heat(fan_out=1))
    client = world.wires[0].engine.open()
    world.ask(client, b"SET", KEY, b"value")
    world.heat_up(client)
    assert sorted(world.copies()) == [1]


def test_a_share_of_the_reads_stays_at_home():
    world = World()
    engine = world.wires[0].engine
    client = engine.open()
    world.ask(client, b"SET", KEY, b"value")
    world.heat_up(client)
    for store in world.stores:
        store.seen.clear()
    for _ in range(300):
        world.ask(client, b"GET", KEY)
    asked = [sum(args[0] == b"GET" for args in store.seen) for store in world.stores]
    assert sum(asked) == 300
    assert all(70 <= count <= 130 for count in asked)


def test_a_copy_lives_no_longer_than_its_key_and_than_it_may():
    world = World()
    client = world.wires[0].engine.open()
    world.ask(client, b"SET", KEY, b"value", b"PX", b"300")
    world.heat_up(client)
    (end,) = {world.stores[WALK[place]].values[0, SUFFIX[place]][1] for place in (1, 2)}
    assert world.now < end <= world.now + 300_000
    world.ask(client, b"SET", KEY, b"value")
    world.advance(TOMBSTONE)
    world.heat_up(client)
    (end,) = {world.stores[WALK[place]].values[0, SUFFIX[place]][1] for place in (1, 2)}
    assert end == world.now + TTL


def test_an_expired_copy_is_filled_anew():
    world = World()
    client = world.wires[0].engine.open()
    world.ask(client, b"SET", KEY, b"value")
    for _ in range(5):
        world.heat_up(client)
        assert sorted(world.copies()) == [1, 2]
        world.advance(TTL)
        assert world.copies() == {}
    assert world.counters()["fan_out_fills"] == 10


def test_a_missing_key_is_not_copied():
    world = World()
    client = world.wires[0].engine.open()
    world.heat_up(client)
    assert world.ask(client, b"GET", KEY) == b"$-1\r\n"
    assert world.counters()["fan_out_fills"] == 0


def test_a_write_ends_the_copies_before_and_after():
    world = World()
    client = world.wires[0].engine.open()
    world.ask(client, b"SET", KEY, b"one")
    world.heat_up(client)
    for store in world.stores:
        store.seen.clear()
    assert world.ask(client, b"SET", KEY, b"two") == b"+OK\r\n"
    assert world.copies() == {1: b"-", 2: b"-"}
    for place in (1, 2):
        assert world.stores[WALK[place]].seen == [[b"SET", SUFFIX[place], b"-", b"PX", b"500"]] * 2
    for _ in range(10):
        assert world.ask(client, b"GET", KEY) == b"$3\r\ntwo\r\n"
    world.advance(TOMBSTONE)
    world.heat_up(client)
    assert all(copy.endswith(b"$3\r\ntwo\r\n") for copy in world.copies().values())


@pytest.mark.parametrize("write", [
    [[b"SET", KEY, b"new"]],
    [[b"DEL", KEY]],
    [[b"DEL", OTHER, KEY]],
    [[b"MSET", OTHER, b"x", KEY, b"new"]],
    [[b"MULTI"], [b"SET", KEY, b"new"], [b"EXEC"]],
], ids=lambda write: b" ".join(word for words in write for word in words[:1]).decode())  # fmt: skip
def test_the_reply_to_a_write_waits_for_the_tombstones(write: list[list[bytes]]):
    world = World()
    client = world.wires[0].engine.open()
    world.ask(client, b"SET", KEY, b"one")
    world.heat_up(client)
    for place in (1, 2):
        world.stores[WALK[place]].takes = 1
    reply = b"".join(world.ask(client, *words) for words in write)
    assert reply == (b"+OK\r\n+QUEUED\r\n" if len(write) > 1 else b"")
    assert world.stores[WALK[0]].get(KEY, world.now) != b"one"
    for place in (2, 1):
        assert world.wires[0].engine.take(client) == b""
        world.stores[WALK[place]].takes = None
        world.settle()
    assert world.wires[0].engine.take(client) in (b"+OK\r\n", b":1\r\n", b"*1\r\n+OK\r\n")


def test_a_copy_node_that_hangs_delays_a_write_by_no_more_than_a_copy_lives():
    world = World()
    engine = world.wires[0].engine
    client = engine.open()
    world.ask(client, b"SET", KEY, b"one")
    world.heat_up(client)
    world.stores[WALK[1]].down = True
    assert world.ask(client, b"SET", KEY, b"two") == b""
    world.advance(TTL - 20_000)
    world.settle()
    assert engine.take(client) == b""
    world.advance(20_000)
    world.settle()
    assert engine.take(client) == b"+OK\r\n"
    # From here on it is left out: the next writes wait for the others alone.
    world.advance(2 * TTL)
    assert world.ask(client, b"SET", KEY, b"three") == b"+OK\r\n"
    world.advance(TOMBSTONE)
    world.heat_up(client)
    assert sorted(world.copies()) == [2]


def test_a_copy_node_that_is_lost_delays_a_write_by_no_more_than_a_copy_lives():
    world = World()
    engine = world.wires[0].engine
    client = engine.open()
    world.ask(client, b"SET", KEY, b"one")
    world.heat_up(client)
    for protocol in (2, 3):
        engine.fail((WALK[1], protocol, 0, 0))
    engine.node_down(0, WALK[1], b"it is gone")
    engine.turn()
    reply = world.ask(client, b"SET", KEY, b"two")
    if reply == b"":
        world.advance(TTL)
        world.settle()
        reply = engine.take(client)
    assert reply == b"+OK\r\n"


def test_a_copy_that_is_not_answered_is_asked_for_at_home():
    world = World()
    engine = world.wires[0].engine
    client = engine.open()
    world.ask(client, b"SET", KEY, b"one")
    world.heat_up(client)
    for place in (1, 2):
        world.stores[WALK[place]].down = True
    waited = 0
    for _ in range(20):
        reply = world.ask(client, b"GET", KEY)
        if reply == b"":
            waited += 1
            world.advance(260_000)
            world.settle()
            reply = engine.take(client)
        assert reply == b"$3\r\none\r\n"
    assert 1 <= waited <= 2


def test_a_copy_whose_connection_breaks_is_asked_for_at_home():
    world = World()
    engine = world.wires[0].engine
    client = engine.open()
    world.ask(client, b"SET", KEY, b"one")
    world.heat_up(client)
    for place in (1, 2):
        world.stores[WALK[place]].down = True
    while world.ask(client, b"GET", KEY) != b"":
        pass
    for place in (1, 2):
        engine.fail((WALK[place], 2, 0, 0))
    world.advance(20_000)
    world.settle()
    assert engine.take(client) == b"$3\r\none\r\n"


@pytest.mark.parametrize("found", [b"-", b"x" * 200, b"", b"QCF1" + b"\0" * 100])
def test_what_is_no_copy_is_asked_for_at_home(found: bytes):
    world = World()
    client = world.wires[0].engine.open()
    world.ask(client, b"SET", KEY, b"one")
    world.heat_up(client)
    hits = world.counters()["fan_out_hits"]
    for place in (1, 2):
        world.stores[WALK[place]].values[0, SUFFIX[place]] = found, None
    for _ in range(20):
        assert world.ask(client, b"GET", KEY) == b"$3\r\none\r\n"
    assert world.counters()["fan_out_hits"] == hits


def test_a_damaged_reply_is_not_passed_on():
    world = World()
    client = world.wires[0].engine.open()
    world.ask(client, b"SET", KEY, b"one")
    world.heat_up(client)
    for place in (1, 2):
        copy, end = world.stores[WALK[place]].values[0, SUFFIX[place]]
        world.stores[WALK[place]].values[0, SUFFIX[place]] = copy + b"+more\r\n", end
    for _ in range(20):
        assert world.ask(client, b"GET", KEY) == b"$3\r\none\r\n"


def test_another_command_and_another_protocol_are_not_answered_from_it():
    world = World()
    engine = world.wires[0].engine
    client, other = engine.open(), engine.open()
    world.ask(other, b"HELLO", b"3")
    world.ask(client, b"SET", KEY, b"one")
    world.heat_up(client)
    hits = world.counters()["fan_out_hits"]
    for _ in range(5):
        assert world.ask(client, b"STRLEN", KEY) == b":3\r\n"
        assert world.ask(other, b"GET", KEY) == b"$3\r\none\r\n"
    assert world.counters()["fan_out_hits"] == hits


def test_with_both_small_values_are_local_and_large_ones_on_other_nodes():
    world = World(hot=heat("ttl"))
    engine = world.wires[0].engine
    client = engine.open()
    world.ask(client, b"SET", KEY, b"small")
    world.heat_up(client)
    counters = world.counters()
    assert counters["copies_stored"] >= 1
    assert counters["copy_hits"] > 20
    world.ask(client, b"SET", KEY, b"large" * 100)
    world.advance(TOMBSTONE)
    hits = counters["copy_hits"]
    for _ in range(60):
        assert world.ask(client, b"GET", KEY) == b"$500\r\n" + b"large" * 100 + b"\r\n"
    assert world.counters()["copy_hits"] == hits
    assert world.counters()["fan_out_hits"] > 20


def test_a_value_above_the_bulk_limit_is_not_copied():
    world = World()
    client = world.wires[0].engine.open()
    world.ask(client, b"SET", KEY, b"x" * (300 << 10))
    world.heat_up(client, reads=8)
    assert world.copies() == {}


def test_a_slow_fill_is_dropped():
    world = World()
    wire = world.wires[0]
    client = wire.engine.open()
    world.ask(client, b"SET", KEY, b"one")
    world.stores[WALK[0]].down = True
    for _ in range(8):
        wire.engine.feed(client, request(b"GET", KEY))
        wire.settle(world.now)
    world.advance(TOMBSTONE // 2 + 1)
    world.stores[WALK[0]].down = False
    world.settle()
    assert wire.engine.take(client) == b"$3\r\none\r\n" * 8
    assert world.counters()["fan_out_fills"] == 0


def test_copies_are_deleted_when_keys_are_no_longer_hot():
    world = World()
    engine = world.wires[0].engine
    client = engine.open()
    world.ask(client, b"SET", KEY, b"one")
    world.heat_up(client)
    assert len(world.copies()) == 2
    engine.forget_hot_keys()
    world.advance(20_000)
    world.settle()
    assert world.copies() == {}


def test_copies_are_deleted_when_the_proxy_drains():
    world = World()
    engine = world.wires[0].engine
    client = engine.open()
    world.ask(client, b"SET", KEY, b"one")
    world.heat_up(client)
    engine.drain()
    world.settle()
    world.advance(20_000)
    world.settle()
    assert world.copies() == {}


NAME = b"key\0#12"


@pytest.mark.parametrize("request_", [
    [b"GET", NAME], [b"SET", NAME, b"x"], [b"MGET", b"a", NAME], [b"DEL", NAME, b"a"],
    [b"MSET", b"a", b"b", NAME, b"c"], [b"EVAL", b"return 1", b"1", NAME], [b"BLPOP", NAME, b"0"], [b"WATCH", NAME],
    [b"OBJECT", b"ENCODING", NAME], [b"GET", b"\0#1"], [b"RENAME", b"a", NAME],
])  # fmt: skip
def test_clients_may_not_name_a_copy(request_: list[bytes]):
    world = World()
    client = world.wires[0].engine.open()
    assert world.ask(client, *request_).startswith(b"-ERR '")
    assert not any(store.seen for store in world.stores)


def test_it_breaks_a_transaction():
    world = World()
    client = world.wires[0].engine.open()
    assert world.ask(client, b"MULTI") == b"+OK\r\n"
    assert b"zero byte" in world.ask(client, b"GET", NAME)
    assert world.ask(client, b"EXEC").startswith(b"-EXECABORT")


@pytest.mark.parametrize(
    "key", [b"key#12", b"\0#", b"key\0#12x", b"key\0 #1", b"\0", b"1", b"#1", b"key\0#123456", b""]
)
def test_other_names_are_free(key: bytes):
    world = World()
    client = world.wires[0].engine.open()
    assert world.ask(client, b"SET", key, b"a\0#1") == b"+OK\r\n"
    assert world.ask(client, b"GET", key) == b"$4\r\na\0#1\r\n"


def test_without_copies_on_other_nodes_every_name_is_free():
    world = World(hot=heat("ttl", fan_out=0))
    client = world.wires[0].engine.open()
    assert world.ask(client, b"SET", NAME, b"x") == b"+OK\r\n"


# -- what a client may see ---------------------------------------------------------------------------------------------


class Checked(World):
    """A world in which bytes travel as chance has it; every read is held against the values of its time."""

    def __init__(self, seed: int, *, bound: int = 0, ordered: bool = True, **more: Any) -> None:
        super().__init__(**more)
        self.ordered = ordered  #: what a client reads is never older than what it read before, pipelined or not
        self.random = random.Random(seed)
        self.bound = bound  #: microseconds by which a read may be behind writes of other processes
        self.number = 0
        #: (time, process that wrote it, value) as the home node took them
        self.history: list[tuple[int, int, bytes]] = []
        self.clients = [
            (index, wire.engine.open(), deque()) for index, wire in enumerate(self.wires) for _ in range(3)
        ]  # fmt: skip
        self.read = {client: 0 for client in range(len(self.clients))}
        self.step()
        self.write_home(b"v0", -1)

    def write_home(self, value: bytes, process: int) -> None:
        self.stores[WALK[0]].values[0, KEY] = value, None
        self.history.append((self.steps, process, value))

    steps = 0

    def step(self) -> None:
        self.steps += 1

    def issue(self) -> None:
        """Some client asks for something, behind whatever it has asked for."""
        place = self.random.randrange(len(self.clients))
        index, client, owed = self.clients[place]
        if len(owed) >= 6:
            return
        data = b""
        for _ in range(self.random.choice((1, 1, 2, 4))):
            if self.random.random() > self.writing:
                data += request(b"GET", KEY)
                owed.append(("read", self.steps, self.now))
            else:
                self.number += 1
                data += request(b"SET", KEY, b"v%d" % self.number)
                owed.append(("write", b"v%d" % self.number, self.now))
        self.wires[index].engine.feed(client, data)

    def move(self) -> None:
        """One thing happens somewhere."""
        wire = self.random.choice(self.wires)
        name = self.random.choice([name for name in wire.names if name[1] == 2])
        chance = self.random.random()
        if chance < 0.3:
            wire.engine.turn()
            wire.collect()
        elif chance < 0.65:
            waiting = wire.requests.get(name)
            if waiting:
                request = waiting[0]
                wire.execute(name, self.now, 1)
                if request[:2] == [b"SET", KEY]:
                    self.history.append((self.steps, self.wires.index(wire), request[2]))
        else:
            wire.deliver(name, 1)

    def hear(self) -> None:
        for place, (index, client, owed) in enumerate(self.clients):
            data = self.wires[index].engine.take(client)
            framing = resp.frame_replies(data)
            assert framing.error is None
            assert framing.left == 0
            for reply in framing.items:
                what, began, since = owed.popleft()
                if what == "write":
                    assert reply == b"+OK\r\n"
                    self.read[place] = max(self.read[place], self.version(began))
                else:
                    self.judge(place, bytes(reply), began, since)

    def version(self, value: bytes) -> int:
        return next(number for number, (_, _, held) in enumerate(self.history) if held == value)

    def judge(self, place: int, reply: bytes, began: int, since: int) -> None:
        value = reply.split(b"\r\n")[1]
        number = self.version(value)
        # Was it the key's value at any time since the read began? Until a newer one came, that is.
        newer = self.history[number + 1 :]
        if not self.bound:
            assert not newer or newer[0][0] >= began, (value, began, self.history[number : number + 3])
            # And a client never goes back, nor does it miss what it wrote.
            assert number >= self.read[place], (value, self.history[self.read[place]])
            self.read[place] = max(self.read[place], number if self.ordered else 0)
            return
        mine = self.clients[place][0]
        own = [entry for entry in newer if entry[1] == mine]
        assert not own or own[0][0] >= began, (value, began, own[0])

    writing = 0.0  # share of writes

    def run(self, moves: int) -> None:
        for number in range(moves):
            self.step()
            if number % 400 == 0:
                # Copies come to be where little is written, and are put to the test where more is.
                self.writing = self.random.choice((0.01, 0.03, 0.15))
            chance = self.random.random()
            if chance < 0.12:
                self.issue()
            elif chance < 0.16:
                self.advance(self.random.choice((100, 1000, 5000, 30_000, 200_000)))
            else:
                self.move()
            self.hear()
        for _ in range(100):
            self.step()
            for wire in self.wires:
                wire.engine.turn()
                wire.collect()
                for name in wire.names:
                    while wire.requests[name]:
                        request = wire.requests[name][0]
                        wire.execute(name, self.now, 1)
                        if request[:2] == [b"SET", KEY]:
                            self.history.append((self.steps, self.wires.index(wire), request[2]))
                    wire.deliver(name)
            self.advance(20_000)
            self.hear()
        assert not any(owed for _, _, owed in self.clients)


@pytest.mark.parametrize("copies", ["off", "ttl"])
def test_through_one_process_every_read_is_of_its_time(copies: str):
    hits = tombstones = 0
    for seed in range(12):
        # With local copies, too, the values from v10 on are too large for one.
        world = Checked(seed, hot=heat(copies, max_value=8), ordered=copies == "off")
        world.run(6000)
        hits += world.counters()["fan_out_hits"]
        tombstones += world.counters()["fan_out_tombstones"]
    assert hits > 100
    assert tombstones > 100


def test_through_two_engines_of_a_process_too():
    hits = 0
    for seed in range(8):
        world = Checked(seed, engines=2)
        world.run(6000)
        hits += world.counters(0)["fan_out_hits"] + world.counters(1)["fan_out_hits"]
    assert hits > 100


def test_with_two_processes_nobody_misses_a_write_of_his_own():
    hits = 0
    for seed in range(8):
        world = Checked(seed, processes=2, bound=TTL)
        world.run(6000)
        hits += world.counters(0)["fan_out_hits"] + world.counters(1)["fan_out_hits"]
    assert hits > 100
