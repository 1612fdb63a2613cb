"""Trouble: nodes that freeze, connections that are killed, wires that are slow, stand still or break."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import ClassVar

from tests.proof.actors import FAILURES, Actor, Scene
from tests.proof.pipe import Pipe, Pipes


class Trouble(Actor):
    """One misfortune after another, as often as `CHANCES` says: the name of a method and its weight."""

    CHANCES: ClassVar[dict[str, float]] = {"connections": 3.0, "slow": 5.0, "still": 4.0, "snap": 3.0, "halve": 3.0,
                                          "freeze": 1.0}

    def __init__(self, scene: Scene, seed: int, pipes: Pipes, wires: list[Pipe]) -> None:
        super().__init__(scene, seed)
        self.pipes, self.wires = pipes, wires

    def step(self) -> None:
        if self.scene.over.wait(self.dice.uniform(0.2, 1.5)):
            return
        kind = self.dice.choices(list(self.CHANCES), list(self.CHANCES.values()))[0]
        self.scene.tally.count(f"trouble: {kind}")
        getattr(self, kind)()

    def connections(self) -> None:
        """Kill one of the proxies' connections, whichever."""
        node = self.dice.choice(self.scene.nodes)
        with suppress(*FAILURES), node.link() as link:
            if found := re.findall(r"id=(\d+) [^\n]* name=quench", link("CLIENT", "LIST").decode()):
                link("CLIENT", "KILL", "ID", self.dice.choice(found))

    def slow(self) -> None:
        wire = self.dice.choice(self.wires)
        wire.delay = self.dice.choice((0.005, 0.05, 0.2, 0.4))
        self.scene.over.wait(self.dice.uniform(0.2, 2))
        wire.delay = 0

    def still(self) -> None:
        wire = self.dice.choice(self.wires)
        self.pipes.stand(wire, True)
        self.scene.over.wait(self.dice.choice((0.3, 0.7, 1.5)))
        self.pipes.stand(wire, False)

    def snap(self) -> None:
        self.pipes.snap(self.dice.choice(self.wires))

    def halve(self) -> None:
        """The node gives up one connection, of which the proxy does not hear."""
        self.pipes.halve(self.dice.choice(self.wires), self.dice.random())

    def freeze(self) -> None:
        node = self.dice.choice(self.scene.nodes)
        node.freeze()
        self.scene.over.wait(self.dice.choice((0.4, 0.8, 1.3)))
        node.thaw()
