"""The tables fit together, every installed target starts and serves, and the report says what was measured."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from redis import Redis

from bench import crowd, report, run, scenarios
from bench.load import Load, Options, prefill
from bench.process import StartFailedError, free_ports, spawned
from bench.scenarios import BARS, SCENARIOS, Bar
from bench.targets import NODES, PROXIES, TARGETS, missing, running

needs_redis = pytest.mark.skipif(NODES["redis"].binary() is None, reason="redis-server is not installed")


def test_the_tables_name_what_exists():
    by_name = {scenario.name: scenario for scenario in SCENARIOS}
    assert len(by_name) == len(SCENARIOS)
    for scenario in SCENARIOS:
        assert set(scenario.targets) <= set(TARGETS)
        assert scenario.measure in run.MEASURES
    for bar in BARS:
        assert {bar.target, bar.versus or bar.target} <= set(by_name[bar.scenario].targets)
        assert bar.metric in report.UNITS
    for target in TARGETS.values():
        assert target.node in NODES and (target.proxy is None or target.proxy in PROXIES)


@pytest.mark.parametrize("name", ["redis", "haproxy", "nutcracker", "envoy"])
def test_a_target_starts_serves_and_stops(name, tmp_path: Path):
    if reason := missing(name):
        pytest.skip(reason)
    with running(name, tmp_path) as target:
        address = ("127.0.0.1", target.port)
        filled = prefill(address, keys=100)
        before = target.front.cpu_ns()
        with Load(Options((address,), clients=3, depth=8, keys=100, check=True)) as load:
            result = load.run(requests=1000)
        assert (filled.errors, result.errors, result.nils, result.lost) == (0, 0, 0, 0)
        assert target.front.cpu_ns() > before
        rss, peak = target.front.memory_kib()
        assert 0 < rss <= peak
        processes = [target.front, *target.nodes]
        assert len(target.nodes) == (TARGETS[name].nodes if TARGETS[name].proxy else 0)
    assert all(process.popen.returncode is not None for process in processes)


@pytest.mark.skipif(PROXIES["quench"].binary() is None, reason="quench is not installed (make build)")
def test_the_configuration_written_for_quench_is_valid(tmp_path: Path):
    quench = PROXIES["quench"]
    binary, _, *options = quench.command(quench.binary() or "", tmp_path, 6380, [7001, 7002, 7003], 2)
    done = subprocess.run([binary, "check", *options], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "1 pool, 3 nodes, engines: 2" in done.stdout


def test_a_program_that_fails_is_reported_with_its_last_words(tmp_path: Path):
    (port,) = free_ports(1)
    with (
        pytest.raises(StartFailedError, match="status 3: no such luck"),
        spawned(["/bin/sh", "-c", "echo no such luck; exit 3"], port, tmp_path / "log"),
    ):
        pass


@needs_redis
def test_a_crowd_and_a_burst(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(crowd.time, "sleep", lambda seconds: None)
    with running("redis", tmp_path) as target:
        idle = crowd.idle(target, 50)
        assert idle["rss_mb"] >= idle["rss_before_mb"] > 1
        burst = crowd.burst(target, 20, 300_000)
        assert burst["errors"] == 0 and burst["peak_mb"] > burst["rss_before_mb"]
        with Redis(port=target.port) as client:
            assert client.dbsize() == 20 and client.strlen("burst:0003") == 300_000


@needs_redis
def test_a_whole_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setattr(run, "RESULTS", tmp_path)
    monkeypatch.setattr(run, "WARM_UP", 0.02)
    monkeypatch.setattr(run, "BARS", (Bar("get-64", "front_us", "redis", 1000.0), Bar("get-64", "p50", "redis", 0.0)))
    argv = ["--only", "get-64", "--targets", "redis", "--rounds", "2", "--seconds", "0.1", "--no-plot"]
    assert run.main(argv) == 0
    assert "| redis |" in capsys.readouterr().out
    results = json.loads((tmp_path / "local" / "latest.json").read_text())
    (row,) = results["rows"]
    assert len(row["samples"]) == 2
    rate = row["stats"]["rate"]
    assert 1000 < rate["min"] <= rate["median"] <= rate["max"]
    assert all(sample["errors"] == 0 for sample in row["samples"])
    assert 0 < row["stats"]["front_us"]["median"] < 1000
    assert [bar["met"] for bar in results["bars"]] == [True, False]
    assert "**no**" in (tmp_path / "local" / "latest.md").read_text()


def test_a_bar_is_a_ratio_of_medians():
    def row(target: str, *values: float) -> dict:
        return report.summarised("s", target, [{"front_us": value} for value in values])

    rows = [row("ours", 1.0, 9.0, 2.0), row("theirs", 4.0, 4.0, 1.0)]
    bars = [scenarios.Bar("s", "front_us", "ours", 0.5, "theirs"), scenarios.Bar("s", "front_us", "ours", 1.9)]
    judged = report.judged([*bars, scenarios.Bar("s", "front_us", "ours", 1.0, "absent")], rows)
    assert [(bar["measured"], bar["met"]) for bar in judged] == [(0.5, True), (2.0, False), (None, None)]
