"""Snapshots: what is saved is loaded, by this node and by redis-server; save points; the end of a process."""

import random
import subprocess
import time
from pathlib import Path

import pytest
import redis

from tests.store.conftest import Server
from tests.store.disk import client, kill, node_in, refused_start, state_of, states_of, wait_for, write_at_random
from tests.store.test_log import loaded


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def fill(server: Server, seed: int) -> None:
    with client(server) as link:
        write_at_random(link, seed, 2000)
        pipe = link.pipeline(transaction=False)
        pipe.rpush("long", *range(3000)).sadd("many", *(f"member{n}" for n in range(3000)))
        pipe.hset("wide", mapping={f"field{n}": "v" * (n % 90) for n in range(2000)})
        pipe.zadd("tall", {f"m{n}": n / 7 - 100 for n in range(2000)}).sadd("numbers", *range(-200, 200))
        pipe.zadd("ends", {"top": float("inf"), "bottom": float("-inf"), "tiny": 5e-324, "zero": 0.0})
        pipe.set("large", "x" * 300_000).set("binary", bytes(range(256)))
        pipe.execute()
        time.sleep(0.02)  # what was given a few milliseconds to live is gone


@pytest.mark.parametrize("seed", range(2))
def test_there_and_back(folder: Path, seed: int) -> None:
    with node_in(folder) as server:
        fill(server, seed)
        before = states_of(server)
        with client(server) as link:
            digest = {key: link.dump(key) for key in link.scan_iter() if link.type(key) == b"string"}
            assert link.execute_command("DEBUG", "RELOAD") == b"OK"
            assert states_of(server) == before
            assert {key: link.dump(key) for key in digest} == digest
            assert link.bgsave()
            wait_for(link, "rdb_bgsave_in_progress", 0)
            assert link.info("persistence")["rdb_last_bgsave_status"] == "ok"
            assert abs(link.lastsave().timestamp() - time.time()) < 60
    with node_in(folder) as server:
        assert states_of(server) == before
        with client(server) as link:
            assert link.info("persistence")["rdb_last_load_keys_loaded"] == sum(len(state) for state in before)


def test_redis_server_reads_it_and_is_read(folder: Path, redis_version: str) -> None:
    with node_in(folder) as server:
        fill(server, 5)
        with client(server) as link:
            assert link.save()
        before = states_of(server)
    socket = str(folder / "redis.sock")
    process = subprocess.Popen(
        ["redis-server", "--port", "0", "--unixsocket", socket, "--dir", str(folder), "--save", ""],
        stdout=subprocess.DEVNULL,
    )
    try:
        link = redis.Redis(unix_socket_path=socket)
        loaded(link, process)
        assert [state_of(link), state_of(redis.Redis(unix_socket_path=socket, db=1))] == before
        link.set("from", "redis")
        link.set("soon", "gone", px=1)
        link.save()
        link.flushall()
        kill_process(process)
        with node_in(folder) as server, client(server) as mine:
            assert mine.get("from") == b"redis" and mine.delete("from") == 1 and mine.get("soon") is None
            assert states_of(server) == before
    finally:
        kill_process(process)


def kill_process(process: "subprocess.Popen[bytes]") -> None:
    process.kill()
    process.wait()


def test_what_redis_server_has_and_this_node_has_not(folder: Path, redis_version: str) -> None:
    socket = str(folder / "redis.sock")
    process = subprocess.Popen(
        ["redis-server", "--port", "0", "--unixsocket", socket, "--dir", str(folder), "--save", ""],
        stdout=subprocess.DEVNULL,
    )
    try:
        link = redis.Redis(unix_socket_path=socket)
        loaded(link, process)
        link.set("a", "1")
        link.xadd("stream", {"a": "b"})
        link.save()
    finally:
        kill_process(process)
    error = refused_start(folder)
    assert "dump.rdb: byte " in error and "stream" in error


