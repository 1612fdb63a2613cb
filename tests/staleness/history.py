"""History: what one key held and when, as far as those know who wrote it; and whether a read is to be believed.

Writers of a key take turns (its lock), so every value has a place in the order, but readers do not wait. Times are of
one clock (`time.monotonic`, seconds): a write began before its request was sent and ended after its reply was here. A
write whose fate is unknown ends the key's story: it goes on under another name, and reads of the old one are believed.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Hashable
from dataclasses import dataclass, field

MARGIN = 0.1  # seconds that a process may stand still between looking at the clock and answering
KEPT = 20.0  # seconds after which nobody asks for a value any more


@dataclass(eq=False)
class Entry:
    """One value, from the beginning of the write that brought it on."""

    value: bytes | None
    began: float
    ran_out: float = math.inf  # it cannot be current after this: its time was up
    ended: float = math.inf  # a later write was acknowledged
    seen_by: dict[Hashable, float] = field(default_factory=dict)  # by proxy: a later write of its own was


@dataclass(frozen=True)
class Verdict:
    """Of one read. `age`: seconds by which the value was stale when the read began; 0: it was current."""

    valid: bool
    age: float = 0.0
    entry: Entry | None = None  #: the earliest that it may have been
    back: bool = False  #: it would be valid, had the reader not seen a later one


class Story:
    """One key under one name."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.void = False  # nothing is known of it any more
        self._entries = [Entry(None, -math.inf)]
        self._lock = threading.Lock()

    def begin(self, value: bytes | None, now: float, life: float = math.inf) -> Entry:
        """A write is about to be sent; `life` is its PX."""
        entry = Entry(value, now)
        with self._lock:
            self._entries.append(entry)
            if life < math.inf:
                self._entries.append(Entry(None, now + life))
        return entry

    def acknowledge(self, entry: Entry, now: float, life: float = math.inf, proxy: Hashable = None) -> None:
        """It was done. `proxy`: whose clients have to see it at once; None: it went behind the proxies' backs."""
        with self._lock:
            place = self._entries.index(entry)
            entry.ran_out = now + life
            for earlier in self._entries[:place]:
                earlier.ended = min(earlier.ended, now)
                if proxy is not None:
                    earlier.seen_by[proxy] = min(earlier.seen_by.get(proxy, math.inf), now)
            while len(self._entries) > 1 and self._entries[0].ended < now - KEPT:
                del self._entries[0]

    def judge(self, value: bytes | None, began: float, ended: float, proxy: Hashable, bound: float,
              own: Entry | None = None, seen: Entry | None = None) -> Verdict:  # fmt: skip
        """A read by way of `proxy` that returned `value`. `own`: the reader's own write, sent before it; `seen`: what
        its connection was told before."""
        best: float | None = None
        found: Entry | None = None
        back = False
        with self._lock:
            if self.void:
                return Verdict(True)
            entries = self._entries if own is None else self._entries[self._entries.index(own) :]
            gone_by = set(map(id, self._entries[: self._entries.index(seen)])) if seen in self._entries else set()
            for entry in entries:
                if (entry.value == value and entry.began <= ended and began <= entry.ran_out + MARGIN
                        and began <= entry.seen_by.get(proxy, math.inf) and began - bound - MARGIN <= entry.ended):
                    if id(entry) in gone_by:
                        back = True
                        continue
                    age = max(0.0, began - entry.ended)
                    best = age if best is None else min(best, age)
                    found = found or entry
        return Verdict(best is not None, best or 0.0, found, back)

    def tell(self, began: float, last: int = 6) -> str:
        """The last entries in words, times relative to `began`."""
        with self._lock:
            return "; ".join(
                f"{entry.value!r} from {entry.began - began:+.4f} to {entry.ended - began:+.4f},"
                f" out {entry.ran_out - began:+.4f}, by {({p: round(t - began, 4) for p, t in entry.seen_by.items()})}"
                for entry in self._entries[-last:]
            )


class Register:
    """A key that is written by many, one at a time, and read by all."""

    def __init__(self, database: int, tag: str) -> None:
        self.database = database
        self.lock = threading.Lock()
        self._tag = tag
        self._generation = 0
        self.story = Story(self._name())

    def _name(self) -> str:
        return f"{self._tag}:{self._generation}"

    def retire(self) -> None:
        """Begin again under another name. With the lock held."""
        self.story.void = True
        self._generation += 1
        self.story = Story(self._name())
