"""Does the tier survive? `python -m tests.chaos --fault kill --seconds 20`: real nodes, two proxies, load, a fault.

Clients in processes of their own ask for 20,000 requests a second, reads and writes of many kinds, while a node or a
proxy is killed, stopped, cut off or slowed down; then a judge looks at all that they were told. `--report` goes through
all faults and prints a table of bars against figures. Exit status 1 if a bar was missed.
"""

from __future__ import annotations

import argparse
import math
import re
import sys
import tempfile
import time
from collections.abc import Sequence
from multiprocessing import get_context
from pathlib import Path

from tests.chaos.faults import FAULTS, Fault
from tests.chaos.history import Findings, at_once, judge
from tests.chaos.load import Plan, Record, work
from tests.chaos.network import available
from tests.chaos.stage import MAKES, Epochs, Stage, known, running_stage

WARM = 2.0  # seconds before the fault
PLACES = 64  # hash tags


def missing(fault: Fault) -> str:
    """Why this fault cannot be tried here; "" if it can."""
    if lacking := [key for key in fault.needs if not known(key)]:
        return f"this Quench has no {', '.join(lacking)}"
    if fault.shape.spaces and not available():
        return "network namespaces need root"
    return ""


def run(name: str, make: str = "redis", rate: float = 20_000, processes: int = 2, clients: int = 4, seed: int = 0,
        longer: float = 1.0) -> Findings:  # fmt: skip
    """One fault under load, judged. `longer`: times that it is held and waited for."""
    fault = FAULTS[name]
    with tempfile.TemporaryDirectory() as directory, running_stage(fault.shape, make, Path(directory)) as stage:
        stage.settle_places(PLACES)
        scripts = make == "redis" and bool(fault.shape.replicas)
        plans = [
            Plan(number, seed, [proxy.address for proxy in stage.proxies], stage.places, clients, clients * processes,
                 max(1, clients // 4), 0, rate / processes, scripts, fault.reads)
            for number in range(processes)
        ]  # fmt: skip
        return perform(fault, stage, plans, longer)


def perform(fault: Fault, stage: Stage, plans: Sequence[Plan], longer: float) -> Findings:
    """Load, strike, hold, relieve, settle, judge."""
    context = get_context("spawn")
    stop = context.Event()
    ends, workers, readies = [], [], []
    for plan in plans:
        mine, theirs = context.Pipe(duplex=False)
        ready = context.Event()
        worker = context.Process(target=work, args=(plan, stop, ready, theirs), daemon=True)
        worker.start()
        theirs.close()
        ends.append(mine)
        workers.append(worker)
        readies.append(ready)
    epochs = Epochs(stage)
    records: list[Record] = []
    try:
        for ready in readies:
            assert ready.wait(60), "a client process did not start"
        epochs.start()
        time.sleep(WARM)
        struck = time.monotonic()
        fault.strike(stage)
        time.sleep(max(0.0, struck + fault.hold * longer - time.monotonic()))
        doubled = stage.doubled()
        relieved = time.monotonic()
        fault.relieve(stage)
        agreed = math.nan
        deadline = relieved + fault.settle * longer
        while time.monotonic() < deadline:
            if math.isnan(agreed) and stage.agreed():
                agreed = time.monotonic() - relieved
            time.sleep(0.05)
    finally:
        stop.set()
        for end in ends:
            records += [Record(*row) for row in end.recv()]
        for worker in workers:
            worker.join(20)
        epochs.stop()
    wanted = [(one.place, one.value) for one in records if one.kind == "fresh" and one.write]
    left = stage.left(wanted)
    members = [place.member for place in stage.places]
    aside = {plan.number * plan.clients + n for plan in plans for n in range(plan.bystanders)}
    findings = judge(records, struck, relieved, members, 0, left, aside, fault.steady)
    findings.agreed = agreed
    findings.primaries = at_once((one for one in records if one.kind == "witness"), epochs.told, members)
    # From the start on, because what was not hedged with then may be in the fault.
    asked = sum(not one.write and one.began <= relieved for one in records)
    findings.extra = doubled / asked if asked else math.nan
    findings.promotions = sum(len(re.findall(r"promot", proxy.log.text)) for proxy in stage.proxies)
    return findings


def tell(name: str, findings: Findings) -> str:
    """All figures of one run."""

    def ms(seconds: float) -> str:
        return "-" if math.isnan(seconds) else f"{1000 * seconds:.1f} ms"

    def spread(percentiles: dict[str, float]) -> str:
        return ", ".join(f"{name} {ms(value)}" for name, value in percentiles.items())

    oldest = max((one.age for one in findings.stale), default=0.0)
    lines = [
        f"{name}: {FAULTS[name].told}; {findings.rate:,.0f} requests/s",
        f"  reads {findings.reads:,}, failed {len(findings.failed_reads)}; writes {findings.writes:,}, failed"
        f" {len(findings.failed_writes)}; writes flow after {ms(findings.flow)}",
        f"  acknowledged writes lost {len(findings.lost)}; happened though not sent {len(findings.ghosts)};"
        f" counted twice {len(findings.counted_twice)}; primaries in one epoch {findings.primaries or '-'}",
        f"  stale reads {len(findings.stale)}, oldest {ms(oldest)}, outside of the fault {len(findings.stale_outside)};"
        f" not linearizable {len(findings.not_linearizable)}",
        f"  reads before: {spread(findings.before)}; during: {spread(findings.during)}",
        f"  slowest read {ms(findings.slowest_read)}",
        f"  aside p99 before {ms(findings.aside_before)}, during {ms(findings.aside_during)};"
        f" extra requests {100 * findings.extra:.1f} %; agreed after {findings.agreed:.2f} s",
    ]
    lines += [f"    {count} times {text}" for text, count in findings.errors.most_common(8) if count]
    lines += [f"    {why}" for why in findings.not_linearizable[:3]]
    return "\n".join(lines)


def bars_of(name: str, findings: Findings) -> list[tuple[str, str, str, bool]]:
    """Rows of what, measured, bar, held."""
    return [
        (bar.what, f"{bar.measure(findings):.4g} {bar.unit}".strip(), f"≤ {bar.most:g} {bar.unit}".strip(),
         bar.holds(findings))
        for bar in FAULTS[name].bars
    ]  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--fault", choices=FAULTS, action="append", help="may be repeated; default: all that can be")
    parser.add_argument("--nodes", choices=MAKES, default="redis")
    parser.add_argument("--rate", type=float, default=20_000, help="requests a second of all clients")
    parser.add_argument("--processes", type=int, default=2, help="of clients")
    parser.add_argument("--clients", type=int, default=4, help="of each process")
    parser.add_argument("--seconds", type=float, default=0, help="go on with other seeds until so much time has passed")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--report", action="store_true", help="a table of bars and figures in the end")
    told = parser.parse_args()
    names = [name for name in told.fault or FAULTS if told.fault or not missing(FAULTS[name])]
    rows, bad, seed, began = [], 0, told.seed, time.monotonic()
    while True:
        for name in names:
            if why := missing(FAULTS[name]):
                print(f"{name}: not tried: {why}")
                continue
            findings = run(name, told.nodes, told.rate, told.processes, told.clients, seed)
            print(tell(name, findings), flush=True)
            for what, measured, bar, held in bars_of(name, findings):
                bad += not held
                print(f"  {'ok    ' if held else 'MISSED'} {what}: {measured} ({bar})", flush=True)
                rows.append(f"| {FAULTS[name].told} | {what} | {measured} | {bar} | {'yes' if held else 'NO'} |")
        seed += 1
        if time.monotonic() - began >= told.seconds:
            break
    if told.report:
        print("\n| fault | what | measured | bar | held |\n|---|---|---:|---:|---|", *rows, sep="\n")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
