"""The node as a process: framing under all cuts, pipelines, large values, back-pressure, real clients, signals."""

import re
import resource
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import redis

from storenode.server import SPARE_FILES
from tests.store.conftest import Server, start_node
from tests.store.raw import Connection, info, pipeline, request

MIB = 1 << 20

STREAM = (
    request("set", "k", "v1")
    + b"get k\r\n"
    + request("mset", "a", "1", "b", "2", "c", "3", "d", "4")
    + request("mget", "a", "b", "c", "d", "none")
    + b"\r\n*0\r\n"
    + request("set", "big", b"x" * 20_000)
    + request("strlen", "big")
    + request("bogus", "x")
    + request("incr", "a")
)
REPLIES = (
    b"+OK\r\n$2\r\nv1\r\n+OK\r\n*5\r\n$1\r\n1\r\n$1\r\n2\r\n$1\r\n3\r\n$1\r\n4\r\n$-1\r\n+OK\r\n:20000\r\n"
    b"-ERR unknown command 'bogus', with args beginning with: 'x' \r\n:2\r\n"
)


def receive(connection: Connection, length: int) -> bytes:
    data = b""
    while len(data) < length:
        part = connection.socket.recv(MIB)
        assert part, data[-200:]
        data += part
    return data


@pytest.mark.parametrize("step", [1, 2, 7, 1000, 1 << 20])
def test_any_cut_of_the_stream(node: Server, step: int) -> None:
    with node.connect() as connection:
        connection("flushall")
        connection.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for at in range(0, len(STREAM), step):
            connection.send(STREAM[at : at + step])
        assert receive(connection, len(REPLIES)) == REPLIES


def test_a_tail_is_left_for_later(node: Server) -> None:
    with node.connect() as connection:
        connection.send(request("echo", "first") + b"*2\r\n$4\r\nECHO\r\n$6\r\nsec")
        assert connection.reply() == b"$5\r\nfirst\r\n"
        connection.send(b"ond\r\n")
        assert connection.reply() == b"$6\r\nsecond\r\n"


def test_pipeline_of_ten_thousand(node: Server) -> None:
    with node.connect() as connection:
        connection("flushall")
        count = 10_000
        connection.send(b"".join(request("incr", "n") for _ in range(count)))
        assert [connection.reply() for _ in range(count)] == [b":%d\r\n" % n for n in range(1, count + 1)]


