"""The load generator against a real redis-server, and its histogram and samplers against naive twins."""

from __future__ import annotations

import contextlib
import math
import os
import shutil
import signal
import socket
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from bench.build import ensure_built

ensure_built()

from bench.histogram import Histogram  # noqa: E402
from bench.sampler import KeySampler  # noqa: E402
from hypothesis import given  # noqa: E402
from hypothesis import strategies as st  # noqa: E402
from redis import Redis  # noqa: E402

from bench.load import Load, Options, main, prefill, request_row, split_key_format  # noqa: E402
from bench.process import free_ports, spawned  # noqa: E402

REDIS = shutil.which("redis-server")
needs_redis = pytest.mark.skipif(REDIS is None, reason="redis-server is not installed")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory):
    home: Path = tmp_path_factory.mktemp("redis")
    (port,) = free_ports(1)
    argv = [str(REDIS), "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(home)]
    with spawned(argv, port, home / "log") as process:
        process.port = port
        yield process


@pytest.fixture
def client(server):
    with Redis(port=server.port) as client:
        client.flushall()
        client.config_resetstat()
        yield client


def calls(client: Redis, command: str) -> int:
    return client.info("commandstats").get(f"cmdstat_{command}", {"calls": 0})["calls"]


def options(server, **changes) -> Options:
    return Options((("127.0.0.1", server.port),), **{"clients": 5, "keys": 1000, **changes})


# ── the histogram ─────────────────────────────────────────────────────────────────────────────────


@given(st.lists(st.integers(0, 2**50), min_size=1, max_size=200), st.floats(0, 1))
def test_a_quantile_is_the_ranked_value_or_at_most_a_64th_above(values, share):
    histogram = Histogram()
    for value in values:
        histogram.record(value)
    exact = sorted(values)[max(math.ceil(share * len(values)), 1) - 1]
    assert exact <= histogram.quantile(share) <= exact + exact // 64
    assert histogram.highest == max(values)
    assert len(histogram) == len(values)
    assert histogram.mean == pytest.approx(sum(values) / len(values))


def test_small_and_huge_values_have_their_buckets():
    for value in (0, 1, 63, 64, 127, 128, 2**32, 2**64 - 1):
        histogram = Histogram()
        histogram.record(value)
        assert histogram.quantile(0.5) == value
    assert Histogram().quantile(0.99) == 0


# ── the samplers ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("zipf", [0.0, 0.5, 0.99, 1.5])
def test_draws_follow_the_distribution(zipf):
    """Pearson's chi-square over keys of enough weight (the rest pooled), within 5 standard deviations of its mean."""
    keys, draws = 1000, 400_000
    weights = [(k + 1) ** -zipf for k in range(keys)]
    total = sum(weights)
    seen = Counter(KeySampler(keys, zipf, seed=7).draw(draws))
    assert min(seen) >= 0 and max(seen) < keys
    chi, cells, pooled_seen, pooled_expected = 0.0, 0, 0, 0.0
    for key, weight in enumerate(weights):
        expected = draws * weight / total
        if expected < 20:
            pooled_seen, pooled_expected = pooled_seen + seen[key], pooled_expected + expected
        else:
            chi, cells = chi + (seen[key] - expected) ** 2 / expected, cells + 1
    if pooled_expected > 20:
        chi, cells = chi + (pooled_seen - pooled_expected) ** 2 / pooled_expected, cells + 1
    freedom = cells - 1
    assert abs(chi - freedom) < 5 * math.sqrt(2 * freedom)


def test_a_single_key_and_bad_parameters():
    assert set(KeySampler(1, 1.0).draw(100)) == {0}
    with pytest.raises(ValueError, match="at least one key"):
        KeySampler(0)
    with pytest.raises(ValueError, match="negative"):
        KeySampler(10, -1.0)


# ── the requests ──────────────────────────────────────────────────────────────────────────────────


def test_request_texts():
    of = Options((), value_size=5, key_format="k:%03d:z", many=2)
    assert request_row("get", 1.0, of)[1] == b"*2\r\n$3\r\nGET\r\n$7\r\nk:000:z\r\n"
    assert request_row("set", 1.0, of)[1] == b"*3\r\n$3\r\nSET\r\n$7\r\nk:000:z\r\n$5\r\n000xx\r\n"
    assert request_row("mget", 1.0, of)[1] == b"*3\r\n$4\r\nMGET\r\n" + b"$7\r\nk:000:z\r\n" * 2
    assert request_row("mset", 1.0, of)[1] == b"*5\r\n$4\r\nMSET\r\n" + b"$7\r\nk:000:z\r\n$5\r\n000xx\r\n" * 2
    assert request_row("hset", 1.0, of)[1] == b"*4\r\n$4\r\nHSET\r\n$8\r\nhash:000\r\n$5\r\nfield\r\n$5\r\n000xx\r\n"
    assert request_row("zadd", 1.0, of)[1] == b"*4\r\n$4\r\nZADD\r\n$7\r\nranking\r\n$3\r\n000\r\n$5\r\n000xx\r\n"
    with pytest.raises(ValueError, match="%0Nd"):
        split_key_format("key:%s")


# ── against a server ──────────────────────────────────────────────────────────────────────────────


@needs_redis
@pytest.mark.parametrize("depth", [1, 7, 64])
def test_every_request_is_sent_and_answered_once(server, client, depth):
    with Load(options(server, depth=depth, ops={"get": 3, "set": 1})) as load:
        result = load.run(requests=10_001)
    assert (result.requests, result.errors, result.lost) == (10_001, 0, 0)
    gets, sets = calls(client, "get"), calls(client, "set")
    assert gets + sets == 10_001
    assert 0.70 < gets / 10_001 < 0.80
    assert 0 < result.p50 <= result.p90 <= result.p99 <= result.p999 <= result.highest


@needs_redis
def test_prefill_sets_every_key_and_reads_are_checked(server, client):
    prefill(("127.0.0.1", server.port), keys=1000, value_size=64)
    assert client.dbsize() == 1000
    assert client.get("key:000000000042") == b"000000000042" + b"x" * 52
    with Load(options(server, depth=16, check=True)) as load:
        result = load.run(requests=5000)
        assert (result.errors, result.nils) == (0, 0)
        client.set("key:000000000007", "another value, long enough to compare")
        result = load.run(requests=20_000)
    assert 0 < result.errors < 60, "one key in 1000 was changed"
    assert result.first_error == "GET returned another key's value"


@needs_redis
def test_many_keys_large_values_and_split_replies(server, client):
    """Requests and replies far beyond a socket buffer: both sides of the connection have to wait and go on."""
    ops = {"mset": 1, "mget": 1}
    with Load(options(server, clients=3, keys=50, depth=4, value_size=40_000, many=10, ops=ops)) as load:
        result = load.run(requests=300)
    assert (result.requests, result.errors, result.lost) == (300, 0, 0)
    assert calls(client, "mset") + calls(client, "mget") == 300
    with Load(options(server, clients=3, keys=50, depth=4, value_size=40_000, check=True)) as load:
        assert load.run(requests=300).errors == 0


@needs_redis
def test_increments_add_up(server, client):
    with Load(options(server, keys=10, depth=16, ops={"incr": 1}, key_format="counter:%02d")) as load:
        assert load.run(requests=3000).errors == 0
    assert sum(int(client.get(f"counter:{n:02}")) for n in range(10)) == 3000


@needs_redis
def test_errors_and_nils_are_counted(server, client):
    client.hset("key:000000000000", "field", "value")
    with Load(options(server, keys=1, depth=8)) as load:
        result = load.run(requests=100)
        assert result.errors == 100
        assert result.first_error.startswith("-WRONGTYPE")
        client.flushall()
        result = load.run(requests=100)
        assert (result.errors, result.nils, result.first_error) == (0, 100, "")


@needs_redis
def test_connections_that_break_are_lost_and_come_back(server, client):
    with Load(options(server, clients=4, depth=4)) as load:
        killer = threading.Timer(0.1, lambda: client.client_kill_filter(_type="normal", skipme=True))
        killer.start()
        result = load.run(seconds=5)
        killer.join()
        assert result.seconds < 2, "with every connection gone the run ends"
        assert "connection" in result.first_error
        assert load.run(requests=100).requests == 100


@needs_redis
def test_open_loop_keeps_its_rate(server, client):
    with Load(options(server, depth=16)) as load:
        result = load.run(seconds=0.5, rate=4000)
    assert result.requests == 2000 == calls(client, "get")
    assert result.rate == pytest.approx(4000, rel=0.1)


@needs_redis
def test_open_loop_charges_a_stall_to_all_that_came_due(server, client):
    """A server that stops for 0.4 s of 1 s delays 40 % of the requests, each by what was left of the stall.

    A closed loop would show only as many slow requests as it had in flight.
    """
    with Load(options(server, depth=4)) as load:
        load.run(requests=100)
        start = threading.Timer(0.2, lambda: os.kill(server.pid, signal.SIGSTOP))
        end = threading.Timer(0.6, lambda: os.kill(server.pid, signal.SIGCONT))
        start.start(), end.start()
        try:
            result = load.run(seconds=1.0, rate=2000)
        finally:
            start.join(), end.join()
    assert (result.requests, result.lost) == (2000, 0)
    assert result.highest > 350_000
    assert result.mean == pytest.approx(0.4 * 200_000, rel=0.4)
    assert result.p50 < 150_000 < result.p90


@needs_redis
def test_what_is_never_answered_is_lost_with_its_age(server):
    with Load(options(server, clients=2, depth=2)) as load:
        os.kill(server.pid, signal.SIGSTOP)
        try:
            result = load.run(seconds=0.1, rate=1000, grace=0.2)
        finally:
            os.kill(server.pid, signal.SIGCONT)
        assert (result.requests, result.lost) == (0, 100)
        assert 150_000 < result.p50 < 1_000_000
        assert "no reply" in result.first_error


def test_replies_may_come_in_any_pieces():
    """A server of our own that answers byte by byte, then with garbage."""
    listener = socket.create_server(("127.0.0.1", 0))
    replies = [b"$5\r\nhello\r\n", b"$-1\r\n", b"-ERR no\r\n", b"$0\r\n\r\n", b"+OK\r\n", b"?what\r\n"]

    def serve() -> None:
        link, _ = listener.accept()
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with link:
            for reply in replies:
                link.recv(4096)
                with contextlib.suppress(ConnectionError):  # the generator hangs up at the first byte of garbage
                    for at in range(len(reply)):
                        link.send(reply[at : at + 1])
                        time.sleep(0.001)

    thread = threading.Thread(target=serve)
    thread.start()
    with listener, Load(Options((listener.getsockname(),), clients=1, keys=10)) as load:
        result = load.run(requests=6)
    thread.join()
    assert (result.requests, result.nils, result.errors, result.lost) == (5, 1, 2, 1)
    assert result.first_error == "-ERR no"


@needs_redis
def test_the_command_line(server, client, capsys):
    argv = ["--port", str(server.port), "--requests", "500", "--prefill", "--keys", "100", "--zipf", "1", "--json"]
    assert main(argv) == 0
    assert '"requests": 500' in capsys.readouterr().out
    assert main([*argv[:-1], "--op", "get:1,mget:1"]) == 0
    assert "errors 0" in capsys.readouterr().out
