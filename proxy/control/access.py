"""Access: who the users of each pool are, and what was refused to them. The control plane's side of rights.

Users come from the configuration and do not change while the proxy runs. Engines judge by themselves and report what
they refused.
"""

from __future__ import annotations

import time

from proxy.acl import users_of
from proxy.control.answers.client import describe
from proxy.control.clients import Clients
from proxy.control.denials import Denial, DenialLog
from proxy.control.engines import Event
from proxy.settings import Settings, User

__all__ = ["Access"]


class Access:
    """Users by pool, and the log of refusals."""

    def __init__(self, settings: Settings, clients: Clients) -> None:
        self._clients = clients
        self._users = [users_of(pool) for pool in settings.pools]
        self.denials = DenialLog()

    def users(self, pool: int) -> tuple[User, ...]:
        """The users of a pool, an index of the settings' pools, by name."""
        return self._users[pool]

    def denied(self, event: Event) -> None:
        """One EVENT_DENIED: the user's name, what was refused and the client's line, one after the other."""
        _, pool, length, denial, _, name_length, in_multi, data = event
        name, what, line = data[:name_length], data[name_length : name_length + length], data[name_length + length :]
        client = describe(self._clients.record(line.decode("ascii", "replace")))
        self.denials.add(pool, Denial(denial), what, name, client, time.time(), "multi" if in_multi else "toplevel")
