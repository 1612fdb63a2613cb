"""What the control plane answers, against the real redis-server and the parsers of redis-py."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import hiredis
import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis._parsers.helpers import parse_client_list, parse_info

from proxy.acl import parse_line
from proxy.commands import COMMANDS, Lane
from proxy.control.answers import AnswerContext, answer
from proxy.control.answers.config import DEFAULTS
from proxy.control.answers.glob import glob
from proxy.control.answers.information import SECTIONS, report
from proxy.control.statistics import (
    HEAT_COUNTERS,
    NODE_COUNTERS,
    ClientRecord,
    CommandStatistics,
    CopiesStatistics,
    Histogram,
    HotKeyStatistics,
    NodeStatistics,
    PoolStatistics,
    Statistics,
)
from proxy.lanes import across
from proxy.lanes.administration import Administration
from proxy.lanes.hot import Hot
from proxy.lanes.monitor import Monitor
from proxy.nodes_page import COLUMNS, QUIET, table
from tests.redis_server import Connection, needs_redis_server, redis_server

STATISTICS = Statistics(
    version="0.1.0",
    process_id=42,
    run_id="0" * 40,
    uptime=90_061.5,
    tcp_port=6380,
    clients=3,
    max_clients=10_000,
    memory=3 << 20,
    requests=17,
    errors={"ERR": 2, "CROSSSLOT": 1},
    commands={"get": CommandStatistics(10, 25, 1, 2), "client|id": CommandStatistics(1, 3), "set": CommandStatistics()},
    latencies={"get": Histogram((0, 0, 8, 2)), "write": Histogram((0, 0))},
    pools=(
        PoolStatistics(
            "cache",
            "127.0.0.1:6380",
            (
                NodeStatistics("a", "10.0.0.1:6379", requests=4, microseconds=10),
                NodeStatistics("b=1,c", "[::1]:6379", state="down"),
            ),
            clients=3,
        ),
        PoolStatistics("sessions", "/run/quench.sock"),
    ),
    hot_keys=(HotKeyStatistics(b"user:1,\r\n=\xff", "cache", 1234.5, 2, 9),),
)
CLIENT = ClientRecord(7, "127.0.0.1:5000", "127.0.0.1:6380", name="app", age=3.9, library_name="redis-py", protocol=3)
SUBSCRIBER = ClientRecord(9, "127.0.0.1:5001", "127.0.0.1:6380", pattern_subscriptions=2, blocked=True)
LANES = {*Administration.COMMANDS, *Hot.COMMANDS, *Monitor.COMMANDS, *across.COMMANDS}
USERS = tuple(parse_line(line) for line in (
    "user default on nopass ~* &* +@all",
    "user u on >p ~a:* %R~r:* resetchannels &c:* +@all -get -acl (~s:* resetchannels -@all +get)",
))  # fmt: skip
CONTEXT = AnswerContext(STATISTICS, CLIENT, {"port": 6380, "requirepass": "secret"}, (CLIENT, SUBSCRIBER), users=USERS)


@pytest.fixture(scope="module", params=[2, 3], ids=["resp2", "resp3"])
def redis(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Connection, int]]:
    with redis_server(tmp_path_factory.mktemp("redis")) as address:
        connection = Connection(address, request.param)
        yield connection, request.param
        connection.close()


def ask(line: str | list[bytes], protocol: int = 3) -> Any:
    args = line.encode().split() if isinstance(line, str) else line
    reader = hiredis.Reader()
    reader.feed(answer(args, protocol, CONTEXT))
    value = reader.gets()
    assert reader.gets() is False
    return value


def canonical(value: Any) -> Any:
    """Values of which the order means nothing (flags, categories, key specifications) become comparable.

    The remarks that Redis makes in prose, which the table leaves out, are dropped.
    """
    if isinstance(value, list):
        if b"notes" in value:
            at = value.index(b"notes")
            value = value[:at] + value[at + 2 :]
        return sorted(map(canonical, value), key=repr)
    if isinstance(value, dict):
        return {key: canonical(element) for key, element in value.items() if key != b"notes"}
    return value


SAME = """
COMMAND INFO get nope mget zunionstore xread sort_ro georadius | COMMAND INFO client|id CLIENT|NOPE get|x
COMMAND INFO object config|get | COMMAND INFO eval fcall migrate bitop | COMMAND GETKEYS MSET a 1 b 2
COMMAND GETKEYS eval x 0 | COMMAND GETKEYS eval x y | COMMAND GETKEYS sort a store b | COMMAND GETKEYS zunion 3 a b
COMMAND GETKEYS nope a | COMMAND GETKEYS client nope | COMMAND GETKEYS client id | COMMAND GETKEYS
COMMAND GETKEYS ping | COMMAND GETKEYS xread count 2 | COMMAND GETKEYS object encoding k | COMMAND GETKEYS spublish a b
COMMAND GETKEYSANDFLAGS MSET a 1 b 2 | COMMAND GETKEYSANDFLAGS zunionstore d 2 a b | COMMAND GETKEYSANDFLAGS eval x 1 a
COMMAND GETKEYSANDFLAGS georadius a 1 2 3 m store b | COMMAND GETKEYSANDFLAGS lmove a b left right
COMMAND COUNT 1 | COMMAND NOPE | COMMAND LIST x | COMMAND LIST FILTERBY x y | COMMAND LIST FILTERBY PATTERN
COMMAND LIST FILTERBY PATTERN xa* | COMMAND LIST FILTERBY pattern [A-C]??PoP | COMMAND LIST FILTERBY module x
COMMAND LIST FILTERBY ACLCAT hyperloglog | COMMAND LIST FILTERBY ACLCAT @read | COMMAND LIST FILTERBY aclcat PubSub
COMMAND DOCS nope | CONFIG GET save | CONFIG GET appendonly databases | CONFIG GET nope | CONFIG GET | CONFIG NOPE
CONFIG GET proto-max-bulk-len maxclients cluster-enabled maxmemory-policy timeout | CONFIG
CLIENT LIST TYPE x | CLIENT LIST ID x | CLIENT LIST ID 1 x | CLIENT LIST ID 0 | CLIENT LIST ID | CLIENT LIST x
CLIENT LIST ID 99 98 | CLIENT LIST TYPE master | CLIENT NOPE | CLIENT | INFO nope | ROLE | ROLE x | NOPE a b
MODULE LIST | MODULE LIST x | CLIENT LIST TYPE slave | CLIENT LIST TYPE replica | CLIENT LIST ID 1 ID 2
""".replace("\n", " | ")
SAME_LINES = [line for line in (part.strip() for part in re.split(r" \| ", SAME)) if line]


@needs_redis_server
@pytest.mark.parametrize("line", SAME_LINES)
def test_same_as_redis(redis: tuple[Connection, int], line: str) -> None:
    connection, protocol = redis
    ours, theirs = ask(line, protocol), connection(*line.split())
    if isinstance(theirs, hiredis.ReplyError):
        assert isinstance(ours, hiredis.ReplyError) and str(ours) == str(theirs)
    elif "pattern" in line.lower() or "aclcat" in line.lower():
        assert set(ours) >= set(theirs)
        later = {name.encode() for name, row in COMMANDS.items() if row.since >= "7.2"}
        assert set(ours) - set(theirs) <= later
    elif line.startswith(("COMMAND INFO", "COMMAND GETKEYSANDFLAGS", "CONFIG GET")):
        assert canonical(ours) == canonical(theirs)
    else:
        assert ours == theirs


@needs_redis_server
def test_docs_have_the_shape_of_redis(redis: tuple[Connection, int]) -> None:
    connection, protocol = redis

    def entries(reply: Any) -> dict[bytes, dict[bytes, Any]]:
        def mapping(value: Any) -> dict[bytes, Any]:
            return value if protocol == 3 else dict(zip(value[::2], value[1::2], strict=True))

        return {name: mapping(entry) for name, entry in mapping(reply).items()}

    ours = entries(ask("COMMAND DOCS", protocol))
    theirs = entries(connection("COMMAND", "DOCS"))
    assert set(ours) >= set(theirs)
    for name, entry in theirs.items():
        for key in (b"since", b"group", b"deprecated_since"):
            assert ours[name].get(key) == entry.get(key), name
        assert (b"subcommands" in ours[name]) == (b"subcommands" in entry)
        assert set(ours[name]) - set(entry) == set()
    assert entries(ask("COMMAND DOCS get client|id", protocol)).keys() == {b"get", b"client|id"}


@pytest.mark.parametrize("protocol", [2, 3])
def test_command_lists_every_row(protocol: int) -> None:
    rows = ask("COMMAND", protocol)
    assert ask("COMMAND COUNT", protocol) == len(rows) == len(COMMANDS)
    assert {row[0].decode() for row in rows} == set(COMMANDS)
    assert all(len(row) == 10 for row in rows)
    assert rows == ask("COMMAND INFO", protocol)
    names = ask("COMMAND LIST", protocol)
    assert len(names) == len(set(names)) == sum(1 + len(row.subcommands) for row in COMMANDS.values())


def test_command_is_built_once() -> None:
    assert answer([b"COMMAND"], 2, CONTEXT) is answer([b"command"], 2, CONTEXT)


def test_every_control_row_is_answered_and_no_other() -> None:
    arguments = {"command|getkeys": b"get a", "command|getkeysandflags": b"get a", "config|get": b"*",
                 "acl|dryrun": b"default get a", "acl|getuser": b"default"}
    rows = [row for command in COMMANDS.values() for row in (command, *command.subcommands.values())]
    for row in rows:
        args = [*row.name.encode().split(b"|"), *arguments.get(row.name, b"").split()]
        if row.subcommands and row.name != "command":
            assert str(ask(args)) == f"ERR wrong number of arguments for '{row.name}' command"
        elif row.name in LANES:
            assert row.lane is Lane.CONTROL, "a lane answers it, and no table"
        elif row.lane is Lane.CONTROL and row.group == "pubsub" and not row.name.endswith("|help"):
            continue  # by proxy.lanes.pubsub
        elif row.lane is Lane.CONTROL:
            assert not isinstance(ask(args), hiredis.ReplyError), row.name
        else:
            args += [b"x"] * (abs(row.arity) - len(args))
            if row.lane in (Lane.LATER, Lane.REFUSED):
                assert str(ask(args)).startswith(f"ERR '{row.name}' is "), row.name
            else:
                with pytest.raises(ValueError):
                    answer(args, 2, CONTEXT)


def test_config_get() -> None:
    everything = ask("CONFIG GET *")
    assert {name.decode() for name in everything} == set(DEFAULTS)
    assert everything[b"port"] == b"6380" and everything[b"save"] == b""
    assert everything[b"requirepass"] == b"", "a secret is not shown"
    assert ask("CONFIG GET port po?t", 2) == [b"port", b"6380"]


def test_client_list_as_redis_py_reads_it() -> None:
    everyone = parse_client_list(ask("CLIENT LIST", 2))
    assert [client["id"] for client in everyone] == ["7", "9"]
    assert everyone[0] | {"name": "app", "age": "3", "flags": "N", "lib-name": "redis-py", "resp": "3"} == everyone[0]
    assert (everyone[1]["flags"], everyone[1]["psub"]) == ("Pb", "2")
    assert parse_client_list(ask("CLIENT LIST TYPE pubsub", 2)) == everyone[1:]
    assert parse_client_list(ask("CLIENT LIST ID 9 8 7", 2)) == [everyone[1], everyone[0]]
    assert parse_client_list(ask("CLIENT INFO", 2)) == everyone[:1]
    assert str(ask([b"CLIENT", b"LIST", b"ID", b"9" * 5000])) == "ERR Invalid client ID"


@needs_redis_server
def test_client_list_has_the_fields_of_redis_in_their_order(redis: tuple[Connection, int]) -> None:
    theirs = re.findall(rb"([a-z-]+)=", connection_line := redis[0]("CLIENT", "LIST"))
    ours = re.findall(rb"([a-z-]+)=", ask("CLIENT LIST", redis[1]).split(b"\n")[0])
    assert [name for name in ours if name in theirs] == theirs, connection_line
    assert set(ours) - set(theirs) == {b"watch", b"lib-name", b"lib-ver"}


def keys(text: str) -> list[str]:
    return [line.partition(":")[0] for line in text.split("\r\n") if line and not line.startswith("#")]


def test_info_as_redis_py_reads_it() -> None:
    text = ask("INFO everything", 2).decode()
    assert len(keys(text)) == len(set(keys(text))), "parsers keep the last of equal keys"
    parsed = parse_info(text)
    assert set(keys(text)) == set(parsed)
    assert parsed["redis_version"] == "7.2.0" and parsed["redis_mode"] == "standalone"
    assert (parsed["uptime_in_seconds"], parsed["uptime_in_days"]) == (90061, 1)
    assert (parsed["used_memory"], parsed["used_memory_human"]) == (3 << 20, "3.00M")
    assert parsed["total_error_replies"] == 3
    expected = {"calls": 10, "usec": 25, "usec_per_call": 2.5, "rejected_calls": 1, "failed_calls": 2}
    assert parsed["cmdstat_get"] == expected
    assert "cmdstat_client|id" in parsed and "cmdstat_set" not in parsed
    assert parsed["latency_percentiles_usec_get"] == {"p50": 3.25, "p99": 7.8, "p99.9": 7.98}
    assert "latency_percentiles_usec_write" not in parsed
    assert parsed["errorstat_ERR"] == {"count": 2}
    assert parsed["pool0"] | {"name": "cache", "nodes": 2, "live": 1, "state": "degraded"} == parsed["pool0"]
    assert parsed["pool1"] | {"name": "sessions", "listen": "/run/quench.sock"} == parsed["pool1"]
    assert parsed["node0"] | {"name": "a", "address": "10.0.0.1:6379", "usec_per_call": 2.5} == parsed["node0"]
    assert parsed["node1"] | {"name": "b%3D1%2Cc", "address": "[::1]:6379", "state": "down"} == parsed["node1"]
    assert parsed["hotkey0"]["key"] == "user%3A1%2C%0D%0A%3D%FF"


def test_a_row_of_a_node_has_all_that_is_counted_of_it_and_all_that_quench_nodes_shows() -> None:
    counts = {name: 10 + number for number, name in enumerate(NODE_COUNTERS)}
    copies = CopiesStatistics("mending", 1, 2, 3, 4)
    pool = PoolStatistics("p", "a:1", (
        NodeStatistics("a", "b:1", promotions=5, epoch=6, copies=copies, **counts),
        NodeStatistics("c", "d:1", role="slave", replica_of="a", lag=0.5, epoch=6),
    ))  # fmt: skip
    text = report(replace(CONTEXT, statistics=replace(STATISTICS, pools=(pool,))), ["nodes"])
    rows = [dict(pair.split("=") for pair in line.partition(":")[2].split(",")) for line in text.splitlines()[1:]]
    shown = {"copies": "mending", "missed": "1", "replayed": "2", "mended": "3", "repaired": "4", "promotions": "5"}
    assert rows[0].items() >= {**shown, **{name: str(count) for name, count in counts.items()}}.items()
    assert {*rows[0], *rows[1]} >= set(COLUMNS) >= QUIET
    assert not {"retries", "hints"} & set(table([rows[1] | {"replica_of": ""}]).split())
    assert {"retries", "hints", "promotions"} <= set(table(rows).split())


def test_info_sections() -> None:
    def titles(line: str) -> list[str]:
        return re.findall(r"^# (\w+)", ask(line, 2).decode(), re.MULTILINE)

    every = [title for title, _ in SECTIONS.values()]
    assert titles("INFO everything") == titles("INFO ALL") == every
    assert titles("INFO") == titles("INFO default") == [t for t in every if t not in ("Commandstats", "Latencystats")]
    assert titles("INFO cpu SERVER nope cpu") == ["Server", "CPU"]
    assert titles("INFO default commandstats") == [title for title in every if title != "Latencystats"]


@needs_redis_server
def test_info_reads_like_redis(redis: tuple[Connection, int]) -> None:
    theirs = redis[0]("INFO", "server", "cpu").decode()
    ours = ask("INFO server cpu", redis[1]).decode()
    assert ours.startswith("# Server\r\nredis_version:") and theirs.startswith("# Server\r\nredis_version:")
    assert "\r\n\r\n# CPU\r\n" in ours and "\r\n\r\n# CPU\r\n" in theirs
    known = set(keys(redis[0]("INFO", "everything").decode()))
    own = {"proxy_version", "engines", "pubsub_clients", "watching_clients", "total_connections_closed"}
    own |= {"client_output_buffer_limit_disconnections", "pubsub_messages_pushed", "pubsub_output_limit_disconnections"}
    own |= {"split_requests", "coalesced_requests", "combined_requests", "timed_out_requests", "late_replies"}
    own |= {"transactions", "blocked_requests", "lost_pops", "node_requests_saved", "hints", "doubts", *HEAT_COUNTERS}
    own |= {"increments", "increment_writes", "increments_by_write", "early", "early_pending", "early_lost"}
    assert set(keys(ask("INFO", redis[1]).decode())) - known <= own | {
        *("engine_turns", "errorstat_CROSSSLOT", "errorstat_ERR", "pool0", "pool1", "node0", "node1", "hotkey0")
    }


def test_info_has_what_tools_look_for() -> None:
    parsed = parse_info(ask("INFO", 2).decode())
    expected = {
        "redis_mode": "standalone", "role": "master", "loading": 0, "aof_enabled": 0, "rdb_bgsave_in_progress": 0,
        "rdb_last_bgsave_status": "ok", "connected_slaves": 0, "cluster_enabled": 0, "tracking_clients": 0,
        "used_memory_dataset": 0, "used_memory_peak_perc": "100.00%",
    }  # fmt: skip
    assert parsed | expected == parsed
    wanted = "used_memory used_memory_peak total_system_memory maxmemory instantaneous_input_kbps rdb_last_save_time"
    assert {*wanted.split(), "server_time_usec", "lru_clock", "evicted_keys", "expired_keys"} <= set(parsed)


def test_help_and_lolwut() -> None:
    lines = [line.decode() for line in ask("CONFIG HELP")]
    assert lines[0].startswith("CONFIG <subcommand>") and "GET" in lines
    assert "    changes settings" in lines and "    writes the settings to the file (refused by the proxy)" in lines
    assert ask("LOLWUT VERSION 5 1 2", 2).endswith(b"Quench ver. 0.1.0\n")


def test_an_error_is_a_reply() -> None:
    assert str(ask("shutdown")).startswith("ERR 'shutdown' is refused by the proxy: ")


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        ("", "", True),
        ("*", "", True),
        ("a*c", "abbc", True),
        ("a*c", "abb", False),
        ("a**?c", "abc", True),
        ("[b-a]x", "AX", True),
        ("[^a]", "b", True),
        ("[^a]", "A", False),
        ("[]", "x", False),
        ("[^]", "x", True),
        ("[ab", "b", True),
        (r"\*a", "*a", True),
        (r"\*a", "xa", False),
        ("a\\", "a\\", True),
        (r"[\]]", "]", True),
        ("?", "\n", True),
    ],
)
def test_glob(pattern: str, text: str, expected: bool) -> None:
    assert glob(pattern.encode())(text.encode()) is expected


def test_glob_with_many_stars_is_quick() -> None:
    assert not glob(b"*a" * 200 + b"b")(b"a" * 2000)


@needs_redis_server
@given(pattern=st.text("*?[]^-\\abAB", max_size=7), data=st.data())
def test_glob_agrees_with_redis(shared_redis: Connection, pattern: str, data: st.DataObject) -> None:
    text = data.draw(st.text("abAB-]", min_size=1, max_size=5))
    # KEYS knows case, so both sides are folded first; it is the only place where Redis matches any text we like.
    shared_redis("FLUSHALL")
    shared_redis("SET", text.lower(), "")
    found = bool(shared_redis("KEYS", pattern.lower()))
    assert glob(pattern.encode())(text.encode()) is found


@pytest.fixture(scope="module")
def shared_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Connection]:
    with redis_server(tmp_path_factory.mktemp("redis")) as address:
        connection = Connection(address)
        yield connection
        connection.close()


durations = st.lists(st.integers(0, 1 << 20), min_size=1)


@given(durations, st.sampled_from([1, 50, 99, 99.9, 100]))
def test_percentile_is_within_its_bucket(values: list[int], percent: float) -> None:
    buckets = [0] * 32
    for value in values:
        buckets[value.bit_length()] += 1
    exact = sorted(values)[max(int(-(-len(values) * percent // 100)) - 1, 0)]
    found = Histogram(tuple(buckets)).percentile(percent)
    assert (1 << exact.bit_length() >> 1) <= found <= 1 << exact.bit_length()


@given(durations, durations)
def test_histograms_add_up(first: list[int], second: list[int]) -> None:
    total = Histogram(tuple(first)) + Histogram(tuple(second))
    assert total.count == sum(first) + sum(second)
    assert len(total.buckets) == max(len(first), len(second))
    assert Histogram().percentile(50) == 0.0
