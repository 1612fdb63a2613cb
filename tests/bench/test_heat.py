"""The figures of hot keys: what they count is what happened, at real nodes behind a real proxy."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from redis import Redis

from bench import heat, stale, stampede
from bench.load import Load, Options, prefill
from bench.targets import NODES, PROXIES, QUENCHES, Running, running

pytestmark = pytest.mark.skipif(
    NODES["redis"].binary() is None or PROXIES["quench"].binary() is None,
    reason="redis-server or quench (make build) is not installed",
)


@pytest.fixture
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Running]:
    with running(request.param, tmp_path) as found:
        yield found


@pytest.mark.parametrize("name", QUENCHES)
def test_its_configuration_is_valid(name: str, tmp_path: Path):
    program = PROXIES[name]
    binary, _, *options = program.command(program.binary() or "", tmp_path, 6380, [7001, 7002], 1)
    done = subprocess.run([binary, "check", *options], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("target", ["redis"], indirect=True)
def test_the_tally_is_what_was_sent(target: Running):
    options = Options((("127.0.0.1", target.port),), clients=3, depth=8, keys=50, zipf=1.2,
                      ops={"count": 0.7, "get": 0.3}, tally=True)  # fmt: skip
    with Load(options) as load, Redis(port=target.port) as client:
        load.run(requests=500)
        client.flushall()
        load.run(requests=2000)
        counted, read = load.tally("count"), load.tally("get")
        assert list(counted) == [int(client.get(f"counter:{key:012d}") or 0) for key in range(50)]
        assert sum(counted) + sum(read) == 2000
    with Load(Options((("127.0.0.1", target.port),))) as load, pytest.raises(ValueError, match="nothing was counted"):
        load.tally("get")


def test_the_floor_is_all_writes_and_the_reads_of_cold_keys():
    homes, reads, writes = bytes([0, 1, 2, 0]), [90, 4, 5, 6], [10, 1, 0, 2]
    assert heat.floor(homes, reads, writes, hot=100) == ([10 + 2 + 6, 1 + 4, 5], 1)
    assert heat.floor(homes, reads, writes, hot=101) == ([100 + 8, 5, 5], 0)
    assert heat.busiest([3, 1, 2]) == 1.5


@pytest.mark.parametrize("target", ["quench-4-nodes-cold"], indirect=True)
def test_keys_are_where_the_floor_takes_them_to_be(target: Running):
    prefill(("127.0.0.1", target.port), keys=1000)
    homes = heat.homes_of(4, 1000)
    for node, port in enumerate(target.node_ports):
        with Redis(port=port) as client:
            held = client.keys()
        assert {int(key[4:]) for key in held} == {key for key in range(1000) if homes[key] == node}
    sample = heat.skewed(target, 5, 8, {"get": 0.9, "set": 0.1}, 1000, 1.2, 0.2)
    assert sample["errors"] == 0
    assert sample["reached_percent"] == pytest.approx(100)  # nobody else asks the nodes, and all goes there
    assert sample["busiest"] == pytest.approx(sample["plain"])


@pytest.mark.parametrize("target", ["quench-cold", "quench-1s"], indirect=True)
def test_what_reaches_the_nodes_of_one_hot_key(target: Running):
    prefill(("127.0.0.1", target.port), keys=1)
    writes = 0.0 if target.name == "quench-cold" else 20.0
    sample = heat.one_key(target, clients=5, depth=16, writes=writes, seconds=0.3)
    assert sample["errors"] == 0 and sample["front_us"] > 0
    if target.name == "quench-cold":
        assert sample["reached"] == pytest.approx(10_000)
    else:
        assert 0 < sample["reached"] < 2_000  # a write, and the fetch behind it


@pytest.mark.parametrize("target", ["quench"], indirect=True)
def test_a_sudden_hot_key_is_found(target: Running):
    prefill(("127.0.0.1", target.port), keys=heat.BACKGROUND_KEYS, op="hset")
    sample = heat.sudden(target, clients=5, rate=10_000, value_size=64, seconds=0.1)
    assert sample["errors"] == 0
    assert 0 < sample["found_ms"] <= sample["highest_ms"] <= heat.SUDDEN_SECONDS * 1000


@pytest.mark.parametrize("target", ["quench-twice"], indirect=True)
def test_staleness_is_measured_between_two_proxies(target: Running):
    sample = stale.staleness(target, clients=5, depth=4, value_size=64, seconds=0.5)
    assert sample["errors"] == 0 and sample["writes"] > 1
    assert 0 <= sample["p50_ms"] <= sample["p99_ms"]


@pytest.mark.parametrize("target", ["quench-twice", "quench-twice-shield"], indirect=True)
def test_a_stampede_counts_who_was_told_nil(target: Running):
    sample = stampede.stampede(target, clients=40, value_size=64)
    assert sample["errors"] == 0
    assert sample["loads"] == (40 if target.name == "quench-twice" else 1)
    assert sample["all_ms"] >= stampede.LOADING * 1000


@pytest.mark.parametrize("target", ["redis"], indirect=True)
def test_a_link_reads_whatever_pieces_come(target: Running):
    with closing(heat.Link(target.port)) as link:
        assert link.ask(b"SET", b"a", b"x" * 300_000) == b"OK"
        assert link.ask(b"GET", b"a") == b"x" * 300_000
        assert link.ask(b"STRLEN", b"a") == b"300000"
        with pytest.raises(OSError, match="ERR unknown"):
            link.ask(b"NONSENSE")
        with pytest.raises(OSError, match=r"GET was answered \$-1"):
            link.ask(b"GET", b"absent")
        assert link.ask(b"PING") == b"PONG"
