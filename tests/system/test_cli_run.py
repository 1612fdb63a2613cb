"""`quench run` and `quench demo` as processes: signals, exit statuses, and what operators' tools see."""

from __future__ import annotations

import fcntl
import importlib.util
import json
import os
import pty
import select
import shutil
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from contextlib import ExitStack, closing

import pytest
import redis

from tests.system.conftest import WITHIN, free_port, pool_config, start

needs_redis_cli = pytest.mark.skipif(shutil.which("redis-cli") is None, reason="redis-cli is not installed")
needs_storenode = pytest.mark.skipif(
    importlib.util.find_spec("storenode.loop") is None, reason="storenode is not compiled"
)


def cli(port, *words):
    """What redis-cli prints, its warnings included."""
    done = subprocess.run(
        ["redis-cli", "-p", str(port), *words], capture_output=True, text=True, timeout=WITHIN, check=True
    )
    return done.stdout + done.stderr


def unique_keys(text):
    """A parser folds INFO into one dictionary: a key that came twice would hide the first."""
    keys = [line.partition(":")[0] for line in text.splitlines() if line and not line.startswith("#")]
    assert len(keys) == len(set(keys)), sorted(key for key in keys if keys.count(key) > 1)


# -- what tools ask ------------------------------------------------------------------------------------------


@pytest.fixture
def proxy(redis_nodes, proxy_process):
    return proxy_process(pool_config(redis_nodes(2), engines=2))


def test_info_agrees_with_what_was_sent(proxy):
    with redis.Redis(port=proxy.port, protocol=2) as client:
        for number in range(10):
            client.set(number, number)
        for number in range(20):
            client.get(number)
        with pytest.raises(redis.ResponseError, match="unknown command"):
            client.execute_command("nonsense")
        info = client.info("everything")
        client.set_response_callback("INFO", bytes.decode)
        unique_keys(client.execute_command("INFO", "everything"))
    assert info["process_id"] == proxy.process.pid
    assert info["tcp_port"] == proxy.port
    assert len(info["run_id"]) == 40
    assert info["connected_clients"] == 1
    assert info["cmdstat_set"]["calls"] == 10
    assert info["cmdstat_get"]["calls"] == 20
    assert info["errorstat_ERR"]["count"] == 1
    assert info["node0"]["state"] == info["node1"]["state"] == "up"
    assert info["node0"]["requests"] + info["node1"]["requests"] == 30
    assert info["pool0"]["state"] == "up"
    assert info["used_memory_rss"] > 1 << 20
    assert info["used_cpu_user"] > 0


def test_info_says_that_a_node_is_down(redis_nodes, proxy_process):
    nodes = redis_nodes(2)
    _, port = proxy = proxy_process(pool_config(nodes, "server_failure_limit: 1"))
    nodes[0].stop()
    proxy.log.wait_for(r"node\.ejected .*" + nodes[0].address)
    with redis.Redis(port=port) as client:
        info = client.info("nodes")
        assert (info["node0"]["state"], info["node1"]["state"]) == ("down", "up")
        assert client.info("pools")["pool0"]["state"] == "degraded"


def test_the_nodes_of_a_running_proxy_as_a_table(redis_nodes, proxy_process, tmp_path):
    nodes = redis_nodes(2)
    config = pool_config(nodes, "server_failure_limit: 1", "server_retry_timeout: 60s")
    proxy = proxy_process(config)
    file = tmp_path / "nodes.yml"
    file.write_text(config.replace("127.0.0.1:0", f"127.0.0.1:{proxy.port}"))

    def shown(*options, status=0):
        done = subprocess.run(
            [sys.executable, "-m", "proxy", "nodes", *options, str(file)], capture_output=True, text=True,
            timeout=WITHIN, check=False,
        )  # fmt: skip
        assert done.returncode == status, done.stderr
        return done.stdout if status == 0 else done.stderr

    with redis.Redis(port=proxy.port) as client:
        for number in range(10):
            client.set(number, number)
    heads, *rows = (line.split() for line in shown().splitlines())
    assert heads[:5] == ["pool", "name", "address", "role", "state"]
    assert [row[2:5] for row in rows] == [[node.address, "master", "up"] for node in nodes]
    assert sum(int(row["requests"]) for row in json.loads(shown("--json"))) == 10
    nodes[0].stop()
    proxy.log.wait_for(r"node\.ejected .*" + nodes[0].address)
    assert [row["state"] for row in json.loads(shown("--json"))] == ["down", "up"]
    proxy.stop()
    assert "refused" in shown(status=1)


