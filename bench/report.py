"""What the samples say: medians, bars, the Markdown tables and the plot.

    python -m bench.report      puts the table of results/latest.json into the README
"""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from bench.scenarios import Bar, Scenario

Row = dict[str, Any]

# Columns of the tables, by kind of measurement: heading, metric, format.
COLUMNS: dict[str, tuple[tuple[str, str, str], ...]] = {
    "load": (
        ("requests/s", "rate", ",.0f"),
        ("CPU µs/request", "front_us", ".2f"),
        ("nodes µs/request", "nodes_us", ".2f"),
        ("p50 µs", "p50", ",.0f"),
        ("p99 µs", "p99", ",.0f"),
        ("p99.9 µs", "p999", ",.0f"),
        ("RSS MB", "rss_mb", ".1f"),
    ),
    "hits": (
        ("hits %", "hit_percent", ".2f"),
        ("misses %", "miss_percent", ".2f"),
        ("keys held %", "held_percent", ".2f"),
    ),
    "disturbance": (
        ("p99.9 µs quiet", "quiet_p999", ",.0f"),
        ("beside a busy core", "beside_p999", ",.0f"),
        ("p99.9 µs", "p999", ",.0f"),
        ("ratio", "p999_ratio", ".2f"),
        ("fork ms", "fork_ms", ".1f"),
    ),
    "sync": (
        ("seconds", "seconds", ".2f"),
        ("CPU seconds of both", "cpu_seconds", ".2f"),
    ),
    "transactions": (
        ("CPU µs/command", "front_us", ".2f"),
        ("without MULTI", "plain_us", ".2f"),
        ("ratio", "multi_ratio", ".2f"),
    ),
    "blocked": (
        ("p99 µs", "p99", ",.0f"),
        ("without them", "quiet_p99", ",.0f"),
        ("% of a core by waiting", "waiting_percent", ".2f"),
    ),
    "hot-key": (
        ("requests/s", "rate", ",.0f"),
        ("CPU µs/request", "front_us", ".3f"),
        ("of it in the kernel", "kernel_us", ".3f"),
        ("nodes' commands in 10,000", "reached", ".2f"),
        ("p99 µs", "p99", ",.0f"),
        ("generator, % of a core", "generator_percent", ".0f"),
    ),
    "zipf": (
        ("requests/s", "rate", ",.0f"),
        ("busiest node, of the mean", "busiest", ".3f"),
        ("its CPU", "busiest_cpu", ".3f"),
        ("if all went there", "plain", ".3f"),
        ("floor", "floor", ".3f"),
        ("busiest / floor", "over_floor", ".3f"),
        ("hot keys", "hot_keys", ".0f"),
        ("% at the nodes", "reached_percent", ".1f"),
        ("floor", "least_percent", ".1f"),
        ("CPU µs/request", "front_us", ".2f"),
        ("nodes µs/request", "nodes_us", ".2f"),
        ("generator, % of a core", "generator_percent", ".0f"),
    ),
    "sudden": (("ms until copied", "found_ms", ".1f"), ("highest", "highest_ms", ".1f")),
    "stale": (
        ("median ms", "p50_ms", ".2f"),
        ("p99 ms", "p99_ms", ".2f"),
        ("highest ms", "highest_ms", ".2f"),
        ("writes", "writes", ",.0f"),
        ("% seen late", "late_percent", ".1f"),
        ("requests/s", "rate", ",.0f"),
        ("% of a core", "core_percent", ".0f"),
    ),
    "stampede": (("loads", "loads", ",.0f"), ("ms until all have it", "all_ms", ",.0f")),
    "micro": (
        ("GET ns", "get_ns", ".1f"),
        ("looking for hot keys", "get_cools_ns", ".1f"),
        ("more", "get_more_ns", ".1f"),
        ("SET ns", "set_ns", ".1f"),
        ("looking for hot keys", "set_cools_ns", ".1f"),
        ("more", "set_more_ns", ".1f"),
        ("INCR ns", "incr_cools_ns", ".1f"),
        ("looking for hot counters", "incr_counts_ns", ".1f"),
        ("more", "incr_more_ns", ".1f"),
    ),
    "counter": (
        ("increments/s", "rate", ",.0f"),
        ("writes at the node in 1,000", "writes", ".2f"),
        ("p50 µs", "p50", ",.0f"),
        ("p99 µs", "p99", ",.0f"),
        ("CPU µs/increment, proxy and node", "both_us", ".3f"),
        ("of it the proxy's", "front_us", ".3f"),
    ),
    "pairs": (("pairs/s", "rate", ",.0f"), ("pairs at the node in 1,000", "writes", ".2f")),
    "pubsub": (
        ("deliveries/s", "rate", ",.0f"),
        ("CPU µs/delivery", "front_us", ".2f"),
        ("nodes µs/delivery", "nodes_us", ".2f"),
    ),
    "idle": (
        ("bytes/connection", "idle_bytes", ",.0f"),
        ("RSS before MB", "rss_before_mb", ".1f"),
        ("with them MB", "rss_mb", ".1f"),
        ("after MB", "rss_after_mb", ".1f"),
    ),
    "burst": (
        ("RSS before MB", "rss_before_mb", ".1f"),
        ("peak MB", "peak_mb", ",.0f"),
        ("5 s after MB", "rss_after_mb", ",.1f"),
        ("seconds", "seconds", ".1f"),
    ),
}
UNITS = {"front_us": "CPU µs/request", "p50": "p50 µs", "idle_bytes": "bytes/connection", "peak_mb": "peak MB",
         "rss_after_mb": "MB 5 s after", "left_ratio": "RSS 5 s after / before",
         "p999_ratio": "p99.9 while it writes / quiet", "seconds": "seconds",
         "multi_ratio": "with MULTI / without", "miss_percent": "misses",
         "p99_excess": "p99 µs beyond 1.5 times quiet",
         "reached": "nodes' commands in 10,000 requests", "busiest": "requests of the busiest node / mean",
         "busiest_cpu": "CPU of the busiest node / mean", "over_floor": "busiest node / floor",
         "get_more_ns": "ns more for GET", "set_more_ns": "ns more for SET", "p99_ms": "p99 ms",
         "highest_ms": "highest ms", "loads": "loads", "writes": "writes at the node in 1,000",
         "both_us": "CPU of proxy and node / increment", "incr_more_ns": "ns more for INCR"}  # fmt: skip

