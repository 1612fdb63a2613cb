"""What the node tells of itself: SLOWLOG, LATENCY, INFO, MEMORY, HELP."""

import re
import subprocess
import time
from collections.abc import Callable

from tests.store.conftest import SANITIZED, Server
from tests.store.raw import Argument, info, parse, pipeline, words


def lists(reply: bytes) -> list[list[object]]:
    """The arrays inside of an array, each without its kind."""
    parsed = parse(reply)
    assert isinstance(parsed, list)
    return [list(item[1:]) for item in parsed[1:] if isinstance(item, list)]


SLOWLOG: list[tuple[Argument, ...]] = [
    ("slowlog", "get", -2), ("slowlog", "get", "x"), ("slowlog", "get", 1, 2), ("slowlog", "len", 1),
    ("slowlog", "nope"), ("config", "set", "slowlog-log-slower-than", -1), ("slowlog", "reset"), ("slowlog", "get"),
    ("slowlog", "len"), ("config", "set", "slowlog-max-len", 3), ("config", "set", "slowlog-log-slower-than", "x"),
    ("latency", "latest"), ("latency", "history", "nope"), ("latency", "reset"), ("latency", "graph", "nope"),
    ("latency", "reset", "nope"), ("latency", "histogram", "nope"), ("memory", "usage", "none"),
    ("config", "rewrite"), ("command", "list", "x"), ("command", "getkeys"), ("command", "info", "nope"),
    ("command", "docs", "nope"), ("command", "getkeys", "nope", "a"), ("config", "get", "slowlog-*"),
    ("config", "set", "slowlog-log-slower-than", 10000, "slowlog-max-len", 128),
]  # fmt: skip


def test_errors_and_empty_answers_are_those_of_redis(node: Server, reference: Server) -> None:
    with node.connect() as ours, reference.connect() as theirs:
        for command in SLOWLOG:
            mine, other = ours(*command), theirs(*command)
            assert mine == other or sorted(words(mine)) == sorted(words(other)) != [], command


def test_the_slowlog_has_the_slow_ones_and_what_they_were_asked(node: Server) -> None:
    with node.connect() as connection:
        connection("client", "setname", "sloth")
        connection("config", "set", "slowlog-log-slower-than", 20_000)
        connection("slowlog", "reset")
        connection("debug", "sleep", "0.03")
        connection("get", "k")
        (entry,) = lists(connection("slowlog", "get"))
        assert int(entry[2][1:-2]) >= 30_000  # type: ignore[index]
        assert b"sleep" in str(entry[3]).encode() and b"sloth" in entry[5]  # type: ignore[operator]
        connection("config", "set", "slowlog-log-slower-than", 0, "slowlog-max-len", 5)
        connection("mset", *[f"k{n}" for n in range(40)])
        connection("set", "long", "x" * 1000)
        connection("auth", "a secret")
        texts = connection("slowlog", "get")
        assert b"... (10 more arguments)" in texts and b"... (872 more bytes)" in texts
        assert b"a secret" not in texts and b"(redacted)" in texts
        assert connection("slowlog", "len") == b":5\r\n"
        numbers = [int(entry[0][1:-2]) for entry in lists(connection("slowlog", "get", -1))]  # type: ignore[index]
        assert numbers == list(range(numbers[0], numbers[0] - 5, -1))
        connection("config", "set", "slowlog-max-len", 2)
        assert connection("slowlog", "len") == b":2\r\n"
        connection("config", "set", "slowlog-log-slower-than", 10_000, "slowlog-max-len", 128)
        assert connection("slowlog", "reset") == b"+OK\r\n"


def test_histograms_count_every_call(node: Server) -> None:
    with node.connect() as connection:
        connection("config", "resetstat")
        pipeline(connection, [("set", "k", n) for n in range(1000)] + [("get", "k")] * 500)
        connection("debug", "sleep", "0.01")
        reply = parse(connection("latency", "histogram", "set", "debug", "nope"))
        assert isinstance(reply, list) and reply[1::2] == [b"$3\r\nset\r\n", b"$11\r\ndebug|sleep\r\n"]
        sets, sleeps = reply[2], reply[4]
        assert isinstance(sets, list) and sets[2] == b":1000\r\n"
        steps = sets[4]
        assert isinstance(steps, list)
        counts = [int(value[1:-2]) for value in steps[2::2] if isinstance(value, bytes)]
        assert counts == sorted(counts) and counts[-1] == 1000
        assert isinstance(sleeps, list) and sleeps[4] == [b"*", b":16908\r\n", b":1\r\n"]
        text = connection("info", "latencystats", "commandstats").decode()
        assert re.search(r"latency_percentiles_usec_get:p50=\d+\.\d{3},p99=\d+\.\d{3},p99.9=\d+\.\d{3}\r\n", text)
        found = re.search(r"cmdstat_debug\|sleep:calls=1,usec=(\d+),", text)
        assert found and 10_000 <= int(found[1]) < 1_000_000
        connection("config", "set", "latency-tracking", "no")
        connection("config", "resetstat")
        connection("get", "k")
        assert b"usec_get" not in connection("info", "latencystats")
        connection("config", "set", "latency-tracking", "yes")


