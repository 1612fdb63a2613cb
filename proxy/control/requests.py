"""Requests: the commands that engines hand to the control plane, from event to answer.

Everything is answered from records taken at this moment. CLIENT LIST and CLIENT INFO first collect the clients'
descriptions from every engine; the caller waits, nobody else does.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from proxy.control.engines import Engines, Event

if TYPE_CHECKING:
    from proxy.control.nodes import Nodes
    from proxy.settings import Settings

log = logging.getLogger("quench.requests")


class Requests:
    """Answers control-lane commands for all engines."""

    def __init__(self, settings: Settings, engines: Engines, nodes: Nodes) -> None:
        self._settings = settings
        self._engines = engines
        self._nodes = nodes

    def asked(self, engine: int, event: Event) -> None:
        """One request. It is answered exactly once, whatever happens here."""
        _, _, _, _, client, slot, _, _ = event
        self._engines.engines[engine].reply(client, slot, b"-ERR not yet\r\n")

    def listed(self, tag: int, last: int, data: bytes) -> None:
        """Part of one engine's clients."""
