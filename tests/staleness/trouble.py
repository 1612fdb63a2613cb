"""Trouble: nodes that restart or freeze, ears and connections that are killed, wires that are slow or break."""

from __future__ import annotations

import re
import time
from contextlib import ExitStack, suppress

from tests.staleness.clients import FAILURES, Actor, Scene
from tests.staleness.pipe import Pipe, Pipes


class Trouble(Actor):
    """One misfortune after another."""

    KINDS = ("ears", "connections", "slow", "still", "snap", "freeze", "restart")
    WEIGHTS = (6, 3, 5, 4, 3, 1, 1)

    def __init__(self, scene: Scene, seed: int, pipes: Pipes, wires: list[Pipe]) -> None:
        super().__init__(scene, seed)
        self.pipes, self.wires = pipes, wires

    def step(self) -> None:
        if self.scene.over.wait(self.dice.uniform(0.2, 1.5)):
            return
        kind = self.dice.choices(self.KINDS, self.WEIGHTS)[0]
        self.scene.tally.count(f"trouble: {kind}")
        getattr(self, kind)()

    def ears(self) -> None:
        """Kill the connections that others redirect their invalidations to."""
        node = self.dice.choice(self.scene.nodes)
        with suppress(*FAILURES), node.link() as link:
            found = set(re.findall(r"redir=(\d+)", str(link("CLIENT", "LIST"))))
            for one in found:
                if self.dice.random() < 0.7:
                    link("CLIENT", "KILL", "ID", one)

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

    def freeze(self) -> None:
        node = self.dice.choice(self.scene.nodes)
        node.freeze()
        self.scene.over.wait(self.dice.choice((0.4, 0.8, 1.3)))
        node.thaw()

    def restart(self) -> None:
        """All that it held is gone: nothing is known of any key, so all of them begin again."""
        node = self.dice.choice(self.scene.nodes)
        with ExitStack() as stack:
            self.scene.everything(stack)
            for register in [*self.scene.registers, *self.scene.counters]:
                register.retire()
            node.kill()
            time.sleep(self.dice.choice((0, 0.3)))
            node.start()
            for register in [*self.scene.registers, *self.scene.counters]:
                register.retire()