def test_delays_are_remembered_above_the_threshold(node: Server) -> None:
    with node.connect() as connection:
        connection("latency", "reset")
        connection("debug", "sleep", "0.01")
        assert connection("latency", "latest") == b"*0\r\n"
        assert b"not watched" in connection("latency", "doctor")
        connection("config", "set", "latency-monitor-threshold", 5)
        connection("debug", "sleep", "0.002")
        assert connection("latency", "latest") == b"*0\r\n"
        before = int(time.time())
        connection("debug", "sleep", "0.02")
        (latest,) = lists(connection("latency", "latest"))
        assert latest[0] == b"$7\r\ncommand\r\n" and before <= int(latest[1][1:-2]) <= time.time()  # type: ignore[index]
        assert 20 <= int(latest[2][1:-2]) <= int(latest[3][1:-2])  # type: ignore[index]
        ((_, took),) = lists(connection("latency", "history", "command"))
        assert took == latest[2]
        assert b"all time high" in connection("latency", "graph", "command")
        assert b"command: 1 delays" in connection("latency", "doctor")
        assert connection("latency", "reset", "command", "fork") == b":1\r\n"
        connection("config", "set", "latency-monitor-threshold", 0)


def test_delays_of_the_node_s_own_work_have_names(new_node: Callable[..., Server]) -> None:
    """What a full node evicts for one write, and a sweep of many keys that expire together."""
    node = new_node("--maxmemory", "0")
    with node.connect() as connection:
        connection("config", "set", "maxmemory-policy", "allkeys-random")
        connection("config", "set", "latency-monitor-threshold", 1)
        connection("debug", "set-active-expire", 0)
        for base in range(0, 200_000, 20_000):
            pipeline(connection, [("set", f"key:{base + n}", "x" * 50, "px", 1) for n in range(20_000)])
        connection("debug", "set-active-expire", 1)
        seen = b""
        for _ in range(200):
            seen = connection("latency", "latest")
            if b"expire-cycle" in seen:
                break
            time.sleep(0.05)
        assert b"expire-cycle" in seen
        connection("flushall")
        for base in range(0, 200_000, 20_000):
            pipeline(connection, [("set", f"key:{base + n}", "x" * 50) for n in range(20_000)])
        connection("config", "set", "maxmemory", 1_000_000)
        connection("set", "one", "more")
        assert b"eviction-cycle" in connection("latency", "latest")
        assert b"eviction-cycle: 1 delays" in connection("latency", "doctor")


def test_errors_are_counted_by_their_code(node: Server) -> None:
    with node.connect() as connection:
        connection("flushall")
        connection("config", "resetstat")
        connection("set", "k", "v")
        for _ in range(3):
            connection("lpush", "k", 1)
        connection("nope")
        text = connection("info", "errorstats")
        assert b"\r\nerrorstat_WRONGTYPE:count=3\r\n" in text and b"\r\nerrorstat_ERR:count=1\r\n" in text
        assert info(connection, "stats", "total_error_replies") == 4


def sections(text: bytes) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    name = ""
    for line in text.decode().split("\r\n"):
        if line.startswith("# "):
            name = line[2:]
            found[name] = set()
        elif ":" in line and name:
            found[name].add(line.split(":")[0])
    return found


