"""History: what clients were told, judged key by key. Pure: records in, findings out.

*single* keys have one writer and one write at a time, so every read has an exact verdict. *shared* ones are registers
in which no value is written twice: whether such a history is linearizable is decided by the zones of its values, in
n log n steps (P. B. Gibbons, E. Korach, "Testing Shared Memories", SIAM J. Comput. 26 (1997)). A write of unknown fate
that nobody read need not have happened. *fresh* keys are written once, and looked at in the end.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from tests.chaos.load import Record

NOT_SENT = re.compile(
    r"was not sent|is down: |has no live node|backlog of node .*full|^(LOADING|READONLY|MASTERDOWN|NOREPLICAS|BUSY) "
)


def failed(record: Record) -> bool:
    return isinstance(record.answer, str)


def not_sent(record: Record) -> bool:
    """Its error says that it has not happened and will not."""
    return failed(record) and NOT_SENT.search(record.answer) is not None


def number(answer: Any) -> int | None:
    try:
        return int(answer)
    except (TypeError, ValueError):
        return None


@dataclass(frozen=True)
class Stale:
    """A read of what had been overwritten; `age`: for how long, in seconds, when it began."""

    read: Record
    age: float
    seen: float | None = None  #: when somebody had read a newer one, of which nobody was told that it was written


@dataclass
class Single:
    """Verdicts of the reads of one single key."""

    stale: list[Stale] = field(default_factory=list)
    wrong: list[Record] = field(default_factory=list)  #: never written, or not yet, or told not to be sent


def judge_single(writes: Sequence[Record], reads: Iterable[Record]) -> Single:
    """`writes` in the order of their sending; the key held 0 before them."""
    found = Single()
    ends, acknowledged = [-math.inf], [0]  # ascending, both
    sent, refused = [-math.inf], set()
    for write in writes:
        sent.append(write.began)
        if not failed(write):
            ends.append(write.ended)
            acknowledged.append(write.value)
        elif not_sent(write):
            refused.add(write.value)
    seen: list[tuple[float, int]] = [(-math.inf, 0)]  # (end of a read, the greatest number until then), ascending
    for read in sorted(reads, key=lambda one: one.ended):
        value = number(read.answer)
        if value is None or value in refused or not 0 <= value <= bisect_right(sent, read.ended) - 1:
            found.wrong.append(read)
            continue
        least = acknowledged[bisect_left(ends, read.began) - 1]
        if value < least:
            overwritten = ends[bisect_right(acknowledged, value)]
            found.stale.append(Stale(read, read.began - overwritten))
        elif value < seen[bisect_left(seen, (read.began,)) - 1][1]:  # somebody had seen a newer one
            found.stale.append(Stale(read, 0.0, next(end for end, newer in seen if newer > value)))
        if value > seen[-1][1]:
            seen.append((read.ended, value))
    return found


def judge_shared(records: Iterable[Record], initial: int = 0) -> str:
    """Why it is not linearizable; "" if it is. What was written before the first record may be read, too."""
    began: dict[int, float] = defaultdict(lambda: -math.inf)  # by value: when its write did
    first_end: dict[int, float] = defaultdict(lambda: math.inf)  # of its write and reads
    last_begin: dict[int, float] = defaultdict(lambda: -math.inf)
    read_by: dict[int, float] = {}  # when it was first read
    unknown = set()
    for record in records:
        if record.write:
            if failed(record) and not_sent(record):
                continue
            began[record.value] = record.began
            last_begin[record.value] = max(last_begin[record.value], record.began)
            if failed(record):
                unknown.add(record.value)
            else:
                first_end[record.value] = min(first_end[record.value], record.ended)
        elif (value := number(record.answer)) is not None and not failed(record):
            first_end[value] = min(first_end[value], record.ended)
            last_begin[value] = max(last_begin[value], record.began)
            read_by[value] = min(read_by.get(value, math.inf), record.ended)
    for value, moment in read_by.items():
        if moment < began[value]:
            return f"{value} was read before it was written"
    zones = [
        (first_end[value], last_begin[value], value) for value in first_end
        if value not in unknown or value in read_by
    ]  # fmt: skip
    forward = sorted(zone for zone in zones if zone[0] < zone[1])
    for one, other in pairwise(forward):
        if other[0] < one[1]:
            return f"{one[2]} was there from {one[0]:.4f} to {one[1]:.4f}, and {other[2]} from {other[0]:.4f}"
    starts = [zone[0] for zone in forward]
    for end, begin, value in zones:
        if begin <= end:  # backward: it may be anywhere in between
            place = bisect_right(starts, begin) - 1
            if place >= 0 and forward[place][0] < begin and end < forward[place][1]:
                return f"{value} was there between {begin:.4f} and {end:.4f}, but {forward[place][2]} all the time"
    return ""


def judge_counts(records: Iterable[Record]) -> list[Record]:
    """INCRs that were answered a number that somebody else had, or one that was used up before they began."""
    found, seen = [], set()
    greatest: list[tuple[float, int]] = [(-math.inf, 0)]
    for record in sorted((one for one in records if not failed(one)), key=lambda one: one.ended):
        before = greatest[bisect_left(greatest, (record.began,)) - 1][1]
        if record.answer in seen or record.answer <= before:
            found.append(record)
        seen.add(record.answer)
        if record.answer > greatest[-1][1]:
            greatest.append((record.ended, record.answer))
    return found


Left = dict[tuple[int, int], bytes | None]  #: fresh keys in the end, by place and number


def lost_fresh(writes: Iterable[Record], left: Left) -> tuple[list[Record], list[Record]]:
    """Acknowledged and not there in the end; and told not to be sent, and there."""
    lost, ghosts = [], []
    for write in writes:
        there = number(left.get((write.place, write.value))) == write.value
        if not failed(write) and not there:
            lost.append(write)
        elif failed(write) and not_sent(write) and there:
            ghosts.append(write)
    return lost, ghosts


def at_once(records: Iterable[Record], epochs: dict[int, list[tuple[float, int]]], members: Sequence[int]) -> int:
    """The most processes that acknowledged a write in one epoch of one member.

    A witness names its process. Two links of a chain that replaced the same value were executed by two processes, or
    by one that had forgotten the first. `epochs`: by proxy, what it said and when, ascending; a write counts if its
    proxy was in one epoch all along.
    """
    by_epoch: dict[tuple[int, int], set[bytes]] = defaultdict(set)
    replaced: Counter[tuple[int, int, Any]] = Counter()
    for record in records:
        if record.kind not in ("witness", "chain"):
            continue
        told = epochs.get(record.proxy, [])
        before = bisect_right(told, (record.began, math.inf)) - 1
        after = bisect_left(told, (record.ended,))
        if failed(record) or before < 0 or after >= len(told) or told[before][1] != told[after][1]:
            continue
        if record.kind == "chain":
            replaced[record.place, told[before][1], record.answer] += 1
        else:
            by_epoch[members[record.place], told[before][1]].add(record.answer)
    return max(max(map(len, by_epoch.values()), default=0), max(replaced.values(), default=0))


def in_order(reads: Iterable[Record], writes: Iterable[Record]) -> list[Record]:
    """Of these reads those during which their client had a write of the same key under way on the same connection, or
    a script, which may write any.

    They may be asked of their key's node only, after what was sent before and before what was sent later: nobody
    promises that they survive it.
    """
    by_key: dict[tuple[Any, ...], list[Record]] = defaultdict(list)

    def key(one: Record) -> tuple[Any, ...]:
        return one.client, one.proxy, one.kind, one.place, one.value if one.kind == "fresh" else None

    for write in writes:
        by_key[(write.client, write.proxy) if write.kind == "witness" else key(write)].append(write)
    return [
        read for read in reads if any(
            write.began <= read.ended and read.began <= write.ended
            for where in (key(read), (read.client, read.proxy)) for write in by_key.get(where, ())
        )
    ]  # fmt: skip


def percentile(values: Sequence[float], part: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))] if ordered else math.nan


def times(records: Iterable[Record]) -> dict[str, float]:
    """Percentiles of what they took, in seconds."""
    taken = [one.ended - one.began for one in records]
    return {name: percentile(taken, part) for name, part in (("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999))}


@dataclass
class Findings:
    """Of one run: `struck` and `relieved` are when the fault began and ended; seconds, and numbers of requests."""

    struck: float
    relieved: float
    reads: int = 0
    writes: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    failed_reads: list[Record] = field(default_factory=list)  #: errors, and answers that are wrong or nil
    in_order: list[Record] = field(default_factory=list)  #: of these, errors: see in_order()
    failed_writes: list[Record] = field(default_factory=list)
    flow: float = math.nan  #: until each proxy had a write on the victim's keys acknowledged that began after the fault
    lost: list[Record] = field(default_factory=list)  #: acknowledged writes
    ghosts: list[Record] = field(default_factory=list)  #: writes that happened though told *not sent*
    stale: list[Stale] = field(default_factory=list)
    stale_outside: list[Stale] = field(default_factory=list)  #: of these, not from the fault to `GRACE` after its end
    not_linearizable: list[str] = field(default_factory=list)  #: outside of that time
    counted_twice: list[Record] = field(default_factory=list)
    primaries: int = 0  #: most that acknowledged in one epoch
    slowest_read: float = 0.0
    before: dict[str, float] = field(default_factory=dict)  #: percentiles of reads
    during: dict[str, float] = field(default_factory=dict)
    aside_before: float = math.nan  #: p99 of clients that have nothing to do with the victim
    aside_during: float = math.nan
    rate: float = 0.0
    extra: float = math.nan  #: reads that were asked of a second node, per read
    agreed: float = math.nan  #: seconds after the end of the fault until all proxies said the same
    promotions: int = 0


GRACE = 3.0  # seconds after a fault in which keys may still show what it did to them


def judge(records: Sequence[Record], struck: float, relieved: float, members: Sequence[int], victim: int,
          left: Left, aside: set[int], steady: bool = False) -> Findings:  # fmt: skip
    """`members`: by place. `aside`: clients that never asked the victim.

    `steady`: nothing that happened is an excuse for a stale read.
    """
    found = Findings(struck, relieved)
    excused = (lambda moment: False) if steady else (lambda moment: struck - 0.1 <= moment <= relieved + GRACE)
    by_key: dict[tuple[str, int], list[Record]] = defaultdict(list)
    for record in records:
        by_key[record.kind, record.place].append(record)
        found.reads += not record.write
        found.writes += record.write
        if failed(record):
            (found.failed_writes if record.write else found.failed_reads).append(record)
            found.errors[re.sub(r"[\d.]+|'\w+'|\(\S+\)", "…", record.answer)[:90]] += 1
        elif record.kind == "fresh" and not record.write and number(record.answer) != record.value:
            found.failed_reads.append(record)
            found.errors["a fresh key was " + ("nil" if record.answer is None else "wrong")] += 1
    for (kind, _), mine in by_key.items():
        told = [record for record in mine if not record.write and not failed(record)]
        if kind == "single":
            writes = sorted((record for record in mine if record.write), key=lambda one: one.value)
            verdicts = judge_single(writes, told)
            found.failed_reads += verdicts.wrong
            found.errors["a read was wrong or nil"] += len(verdicts.wrong)
            found.stale += verdicts.stale
        elif kind == "shared":
            nil = [record for record in told if number(record.answer) is None]
            found.failed_reads += nil
            found.errors["a read was wrong or nil"] += len(nil)
            before = [one for one in mine if one.ended < struck]
            after = [one for one in mine if one.began > relieved + GRACE]
            for part in (mine,) if steady else (before, after):
                if why := judge_shared(part):
                    found.not_linearizable.append(why)
        elif kind == "count":
            # Numbers of the time of the fault may be given out again for as long as it takes to get beyond them.
            found.counted_twice += judge_counts(one for one in mine if not excused(one.began))
        elif kind == "fresh":
            lost, ghosts = lost_fresh((one for one in mine if one.write), left)
            found.lost += lost
            found.ghosts += ghosts
    found.in_order = in_order(filter(failed, found.failed_reads), (record for record in records if record.write))
    # What was written in the fault and had an unknown fate may have been read then, and be gone with its primary.
    found.stale_outside = [
        one for one in found.stale
        if not excused(one.read.began) and not (one.seen is not None and excused(one.seen))
    ]  # fmt: skip
    flows = []
    for proxy in sorted({record.proxy for record in records}):
        ends = [
            record.ended for record in records
            if record.proxy == proxy and record.write and not failed(record) and record.began > struck
            and members[record.place] == victim
        ]  # fmt: skip
        flows.append(min(ends, default=math.inf) - struck)
    found.flow = max(flows, default=math.nan)
    answered = [one for one in records if not one.write and not failed(one)]
    before = [one for one in answered if one.ended < struck]
    during = [one for one in answered if struck <= one.began <= relieved]
    found.before, found.during = times(before), times(during)
    found.aside_before = times(one for one in before if one.client in aside)["p99"]
    found.aside_during = times(one for one in during if one.client in aside)["p99"]
    found.slowest_read = max((one.ended - one.began for one in answered), default=math.nan)
    if records:
        span = max(one.began for one in records) - min(one.began for one in records)
        found.rate = len(records) / max(span, 0.001)
    return found
