"""The micro-benchmark runs, and its parts add up."""

import json
import subprocess
import sys

import pytest

from bench import micro


def test_it_runs_and_prints_json():
    command = [sys.executable, "-m", "bench.micro", "--json", "--rounds", "2"]
    done = subprocess.run(command, capture_output=True, check=True)
    found = json.loads(done.stdout)
    assert found["unit"] == "ns per request"
    for figures in found["operations"].values():
        assert tuple(figures) == micro.PARTS and all(figures[part] > 0 for part in micro.PARTS)


def test_the_table(capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["micro", "--rounds", "2"])
    micro.main()
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split() == list(micro.PARTS)
    assert [line[:12].strip() for line in lines[2:]] == [
        "GET", "SET", "INCR", "GET, cools", "SET, cools", "INCR, cools", "INCR, counts",
        "GET, reads", "SET, reads", "INCR, reads", "GET, hot",
    ]  # fmt: skip


def test_hot_requests_are_answered_from_copies():
    track = micro.hot_track()
    track.run(10)
    hits = track.engine.counters()["copy_hits"]
    track.run(10)
    assert track.engine.counters()["copy_hits"] - hits == 10 * micro.DEPTH


def test_replies_that_do_not_fit_are_noticed():
    engine, _ = micro.prepare()
    client = engine.open()
    with pytest.raises(ValueError, match="do not fit"):
        engine.time_turns(client, micro.words(b"GET", b"a"), [b"", b""], 1)