@pytest.mark.parametrize("size", [16_300, MIB, 40 * MIB])
def test_large_values(node: Server, size: int) -> None:
    value = bytes(range(256)) * (size // 256)
    with node.connect() as connection:
        connection("flushall")
        assert connection("set", "large", value) == b"+OK\r\n"
        assert connection("get", "large") == b"$%d\r\n%s\r\n" % (len(value), value)
        assert connection("append", "large", "tail") == b":%d\r\n" % (len(value) + 4)
        assert connection("getrange", "large", -6, -1) == b"$6\r\n\xfe\xfftail\r\n"
        assert connection("setrange", "large", 1, "!") == b":%d\r\n" % (len(value) + 4)
        assert connection("rename", "large", "other") == b"+OK\r\n"
        assert connection("strlen", "other") == b":%d\r\n" % (len(value) + 4)
        before = info(connection, "memory", "used_memory")
        assert connection("del", "other") == b":1\r\n"
        assert info(connection, "memory", "used_memory") <= before - len(value)


def test_a_client_that_writes_everything_before_it_reads(node: Server) -> None:
    """100,000 GETs of 10 KB, none of the replies read until all are sent: parked, not refused, not hung."""
    count = 30_000
    value = b"v" * 10_000
    reply = b"$10000\r\n" + value + b"\r\n"
    with node.connect() as connection, node.connect() as other:
        connection("set", "k", value)
        connection.send(request("get", "k") * count)
        assert other("ping") == b"+PONG\r\n"
        # What waits is requests, not 300 MB of replies.
        assert info(other, "memory", "mem_clients_normal") < 32 * MIB
        left = count * len(reply)
        while left:
            data = connection.socket.recv(MIB)
            assert data
            left -= len(data)
        assert connection("ping") == b"+PONG\r\n"


def test_half_closed_clients_get_their_replies(node: Server) -> None:
    with node.connect() as connection:
        connection("set", "k", b"v" * 100_000)
        connection.send(request("get", "k") * 100 + request("echo", "end"))
        connection.socket.shutdown(socket.SHUT_WR)
        for _ in range(100):
            assert len(connection.reply()) == 100_011
        assert connection.reply() == b"$3\r\nend\r\n"
        assert connection.closed()


def test_quit_answers_and_closes(node: Server) -> None:
    with node.connect() as connection:
        connection.send(request("set", "k", 1) + request("quit") + request("set", "k", 2))
        assert [connection.reply(), connection.reply()] == [b"+OK\r\n", b"+OK\r\n"]
        assert connection.closed()
    with node.connect() as connection:
        assert connection("get", "k") == b"$1\r\n1\r\n"


def test_clients_are_told_apart_and_killed(node: Server) -> None:
    with node.connect() as one, node.connect() as two, node.connect() as three:
        name = ":".join(str(part) for part in two.socket.getsockname())
        number = int(three("client", "id")[1:])
        assert one("client", "setname", "me") == b"+OK\r\n"
        assert one("client", "setinfo", "lib-name", "lib") == b"+OK\r\n"
        assert one("client", "setinfo", "lib-ver", "1.0") == b"+OK\r\n"
        assert b"cannot contain spaces" in one("client", "setinfo", "lib-ver", "1 0")
        assert one("client", "setinfo", "bogus", "1") == b"-ERR Unrecognized option 'bogus'\r\n"
        lines = one("client", "list").decode().splitlines()[1:-1]
        assert len(lines) == 3
        assert re.match(r"id=\d+ addr=127\.0\.0\.1:\d+ laddr=\S+ fd=\d+ name=me age=\d+ idle=0 ", lines[0])
        assert " db=0 " in lines[0] and lines[0].endswith(" resp=2 lib-name=lib lib-ver=1.0")
        assert lines[1].split()[1] == f"addr={name}"
        assert one("client", "list", "id", number).count(b"\n") == 1 + 1 + 1
        assert one("client", "kill", name) == b"+OK\r\n"
        assert two.closed()
        assert one("client", "kill", name) == b"-ERR No such client\r\n"
        assert one("client", "kill", "id", number) == b":1\r\n"
        assert three.closed()
        assert one("client", "kill", "type", "normal", "skipme", "no") == b":1\r\n"
        assert one.closed()


def test_no_touch_leaves_the_clock_alone(node: Server) -> None:
    with node.connect() as connection:
        connection("set", "k", 1)
        assert connection("client", "no-touch", "on") == b"+OK\r\n"
        time.sleep(1.2)
        connection("get", "k")
        assert connection("object", "idletime", "k") == b":1\r\n"
        connection("client", "no-touch", "off")
        connection("get", "k")
        assert connection("object", "idletime", "k") == b":0\r\n"


def test_password(new_node: Callable[..., Server]) -> None:
    server = new_node("--maxmemory", "0", "--password", "secret")
    denied = b"-NOAUTH Authentication required.\r\n"
    wrong = b"-WRONGPASS invalid username-password pair or user is disabled.\r\n"
    with server.connect() as connection:
        assert connection("get", "k") == denied
        assert connection("hello", 3).startswith(b"-NOAUTH HELLO must be called")
        assert connection("auth", "wrong") == wrong
        assert connection("auth", "secretsecret") == wrong
        assert connection("auth", "other", "secret") == wrong
        assert connection("hello", 3, "auth", "default", "wrong") == wrong
        assert connection("hello", 3, "auth", "default", "secret", "setname", "me").startswith(b"%7\r\n")
        assert connection("get", "k") == b"_\r\n"
        assert connection("client", "getname") == b"$2\r\nme\r\n"
        assert connection("reset") == b"+RESET\r\n"
        assert connection("get", "k") == denied
        assert connection("auth", "default", "secret") == b"+OK\r\n"
        assert connection("get", "k") == b"$-1\r\n"
    with server.connect() as connection:
        # In one piece with its AUTH a long argument is fine.
        connection.send(request("auth", "secret") + request("set", "k", b"x" * 20_000) + request("strlen", "k"))
        assert [connection.reply() for _ in range(3)] == [b"+OK\r\n", b"+OK\r\n", b":20000\r\n"]
    with server.connect() as connection:
        connection.send(b"*2\r\n$3\r\nget\r\n$20000\r\n")
        assert connection.reply() == b"-ERR Protocol error: unauthenticated bulk length\r\n"
        assert connection.closed()


def test_info_and_config_are_what_tools_read(node: Server) -> None:
    with redis.Redis(port=node.port) as client:
        client.flushall()
        client.config_resetstat()
        client.set("a", 1, ex=100)
        client.get("a")
        client.get("none")
        everything = client.info("everything")
        assert everything["redis_version"] == "7.2.0"
        assert re.fullmatch("[0-9a-f]{40}", everything["run_id"])
        assert everything["db0"] == {"keys": 1, "expires": 1, "avg_ttl": 0}
        assert everything["keyspace_hits"] == everything["keyspace_misses"] == 1
        assert everything["cmdstat_get"]["calls"] == 2
        assert everything["connected_clients"] == 1
        assert everything["used_memory_rss"] > everything["used_memory"] > 0
        assert "cmdstat_get" not in client.info()
        assert set(client.info("clients")) >= {"connected_clients", "maxclients"}
        assert client.info("bogus") == {}
        assert client.config_get("save", "appendonly", "max*") == {
            "save": "", "appendonly": "no", "maxmemory": "0", "maxmemory-policy": "allkeys-lru",
            "maxmemory-samples": "5", "maxclients": client.config_get("maxclients")["maxclients"],
        }  # fmt: skip
        client.config_set("maxmemory", "1gb")
        assert client.config_get("maxmemory") == {"maxmemory": str(1 << 30)}
        client.config_set("maxmemory", 0)
        assert client.command_count() == len(client.command())
        assert client.command()["get"]["arity"] == 2


@pytest.mark.parametrize("version", [2, 3])
def test_redis_py(node: Server, version: int) -> None:
    """The usual client with its defaults: HELLO, CLIENT SETINFO, pipelines, scan_iter."""
    with redis.Redis(port=node.port, protocol=version, decode_responses=True) as client:
        client.flushall()
        assert client.set("k", "v", ex=10) is True
        assert client.get("k") == "v"
        assert client.get("none") is None
        assert 0 < client.ttl("k") <= 10
        with client.pipeline(transaction=False) as batch:
            for number in range(1000):
                batch.set(f"key:{number}", number)
            assert batch.execute() == [True] * 1000
        assert sorted(client.scan_iter("key:*", count=50)) == sorted(f"key:{n}" for n in range(1000))
        assert client.mget("key:1", "none", "key:3") == ["1", None, "3"]
        assert client.incrbyfloat("f", 1.5) == 1.5
        assert client.copy("key:1", "copied") is True
        assert client.delete("key:1", "key:2", "none") == 2
        with pytest.raises(redis.ResponseError, match="not an integer"):
            client.incr("k")
        assert client.client_info()["resp"] == str(version)
        assert client.memory_usage("k") > 25


@pytest.mark.skipif(shutil.which("redis-benchmark") is None, reason="redis-benchmark is not installed")
def test_redis_benchmark(node: Server) -> None:
    done = subprocess.run(
        ["redis-benchmark", "-p", str(node.port), "-t", "set,get,incr,mset", "-n", "5000", "-P", "16", "-q", "--csv"],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0
    assert "rror" not in done.stdout + done.stderr
    assert [line.split('"')[1] for line in done.stdout.splitlines()[1:]] == ["SET", "GET", "INCR", "MSET (10 keys)"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_end_it_cleanly(new_node: Callable[..., Server], number: signal.Signals) -> None:
    server = new_node("--maxmemory", "1mb")
    with server.connect() as connection:
        assert connection("set", "k", 1) == b"+OK\r\n"
        server.process.send_signal(number)
        assert server.process.wait(10) == 0
        assert connection.closed()


def test_out_of_descriptors_does_not_spin(new_node: Callable[..., Server]) -> None:
    server = new_node("--maxmemory", "1mb")
    open_now = len(list(Path(f"/proc/{server.process.pid}/fd").iterdir()))
    resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, (open_now + 3, open_now + 3))
    connections = [server.connect() for _ in range(6)]
    try:
        assert connections[0]("ping") == b"+PONG\r\n"
        before = cpu_seconds(server.process.pid)
        time.sleep(0.5)
        assert cpu_seconds(server.process.pid) - before < 0.1
        for connection in connections[:3]:
            connection.close()
        assert connections[5]("ping") == b"+PONG\r\n"
    finally:
        for connection in connections:
            connection.close()


def cpu_seconds(process: int) -> float:
    tasks = Path(f"/proc/{process}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


def test_one_client_too_many_is_told_so() -> None:
    server = start_node("--maxmemory", "0", files=SPARE_FILES + 3)
    try:
        connections = [server.connect() for _ in range(3)]
        assert {connection("ping") for connection in connections} == {b"+PONG\r\n"}
        with server.connect() as late:
            assert late.reply() == b"-ERR max number of clients reached\r\n"
            assert late.closed()
        assert info(connections[0], "stats", "rejected_connections") == 1
        for connection in connections:
            connection.close()
    finally:
        assert server.stop() == 0


def test_a_port_in_use_is_reported(node: Server) -> None:
    done = subprocess.run(
        [str(node.process.args[0]), "-m", "storenode", "--listen", f"127.0.0.1:{node.port}"],  # type: ignore[index]
        capture_output=True, text=True, timeout=30,
    )  # fmt: skip
    assert done.returncode == 1
    assert f"cannot listen on 127.0.0.1:{node.port}" in done.stderr


def test_many_clients_at_once(node: Server) -> None:
    """A hundred connections in ten threads, each sure of its own key."""
    failures: list[str] = []

    def work(first: int) -> None:
        connections = [node.connect() for _ in range(10)]
        for turn in range(20):
            for index, connection in enumerate(connections):
                connection.send(request("set", f"own:{first + index}", turn) + request("get", f"own:{first + index}"))
            for connection in connections:
                reply = connection.reply() + connection.reply()
                if reply != b"+OK\r\n$%d\r\n%d\r\n" % (len(str(turn)), turn):
                    failures.append(repr(reply))
        for connection in connections:
            connection.close()

    threads = [threading.Thread(target=work, args=(number * 10,)) for number in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    with node.connect() as connection:
        pipeline(connection, [("ping",)])
