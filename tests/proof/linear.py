"""Linearizability of one object's history, decided exactly: Wing and Gong's search with Lowe's memory of where it was.

A history is a list of operations, each with the moments between which it happened, and what was answered. The search
looks for an order of them that a single server could have gone through: no operation before one that had ended when it
began, each answered as the sequential model says, those of one session in the order in which they were sent. An
operation whose fate is unknown has no end: it happened at any later moment or never; but of one session's, not behind
one that was sent later, because the same wire carries both.

Sources: J. M. Wing, C. Gong, "Testing and Verifying Concurrent Objects", J. Parallel Distrib. Comput. 17 (1993);
G. Lowe, "Testing for Linearizability", Concurrency and Computation 29 (2017).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

State = Hashable
Model = Callable[[Any, Any], tuple[Any, Any]]  #: (state, call) → (state afterwards, answer)
Harmless = Callable[[Any, Any], bool]  #: (call, answer): if it changes nothing now, it does not later on either

EVERY = 512  # steps between two looks at the clock


class Answer(Enum):
    """In place of an answer. An enum, because it stays itself when a history goes to another process."""

    ANY = "whatever the model says"


ANY = Answer.ANY


@dataclass(eq=False, slots=True)
class Operation:
    """`call` is the model's. Of one clock: it began before it was sent, and ended after its answer was here."""

    call: Any
    began: float
    ended: float = math.inf  #: infinite: of unknown fate, or nobody has to have seen it
    answer: Any = ANY
    session: Hashable = None
    strand: Hashable = None  #: of the session; nothing is said of the order of two strands
    after: Operation | None = None  #: which it cannot be before, whatever the clock says

    def __str__(self) -> str:
        told = "" if self.answer is ANY else f" → {self.answer!r}"
        return f"{self.call!r}{told} [{self.began:.6f}, {self.ended:.6f}] {self.session or ''}"


@dataclass(frozen=True)
class Verdict:
    """`valid` is None if time ran out. `stuck`: what could not be put behind the longest order that was found."""

    valid: bool | None
    steps: int
    order: tuple[Operation, ...] = ()
    state: Any = None
    stuck: tuple[Operation, ...] = ()

    def __str__(self) -> str:
        word = {True: "linearizable", False: "NOT LINEARIZABLE", None: "undecided"}[self.valid]
        if self.valid:
            return f"{word}, {self.steps} steps"
        last = "\n".join(f"    {operation}" for operation in self.order[-12:])
        next_ = "\n".join(f"    {operation}" for operation in self.stuck[:16])
        return f"{word} after {self.steps} steps; in order:\n{last}\n  state then {self.state!r}, but next:\n{next_}"


