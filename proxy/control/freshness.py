"""Freshness: what a replica has of its primary's data, judged by what both say of their replication. Pure.

An offset counts the bytes of a history of writes, which its id names. A primary that was asked at time t had at least
everything acknowledged before t in the offset that it answered; a replica of the same history with that offset has it,
too.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

#: Answers of a primary that are remembered: at four a second, a quarter of a minute.
REMEMBERED = 64


@dataclass(frozen=True, slots=True)
class Replication:
    """What INFO replication says."""

    primary: bool
    history: str  #: id of it, 40 hex digits
    offset: int
    linked: bool  #: of a replica: it hears its primary, and has been filled

    @classmethod
    def parse(cls, text: bytes) -> Replication | None:
        """None: it is none."""
        fields: Mapping[str, str] = dict(
            line.split(":", 1) for line in text.decode("latin-1").splitlines() if ":" in line
        )  # fmt: skip
        try:
            primary = fields["role"] == "master"
            linked = fields.get("master_link_status") == "up" and fields.get("master_sync_in_progress") == "0"
            offset = int(fields["master_repl_offset"] if primary else fields["slave_repl_offset"])
            return cls(primary, fields["master_replid"], offset, linked)
        except (KeyError, ValueError):
            return None


@dataclass(slots=True)
class Freshness:
    """One primary and what is known of its replicas. Times are seconds of one monotonic clock."""

    history: str = ""
    answered: float | None = None  #: when the primary was asked that it answered last; None: it did not, last time
    seen: deque[tuple[float, int]] = field(default_factory=lambda: deque(maxlen=REMEMBERED))  #: (asked at, offset)

    def heard(self, asked: float, said: Replication | None) -> None:
        """The primary was asked at this time; None: it did not answer, or is a primary no more."""
        self.answered = asked if said is not None and said.primary else None
        if said is None or not said.primary:
            return
        if said.history != self.history:
            self.history = said.history
            self.seen.clear()
        self.seen.append((asked, said.offset))

    def judge(self, asked: float, said: Replication | None) -> tuple[bool, float]:
        """(may this replica be read, since when may it lack something; 0.0: it was never seen to have all).

        While the primary is there, a replica that does not hear it is not read; when it is gone, none hears it. Which
        of the two it is, is known when the primary was asked once more, behind the replica (at `asked`).
        """
        if said is None or said.primary or not self.history or said.history != self.history:
            return False, 0.0
        if not said.linked and self.answered is not None and self.answered >= asked:
            return False, 0.0
        return True, max((asked for asked, offset in self.seen if offset <= said.offset), default=0.0)