def test_a_damaged_snapshot_is_not_loaded(folder: Path) -> None:
    with node_in(folder) as server, client(server) as link:
        write_at_random(link, 3, 300)
        time.sleep(0.02)
        link.save()
    path = folder / "dump.rdb"
    whole = path.read_bytes()
    dice = random.Random(1)
    for at in [0, 5, len(whole) - 1, *(dice.randrange(len(whole)) for _ in range(5))]:
        spoiled = bytearray(whole)
        spoiled[at] ^= 1 << dice.randrange(8)
        path.write_bytes(spoiled)
        assert "dump.rdb: byte " in refused_start(folder)
    for length in (0, 5, 20, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        assert "dump.rdb: byte " in refused_start(folder)


def test_save_points_and_the_end(folder: Path) -> None:
    with node_in(folder, "--save", "3600 1000 1 3") as server, client(server) as link:
        assert link.config_get("save") == {"save": "3600 1000 1 3"}
        link.mset({"a": 1, "b": 2, "c": 3})
        wait_for(link, "rdb_saves", 1)
        assert link.info("persistence")["rdb_changes_since_last_save"] == 0
        link.set("d", 4)
        assert server.stop() == 0  # SIGTERM saves, because there are save points
    with node_in(folder, "--save", "") as server, client(server) as link:
        assert link.dbsize() == 4
        link.set("e", 5)
        with pytest.raises(redis.ConnectionError):
            link.execute_command("SHUTDOWN")
        assert server.process.wait(15) == 0
    with node_in(folder) as server, client(server) as link:
        assert link.dbsize() == 4
        link.set("e", 5)
        with pytest.raises(redis.ConnectionError):
            link.execute_command("SHUTDOWN", "SAVE")
        assert server.process.wait(15) == 0
    with node_in(folder, "--save", "100 1") as server, client(server) as link:
        assert link.dbsize() == 5
        link.set("f", 6)
        with pytest.raises(redis.ConnectionError):
            link.execute_command("SHUTDOWN", "NOSAVE")
        assert server.process.wait(15) == 0
    with node_in(folder) as server, client(server) as link:
        assert link.dbsize() == 5


def test_it_does_not_end_while_it_cannot_save(folder: Path) -> None:
    with node_in(folder, "--save", "100 1") as server, client(server) as link:
        link.set("a", 1)
        (folder / "dump.rdb").mkdir()
        with pytest.raises(redis.ResponseError, match="Errors trying to SHUTDOWN"):
            link.execute_command("SHUTDOWN")
        server.process.terminate()
        wait_for(link, "rdb_last_bgsave_status", "err")
        assert link.get("a") == b"1"
        (folder / "dump.rdb").rmdir()
        assert server.stop() == 0
    with node_in(folder) as server, client(server) as link:
        assert link.get("a") == b"1"


def test_the_child_dies_with_the_node_and_leaves_the_port(folder: Path) -> None:
    """A snapshot that is being written when the node is killed leaves the old one, and nothing that holds the port."""
    with node_in(folder) as server, client(server) as link:
        link.set("old", "1")
        link.save()
        pipe = link.pipeline(transaction=False)
        for number in range(300):
            pipe.set(f"key{number}", "x" * 100_000)
        pipe.execute()
        link.bgsave()
        kill(server)
        port = server.port
    with node_in(folder, "--listen", f"127.0.0.1:{port}") as server, client(server) as link:
        assert link.dbsize() in (1, 301)


def test_replies_and_refusals_are_those_of_redis(folder: Path) -> None:
    with node_in(folder) as server, client(server) as link:
        assert link.config_get("*append*")["appendonly"] == "no"
        for name, value in (
            ("save", "10"), ("save", "a b"), ("appendfsync", "sometimes"), ("dbfilename", "a/b"),
            ("dir", "/no/such/folder"), ("appendfilename", "other"), ("appendonly", "maybe"),
        ):  # fmt: skip
            with pytest.raises(redis.ResponseError, match="CONFIG SET failed"):
                link.config_set(name, value)
        assert link.config_set("save", "60 1") and link.config_get("save") == {"save": "60 1"}
        assert link.config_set("save", "") and link.config_get("save") == {"save": ""}
        assert link.config_set("dir", str(folder)) and link.config_get("dir") == {"dir": str(folder)}
        with pytest.raises(redis.ResponseError, match="syntax error"):
            link.execute_command("BGSAVE", "NOW")
