"""The eight policies, their settings, and the sweep that removes expired keys."""

import random
import re
import time
from collections.abc import Callable

import pytest

from tests.store.conftest import Server
from tests.store.raw import Argument, Connection, info, pipeline

KIB = 1 << 10
OOM = b"-OOM command not allowed when used memory > 'maxmemory'.\r\n"
POLICIES = [
    "noeviction", "allkeys-lru", "allkeys-lfu", "allkeys-random",
    "volatile-lru", "volatile-lfu", "volatile-random", "volatile-ttl",
]  # fmt: skip


def present(connection: Connection, keys: list[str]) -> int:
    return sum(reply == b":1\r\n" for reply in pipeline(connection, [("exists", key) for key in keys]))


def fill(connection: Connection, prefix: str, count: int, *options: Argument) -> list[str]:
    keys = [f"{prefix}:{number}" for number in range(count)]
    assert set(pipeline(connection, [("set", key, "x" * 100, *options) for key in keys])) == {b"+OK\r\n"}
    return keys


def limit_to_used(connection: Connection, policy: str, extra: int = 0) -> None:
    used = info(connection, "memory", "used_memory")
    assert connection("config", "set", "maxmemory-policy", policy, "maxmemory", used + extra) == b"+OK\r\n"


@pytest.mark.parametrize("policy", [policy for policy in POLICIES if policy.startswith("volatile-")])
def test_volatile_policies_take_only_keys_with_an_expiry(new_node: Callable[..., Server], policy: str) -> None:
    with new_node("--maxmemory", "0").connect() as connection:
        lasting = fill(connection, "lasting", 3000)
        brief = fill(connection, "brief", 500, "ex", 1000)
        limit_to_used(connection, policy)
        fill(connection, "new", 300)
        assert present(connection, lasting) == 3000
        assert 100 < present(connection, brief) < 250
        assert b",expires=%d," % present(connection, brief) in connection("info", "keyspace")
        # When they are gone, nothing more can go.
        replies = pipeline(connection, [("set", f"more:{n}", "x" * 100) for n in range(1000)])
        assert replies[0] == b"+OK\r\n" and replies[-1] == OOM
        assert present(connection, brief) == 0
        assert present(connection, lasting) == 3000


@pytest.mark.parametrize("policy", [policy for policy in POLICIES if policy.startswith("allkeys-")])
def test_allkeys_policies_take_any_key(new_node: Callable[..., Server], policy: str) -> None:
    with new_node("--maxmemory", "0").connect() as connection:
        connection("select", 3)
        old = fill(connection, "old", 1000)
        connection("select", 0)
        old_here = fill(connection, "old", 1000)
        limit_to_used(connection, policy)
        new = fill(connection, "new", 4000)
        left = present(connection, old_here) + present(connection, new)
        connection("select", 3)
        left_there = present(connection, old)
        assert 1500 < left + left_there <= 2000
        assert info(connection, "stats", "evicted_keys") == 6000 - left - left_there


def test_volatile_ttl_takes_the_soonest_to_expire(new_node: Callable[..., Server]) -> None:
    with new_node("--maxmemory", "0").connect() as connection:
        soon = fill(connection, "soon", 1000, "ex", 100)
        late = fill(connection, "late", 1000, "ex", 10_000)
        limit_to_used(connection, "volatile-ttl")
        connection("config", "set", "maxmemory-samples", 10)
        fill(connection, "new", 800)
        assert present(connection, late) > 985
        assert present(connection, soon) < 250


def test_lfu_keeps_what_is_used_often(new_node: Callable[..., Server]) -> None:
    with new_node("--maxmemory", "0").connect() as connection:
        connection("config", "set", "maxmemory-policy", "allkeys-lfu")
        often = fill(connection, "often", 200)
        for _ in range(30):
            pipeline(connection, [("get", key) for key in often])
        fill(connection, "once", 2000)
        limit_to_used(connection, "allkeys-lfu")
        fill(connection, "new", 10_000)
        assert present(connection, often) >= 195


def test_a_volatile_key_among_very_many_others_is_found_at_once(new_node: Callable[..., Server]) -> None:
    """20 of 200,000 keys have an expiry: each of them goes, and looking for them costs next to nothing."""
    with new_node("--maxmemory", "0").connect() as connection:
        for part in range(20):
            fill(connection, f"lasting{part}", 10_000)
        brief = fill(connection, "brief", 20, "ex", 1000)
        limit_to_used(connection, "volatile-lru")
        connection("config", "resetstat")
        replies = pipeline(connection, [("set", f"new:{n}", "x" * 100) for n in range(500)])
        assert replies.count(OOM) > 400
        assert present(connection, brief) == 0
        assert info(connection, "stats", "evicted_keys") == 20
        began = time.process_time()
        assert set(pipeline(connection, [("set", "again", "x" * 100)] * 2000)) == {OOM}
        assert time.process_time() - began < 1.0