@needs_redis_cli
def test_config_get_and_command_by_redis_cli(proxy):
    assert cli(proxy.port, "config", "get", "save") == "save\n\n"
    assert cli(proxy.port, "config", "get", "appendonly") == "appendonly\nno\n"
    assert cli(proxy.port, "config", "get", "port") == f"port\n{proxy.port}\n"
    assert cli(proxy.port, "config", "get", "databases") == "databases\n16\n"
    assert cli(proxy.port, "config", "get", "timeout") == "timeout\n0\n"
    assert int(cli(proxy.port, "command", "count")) > 200
    assert cli(proxy.port, "command", "info", "get").splitlines()[:2] == ["get", "2"]
    for protocol in ("-2", "-3"):
        assert "summary" in cli(proxy.port, protocol, "command", "docs", "get")
        assert len(cli(proxy.port, protocol, "command", "docs")) > 10_000


@pytest.mark.skipif(shutil.which("redis-benchmark") is None, reason="redis-benchmark is not installed")
def test_redis_benchmark_warns_of_nothing(proxy):
    done = subprocess.run(
        ["redis-benchmark", "-p", str(proxy.port), "-n", "100", "-q", "-t", "get"],
        capture_output=True, text=True, timeout=WITHIN, check=True,
    )  # fmt: skip
    assert "WARNING" not in done.stdout + done.stderr


@needs_redis_cli
def test_redis_cli_at_a_terminal(proxy):
    """There it asks COMMAND DOCS for its hints; an unusable answer shows."""
    terminal, side = pty.openpty()
    # A terminal of unknown width would be asked for it, and this one does not answer.
    fcntl.ioctl(side, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 200, 0, 0))
    process = subprocess.Popen(
        ["redis-cli", "-p", str(proxy.port)], stdin=side, stdout=side, stderr=side, env={**os.environ, "TERM": "xterm"}
    )
    os.close(side)
    said, read_to = b"", 0

    def read_until(text):
        nonlocal said, read_to
        deadline = time.monotonic() + WITHIN
        while text not in said[read_to:]:
            assert select.select([terminal], [], [], deadline - time.monotonic())[0], said
            said += os.read(terminal, 65536)
        read_to = said.index(text, read_to) + len(text)

    try:
        read_until(b"> ")
        os.write(terminal, b"set greeting hello\r")
        read_until(b"OK\r")
        read_until(b"> ")  # what is typed before the prompt is thrown away
        os.write(terminal, b"help get\r")
        read_until(b"summary:")
        assert b"rror" not in said and b"WARN" not in said.upper()
    finally:
        process.kill()
        process.wait()
        os.close(terminal)


def test_redis_py_with_its_defaults(proxy, caplog):
    caplog.set_level("DEBUG")
    with redis.Redis(port=proxy.port, client_name="shop") as client:
        assert client.set("a", "b")
        assert client.get("a") == b"b"
        described = client.client_info()
    assert (described["name"], described["resp"], described["lib-name"]) == ("shop", "3", "redis-py")
    assert described["lib-ver"] == redis.__version__
    assert not [record for record in caplog.records if record.name.startswith("redis") and "ail" in record.message]


