"""Mutants: combiners that are wrong in one line, which the checker has to notice. `python -m tests.counters.mutants`.

Each is planted in a copy of the tree, compiled, and run under the checker with everything merged. Leaves nothing behind
in the engine itself.
"""

from __future__ import annotations

import sys
from pathlib import Path

from tests.proof.mutants import Mutant, main, run_there

EVERYTHING = "counters: {keys: all}"
LATER = "counters: {keys: all, window: 10ms}"

MUTANTS = {
    "everybody is told one too few": Mutant(
        "waves", "<uint64_t> value - <uint64_t> wave.sum + <uint64_t> wave.others\n",
        "<uint64_t> value - <uint64_t> wave.sum - (wave.count > 1)\n"),
    "everybody is told the value before his own": Mutant(
        "waves", "number == 0, <int64_t> running, life, text + used)",
        "number == 0, <int64_t> (running - <uint64_t> member.delta), life, text + used)"),
    "everybody is told the sum of all": Mutant(
        "waves", "            running += <uint64_t> member.delta\n", "            running = <uint64_t> value\n"),
    "the last of a wave is not added": Mutant(
        "waves", "    wave.count += 1\n    wave.requests += 1\n    wave.sum += delta\n",
        "    wave.sum += delta if wave.count < 3 else 0\n    wave.count += 1\n    wave.requests += 1\n"),
    "what gathers stays behind another command": Mutant(
        "combine", "                launch(core, tally)\n            if row.flags & ROW_PAUSES",
        "                pass\n            if row.flags & ROW_PAUSES"),
    "who timed out while it gathered is added all the same": Mutant(
        "launch", "            wave.sum -= wave.members[wave.told].delta\n", ""),
    "a fate that is unknown is said to be not sent": Mutant(
        "launch", "ERROR_TIMEOUT_NOT_SENT if gathers else ERROR_TIMEOUT_WRITE", "ERROR_TIMEOUT_NOT_SENT"),
    "a wave leaves twice": Mutant(
        "launch", "output_bulk(output, &core.chunks, number, write_number(number, wave.sum) - 2)\n",
        "output_bulk(output, &core.chunks, number, write_number(number, wave.sum * (1 + (wave.count > 2))) - 2)\n"),
}  # fmt: skip


def notice(directory: Path, name: str) -> str:
    """What the checker says of the engine in `directory`; nothing if it is content."""
    for seed, option in enumerate((EVERYTHING, LATER, EVERYTHING)):
        said = run_there(directory, "tests.counters", "--seconds", "20", "--seed", str(seed), "--option", option)
        if said:
            return said
    return ""


if __name__ == "__main__":
    sys.exit(main(MUTANTS, notice))
