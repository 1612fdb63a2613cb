"""Trouble, and what counters mind: nodes that are killed, whose keys may be gone, and proxies that stand still."""

from __future__ import annotations

import signal
import time
from typing import ClassVar

from tests.counters.clients import Scene
from tests.proof import trouble
from tests.proof.servers import keeps


class Trouble(trouble.Trouble):
    """One misfortune after another."""

    CHANCES: ClassVar[dict[str, float]] = trouble.Trouble.CHANCES | {"restart": 2, "pause": 1}
    scene: Scene

    def restart(self) -> None:
        number = self.dice.randrange(len(self.scene.nodes))
        node = self.scene.nodes[number]
        with self.scene.shelf.outages[number]:
            began = time.monotonic()
            node.kill()
            self.scene.over.wait(self.dice.choice((0, 0.1, 0.5)))
            node.start()
            if not keeps(node):
                self.scene.shelf.wipe(number, began, time.monotonic())

    def pause(self) -> None:
        """A whole proxy stands still."""
        process = self.dice.choice(self.scene.proxies).started.process
        process.send_signal(signal.SIGSTOP)
        self.scene.over.wait(self.dice.choice((0.2, 0.6, 1.3)))
        process.send_signal(signal.SIGCONT)
