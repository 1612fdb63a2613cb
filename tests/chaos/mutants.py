"""Mutants: tiers that survive less than they say, which the chaos has to notice. `python -m tests.chaos.mutants`.

Each is planted in a copy of the tree and has to go through the faults that it is about. Leaves nothing behind in the
engine itself.
"""

from __future__ import annotations

import sys
from pathlib import Path

from tests.proof.mutants import Mutant, main, run_there

#: Behind each what it is, and the faults in which it has to be noticed.
ROWS = {
    "who is alone has the majority": (Mutant(
        "control/election", "        self._majority = len(self._voters) // 2 + 1\n", "        self._majority = 1\n"),
        ("split", "minority")),
    "leases are not looked at when the reply comes": (Mutant(
        "replies", "    if core.fenced:\n        data = lease_fence(core, conn, data, &size)\n", ""),
        ("split", "pause")),
    "a hint is dropped": (Mutant(
        "lanes/mending", "            done, open_ = await self._repair(database, list(hints), node)\n",
        "            done, open_ = len(hints), set[bytes]()\n"), ("ring-stop-one",)),
    "a node is read from before it has caught up": (Mutant(
        "control/attendance", "    if member.whole or look.hints:\n", "    if False:\n"),
        ("ring-stop-one", "ring-empty-one")),
    "hedges without a bound": (Mutant(
        "reads", "    if rules.tokens < price(far) + (0 if far else rules.most_tokens // 2):\n", "    if False:\n"),
        ("slow-hedged",)),
}  # fmt: skip
MUTANTS = {name: mutant for name, (mutant, _) in ROWS.items()}
RATE = "3000"


def notice(directory: Path, name: str) -> str:
    """What the chaos says of the tier in `directory`; nothing if it is content."""
    for fault in ROWS[name][1]:
        if said := run_there(directory, "tests.chaos", "--fault", fault, "--rate", RATE):
            return f"{fault}: {said}"
    return ""


if __name__ == "__main__":
    sys.exit(main(MUTANTS, notice))