# The README's table: a row is (what it says, scenario, metric, format), a column (heading, target).
README_ROWS = (
    *(
        (f"CPU µs/request, {op.upper()}, depth {depth}", f"{op}-{depth}", "front_us", ".2f")
        for op in ("get", "set")
        for depth in (64, 16, 1)
    ),
    ("CPU µs/request, GET of one hot key, depth 64", "heat-key", "front_us", ".3f"),
    ("requests/s, GET, depth 64", "get-64", "rate", ",.0f"),
    ("requests/s, GET, depth 1", "get-1", "rate", ",.0f"),
    ("p50 µs, one client, depth 1", "one-client", "p50", ",.0f"),
    ("p99 µs at 20,000 GET/s", "rate-20k", "p99", ",.0f"),
    ("bytes per idle connection", "idle", "idle_bytes", ",.0f"),
    ("peak RSS MB, 2,000 clients send 1 MB", "burst", "peak_mb", ",.0f"),
)
README_COLUMNS = (
    ("Quench", "quench"),
    ("twemproxy", "nutcracker"),
    ("Envoy", "envoy"),
    ("HAProxy (TCP pipe)", "haproxy"),
    ("Redis, no proxy", "redis"),
)

# And what hot keys are spared: what it says, scenario, metric, format, target with and target without.
HEAT_ROWS = (
    ("nodes' commands in 10,000 GETs of one key", "heat-key", "reached", ",.2f", "quench", "quench-cold"),
    ("the same, written once a second", "heat-written", "reached", ",.2f", "quench-1s", None),
    ("busiest of 4 nodes / mean, Zipf 1.2, 99 % GET", "heat-zipf-99", "busiest", ".2f",
     "quench-4-nodes", "quench-4-nodes-cold"),
    ("busiest / where all reads of hot keys are free, 90 % GET", "heat-zipf-90", "over_floor", ".2f",
     "quench-4-nodes", "quench-4-nodes-cold"),
    ("ms until a key that is suddenly hot is served here, at most", "heat-sudden", "highest_ms", ".0f", "quench", None),
    ("ms by which another proxy's writes are seen late, p99", "heat-stale", "p99_ms", ".1f", "quench-twice", None),
    ("of 1,000 clients that miss a key, how many load it", "heat-stampede", "loads", ",.0f",
     "quench-twice-shield", "quench-twice"),
)  # fmt: skip
README = Path(__file__).parents[1] / "README.md"
LATEST = Path(__file__).parent / "results" / "latest.json"
FIGURES_BEGIN = "<!-- figures: python -m bench.report -->\n"
FIGURES_END = "<!-- end of figures -->\n"


