"""A random walk over copies: two engines, one node, every connection moved by hand, each read judged.

See tests/engine/world.py for what a read may return. The audit after each step counts the marks: as many are open as
writes are on their way, and none when nothing is. The walk is seeded and weighted by hand: left to itself, hypothesis
rarely gets as far as a copy. `python -m tests.engine.test_coherence FROM TO` walks other seeds.
"""

from __future__ import annotations

import sys
from collections import Counter
from random import Random

import pytest

from tests.engine.world import EAR, KEYS, Caller, Wire, World

STEPS = 400
TIMES = (1, 1, 20_000, 100_000, 100_000, 300_000, 600_000, 1_100_000)
LIVES = (10_000, 150_000, 2_000_000)
WRITES = ("set", "set", "set", "del", "px", "px", "pexpire", "mset", "rename", "multi", "fcall", "undeclared", "flush",
          "swap", "blpop")  # fmt: skip
#: What happens next, and how often.
ACTIONS = {
    "read": 30, "write": 8, "elsewhere": 5, "move": 25, "carry": 25, "settle": 6, "hear": 10, "later": 3, "turn": 5,
    "lose": 1, "cut": 1, "reconnect": 3, "arrive": 1, "leave": 1, "eject": 1, "silence": 2,
}  # fmt: skip