def test_client_list_names_every_client_of_every_engine_once(proxy):
    with ExitStack() as stack:
        clients = [
            stack.enter_context(redis.Redis(port=proxy.port, client_name=f"client-{number}", lib_name=f"lib-{number}"))
            if number % 2
            else stack.enter_context(redis.Redis(port=proxy.port, client_name=f"client-{number}"))
            for number in range(0, 40, 2)
        ]
        ids = {client.client_id(): client.get_connection_kwargs()["client_name"] for client in clients}
        listed = clients[0].client_list()
        assert {int(entry["id"]): entry["name"] for entry in listed} == ids
        assert len(listed) == len(ids) == 20
        assert {entry["lib-name"] for entry in listed} == {"redis-py"}
        assert {entry["laddr"] for entry in listed} == {f"127.0.0.1:{proxy.port}"}
        info = clients[3].client_info()
        assert (int(info["id"]), info["cmd"]) == (clients[3].client_id(), "client|info")
        assert [int(one["id"]) for one in clients[0].client_list(client_id=[info["id"]])] == [int(info["id"])]


def test_a_crowd_that_asks_is_answered(proxy):
    """Pipelines of control requests from many clients at once: every one gets its reply."""
    failures = []

    def ask():
        try:
            with redis.Redis(port=proxy.port) as client, client.pipeline(transaction=False) as pipe:
                for _ in range(10):
                    pipe.execute_command("LOLWUT")
                    pipe.execute_command("CLIENT", "LIST")
                    pipe.execute_command("INFO", "server")
                    pipe.get("a")
                assert len(pipe.execute()) == 40
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=ask) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WITHIN)
    assert not failures


# -- from start to end ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("which", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly(proxy, which):
    with closing(redis.Redis(port=proxy.port)) as client:
        client.ping()
        proxy.process.send_signal(which)
        assert proxy.wait() == 0
    assert "stopped status=0" in proxy.log.text