def one_line(sample: Row) -> str:
    """A sample for the terminal, while the run goes on."""
    shown = ("rate", "front_us", "nodes_us", "generator_us", "p50", "p99", "idle_bytes", "peak_mb", "rss_after_mb",
             "plain_us", "multi_ratio", "quiet_p99", "waiting_percent", "hit_percent", "held_percent", "seconds",
             "cpu_seconds", "reached", "busiest", "busiest_cpu", "floor", "over_floor", "found_ms", "p99_ms",
             "highest_ms", "core_percent", "get_more_ns", "set_more_ns", "loads", "all_ms",
             "writes", "both_us", "incr_more_ns")
    return "  ".join(f"{key} {sample[key]:,.2f}" for key in shown if key in sample)


def summarised(scenario: str, target: str, samples: Sequence[Row]) -> Row:
    """min, median and max of every metric of one target in one scenario."""
    metrics = [key for key, value in samples[0].items() if isinstance(value, int | float)]
    stats = {}
    for key in metrics:
        values = [sample[key] for sample in samples]
        stats[key] = {"min": min(values), "median": statistics.median(values), "max": max(values)}
    first_error = next((sample["first_error"] for sample in samples if sample.get("first_error")), "")
    return {
        "scenario": scenario,
        "target": target,
        "stats": stats,
        "samples": list(samples),
        "first_error": first_error,
    }


def median_of(rows: Iterable[Row], scenario: str, target: str, metric: str) -> float | None:
    for row in rows:
        if row["scenario"] == scenario and row["target"] == target and metric in row["stats"]:
            return float(row["stats"][metric]["median"])
    return None


def judged(bars: Iterable[Bar], rows: Sequence[Row]) -> list[Row]:
    """Each bar with what was measured; `met` is None where a side of it was not."""
    out = []
    for bar in bars:
        measured = median_of(rows, bar.scenario, bar.target, bar.metric)
        if measured is not None and bar.versus is not None:
            other = median_of(rows, bar.scenario, bar.versus, bar.metric)
            measured = measured / other if other else None
        text = f"{bar.scenario}: {UNITS[bar.metric]} of {bar.target}" + (f" / {bar.versus}" if bar.versus else "")
        met = None if measured is None else measured <= bar.at_most
        out.append({"bar": text, "at_most": bar.at_most, "measured": measured, "met": met})
    return out


def markdown(results: Row, scenarios: Sequence[Scenario]) -> str:
    """The whole report. A cell is the median, with the range over the rounds where it matters (CPU and rate)."""
    machine = results["machine"]
    lines = [
        f"# Benchmark, {results['taken']}", "",
        f"{machine['cpu']}, {machine['cores']} cores, Linux {machine['kernel']}; {results['rounds']} rounds of "
        f"{results['seconds']} s, targets interleaved; medians (min to max).", "",
    ]  # fmt: skip
    for scenario in scenarios:
        rows = [row for row in results["rows"] if row["scenario"] == scenario.name]
        if not rows:
            continue
        columns = COLUMNS[scenario.measure]
        lines += [f"## {scenario.name}: {scenario.title}", ""]
        lines += ["| target | " + " | ".join(heading for heading, _, _ in columns) + " | errors |"]
        lines += ["|---|" + "---:|" * (len(columns) + 1)]
        for row in sorted(rows, key=lambda row: scenario.targets.index(row["target"])):
            cells = [cell(row["stats"].get(metric), form, metric) for _, metric, form in columns]
            errors = sum(sample.get("errors", 0) for sample in row["samples"])
            shown = f"{errors} ({row['first_error']})" if row["first_error"] else str(errors)
            lines.append(f"| {row['target']} | " + " | ".join(cells) + f" | {shown} |")
        lines.append("")
    judged_bars = [bar for bar in results["bars"] if bar["met"] is not None]
    if judged_bars:
        lines += ["## Bars", "", "| bar | at most | measured | met |", "|---|---:|---:|---|"]
        for bar in judged_bars:
            met = "yes" if bar["met"] else "**no**"
            lines.append(f"| {bar['bar']} | {bar['at_most']:g} | {bar['measured']:.3g} | {met} |")
        lines.append("")
    for name, reason in results["skipped"].items():
        lines.append(f"Skipped: {name}: {reason}")
    return "\n".join(lines)