#: Fields of redis-server's that speak of what this node does not have (another allocator, scripts, threads, a cluster).
ABSENT = {
    "Server": {"atomicvar_api", "gcc_version", "process_supervised", "executable", "config_file", "io_threads_active",
               "redis_build_id", "monotonic_clock"},
    "Clients": {"cluster_connections", "client_recent_max_input_buffer", "client_recent_max_output_buffer",
                "clients_in_timeout_table"},
    "Memory": {"used_memory_vm_eval", "used_memory_scripts_eval", "used_memory_vm_functions"},
    "Stats": {"instantaneous_input_kbps", "instantaneous_output_kbps", "instantaneous_input_repl_kbps",
              "instantaneous_output_repl_kbps", "total_net_repl_input_bytes", "total_net_repl_output_bytes",
              "sync_full", "sync_partial_ok", "sync_partial_err", "expire_cycle_cpu_milliseconds",
              "total_eviction_exceeded_time", "current_eviction_exceeded_time", "pubsubshard_channels",
              "migrate_cached_sockets",
              "slave_expires_tracked_keys", "active_defrag_hits", "active_defrag_misses", "active_defrag_key_hits",
              "active_defrag_key_misses", "total_active_defrag_time", "current_active_defrag_time",
              "unexpected_error_replies", "dump_payload_sanitizations", "io_threaded_reads_processed",
              "io_threaded_writes_processed", "reply_buffer_shrinks", "reply_buffer_expands", "tracking_total_keys",
              "tracking_total_items", "tracking_total_prefixes"},
    "CPU": {"used_cpu_sys_main_thread", "used_cpu_user_main_thread"},
}  # fmt: skip


def test_info_has_the_sections_and_fields_of_redis(node: Server, reference: Server) -> None:
    with node.connect() as ours, reference.connect() as theirs:
        for connection in (ours, theirs):
            connection("set", "k", "v", "ex", 100)
            connection("lpush", "k", 1)
        mine, other = sections(ours("info", "everything")), sections(theirs("info", "everything"))
        assert set(other) <= set(mine)
        for name, fields in other.items():
            if name in ("Persistence", "Replication", "Commandstats", "Latencystats"):
                continue  # tested where they live, or about what was run
            assert fields - mine[name] <= ABSENT.get(name, set()), name
        assert re.search(rb"db0:keys=\d+,expires=1,avg_ttl=\d+", ours("info", "keyspace"))


def test_memory_is_explained(node: Server, reference: Server) -> None:
    with node.connect() as ours, reference.connect() as theirs:
        for connection in (ours, theirs):
            connection("flushall")
            connection("set", "k", "v")
        mine, other = parse(ours("memory", "stats")), parse(theirs("memory", "stats"))
        assert isinstance(mine, list) and isinstance(other, list)
        assert set(map(str, other[1::2])) <= set(map(str, mine[1::2]))
        assert b"nothing is wrong" in ours("memory", "doctor").lower() or b"less than 5 MB" in ours("memory", "doctor")
        assert b"handed out:" in ours("memory", "malloc-stats")
        assert ours("memory", "purge") == b"+OK\r\n"
        ratio = re.search(rb"mem_fragmentation_ratio:([\d.]+)", ours("info", "memory"))
        assert ratio and (0.5 < float(ratio[1]) < 20 or SANITIZED)  # its malloc does not say what it handed out


def test_the_doctor_sees_holes_and_a_missing_limit(new_node: Callable[..., Server]) -> None:
    with new_node("--maxmemory", "0").connect() as connection:
        for start in range(0, 60_000, 5000):
            pipeline(connection, [("set", f"key:{n}", "x" * 400) for n in range(start, start + 5000)])
        assert b"Limit: maxmemory is 0" in connection("memory", "doctor")
        for start in range(0, 60_000, 5000):
            pipeline(connection, [("del", f"key:{n}") for n in range(start, start + 5000) if n % 4])
        assert b"Peak: once" in connection("memory", "doctor")
        assert b"Fragmentation: the process holds" in connection("memory", "doctor") or SANITIZED


def test_every_container_has_help(node: Server) -> None:
    with node.connect() as connection:
        for container in ("acl", "client", "command", "config", "latency", "memory", "object", "pubsub", "slowlog"):
            reply = connection(container, "help")
            assert reply.startswith(b"*") and f"+{container.upper()} <subcommand>".encode() in reply
            assert b"+HELP\r\n" in reply
        assert b"Redis ver." in connection("lolwut")


def test_command_line_clients_read_the_documentation(node: Server) -> None:
    """redis-cli asks COMMAND DOCS for its hints at the start; a shape that it does not expect ends it."""
    import shutil

    if shutil.which("redis-cli") is None:
        return
    out = subprocess.run(
        ["redis-cli", "-p", str(node.port)], input="ping\nset k v\nget k\n", capture_output=True, text=True, timeout=20
    )
    assert out.returncode == 0 and out.stdout.split() == ["PONG", "OK", "v"]