class Search:
    """One history, prepared: who may come when, as numbers in the order of the beginnings."""

    def __init__(self, history: Sequence[Operation], harmless: Harmless) -> None:
        place = {operation: number for number, operation in enumerate(history)}
        self.operations = sorted(history, key=lambda one: one.began)  # stable: a session's order stays
        number_of = {operation: number for number, operation in enumerate(self.operations)}
        self.known = [n for n, one in enumerate(self.operations) if one.ended < math.inf]
        self.unknown = [n for n, one in enumerate(self.operations) if one.ended == math.inf]
        self.harmless = [harmless(one.call, one.answer) for one in self.operations]
        self.by_end = sorted(self.known, key=lambda n: self.operations[n].ended)
        self.before = [0] * len(history)  # known operations that have to be done first, as bits
        self.unsure = [0] * len(history)  # unknown ones that cannot be any more once this is done
        self.behind = [0] * len(history)  # those of the session that were sent later
        sessions: dict[Hashable, list[int]] = {}
        for operation in sorted(history, key=lambda one: place[one]):
            if operation.session is not None:
                sessions.setdefault(operation.session, []).append(number_of[operation])
        for operation, number in number_of.items():
            if operation.after is not None and operation.after.ended < math.inf:
                self.before[number] |= 1 << number_of[operation.after]
        for numbers in sessions.values():
            for place, number in enumerate(numbers):
                strand = self.operations[number].strand
                for other in numbers[:place]:
                    if strand is None or self.operations[other].strand in (None, strand):
                        ahead = self.before if self.operations[other].ended < math.inf else self.unsure
                        ahead[number] |= 1 << other
                        self.behind[other] |= 1 << number

    def candidates(self, done: int, at: int, low: int) -> tuple[list[int], int, int]:
        """What may come next, the most urgent first, unknown fates last; and where to go on looking from."""
        operations = self.operations
        while done >> self.by_end[at] & 1:
            at += 1
        while done >> self.known[low] & 1:
            low += 1
        first_end = operations[self.by_end[at]].ended
        found = []
        for place in range(low, len(self.known)):
            number = self.known[place]
            if operations[number].began > first_end:
                break
            if not done >> number & 1 and not self.before[number] & ~done:
                found.append(number)
        found.sort(key=lambda n: operations[n].ended)
        twins = set()
        for number in self.unknown:
            if operations[number].began > first_end:
                break
            if done >> number & 1 or self.behind[number] & done or self.before[number] & ~done:
                continue
            if not self.behind[number]:  # nothing tells it from others that ask the same
                if operations[number].call in twins:
                    continue
                twins.add(operations[number].call)
            found.append(number)
        return found, at, low

    def run(self, model: Model, initial: State, within: float) -> Verdict:
        """Depth first. A configuration is the set of what was done and the state; none is visited twice."""
        operations, known = self.operations, len(self.known)
        deadline = time.monotonic() + within
        order: list[int] = []
        best: tuple[int, list[int], Any, list[int]] = (-1, [], initial, [])
        seen: set[tuple[int, Any]] = set()
        steps = left = 0

        def tell(valid: bool | None) -> Verdict:
            named = [tuple(operations[number] for number in numbers) for numbers in (best[1], best[3])]
            return Verdict(valid, steps, named[0], best[2], named[1])

        # Of a frame: the set, the state, its candidates still to be tried, how many known ones are done, two places.
        stack: list[tuple[int, Any, list[int], int, int, int]] = []
        done, state, count, at, low = 0, initial, 0, 0, 0
        while True:
            if count == known:
                return Verdict(True, steps, tuple(operations[number] for number in order), state)
            found, at, low = self.candidates(done, at, low)
            if count > best[0]:
                best = (count, list(order), state, list(found))
            found.reverse()
            stack.append((done, state, found, count, at, low))
            # Down to the next configuration that is new, or up to one with candidates left.
            while stack:
                done, state, found, count, at, low = stack[-1]
                moved = False
                while found:
                    number = found.pop()
                    steps += 1
                    left += 1
                    if left >= EVERY:
                        left = 0
                        if time.monotonic() > deadline:
                            return tell(None)
                    operation = operations[number]
                    after, answer = model(state, operation.call)
                    if operation.answer is not ANY and answer != operation.answer:
                        continue
                    sure = operation.ended < math.inf
                    if after == state and not sure:
                        continue  # as good as later, or never
                    if after == state and self.harmless[number] and not self.unsure[number] & ~done:
                        found.clear()  # it costs nothing to do it at once: no other way can be better
                    then = done | 1 << number
                    if (then, after) in seen:
                        continue
                    seen.add((then, after))
                    order.append(number)
                    done, state, count = then, after, count + sure
                    moved = True
                    break
                if moved:
                    break
                stack.pop()
                if order:
                    order.pop()
            else:
                return tell(False)


def linearizable(history: Sequence[Operation], model: Model, harmless: Harmless = lambda call, answer: False,
                 initial: State = None, within: float = 20.0) -> Verdict:  # fmt: skip
    """Could one server have answered like this? `within` seconds, or it stays undecided.

    `harmless` only saves time. A DEL that was answered 0 is harmless, a SET of what is there already is not.
    """
    return Search(history, harmless).run(model, initial, within)
