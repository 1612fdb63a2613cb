"""Mutants: engines with one fence taken down, which the tests have to notice. `python -m tests.staleness.mutants`.

For each row the tree is copied, one line of the engine is changed and compiled, and the random walk of tests/engine is
run against it, then the scenes (a failure of theirs is a success here). Takes some seconds a row, and leaves nothing in
the engine itself.
"""

from __future__ import annotations

import sys
from pathlib import Path

from tests.proof.mutants import Mutant, main, run_there

SEEDS = ("0", "60")  # of the walk
SCENES = ("tests/engine/test_cool.py", "tests/engine/test_joining.py")

MUTANTS = {
    "writes open no marks": Mutant(
        "marks", "    quench_store_word(word, word[0] + amount)", "    quench_store_word(word, word[0] + 0 * amount)"),
    "the end of a write is not marked": Mutant(
        "marks", "        add(core, <uint16_t> (opened >> 1), OPENED - 1)",
        "        add(core, <uint16_t> (opened >> 1), <uint64_t> 0 - 1)"),
    "a write of every key is not marked": Mutant(
        "marks", "        quench_forget(&core.peers.forgets)\n        return", "        return"),
    "the end of a wait is not marked": Mutant(
        "marks", "OPENED if stripes.waits else", "0 if stripes.waits else"),
    "invalidations are ignored": Mutant(
        "ear", "        marks_bump(core, key_hash(core, text, length))\n", ""),
    "a null invalidation is ignored": Mutant(
        "ear", "        conn.node.forgets += 1\n        core.counters", "        core.counters"),
    "an ear is taken to hear for ever": Mutant(
        "ear", "        node.live_until_us = proved(node) + LIVE_US",
        "        node.live_until_us = <unsigned long long> -1"),
    "a connection that was cut off is not missed": Mutant(
        "ear", "        if conn != NULL and conn.tracked and conn.proved_us < since:", "        if False:"),
    "a quiet connection is not asked whether it is there": Mutant(
        "ear", "conn.tracked and conn.state == CONN_OPEN and conn.head == conn.tail:", "False:"),
    "copies overtake what their client has under way": Mutant(
        "fence", "        if slot.state == SLOT_MERGING or (slot.state", "        if False and (slot.state"),
    "who joined on the way is not in doubt": Mutant(
        "fence", "        slot.doubt = 1\n        client.doubts += 1", "        pass"),
    "an older copy outlives what was read": Mutant(
        "copies", "        core.counters.copies_changed += 1\n        copies_drop(heat_of(core), key)", "        pass"),
    "reads join what was asked before their client's own": Mutant(
        "cool", "(fetch.order == bound.order if bound.doubt else fence_lets(bound, fetch.order))", "True"),
    "a SET that was sent is joined": Mutant(
        "cool", "exact[0] = fetch.flushes == fetch.conn.flushes and not bound.doubt",
        "exact[0] = (fetch.opened or fetch.flushes == fetch.conn.flushes) and not bound.doubt"),
    "a SET that failed is taken for done": Mutant(
        "cool", "not fetch.over and size == 5 and memcmp(data, b\"+OK\\r\\n\", 5) == 0", "not fetch.over"),
    "copies are served whatever was marked": Mutant(
        "copies", "    if copy.marks != marks or copy.forgets", "    if copy.forgets"),
    "copies are served whatever was forgotten": Mutant(
        "copies", "    if copy.marks != marks or copy.forgets != quench_load_word(&core.peers.forgets) or (\n"
        "            copy.node_forgets != copy.node.forgets):", "    if copy.marks != marks:"),
    "copies outlive their keys": Mutant(
        "fetch", "    fetch_tell(core, fetch, fetch.value, fetch.length)",
        "    fetch_tell(core, fetch, fetch.value, fetch.length)\n    life += 5000000"),
    "copies are served while nothing is heard": Mutant(
        "copies", "    if copy.tracked and core.now_us >= copy.node.live_until_us:", "    if False:"),
    "a fetch is kept whatever was marked": Mutant(
        "fetch", "    if fetch.key == NULL or fetch.marks != marks_sum(core, fetch.key.hash):",
        "    if fetch.key == NULL:"),
    "PTTL is not looked at": Mutant(
        "fetch", "    if left >= 0 and <uint64_t> left * 1000 < life:", "    if False:"),
    "who joined on the way is answered with the rest": Mutant(
        "fetch", "    waiters_tell(core, &fetch.waiters, 0, fetch.exact, data, length)\n",
        "    fetch.exact = fetch.waiters.count\n"
        "    waiters_tell(core, &fetch.waiters, 0, fetch.exact, data, length)\n"),
    "who joined on the way is not protected from expiry": Mutant(
        "fetch", "    if fetch.sent_us + life <= core.now_us:\n        return again_for(core, fetch)", "    pass"),
    "reads are joined for longer than a copy lives": Mutant(
        "cool", "core.now_us - fetch.sent_us < key.rule.life_us", "True"),
    "reads are joined whatever was marked": Mutant(
        "cool", "    while fetch != NULL and fetch.marks == marks:", "    while fetch != NULL:"),
    "reads are joined whatever was forgotten": Mutant(
        "cool", "        if (fetch.forgets == forgets and not (limit", "        if (not (limit"),
    "a lost connection goes on being tracked": Mutant(
        "connection", "    if conn.tracked:\n        conn.tracked = 0\n        conn.node.forgets += 1",
        "    if conn.tracked:\n        conn.tracked = 0"),
    "a lost ear is not missed": Mutant(
        "connection",
        "        conn.node.ear = NULL\n        conn.node.live_until_us = 0\n        conn.node.forgets += 1",
        "        conn.node.ear = NULL\n        conn.node.live_until_us = 0"),
    "who wrote a shielded key waits for it": Mutant(
        "shield", "    if miss.began != written(core, hash):", "    if False:"),
    "an ejected node's copies are kept": Mutant(
        "orders", "        pool.nodes[place].forgets += 1\n", "        pass\n"),
    "a withdrawn CLIENT TRACKING is taken for sent": Mutant(
        "connection", "                    conn_untrack(conn)\n", "                    pass\n"),
    "a lost write stays open": Mutant(
        "connection", "    elif pending.role == ROLE_MARK:\n        marks_close(core, pending.cool)",
        "    elif pending.role == ROLE_MARK:\n        pass"),
}  # fmt: skip


def notice(directory: Path, name: str) -> str:
    """What the walk says of the engine in `directory`, or the scenes; nothing if they are content."""
    return run_there(directory, "tests.engine.test_coherence", *SEEDS) or run_there(directory, "pytest", "-qx", *SCENES)


if __name__ == "__main__":
    sys.exit(main(MUTANTS, notice))
