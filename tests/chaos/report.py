"""Report: what one run showed, for the terminal, and all of them in tables."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from bench.process import hardware
from tests.chaos.faults import ALWAYS, FAULTS, Bar
from tests.chaos.history import Findings

ALL = "all of them"


def tell(name: str, findings: Findings) -> str:
    """All figures of one run."""

    def ms(seconds: float) -> str:
        return "-" if math.isnan(seconds) else f"{1000 * seconds:.1f} ms"

    def spread(percentiles: dict[str, float]) -> str:
        return ", ".join(f"{name} {ms(value)}" for name, value in percentiles.items())

    oldest = max((one.age for one in findings.stale), default=0.0)
    lost_at = max((one.ended - findings.struck for one in findings.lost), default=math.nan)
    lines = [
        f"{name}: {FAULTS[name].told}; {findings.rate:,.0f} requests/s",
        f"  reads {findings.reads:,}, failed {len(findings.failed_reads)},"
        f" {len(findings.in_order)} of them beside a write of their client",
        f"  writes {findings.writes:,}, failed {len(findings.failed_writes)}; writes flow after {ms(findings.flow)}",
        f"  acknowledged writes lost {len(findings.lost)}, the last of them {ms(lost_at)} into the fault",
        f"  happened though not sent {len(findings.ghosts)}; counted twice {len(findings.counted_twice)};"
        f" primaries in one epoch {findings.primaries or '-'}",
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


class Report:
    """Figures of the last run of each fault, and the worst of each bar, by make of nodes."""

    HEADINGS = (
        "fault", "requests/s", "failed reads", "beside a write", "failed writes", "ms until writes flow",
        "acknowledged writes lost", "stale reads", "outside of the fault",
    )  # fmt: skip

    def __init__(self) -> None:
        self.missed: list[str] = []
        self._figures: dict[str, dict[str, tuple[str, ...]]] = {}
        self._worst: dict[str, dict[tuple[str, str], tuple[Bar, float]]] = {}

    def add(self, make: str, name: str, findings: Findings) -> Iterator[str]:
        """A line for each bar."""
        self._figures.setdefault(make, {})[name] = (
            FAULTS[name].told, f"{findings.rate:,.0f}", f"{len(findings.failed_reads):,}",
            f"{len(findings.in_order):,}", f"{len(findings.failed_writes):,}",
            f"{1000 * findings.flow:,.0f}" if math.isfinite(findings.flow) else "-", f"{len(findings.lost):,}",
            f"{len(findings.stale):,}", f"{len(findings.stale_outside):,}",
        )  # fmt: skip
        worst = self._worst.setdefault(make, {})
        for bar in FAULTS[name].bars:
            value = bar.measure(findings)
            line = f"{bar.what}: {bar.told(value)} (≤ {bar.told(bar.most)})"
            if not bar.holds(value):
                self.missed.append(f"{name}: {line}")
            yield f"  {'ok    ' if bar.holds(value) else 'MISSED'} {line}"
            key = (ALL if bar in ALWAYS else FAULTS[name].told), bar.what
            _, before = worst.get(key, (bar, -math.inf))
            worst[key] = bar, math.nan if math.isnan(value) or math.isnan(before) else max(value, before)

    def tables(self, make: str) -> str:
        bars = [
            (told, what, bar.told(value), bar.told(bar.most), "yes" if bar.holds(value) else "NO")
            for (told, what), (bar, value) in self._worst[make].items()
        ]
        bars.sort(key=lambda row: row[0] == ALL)
        figures = table(self.HEADINGS, self._figures[make].values())
        return f"{figures}\n\n{table(('fault', 'what', 'measured', 'at most', 'held'), bars, 2)}\n"

    def keep(self, folder: Path) -> None:
        """A file for each make of nodes: what was measured, and when, where and how."""
        machine = hardware()
        for make in self._figures:
            (folder / f"chaos-{make}.md").write_text(
                f"# Chaos, {make} nodes, {datetime.now(UTC):%Y-%m-%d}\n\n"
                f"`python -m tests.chaos --nodes {make}`: {machine['cpu']}, {machine['cores']} cores shared by clients,"
                f" proxies and nodes, Linux {machine['kernel']}. Figures are of a fault's last run, bars of its worst."
                f" bench/README.md says what they mean.\n\n{self.tables(make)}"
            )


def table(headings: Sequence[str], rows: Iterable[Sequence[str]], words: int = 1) -> str:
    """In Markdown; figures behind so many columns of words."""
    lines = [headings, ["---" if place < words else "---:" for place in range(len(headings))], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
