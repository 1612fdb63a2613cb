"""Denials: what was refused to users, as ACL LOG keeps it. Pure: it takes `now`, in seconds of the Unix clock.

One log for the whole process, bounded. The same refusal again within a minute is counted on the entry that is there,
as Redis does it, so that one broken client does not push out what others did. Engines report at most some hundred
refusals a second each; beyond that a count is too small.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

__all__ = ["Denial", "DenialLog", "Entry"]

#: Entries kept, Redis's acllog-max-len.
MOST = 128

#: Seconds within which, and entries among which, the same refusal is counted on an old entry.
TOGETHER, AMONG = 60.0, 10


class Denial(IntEnum):
    """Why not. Of several selectors that say no, the one that came furthest tells: the largest number."""

    NONE = 0
    COMMAND = 1
    KEY = 2
    AUTH = 3  #: a wrong password; never of a request
    CHANNEL = 4
    SCRIPT = 5  #: the proxy's own: a script at a node is not held to the rights of anybody


REASONS = {
    Denial.COMMAND: "command", Denial.KEY: "key", Denial.AUTH: "auth", Denial.CHANNEL: "channel",
    Denial.SCRIPT: "command",
}  # fmt: skip


@dataclass(slots=True)
class Entry:
    """One refusal, or several that are alike."""

    number: int
    reason: str
    object: bytes  #: the command, key or channel; after a wrong password the command that brought it
    username: bytes
    client: str  #: as CLIENT LIST shows it
    created: float
    updated: float
    pool: int  #: index in Settings.pools: a client sees its own pool's entries
    context: str  #: toplevel, or multi where it was to be queued
    count: int = 1


class DenialLog:
    """The latest refusals, newest first."""

    def __init__(self) -> None:
        self._entries: deque[Entry] = deque(maxlen=MOST)
        self._numbers = 0

    def add(
        self, pool: int, denial: Denial, what: bytes, username: bytes, client: str, now: float,
        context: str = "toplevel",
    ) -> None:  # fmt: skip
        """One more refusal."""
        alike = (pool, REASONS[denial], context, what, username)
        for entry in [*self._entries][:AMONG]:
            same = (entry.pool, entry.reason, entry.context, entry.object, entry.username)
            if same == alike and now - entry.updated <= TOGETHER:
                entry.count += 1
                entry.updated, entry.client = now, client
                self._entries.remove(entry)
                self._entries.appendleft(entry)
                return
        self._entries.appendleft(Entry(self._numbers, REASONS[denial], what, username, client, now, now, pool, context))
        self._numbers += 1

    def latest(self, pool: int, most: int) -> Sequence[Entry]:
        """Up to `most` entries of a pool."""
        return [entry for entry in self._entries if entry.pool == pool][: max(most, 0)]

    def reset(self, pool: int) -> None:
        """Forget the entries of a pool."""
        self._entries = deque((entry for entry in self._entries if entry.pool != pool), maxlen=MOST)
