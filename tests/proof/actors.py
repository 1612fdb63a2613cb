"""Actors: threads that do one thing after another to a tier until they are told to stop, and what they saw together."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from typing import Protocol

from tests.system.tier import Link, Node, Proxy

FAILURES = (OSError, ConnectionError)


class Tally:
    """What was seen, by all threads together."""

    def __init__(self) -> None:
        self.violations: list[str] = []
        self.counts: Counter[str] = Counter()
        self._lock = threading.Lock()

    def count(self, name: str, number: int = 1) -> None:
        with self._lock:
            self.counts[name] += number

    def violation(self, text: str) -> None:
        with self._lock:
            self.violations.append(text)


class Scene(Protocol):
    """What the actors of one run share."""

    nodes: list[Node]
    proxies: list[Proxy]
    tally: Tally
    over: threading.Event


class Actor(threading.Thread):
    """A thread with one connection to each of several addresses and databases."""

    scene: Scene

    def __init__(self, scene: Scene, seed: int) -> None:
        super().__init__(name=f"{type(self).__name__} {seed}", daemon=True)
        self.scene = scene
        self.dice = random.Random(seed)
        self._links: dict[tuple[int | str, int, int], Link] = {}

    def link(self, address: int | str, protocol: int, database: int) -> Link:
        place = (address, protocol, database)
        if place not in self._links:
            link = Link(address, protocol, timeout=10)
            self._links[place] = link
            link("SELECT", database)
        return self._links[place]

    def drop(self) -> None:
        for link in self._links.values():
            link.close()
        self._links.clear()

    def run(self) -> None:
        try:
            while not self.scene.over.is_set():
                try:
                    self.step()
                except FAILURES:
                    self.scene.tally.count("connections lost")
                    self.drop()
                    time.sleep(0.02)
        except Exception as problem:
            self.scene.tally.violation(f"{self.name} ended with {problem!r}")
            raise
        finally:
            self.drop()

    def step(self) -> None:
        raise NotImplementedError


def stop(actors: Sequence[Actor], scene: Scene) -> None:
    """Have them end, and wait for it."""
    scene.over.set()
    for actor in actors:
        with suppress(RuntimeError):
            actor.join(20)
        if actor.is_alive():
            scene.tally.violation(f"{actor.name} does not end")