class Walk:
    def __init__(self, seed: int) -> None:
        self.dice = Random(seed)
        self.tracked = self.dice.random() < 0.75
        self.world = World(
            self.dice.choice((1, 2)), "tracked" if self.tracked else "ttl", 10_000_000 if self.tracked else 700_000,
            timeout_us=self.dice.choice((0, 1_000_000)))  # fmt: skip
        self.serial = 0
        for index in range(4):
            self.world.open(index % len(self.world.engines), 2 + index // 2)
        if self.tracked:
            self.world.live()

    def run(self, steps: int) -> None:
        names, weights = list(ACTIONS), list(ACTIONS.values())
        for _ in range(steps):
            getattr(self, self.dice.choices(names, weights)[0])()
            self.world.collect()
            assert self.world.audit() == []
        self.end()

    def end(self) -> None:
        """Everything is answered, and nothing is open."""
        for wire in list(self.world.wires.values()):
            if wire.cut:
                self.world.lose(wire)
        self.reconnect()
        for _ in range(3):
            self.world.pass_time(200_000)
            self.world.settle()
        for caller in list(self.world.callers):
            assert not caller.asks or caller.asks[0].words[0] == b"BLPOP"
            self.world.leave(caller)
        self.world.settle()
        assert self.world.audit() == []

    def value(self) -> bytes:
        self.serial += 1
        return b"%d" % self.serial * (1 + self.serial % 7)

    def caller(self) -> Caller:
        return self.dice.choice(self.world.callers)

    def wire(self) -> Wire | None:
        wires = [wire for wire in self.world.wires.values() if self.world.there(wire)]
        busy = [wire for wire in wires if wire.up or wire.down
                or self.world.engines[wire.engine].conn_state(self.world.name_of(wire))["output"]]  # fmt: skip
        return self.dice.choice(busy or wires) if wires else None

    # -- what may happen ----------------------------------------------------------------------------------------------

    def read(self) -> None:
        caller = self.caller()
        if self.dice.random() < 0.15:
            self.world.ask(caller, b"MGET", *self.dice.sample(KEYS, 2))
        for _ in range(self.dice.randint(1, 3)):
            self.world.ask(caller, self.dice.choice((b"GET", b"GET", b"GET", b"STRLEN")), self.dice.choice(KEYS))

    def write(self) -> None:
        caller, kind, life_us = self.caller(), self.dice.choice(WRITES), self.dice.choice(LIVES)
        key, other = self.dice.sample(KEYS, 2)
        ask = self.world.ask
        if kind == "set":
            ask(caller, b"SET", key, self.value())
        elif kind == "del":
            ask(caller, b"DEL", key)
        elif kind == "px":
            ask(caller, b"SET", key, self.value(), b"PX", b"%d" % (life_us // 1000))
        elif kind == "pexpire":
            ask(caller, b"PEXPIRE", key, b"%d" % (life_us // 1000))
        elif kind == "mset":
            ask(caller, b"MSET", key, self.value(), other, self.value())
        elif kind == "rename":
            ask(caller, b"RENAME", key, other)
        elif kind == "multi":
            words = [b"SET", key, self.value()]
            self.world.transaction(caller, [words, [b"DEL", other]])
        elif kind == "fcall":
            ask(caller, b"FCALL", b"f", b"1", key, self.value())
        elif kind == "undeclared":
            ask(caller, b"FCALL", b"f", b"0", key, self.value())
        elif kind == "flush":
            ask(caller, b"FLUSHALL")
        elif kind == "swap" and len(self.world.engines) == 1 and not self.tracked:
            ask(caller, b"SWAPDB", b"0", b"1")
        elif kind == "blpop":
            ask(caller, b"BLPOP", key, b"0")
        if self.dice.random() < 0.5:
            ask(caller, b"GET", key)

    def elsewhere(self) -> None:
        key = (self.dice.choice((0, 0, 1)), self.dice.choice(KEYS))
        if self.dice.random() < 0.05:
            self.world.run_write(b"FLUSHALL", key, [])
            return
        value = None if self.dice.random() < 0.2 else self.value()
        self.world.write(key, value, self.dice.choice(LIVES) if self.dice.random() < 0.3 else None)

    def move(self) -> None:
        wire = self.wire()
        if wire is None:
            return
        step = self.dice.randrange(3)
        if step == 0:
            self.world.transmit(wire, self.dice.choice((1, 50, 1 << 30, 1 << 30)))
        elif step == 1:
            self.world.execute(wire, self.dice.randint(1, 4))
        else:
            self.world.deliver(wire, self.dice.choice((1, 50, 1 << 30, 1 << 30)))

    def carry(self) -> None:
        wire = self.wire()
        if wire is not None:
            self.world.transmit(wire)
            self.world.execute(wire)
            self.world.deliver(wire)

    def settle(self) -> None:
        self.world.settle()

    def hear(self) -> None:
        """Only the ears: what was invalidated is known, what was answered is not."""
        self.world.pass_time(100_000)
        for wire in list(self.world.wires.values()):
            if wire.name == EAR:
                self.world.transmit(wire)
                self.world.execute(wire)
                self.world.deliver(wire)

    def silence(self) -> None:
        """The ear has something to say, and says it too late."""
        self.elsewhere()
        self.world.pass_time(600_000)
        self.read()

    def later(self) -> None:
        self.world.pass_time(self.dice.choice(TIMES))

    def turn(self) -> None:
        self.world.turn()

    def lose(self) -> None:
        wire = self.wire()
        if wire is not None:
            self.world.lose(wire, self.dice.randint(0, 3))

    def cut(self) -> None:
        wire = self.wire()
        if wire is not None and len(wire.name) == 4 and self.dice.random() < 0.3:
            self.world.cut(wire)

    def reconnect(self) -> None:
        for wire in list(self.world.wires.values()):
            if wire.cut and self.dice.random() < 0.3:
                self.world.lose(wire)
        for index in range(len(self.world.engines)):
            for protocol in (2, 3):
                for database in (0, 1):
                    name = (0, protocol, database, 0)
                    if (index, name) not in self.world.wires:
                        self.world.connect(index, name)

    def arrive(self) -> None:
        if len(self.world.callers) < 7:
            index = self.dice.randrange(len(self.world.engines))
            self.world.open(index, self.dice.choice((2, 3)), self.dice.choice((0, 0, 1)))

    def leave(self) -> None:
        if len(self.world.callers) > 3:
            self.world.leave(self.caller())

    def eject(self) -> None:
        """Out and in again: what was copied is not to be trusted."""
        index = self.dice.randrange(len(self.world.engines))
        self.world.engines[index].eject(0, 0, True)
        self.world.turn()
        self.world.engines[index].eject(0, 0, False)
        self.world.turn()


def walk(seed: int, steps: int = STEPS) -> Counter[str]:
    """One walk; what the engines counted."""
    found = Walk(seed)
    try:
        found.run(steps)
    except AssertionError as problem:
        raise AssertionError(f"seed {seed}: {problem}") from problem
    counters: Counter[str] = Counter()
    for engine in found.world.engines:
        counters.update(engine.counters())
    return counters


@pytest.mark.parametrize("seed", range(16))
def test_walk(seed: int) -> None:
    walk(seed)


def test_walks_get_somewhere() -> None:
    """Enough happens in them that a fence which is missing would be missed."""
    counters = sum((walk(seed) for seed in range(100, 106)), Counter())
    for name in ("copy_hits", "copies_stored", "copies_changed", "reads_joined", "fetches_stale", "invalidations"):
        assert counters[name] > 30, (name, counters)


if __name__ == "__main__":
    for number in range(int(sys.argv[1]), int(sys.argv[2])):
        walk(number)
