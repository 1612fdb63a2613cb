"""Clients: who writes, reads and counts, each a thread with connections of its own, until told to stop."""

from __future__ import annotations

import math
import threading
import time
from contextlib import ExitStack
from typing import Any

import hiredis

from tests.proof import actors
from tests.proof.actors import FAILURES, Actor
from tests.staleness.history import Entry, Register, Story
from tests.system.tier import Node, Proxy

SET_DECLARED = "return redis.call('set', KEYS[1], ARGV[1])"
SET_UNDECLARED = "return redis.call('set', ARGV[1], ARGV[2])"


class Tally(actors.Tally):
    """And how stale it was."""

    def __init__(self) -> None:
        super().__init__()
        self.ages: list[float] = []  # seconds, of the reads that were stale at all
        self.increments: set[tuple[str, int]] = set()

    def stale(self, age: float) -> None:
        with self._lock:
            self.ages.append(age)

    def incremented(self, name: str, number: int) -> bool:
        """A counter was set to `number` by a transaction that was told that nobody else had touched it."""
        with self._lock:
            fresh = (name, number) not in self.increments
            self.increments.add((name, number))
            return fresh


class Scene:
    """What all threads share. The end of a register's tag says which others live on the same node: its neighbour."""

    def __init__(self, nodes: list[Node], proxies: list[Proxy], bound: float, pairs: int = 4) -> None:
        self.nodes, self.proxies, self.bound = nodes, proxies, bound
        self.tally = Tally()
        self.over = threading.Event()
        self.pairs = [
            [Register(database, f"hot:{{{database}.{number}}}:{which}") for which in "ab"]
            for database in (0, 1) for number in range(pairs)
        ]  # fmt: skip
        self.registers = [register for pair in self.pairs for register in pair]
        self.counters = [Register(0, f"count:{{{number}}}") for number in range(2)]
        self._serial = 0
        self._lock = threading.Lock()

    def value(self) -> bytes:
        """Another one each time, larger than all before."""
        with self._lock:
            self._serial += 1
            return b"v%d" % self._serial

    def everything(self, stack: ExitStack) -> None:
        """Hold the lock of every register."""
        for register in [*self.registers, *self.counters]:
            stack.enter_context(register.lock)


class Judge(Actor):
    """Who reads, and says what is to be believed of it."""

    scene: Scene

    def __init__(self, scene: Scene, seed: int) -> None:
        super().__init__(scene, seed)
        self.seen: dict[str, Entry] = {}  # by story: what it was told on its connection, if it has one alone

    def drop(self) -> None:
        super().drop()
        self.seen.clear()

    def judge(self, story: Story, value: Any, began: float, proxy: int, own: Entry | None = None,
              alone: bool = False) -> None:  # fmt: skip
        if isinstance(value, hiredis.ReplyError):
            self.scene.tally.count("errors of reads")
            return
        seen = self.seen.get(story.name) if alone else None
        verdict = story.judge(value, began, time.monotonic(), proxy, self.scene.bound, own, seen)
        if alone and verdict.entry is not None:
            self.seen[story.name] = verdict.entry
        self.scene.tally.count("reads")
        if not verdict.valid:
            self.scene.tally.violation(
                f"{self.name} by way of proxy {proxy} read {value!r} of {story.name}"
                f"{' after something newer' if verdict.back else ''}"
                f"{'' if own is None else f', having written {own.value!r}'}: {story.tell(began)}"
            )
        elif verdict.age:
            self.scene.tally.stale(verdict.age)


class Reader(Judge):
    """Pipelines of reads through one proxy, in one protocol and database."""

    def __init__(self, scene: Scene, seed: int, proxy: int) -> None:
        super().__init__(scene, seed)
        self.proxy = proxy
        self.protocol = 2 + seed // 2 % 2
        self.database = seed // 4 % 2

    def step(self) -> None:
        link = self.link(self.scene.proxies[self.proxy].address, self.protocol, self.database)
        mine = [register for register in self.scene.registers if register.database == self.database]
        stories = [register.story for register in self.dice.choices(mine, k=self.dice.randint(1, 8))]
        if self.dice.random() < 0.2:
            stories = [self.scene.counters[0].story]  # so that counters are hot, too
        began = time.monotonic()
        link.send(*(("GET", story.name) for story in stories))
        for story in stories:
            value = link.reply()
            if not story.name.startswith("count"):
                self.judge(story, value, began, self.proxy, alone=True)