def readme_table(results: Row) -> str:
    """The README's tables: a row a figure, a column a target, medians; "-" where nothing was measured, and no row where
    that is so of Quench."""
    machine = results["machine"]
    lines = [
        "| median | " + " | ".join(heading for heading, _ in README_COLUMNS) + " |",
        "|---|" + "---:|" * len(README_COLUMNS),
    ]
    for title, scenario, metric, form in README_ROWS:
        values = [median_of(results["rows"], scenario, target, metric) for _, target in README_COLUMNS]
        if values[0] is None:
            continue
        lines.append(f"| {title} | " + " | ".join("-" if v is None else format(v, form) for v in values) + " |")
    lines += [
        *heat_table(results), "",
        f"`make bench`, {results['taken'][:10]}: {machine['cpu']}, {machine['cores']} cores shared by the generator, "
        f"the proxy and two nodes; {results['rounds']} rounds of {results['seconds']:g} s; 50 clients and values of 64 "
        "bytes unless a row says otherwise; one worker for each proxy. CPU is that of the process clients talk to.",
    ]
    return "\n".join(lines) + "\n"


def heat_table(results: Row) -> list[str]:
    """Hot keys, found and not looked for; nothing where nothing of it was measured."""
    lines = ["", "| median | hot keys cooled | not |", "|---|---:|---:|"]
    for title, scenario, metric, form, *targets in HEAT_ROWS:
        values = [target and median_of(results["rows"], scenario, target, metric) for target in targets]
        if values[0] is not None:
            lines.append(f"| {title} | " + " | ".join("-" if v is None else format(v, form) for v in values) + " |")
    return lines if len(lines) > 3 else []


def with_figures(readme: str, results: Row) -> str:
    """The README's text with the table between its markers. Raises ValueError when they are missing."""
    before, begin, rest = readme.partition(FIGURES_BEGIN)
    _, end, after = rest.partition(FIGURES_END)
    if not begin or not end:
        raise ValueError(f"the README has no lines {FIGURES_BEGIN.strip()} and {FIGURES_END.strip()}")
    return before + begin + readme_table(results) + end + after


def cell(stat: dict[str, float] | None, form: str, metric: str) -> str:
    if stat is None:
        return "-"
    text = format(stat["median"], form)
    if metric in ("front_us", "rate") and stat["min"] != stat["max"]:
        text += f" ({format(stat['min'], form)} to {format(stat['max'], form)})"
    return text


def save(results: Row, scenarios: Sequence[Scenario], folder: Path, plot: bool = True) -> None:
    """latest.json, latest.md and, with matplotlib there, latest.png."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "latest.json").write_text(json.dumps(results, indent=1) + "\n")
    (folder / "latest.md").write_text(markdown(results, scenarios) + "\n")
    if plot:
        draw(results, scenarios, folder / "latest.png")


def draw(results: Row, scenarios: Sequence[Scenario], path: Path) -> None:
    """Two panels: CPU of the front process per request, and latency under a fixed rate. Nothing without matplotlib."""
    try:
        import matplotlib
    except ImportError:
        print("no plot: matplotlib is not installed (pip install --group bench)")
        return
    matplotlib.use("Agg")
    from matplotlib import pyplot

    closed = [s for s in scenarios if s.measure == "load" and not s.rate and s.clients > 1]
    opened = [s for s in scenarios if s.measure == "load" and s.rate]
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(14, 5))
    grouped(left, results["rows"], closed, "front_us")
    left.set(title="CPU of the process clients talk to", ylabel="µs per request", yscale="log")
    grouped(right, results["rows"], opened, "p99")
    right.set(title="p99 latency at a fixed rate (open loop)", ylabel="µs", yscale="log")
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def grouped(axes: Any, rows: Sequence[Row], scenarios: Sequence[Scenario], metric: str) -> None:
    """A group of bars for each scenario, one colour a target, whiskers from min to max."""
    measured = {(row["scenario"], row["target"]) for row in rows}
    targets = list(dict.fromkeys(name for s in scenarios for name in s.targets if (s.name, name) in measured))
    width = 0.8 / max(len(targets), 1)
    for place, target in enumerate(targets):
        for group, scenario in enumerate(scenarios):
            for row in rows:
                if row["scenario"] == scenario.name and row["target"] == target and metric in row["stats"]:
                    stat = row["stats"][metric]
                    spread = [[stat["median"] - stat["min"]], [stat["max"] - stat["median"]]]
                    axes.bar(group + place * width, stat["median"], width, yerr=spread, color=f"C{place}",
                             error_kw={"elinewidth": 0.8})  # fmt: skip
        axes.plot([], [], color=f"C{place}", linewidth=6, label=target)
    middles = [group + 0.4 - width / 2 for group in range(len(scenarios))]
    axes.set_xticks(middles, [s.name for s in scenarios], rotation=30)
    if targets:
        axes.legend(fontsize=8)


def main() -> int:
    README.write_text(with_figures(README.read_text(), json.loads(LATEST.read_text())))
    print(f"{README.name}: the figures are those of {LATEST.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
