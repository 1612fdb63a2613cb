"""Does the tier survive? `python -m tests.chaos --fault kill --seconds 20`: real nodes, two proxies, load, a fault.

Clients in processes of their own ask for 20,000 requests a second, reads and writes of many kinds, while a node or a
proxy is killed, stopped, cut off or slowed down; then a judge looks at all that they were told. Exit status 1 if a bar
was missed.
"""

from __future__ import annotations

import argparse
import itertools
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
from tests.chaos.report import Report, tell
from tests.chaos.stage import MAKES, Epochs, Stage, known, running_stage
from tests.system.conftest import ROOT

WARM = 2.0  # seconds before the fault
PLACES = 64  # hash tags
KEPT = ROOT / "bench" / "results"


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
    findings.primaries = at_once(records, epochs.told, members)
    # From the start on, because what was not hedged with then may be in the fault.
    asked = sum(not one.write and one.began <= relieved for one in records)
    findings.extra = doubled / asked if asked else math.nan
    findings.promotions = sum(len(re.findall(r"promot", proxy.log.text)) for proxy in stage.proxies)
    return findings


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--fault", choices=FAULTS, action="append", help="may be repeated; default: all that can be")
    parser.add_argument("--nodes", choices=MAKES, action="append", help="may be repeated; default: redis")
    parser.add_argument("--rate", type=float, default=20_000, help="requests a second of all clients")
    parser.add_argument("--processes", type=int, default=2, help="of clients")
    parser.add_argument("--clients", type=int, default=4, help="of each process")
    parser.add_argument("--seconds", type=float, default=0, help="go on with other seeds until so much time has passed")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--report", action="store_true", help="tables of figures and bars in the end")
    parser.add_argument("--keep", action="store_true", help=f"the tables in {KEPT.relative_to(ROOT)}, a file a make")
    told = parser.parse_args()
    names = [name for name in told.fault or FAULTS if told.fault or not missing(FAULTS[name])]
    makes = told.nodes or ["redis"]
    report, seed, began = Report(), told.seed, time.monotonic()
    while True:
        for make, name in itertools.product(makes, names):
            if why := missing(FAULTS[name]):
                print(f"{name}: not tried: {why}")
                continue
            findings = run(name, make, told.rate, told.processes, told.clients, seed)
            print(f"{make} nodes, seed {seed}, {tell(name, findings)}", flush=True)
            for line in report.add(make, name, findings):
                print(line, flush=True)
        seed += 1
        if time.monotonic() - began >= told.seconds:
            break
    if told.report:
        print(*(f"\n{make} nodes\n\n{report.tables(make)}" for make in makes), sep="")
    if told.keep:
        report.keep(KEPT)
    if report.missed:
        print("missed:", "; ".join(report.missed), file=sys.stderr)
    return 1 if report.missed else 0


if __name__ == "__main__":
    sys.exit(main())
