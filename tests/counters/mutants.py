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
        "waves", "            running += <uint64_t> member.delta\n            client.references -= 1\n",
        "            running = <uint64_t> value\n            client.references -= 1\n"),
    "the last of a wave is not added": Mutant(
        "waves", "    wave.count += 1\n    wave.requests += 1\n    wave.sum += delta\n",
        "    wave.sum += delta if wave.count < 3 else 0\n    wave.count += 1\n    wave.requests += 1\n"),
    "what gathers stays behind another command": Mutant(
        "combine", "                launch(core, tally)\n            if row.flags & ROW_PAUSES",
        "                pass\n            if row.flags & ROW_PAUSES"),
    "a fate that is unknown is said to be not sent": Mutant(
        "launch", "ERROR_TIMEOUT_NOT_SENT if gathers else ERROR_TIMEOUT_WRITE", "ERROR_TIMEOUT_NOT_SENT"),
    "a wave leaves twice": Mutant(
        "launch", "output_bulk(output, &core.chunks, number, write_number(number, wave.sum) - 2)\n",
        "output_bulk(output, &core.chunks, number, write_number(number, wave.sum * (1 + (wave.count > 2))) - 2)\n"),
}  # fmt: skip


#: Of counters that are answered early, or spread, of which the checker asks more than they promise; and what happens
#: too seldom for it. Their tests notice them.
PROMISES = {
    "who timed out while it gathered is added all the same": Mutant(
        "launch", "            wave.sum -= wave.members[wave.told].delta\n", ""),
    "what joins others is not added": Mutant(
        "early", "        wave.requests += 1\n        wave.sum += delta\n", "        wave.requests += 1\n"),
    "reads are not told what gathers": Mutant(
        "early", "    return tally.value + (tally.gathered.sum if tally.gathered != NULL else 0)\n",
        "    return tally.value\n"),
    "a counter is known for ever": Mutant(
        "early", "core.now_us - tally.idle_us > tally.rule.window_us", "False"),
    "what is lost is not counted": Mutant(
        "waves", "    core.counters.early_lost += count\n", ""),
    "a proxy ends with what it owes": Mutant(
        "orders", "core.clients == NULL and core.early_owed == 0 and", "core.clients == NULL and"),
    "each engine has some of the clients": Mutant(
        "accept", "pool.index % core.peers.count if pool.alone else emptiest(core)", "emptiest(core)"),
    "what else writes leaves the value known": Mutant(
        "combine", "                tally.known = 0\n                tally.writes += 1\n",
        "                tally.writes += 1\n"),
    "a read is told what was asked before it came": Mutant(
        "spread", "shards_keep(&shards.soon, client, slot",
        "shards_keep(&shards.now if shards.left else &shards.soon, client, slot"),
    "a shard is left out of the sum": Mutant(
        "shards", "    for place in range(shards.count):\n        sum += <uint64_t> shards.values[place]\n",
        "    for place in range(shards.count - 1):\n        sum += <uint64_t> shards.values[place]\n"),
    "a shard that cannot be had is none": Mutant(
        "shards", "            shards.error_length = <uint32_t> length\n", "            shards.error_length = 0\n"),
    "SET leaves what the other shards had": Mutant(
        "lanes/sharded", "            await self.all(b\"DEL\", but_first=True)\n", "            pass\n"),
    "EXPIRE makes no shards": Mutant(
        "lanes/sharded", "        await self.all(b\"INCRBY\", b\"0\")\n", ""),
}  # fmt: skip
SCENES = [
    "tests/engine/test_combine.py",
    *(f"tests/{kind}/test_{name}.py" for kind in ("engine", "system") for name in ("early", "shards")),
]


def notice(directory: Path, name: str) -> str:
    """What the checker says of the engine in `directory`, or the tests; nothing if they are content."""
    if name in PROMISES:
        return run_there(directory, "pytest", "-qx", *SCENES)
    for seed, option in enumerate((EVERYTHING, LATER, EVERYTHING)):
        said = run_there(directory, "tests.counters", "--seconds", "20", "--seed", str(seed), "--option", option)
        if said:
            return said
    return ""


if __name__ == "__main__":
    sys.exit(main(MUTANTS | PROMISES, notice))
