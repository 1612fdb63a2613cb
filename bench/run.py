"""Scenarios by targets, interleaved: measure, print, and keep the results.

    python -m bench.run --quick --only get-64 --targets haproxy,nutcracker,quench

The targets of a scenario run side by side and take turns within each round, so that a busy moment of the machine falls
on all of them; figures are medians over the rounds, and comparisons are ratios of medians.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import fnmatch
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

from bench import counters, crowd, durable, heat, hits, micro, pubsub, report, sessions, stale, stampede, sync
from bench.load import Load, Options, prefill
from bench.process import StartFailedError, cpu_ns, hardware, raise_file_limit
from bench.scenarios import BARS, SCENARIOS, Scenario
from bench.targets import TARGETS, MissingError, Running, running

RESULTS = Path(__file__).resolve().parent / "results"
WARM_UP = 0.3
"""Seconds before each measurement: the connections are new."""

FILLED = ("load", "hot-key", "zipf", "sudden")
"""Measurements that find every key in place."""

Sample = dict[str, Any]


def measure_load(target: Running, scenario: Scenario, seconds: float) -> Sample:
    """One run of the generator; the CPU clocks are read just around it, so idle moments are charged to requests too."""
    options = Options(
        (("127.0.0.1", target.port),), clients=scenario.clients, depth=scenario.depth, ops=scenario.ops,
        keys=scenario.keys, value_size=scenario.value_size,
    )  # fmt: skip
    with Load(options) as load:
        load.run(seconds=WARM_UP, rate=scenario.rate)
        front, nodes = target.front.cpu_ns(), cpu_ns(target.nodes)
        result = load.run(seconds=seconds, rate=scenario.rate)
        front, nodes = target.front.cpu_ns() - front, cpu_ns(target.nodes) - nodes
    rss, peak = target.front.memory_kib()
    answered = max(result.requests, 1)
    return {
        "rate": result.rate, "p50": result.p50, "p99": result.p99, "p999": result.p999, "highest": result.highest,
        "front_us": front / 1000 / answered, "nodes_us": nodes / 1000 / answered, "generator_us": result.generator_us,
        "rss_mb": rss / 1024, "peak_mb": peak / 1024,
        "errors": result.errors + result.lost + result.nils, "first_error": result.first_error,
    }  # fmt: skip


def measure_idle(target: Running, scenario: Scenario, seconds: float) -> Sample:
    return dict(crowd.idle(target, scenario.clients))


def measure_burst(target: Running, scenario: Scenario, seconds: float) -> Sample:
    return dict(crowd.burst(target, scenario.clients, scenario.value_size))


def measure_transactions(target: Running, scenario: Scenario, seconds: float) -> Sample:
    return dict(sessions.transactions(target, scenario.clients, scenario.value_size, seconds))


def measure_blocked(target: Running, scenario: Scenario, seconds: float) -> Sample:
    return dict(sessions.blocked(target, scenario.clients, 1000, scenario.rate, seconds))


def measure_pubsub(target: Running, scenario: Scenario, seconds: float) -> Sample:
    return dict(pubsub.fan_out(target, scenario.clients, scenario.value_size, scenario.depth, seconds))


def measure_hits(target: Running, scenario: Scenario, seconds: float) -> Sample:
    return hits.hit_ratio(target, scenario.fill, scenario.keys, scenario.value_size)


def measure_hot_key(target: Running, scenario: Scenario, seconds: float) -> Sample:
    return dict(heat.one_key(target, scenario.clients, scenario.depth, scenario.writes, seconds))


def measure_zipf(target: Running, scenario: Scenario, seconds: float) -> Sample:
    return dict(
        heat.skewed(target, scenario.clients, scenario.depth, scenario.ops, scenario.keys, scenario.zipf, seconds)
    )


def measure_sudden(target: Running, scenario: Scenario, seconds: float) -> Sample:
    return dict(heat.sudden(target, scenario.clients, scenario.rate, scenario.value_size, seconds))


def measure_stale(target: Running, scenario: Scenario, seconds: float) -> Sample:
    return dict(stale.staleness(target, scenario.clients, scenario.depth, scenario.value_size, seconds))


def measure_stampede(target: Running, scenario: Scenario, seconds: float) -> Sample:
    return dict(stampede.stampede(target, scenario.clients, scenario.value_size))


def measure_micro(target: Running, scenario: Scenario, seconds: float) -> Sample:
    """The engine alone, without the target: ns that a pool which cools adds to a request of a key that is not hot."""
    found = micro.measure()
    turns = {f"{name.lower().replace(', ', '_')}_ns": figures["turn"] for name, figures in found.items()}
    more = {f"{name}_more_ns": turns[f"{name}_cools_ns"] - turns[f"{name}_ns"] for name in ("get", "set")}
    return {**turns, **more, "incr_more_ns": turns["incr_counts_ns"] - turns["incr_cools_ns"]}


def measure_disturbance(target: Running, scenario: Scenario, seconds: float) -> Sample:
    return durable.disturbance(target, scenario, seconds)


def measure_sync(target: Running, scenario: Scenario, seconds: float) -> Sample:
    return sync.full_sync(target, scenario.keys, scenario.value_size)


def measure_counter(target: Running, scenario: Scenario, seconds: float) -> Sample:
    return dict(counters.increments(target, scenario.clients, scenario.depth, seconds))


def measure_pairs(target: Running, scenario: Scenario, seconds: float) -> Sample:
    return dict(counters.pairs(target, scenario.clients, seconds))


MEASURES = {
    "load": measure_load, "idle": measure_idle, "burst": measure_burst, "transactions": measure_transactions,
    "blocked": measure_blocked, "pubsub": measure_pubsub, "hits": measure_hits, "hot-key": measure_hot_key,
    "zipf": measure_zipf, "sudden": measure_sudden, "stale": measure_stale, "stampede": measure_stampede,
    "micro": measure_micro, "sync": measure_sync, "disturbance": measure_disturbance,
    "counter": measure_counter, "pairs": measure_pairs,
}  # fmt: skip


def run_scenario(
    scenario: Scenario, names: list[str], rounds: int, seconds: float, skipped: dict[str, str]
) -> list[Sample]:
    """Start the scenario's targets and measure them in turn; what cannot start lands in `skipped` with its reason."""
    samples: dict[str, list[Sample]] = {}
    with tempfile.TemporaryDirectory(prefix="quench-bench-") as folder, contextlib.ExitStack() as stack:
        targets: list[Running] = []
        for name in names:
            try:
                target = stack.enter_context(running(name, Path(folder)))
                if scenario.measure in FILLED:
                    filled = prefill(
                        ("127.0.0.1", target.port), scenario.keys, scenario.value_size, op=scenario.fill
                    )
                    if filled.errors or filled.lost:
                        raise StartFailedError(f"filling it failed: {filled.first_error}")
                targets.append(target)
            except (MissingError, StartFailedError) as error:
                if name not in skipped:
                    say(f"{name} skipped: {error}")
                skipped[name] = str(error)
        for turn in range(scenario.rounds or rounds):
            first = turn % max(len(targets), 1)
            for target in targets[first:] + targets[:first]:  # nobody always follows the same neighbour
                try:
                    sample = MEASURES[scenario.measure](target, scenario, seconds)
                except OSError as error:
                    skipped[f"{scenario.name}/{target.name}"] = (
                        f"broke while measured: {error}; {target.front.last_words()}"
                    )
                    say(f"{scenario.name}/{target.name}: {skipped[f'{scenario.name}/{target.name}']}")
                    continue
                samples.setdefault(target.name, []).append(sample)
                say(f"{scenario.name} {turn + 1}/{scenario.rounds or rounds} {target.name}: {report.one_line(sample)}")
    return [report.summarised(scenario.name, name, taken) for name, taken in samples.items()]


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.run", description="Measure Quench beside its peers.")
    parser.add_argument("--quick", action="store_true", help="two short rounds: to see that it works, not to quote")
    parser.add_argument(
        "--only", action="append", metavar="NAME", help="scenarios, by name or pattern; may be repeated"
    )
    parser.add_argument("--targets", metavar="A,B", help="only these targets")
    parser.add_argument("--rounds", type=int, default=None)
    parser.add_argument("--seconds", type=float, default=None, help="of one measurement")
    parser.add_argument("--list", action="store_true", help="name the scenarios and targets, and stop")
    parser.add_argument("--no-plot", action="store_true")
    args = parser.parse_args(argv)
    if args.list:
        for scenario in SCENARIOS:
            print(f"{scenario.name:12} {scenario.title}: {', '.join(scenario.targets)}")
        return 0
    scenarios = [s for s in SCENARIOS if not args.only or any(fnmatch.fnmatch(s.name, p) for p in args.only)]
    wanted = args.targets.split(",") if args.targets else list(TARGETS)
    if unknown := set(wanted) - set(TARGETS):
        parser.error(f"no target {', '.join(sorted(unknown))}; there are {', '.join(TARGETS)}")
    if not scenarios:
        parser.error(f"no scenario matches {args.only}; --list names them")
    rounds = args.rounds or (2 if args.quick else 5)
    seconds = args.seconds or (0.5 if args.quick else 2.0)
    raise_file_limit()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # unwind, so that no target outlives the run
    skipped: dict[str, str] = {}
    rows: list[Sample] = []
    for scenario in scenarios:
        names = [name for name in scenario.targets if name in wanted]
        rows += run_scenario(scenario, names, rounds, seconds, skipped)
    results = {
        "taken": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "machine": hardware(),
        "rounds": rounds,
        "seconds": seconds,
        "rows": rows,
        "bars": report.judged(BARS, rows),
        "skipped": skipped,
    }
    print(report.markdown(results, scenarios))
    whole = not (args.only or args.targets or args.quick)
    report.save(results, scenarios, RESULTS if whole else RESULTS / "local", plot=not args.no_plot)
    return 0


if __name__ == "__main__":
    sys.exit(main())
