"""Trouble, and what only hot keys mind: ears that are killed, and nodes whose keys are gone."""

from __future__ import annotations

import re
import time
from contextlib import ExitStack, suppress

from tests.proof import trouble
from tests.proof.actors import FAILURES
from tests.staleness.clients import Scene


class Trouble(trouble.Trouble):
    """One misfortune after another."""

    CHANCES = trouble.Trouble.CHANCES | {"ears": 6, "restart": 1}
    scene: Scene

    def ears(self) -> None:
        """Kill the connections that others redirect their invalidations to."""
        node = self.dice.choice(self.scene.nodes)
        with suppress(*FAILURES), node.link() as link:
            found = set(re.findall(r"redir=(\d+)", str(link("CLIENT", "LIST"))))
            for one in found:
                if self.dice.random() < 0.7:
                    link("CLIENT", "KILL", "ID", one)

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