def test_marks_of_volatile_keys_survive_whatever_happens_to_the_table(new_node: Callable[..., Server]) -> None:
    """Random expiries set and lost while the table grows, shrinks and moves; then every volatile key can be evicted."""
    draw = random.Random(5)
    with new_node("--maxmemory", "0").connect() as connection:
        expires: dict[str, bool] = {}
        for _ in range(60):
            commands: list[tuple[Argument, ...]] = []
            for _ in range(600):
                key = f"key:{draw.randrange(12_000)}"
                choice = draw.randrange(7)
                if choice <= 2:
                    commands.append(("set", key, "x" * draw.randrange(100)))
                    expires[key] = False
                elif choice == 3:
                    commands.append(("set", key, "x", "ex", 1000))
                    expires[key] = True
                elif choice == 4:
                    commands.append(("expire", key, 1000))
                    expires.update({key: True} if key in expires else {})
                elif choice == 5:
                    commands.append(("persist", key))
                    expires.update({key: False} if key in expires else {})
                else:
                    commands.append(("del", key))
                    expires.pop(key, None)
            pipeline(connection, commands)
        volatile = sum(expires.values())
        assert f"keys={len(expires)},expires={volatile},".encode() in connection("info", "keyspace")
        connection("config", "set", "maxmemory-policy", "volatile-random", "maxmemory", 1)
        assert info(connection, "stats", "evicted_keys") == volatile
        assert connection("dbsize") == b":%d\r\n" % (len(expires) - volatile)


SETTINGS: list[tuple[Argument, ...]] = [
    ("config", "get", "maxmemory-policy"),
    *[("config", "set", "maxmemory-policy", policy) for policy in (*POLICIES, "lru", "")],
    ("config", "set", "maxmemory-samples", "x"),
    ("config", "set", "maxmemory-samples", 10),
    ("config", "get", "maxmemory-samples"),
    ("config", "set", "lfu-log-factor", -1),
    ("config", "set", "lfu-log-factor", 1 << 40),
    ("config", "set", "lfu-log-factor", 0),
    ("config", "set", "lfu-decay-time", 5, "lfu-log-factor", 20),
    ("config", "get", "lfu-*", "nothing"),
    ("config", "set", "lfu-decay-time", 5, "lfu-decay-time", 6),
    ("config", "set", "lfu-decay-time", 7, "bogus", 1),
    ("config", "set", "lfu-decay-time", "x", "bogus", 1),
    ("config", "set", "maxmemory", "1x"),
    ("config", "set", "maxmemory"),
    ("config", "get", "lfu-decay-time"),
    ("config", "set", "lfu-decay-time", 1, "lfu-log-factor", 10),
    ("config", "set", "maxmemory-samples", 5),
]


def sorted_pairs(reply: bytes) -> list[tuple[bytes, ...]]:
    lines = reply.split(b"\r\n")
    return sorted(zip(lines[2::4], lines[4::4], strict=False)) if reply.startswith(b"*") else [(reply,)]


def test_settings_and_their_errors_are_those_of_redis(node: Server, reference: Server) -> None:
    with node.connect() as ours, reference.connect() as theirs:
        ours("config", "set", "maxmemory-policy", "noeviction")
        for command in SETTINGS:
            assert sorted_pairs(ours(*command)) == sorted_pairs(theirs(*command)), command


def test_samples_are_bounded_as_in_redis_7_2(node: Server) -> None:
    with node.connect() as connection:
        for wrong in (0, 65):
            reply = connection("config", "set", "maxmemory-samples", wrong)
            assert reply.endswith(b" - argument must be between 1 and 64 inclusive\r\n")


FREQUENCIES: list[tuple[Argument, ...]] = [
    ("set", "k", "v"),
    ("object", "freq", "k"),
    ("object", "idletime", "k"),
    ("object", "freq", "none"),
    ("object", "idletime", "none"),
    ("config", "set", "maxmemory-policy", "allkeys-lfu"),
    ("set", "new", "v"),
    ("object", "freq", "new"),
    ("object", "idletime", "new"),
    ("config", "set", "lfu-log-factor", 0),
    ("get", "new"),
    ("get", "new"),
    ("set", "new", "w"),
    ("object", "freq", "new"),
    *[("get", "new")] * 300,
    ("object", "freq", "new"),
    ("restore", "restored", 0, b"\x00\x01v\n\x00\x9d\xdf\x00)\xae\xe7\xbb+", "freq", 100),
    ("config", "set", "lfu-log-factor", 1000000),
    *[("get", "restored")] * 20,
    ("object", "freq", "restored"),
    ("config", "set", "lfu-log-factor", 10),
    ("config", "set", "maxmemory-policy", "noeviction"),
    ("object", "freq", "restored"),
    ("set", "k", "v"),
    ("object", "idletime", "k"),
]


