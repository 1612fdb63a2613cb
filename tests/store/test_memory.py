"""Eviction and expiry: what happens to keys that nobody removes."""

import time
from collections.abc import Callable

from tests.store.conftest import Server
from tests.store.raw import info, pipeline

MIB = 1 << 20


def test_writing_ten_times_maxmemory(new_node: Callable[..., Server]) -> None:
    limit = 4 * MIB
    with new_node("--maxmemory", "4mb").connect() as connection:
        for start in range(0, 200_000, 5000):
            replies = pipeline(connection, [("set", f"key:{n}", b"x" * 200) for n in range(start, start + 5000)])
            assert set(replies) == {b"+OK\r\n"}
            assert info(connection, "memory", "used_memory") <= limit
        assert info(connection, "memory", "used_memory_peak") <= limit
        assert info(connection, "stats", "evicted_keys") > 100_000
        # The memory is used, not just freed: at least 85 % of what fits is there.
        assert int(connection("dbsize")[1:]) > limit * 85 // 100 // 280


def test_values_of_many_sizes_stay_below_the_limit(new_node: Callable[..., Server]) -> None:
    with new_node("--maxmemory", "8mb").connect() as connection:
        for n in range(600):
            assert connection("set", f"key:{n}", b"x" * (1 + n * 7919 % 300_000)) == b"+OK\r\n"
            assert info(connection, "memory", "used_memory") <= 8 * MIB


def test_a_value_that_grows_behind_a_small_request(new_node: Callable[..., Server]) -> None:
    with new_node("--maxmemory", "4mb").connect() as connection:
        pipeline(connection, [("set", f"key:{n}", b"x" * 1000) for n in range(3000)])
        time.sleep(0.2)  # two ticks of the LRU clock: among keys of one age any may go
        assert connection("setrange", "long", 3 * MIB, "x") == b":%d\r\n" % (3 * MIB + 1)
        assert info(connection, "memory", "used_memory") <= 4 * MIB
        assert connection("strlen", "long") == b":%d\r\n" % (3 * MIB + 1)
        connection("setrange", "longer", 5 * MIB, "x")
        assert info(connection, "memory", "used_memory") <= 4 * MIB


def test_the_longest_unused_keys_go_first(new_node: Callable[..., Server]) -> None:
    with new_node("--maxmemory", "4mb").connect() as connection:
        hot = [f"hot:{n}" for n in range(500)]
        pipeline(connection, [("set", key, b"x" * 200) for key in hot])
        for start in range(0, 60_000, 1000):
            pipeline(connection, [("get", key) for key in hot])
            pipeline(connection, [("set", f"cold:{n}", b"x" * 200) for n in range(start, start + 1000)])
            time.sleep(0.01)
        left = sum(reply != b"$-1\r\n" for reply in pipeline(connection, [("get", key) for key in hot]))
        assert left >= 450, f"only {left} of 500 keys in constant use survived"


def test_noeviction_refuses_writes_and_serves_reads(new_node: Callable[..., Server]) -> None:
    with new_node("--maxmemory", "1mb").connect() as connection:
        assert connection("config", "set", "maxmemory-policy", "noeviction") == b"+OK\r\n"
        replies = pipeline(connection, [("set", f"key:{n}", b"x" * 1000) for n in range(2000)])
        oom = b"-OOM command not allowed when used memory > 'maxmemory'.\r\n"
        assert set(replies) == {b"+OK\r\n", oom}
        assert replies.index(oom) > 800
        assert connection("get", "key:0") == b"$1000\r\n" + b"x" * 1000 + b"\r\n"
        assert connection("incr", "counter") == oom
        assert pipeline(connection, [("del", f"key:{n}") for n in range(100)]) == [b":1\r\n"] * 100
        assert connection("set", "key:0", "1") == b"+OK\r\n"
        assert connection("config", "set", "maxmemory", "100kb", "maxmemory-policy", "allkeys-lru") == b"+OK\r\n"
        assert info(connection, "memory", "used_memory") <= 100 * 1024


def test_expired_keys_are_freed_without_being_asked_for(node: Server) -> None:
    with node.connect() as connection:
        connection("flushall")
        before = info(connection, "memory", "used_memory")
        pipeline(connection, [("set", f"stay:{n}", n) for n in range(5000)])
        pipeline(connection, [("set", f"go:{n}", "x" * 100, "px", 1 + n % 200) for n in range(20_000)])
        connection("select", 5)
        pipeline(connection, [("set", f"go:{n}", n, "px", 150) for n in range(100)])
        give_up = time.monotonic() + 10
        while b"db0:keys=5000,expires=0," not in (keyspace := connection("info", "keyspace")) or b"db5" in keyspace:
            assert time.monotonic() < give_up, keyspace
            time.sleep(0.02)
        connection("flushall")
        assert info(connection, "memory", "used_memory") == before


def test_a_key_is_gone_the_moment_its_time_is_over(node: Server) -> None:
    with node.connect() as connection:
        connection("flushall")
        connection("set", "brief", "x", "px", 30)
        end = time.monotonic() + 0.03
        while time.monotonic() < end:
            time.sleep(0.005)
        time.sleep(0.002)
        assert connection("get", "brief") == b"$-1\r\n"
        assert connection("setnx", "brief", "new") == b":1\r\n"
        assert connection("ttl", "brief") == b":-1\r\n"