class Writer(Judge):
    """One write at a time, of every kind, through any proxy or past them, and a look at it in the same pipeline."""

    KINDS = ("set", "px", "del", "declared", "undeclared", "multi", "rename", "mset", "past", "past del", "flush")
    WEIGHTS = (30, 8, 4, 4, 4, 5, 3, 3, 5, 2, 0.3)

    def step(self) -> None:
        kind = self.dice.choices(self.KINDS, self.WEIGHTS)[0]
        pair = self.dice.sample(self.dice.choice(self.scene.pairs), 2)
        if kind == "flush":
            with ExitStack() as stack:
                self.scene.everything(stack)
                for counter in self.scene.counters:
                    counter.retire()
                if not self.write(kind, self.scene.registers, [["FLUSHALL"]], [None] * len(self.scene.registers)):
                    time.sleep(3)  # until it cannot happen any more
                    for register in self.scene.registers:
                        register.retire()
                for counter in self.scene.counters:  # what was counted meanwhile may be gone
                    counter.retire()
        else:
            two = kind in ("rename", "mset")
            with ExitStack() as stack:
                for register in sorted(pair if two else pair[:1], key=lambda one: one.story.name):
                    stack.enter_context(register.lock)
                self.one(kind, pair)
        time.sleep(self.dice.choice((0, 0.001, 0.01, 0.03)))

    def one(self, kind: str, pair: list[Register]) -> None:
        register, other = pair
        key, second = register.story.name, other.story.name
        value = self.scene.value()
        text = value.decode()
        if kind in ("set", "past"):
            self.write(kind, [register], [["SET", key, text]], [value])
        elif kind == "px":
            life = self.dice.choice((5, 30, 100, 400, 1500))
            self.write(kind, [register], [["SET", key, text, "PX", str(life)]], [value], life / 1000)
        elif kind in ("del", "past del"):
            self.write(kind, [register], [["DEL", key]], [None])
        elif kind == "declared":
            self.write(kind, [register], [["EVAL", SET_DECLARED, "1", key, text]], [value])
        elif kind == "undeclared":
            route = f"{key.partition('}')[0]}}}:elsewhere"
            self.write(kind, [register], [["EVAL", SET_UNDECLARED, "1", route, key, text]], [value])
        elif kind == "multi":
            self.write(kind, [register], [["MULTI"], ["SET", key, text], ["EXEC"]], [value])
        elif kind == "mset":
            self.write(kind, pair, [["MSET", key, text, second, text]], [value, value])
        elif kind == "rename" and self.write("set", [register], [["SET", key, text]], [value]):
            self.write(kind, pair, [["RENAME", key, second]], [None, value])

    def write(self, kind: str, registers: list[Register], requests: list[list[str]], values: list[bytes | None],
              life: float = math.inf) -> bool:  # fmt: skip
        """Send it and a GET behind it, and say what became of it. With the locks held."""
        scene, past = self.scene, kind.startswith("past")
        proxy = self.dice.randrange(len(scene.proxies))
        stories = [register.story for register in registers]
        try:
            if past:
                # Whichever node has it: a key that is nowhere yet is written through a proxy.
                links = [self.link(node.port, 2, registers[0].database) for node in scene.nodes]
                found = [link for link in links if link("EXISTS", stories[0].name) == 1]
                if len(found) != 1:
                    return False
                link = found[0]
            else:
                link = self.link(scene.proxies[proxy].address, self.dice.choice((2, 3)), registers[0].database)
        except FAILURES:
            self.drop()
            return False
        began = time.monotonic()
        entries = [story.begin(value, began, life) for story, value in zip(stories, values, strict=True)]
        done = False
        try:
            link.send(*requests, ["GET", stories[0].name])
            replies = link.replies(len(requests))
            ended = time.monotonic()
            last = replies[-1]
            done = not isinstance(last, hiredis.ReplyError) and not (isinstance(last, list) and any(
                isinstance(part, hiredis.ReplyError) for part in last))  # fmt: skip
            if done:
                for story, entry in zip(stories, entries, strict=True):
                    story.acknowledge(entry, ended, life, None if past or kind == "undeclared" else proxy)
            value = link.reply()
            if done and not past:
                self.judge(stories[0], value, began, proxy, None if kind == "undeclared" else entries[0])
        except FAILURES:
            self.drop()
        scene.tally.count("writes" if done else "writes of unknown fate")
        if not done:
            for register in registers:
                register.retire()
        return done


class Incrementer(Actor):
    """Counts with WATCH, GET, MULTI, SET and EXEC: no two transactions may bring about the same number."""

    scene: Scene

    def step(self) -> None:
        scene = self.scene
        register = scene.counters[0 if self.dice.random() < 0.7 else 1]
        story = register.story
        if register.lock.locked():  # all of it may be deleted just now
            time.sleep(0.01)
            return
        link = self.link(self.dice.choice(scene.proxies).address, self.dice.choice((2, 3)), 0)
        if self.dice.random() < 0.5:
            link("GET", story.name)  # perhaps from a copy: of no use under a WATCH
        answers = [link("WATCH", story.name), link("GET", story.name)]
        if any(isinstance(answer, hiredis.ReplyError) for answer in answers):
            link("UNWATCH")
            return
        number = int(answers[1] or 0) + 1
        link.send(["MULTI"], ["SET", story.name, str(number)], ["EXEC"])
        done = link.replies(3)[2]
        if isinstance(done, list) and done and not isinstance(done[0], hiredis.ReplyError):
            scene.tally.count("increments")
            if not scene.tally.incremented(story.name, number) and not story.void:
                scene.tally.violation(f"{story.name} was set to {number} by two transactions")
        elif done is None:
            scene.tally.count("increments tried again")
        time.sleep(self.dice.choice((0, 0.005)))