def test_drains_under_load_without_a_failed_reply(redis_nodes, proxy_process):
    """A request that the proxy has taken is answered; what a client sends after that it may refuse by closing."""
    proxy = proxy_process(pool_config(redis_nodes(2), engines=2))
    wrong, answered, going = [], [], threading.Event()

    def load(number):
        client = redis.Redis(port=proxy.port, retry=None, socket_timeout=WITHIN)
        try:
            with closing(client):
                for turn in range(1_000_000):
                    assert client.set(f"{number}:{turn}", turn)
                    answered.append(number)
                    if len(answered) > 200:
                        going.set()
        except redis.ConnectionError:
            pass  # closed between two requests
        except Exception as error:
            wrong.append(error)

    threads = [threading.Thread(target=load, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    assert going.wait(WITHIN)
    proxy.process.terminate()
    assert proxy.wait() == 0
    for thread in threads:
        thread.join(WITHIN)
    assert not wrong


def test_a_second_signal_ends_it_at_once(redis_nodes, proxy_process):
    """A client that waits for a frozen node holds the drain up."""
    nodes = redis_nodes(1)
    proxy = proxy_process(pool_config(nodes, "timeout: 60s"))
    with closing(redis.Redis(port=proxy.port, retry=None)) as client:
        client.set("a", 1)
        nodes[0].process.send_signal(signal.SIGSTOP)
        try:
            client.connection_pool.get_connection().send_command("GET", "a")
            deadline = time.monotonic() + WITHIN
            with closing(redis.Redis(port=proxy.port)) as other:
                while other.info("nodes")["node0"]["in_flight"] == 0:
                    assert time.monotonic() < deadline
            proxy.process.terminate()
            proxy.log.wait_for("drain.started")
            proxy.process.terminate()
            assert proxy.wait() == 3
        finally:
            nodes[0].process.send_signal(signal.SIGCONT)


@pytest.mark.parametrize("engines", [1, 2])
def test_a_port_that_is_taken_is_one_line(redis_nodes, proxy_process, tmp_path, engines):
    nodes = redis_nodes(1)
    port = proxy_process(pool_config(nodes, engines=engines)).port
    file = tmp_path / "second.yml"
    file.write_text(pool_config(nodes, engines=engines).replace("127.0.0.1:0", f"127.0.0.1:{port}"))
    done = subprocess.run(
        [sys.executable, "-m", "proxy", "run", "-c", str(file)], capture_output=True, text=True, timeout=WITHIN
    )
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "cannot listen" in done.stderr and str(port) in done.stderr


def test_a_bad_configuration_is_78(tmp_path):
    file = tmp_path / "bad.yml"
    file.write_text("pools: {a: {listen: 127.0.0.1:0, servers: [nonsense]}}\n")
    done = subprocess.run(
        [sys.executable, "-m", "proxy", "run", "-c", str(file)], capture_output=True, text=True, timeout=WITHIN
    )
    assert done.returncode == 78
    assert "bad.yml:1:" in done.stderr


def test_several_pools_and_a_unix_socket(redis_nodes, proxy_process, tmp_path):
    first, second = redis_nodes(2)
    path = tmp_path / "proxy.sock"
    proxy = proxy_process(
        f"engines: 2\npools:\n"
        f"  one:\n    listen: {path}\n    servers: [{first.address}]\n"
        f"  two:\n    listen: 127.0.0.1:0\n    servers: [{second.address}]\n"
    )
    assert proxy.addresses["one"] == str(path)
    port = int(proxy.addresses["two"].rpartition(":")[2])
    with redis.Redis(unix_socket_path=str(path)) as one, redis.Redis(port=port) as two:
        one.set("key", "one")
        assert two.get("key") is None
        assert one.config_get("unixsocket") == {"unixsocket": str(path)}
        assert {entry["flags"] for entry in one.client_list()} == {"U"}
    assert proxy.stop() == 0
    assert not path.exists()


@needs_storenode
@pytest.mark.parametrize("last", [signal.SIGINT, signal.SIGHUP])
def test_demo_starts_serves_tells_of_a_dead_node_and_stops(last):
    if signal.getsignal(last) is signal.SIG_IGN:
        pytest.skip("hangups are ignored here, as under nohup, and the demo keeps to that")
    with ExitStack() as stack:
        port = free_port()
        demo = start(stack, sys.executable, "-m", "proxy", "demo", "--listen", f"127.0.0.1:{port}", pipe="stdout")
        demo.log.wait_for("Ctrl-C stops it")
        assert f"redis-cli -h 127.0.0.1 -p {port}" in demo.log.text
        with redis.Redis(port=port) as client:
            assert client.mset({f"key:{number}": number for number in range(100)})
            assert client.info("pools")["pool0"]["live"] == 3
        children = subprocess.run(
            ["ps", "--ppid", str(demo.process.pid), "-o", "pid="], capture_output=True, text=True, check=True
        )
        nodes = [int(pid) for pid in children.stdout.split()]
        assert len(nodes) == 3
        os.kill(nodes[0], signal.SIGKILL)
        demo.log.wait_for("node-1 has ended")
        demo.process.send_signal(last)
        assert demo.wait() == 0
        assert not any(os.path.exists(f"/proc/{pid}") for pid in nodes)


@needs_storenode
def test_demo_on_a_port_that_is_taken_is_one_line(proxy):
    done = subprocess.run(
        [sys.executable, "-m", "proxy", "demo", "--listen", f"127.0.0.1:{proxy.port}"],
        capture_output=True, text=True, timeout=WITHIN,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1 and "cannot listen" in done.stderr


def test_a_hangup_does_not_end_the_proxy(redis_nodes, proxy_process):
    proxy = proxy_process(pool_config(redis_nodes(1)))
    proxy.process.send_signal(signal.SIGHUP)
    proxy.log.wait_for("reload.unsupported")
    with redis.Redis(port=proxy.port) as client:
        assert client.ping()
    assert proxy.stop() == 0