def test_frequencies_are_those_of_redis_where_nothing_is_random(node: Server, reference: Server) -> None:
    with node.connect() as ours, reference.connect() as theirs:
        for connection in (ours, theirs):
            connection("flushall")
            # A minute may end at any moment, and would take one from a counter.
            connection("config", "set", "maxmemory-policy", "noeviction", "lfu-decay-time", 0)
        for command in FREQUENCIES:
            assert ours(*command) == theirs(*command), command
        for connection in (ours, theirs):
            connection("config", "set", "lfu-decay-time", 1)


def test_the_counter_grows_as_that_of_redis(node: Server, reference: Server) -> None:
    """After 2,000 uses at factor 10 the mean over 200 keys is Redis's, within what chance allows."""
    means = []
    for server in (node, reference):
        with server.connect() as connection:
            connection("flushall")
            connection("config", "set", "maxmemory-policy", "allkeys-lfu", "lfu-decay-time", 0)
            keys = fill(connection, "key", 200)
            for _ in range(20):
                pipeline(connection, [("get", key) for key in keys for _ in range(100)])
            counters = [int(reply[1:]) for reply in pipeline(connection, [("object", "freq", key) for key in keys])]
            means.append(sum(counters) / len(counters))
            connection("config", "set", "maxmemory-policy", "noeviction", "lfu-decay-time", 1)
    assert 15 < means[0] < 40 and abs(means[0] - means[1]) < 1.5, means


# -- expiry ------------------------------------------------------------------------------------------------------------


def figure(connection: Connection, field: str) -> float:
    found = re.search(rf"\r\n{field}:([\d.]+)\r\n", connection("info", "stats").decode())
    assert found, field
    return float(found[1])


def test_a_sweep_goes_on_while_much_is_expired_and_says_so(new_node: Callable[..., Server]) -> None:
    with new_node("--maxmemory", "0").connect() as connection:
        connection("debug", "set-active-expire", 0)
        for part in range(10):
            fill(connection, f"brief{part}", 10_000, "px", 1)
        fill(connection, "lasting", 1000, "ex", 1000)
        assert connection("dbsize") == b":101000\r\n"
        cpu = cpu_seconds(connection)
        began = time.monotonic()
        connection("debug", "set-active-expire", 1)
        while connection("dbsize") != b":1000\r\n":
            assert time.monotonic() < began + 10
            time.sleep(0.01)
        elapsed, used = time.monotonic() - began, cpu_seconds(connection) - cpu
        # By samples of 256 every 100 ms it would take 40 s. The share is a tenth of a core; this client costs the rest.
        assert figure(connection, "expired_keys") == 100_000
        assert figure(connection, "expired_stale_perc") > 0
        assert figure(connection, "expired_time_cap_reached_count") > 0
        assert used < 0.25 * elapsed + 0.05, (used, elapsed)


def cpu_seconds(connection: Connection) -> float:
    text = connection("info", "cpu").decode()
    return sum(float(value) for value in re.findall(r"\r\nused_cpu_(?:sys|user):([\d.]+)", text))


def test_keys_that_do_not_expire_soon_cost_nothing_and_their_ttl_is_known(new_node: Callable[..., Server]) -> None:
    with new_node("--maxmemory", "0").connect() as connection:
        for part in range(10):
            fill(connection, f"lasting{part}", 10_000, "ex", 1000)
        cpu, began = cpu_seconds(connection), time.monotonic()
        while figure(connection, "expired_time_cap_reached_count") == 0 and time.monotonic() < began + 1.5:
            time.sleep(0.05)
        assert cpu_seconds(connection) - cpu < 0.1 * (time.monotonic() - began)
        found = re.search(rb"db0:keys=100000,expires=100000,avg_ttl=(\d+)", connection("info", "keyspace"))
        assert found and 990_000 < int(found[1]) <= 1_000_000


def test_few_expired_keys_among_many_lasting_ones_do_not_hide_for_ever(new_node: Callable[..., Server]) -> None:
    """Far below a quarter, so sampling alone would leave them: the order of the sweep finds each within one pass."""
    with new_node("--maxmemory", "0").connect() as connection:
        fill(connection, "lasting", 4000, "ex", 1000)
        fill(connection, "brief", 40, "px", 1)
        give_up = time.monotonic() + 10
        while connection("dbsize") != b":4000\r\n":
            assert time.monotonic() < give_up
            time.sleep(0.02)
