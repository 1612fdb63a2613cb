"""Attendance: which nodes of a pool with `replication: ring` serve, which are mended, which are away. Pure.

    SERVES ── a connection of ours breaks, or the node does not answer ──► GONE: what it misses is hinted at others
    GONE ── it answers, and every engine reaches it again ──► MENDING: it takes writes, and is brought up to date
    MENDING ── no hints about it are left, and its process is one that was brought up to date ──► SERVES
    GONE ── for longer than the hint window, or with too many hints ──► LOST: no more hints; it will get everything

What has to outlive a proxy is at the nodes: the hints (see proxy/engine/hints.pxd), and in a hash, for each node, the
run_id of its process that was brought up to date last. A process with another run_id may have come back with anything,
or with nothing: it gets everything from the others. Hints about a node keep every proxy from reading from it, so that a
proxy that still reaches a node does not serve what another one knows to be stale.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum

__all__ = ["Look", "Member", "State", "attend"]


class State(IntEnum):
    """As the engine numbers them (voices.pxd)."""

    SERVES = 0
    MENDING = 1
    GONE = 2
    LOST = 3


@dataclass(frozen=True, slots=True)
class Look:
    """What a node said just now, and what the others said of it.

    known: the run_ids that others have noted for it; one that is empty: it has missed what nobody noted. hints: keys
    that it has missed, all databases and holders together.
    """

    run_id: bytes
    known: frozenset[bytes]
    hints: int


@dataclass(slots=True)
class Member:
    """One node. Times are seconds of one monotonic clock."""

    state: State = State.GONE
    whole: bool = False  #: it has to get everything
    since: float = 0.0  #: of the state
    run_id: bytes = b""  #: of the process that served last
    broken: set[int] = field(default_factory=set)  #: engines whose connection broke, and is not open again
    why: str = "it was not reached yet"


def attend(
    members: Sequence[Member], looks: Sequence[Look | None], window: float, most: int, now: float
) -> list[tuple[int, State]]:
    """Judge all nodes of a pool by a look at each, None where it gave no answer. Returns whose state changed.

    `window` and `most` bound the hints: seconds, keys.
    """
    changed = []
    wanted = [_judge(member, look, window, most, now) for member, look in zip(members, looks, strict=True)]
    if State.SERVES not in wanted:
        # Nobody has anything newer to give: those that wait for everything serve as they are.
        for node, (member, look) in enumerate(zip(members, looks, strict=True)):
            if wanted[node] is State.MENDING and member.whole and look is not None and not look.hints:
                member.whole = False
                wanted[node] = State.SERVES
    for node, (member, look) in enumerate(zip(members, looks, strict=True)):
        if wanted[node] is State.SERVES and look is not None:
            member.run_id = look.run_id
        if wanted[node] is not member.state:
            member.state = wanted[node]
            member.since = now
            changed.append((node, member.state))
    return changed


def _judge(member: Member, look: Look | None, window: float, most: int, now: float) -> State:
    if look is None or member.broken:
        if member.state is State.LOST or (look is not None and look.hints > most):
            return State.LOST
        return State.LOST if member.state is State.GONE and now - member.since > window else State.GONE
    strange = look.known and look.run_id not in look.known
    if member.state is State.LOST or b"" in look.known or strange or member.run_id not in (b"", look.run_id):
        member.whole = True
    if member.whole or look.hints:
        member.why = "it gets everything" if member.whole else f"{look.hints} hints"
        return State.MENDING
    return State.SERVES
