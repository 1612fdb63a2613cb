"""The append-only log: what it holds is what there was; torn and damaged files; a full disk; a rewrite."""

import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import redis

from tests.store.conftest import DEADLINE, Server, start_node
from tests.store.disk import (
    ROOT,
    client,
    frames,
    increments,
    kill,
    limit_files,
    node_in,
    refused_start,
    state_of,
    states_of,
    wait_for,
    write_at_random,
)  # fmt: skip
from tests.store.raw import Connection

ON = ("--appendonly", "yes")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


@pytest.mark.parametrize("seed", range(4))
def test_random_commands_come_back(folder: Path, seed: int) -> None:
    with node_in(folder, *ON, "--appendfsync", ("no", "everysec", "always", "everysec")[seed]) as server:
        with client(server) as link:
            write_at_random(link, seed, 3000)
            if seed % 2:
                link.bgrewriteaof()
                wait_for(link, "aof_rewrite_in_progress", 0)
                write_at_random(link, seed + 100, 1000)
            time.sleep(0.02)  # what was given a few milliseconds to live is gone
        before = states_of(server)
        with client(server) as link:
            assert link.execute_command("DEBUG", "LOADAOF") == b"OK"
        assert states_of(server) == before
        kill(server)
    assert len(before[0]) > 20
    with node_in(folder, *ON) as server:
        assert states_of(server) == before


def test_redis_server_loads_the_log(folder: Path, redis_version: str) -> None:
    with node_in(folder, *ON) as server:
        with client(server) as link:
            write_at_random(link, 7, 2000)
            link.bgrewriteaof()
            wait_for(link, "aof_rewrite_in_progress", 0)
            write_at_random(link, 8, 2000)
            time.sleep(0.02)
        before = states_of(server)
    socket = str(folder / "redis.sock")
    process = subprocess.Popen(
        ["redis-server", "--port", "0", "--unixsocket", socket, "--dir", str(folder), "--appendonly", "yes"],
        stdout=subprocess.DEVNULL,
    )
    try:
        link = redis.Redis(unix_socket_path=socket)
        loaded(link, process)
        assert state_of(link) == before[0]
        assert state_of(redis.Redis(unix_socket_path=socket, db=1)) == before[1]
    finally:
        process.kill()
        process.wait()


def loaded(link: "redis.Redis", process: "subprocess.Popen[bytes]") -> None:
    give_up = time.monotonic() + DEADLINE
    while True:
        try:
            assert link.ping()
            return
        except (redis.ConnectionError, redis.BusyLoadingError):
            assert process.poll() is None and time.monotonic() < give_up
            time.sleep(0.01)


def test_the_log_of_redis_server_is_loaded(folder: Path, redis_version: str) -> None:
    socket = str(folder / "redis.sock")
    process = subprocess.Popen(
        ["redis-server", "--port", "0", "--unixsocket", socket, "--dir", str(folder), "--appendonly", "yes",
         "--aof-timestamp-enabled", "yes"],
        stdout=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        link = redis.Redis(unix_socket_path=socket)
        loaded(link, process)
        write_at_random(link, 9, 1500, ties=False)
        link.bgrewriteaof()
        wait_for(link, "aof_rewrite_in_progress", 0)
        write_at_random(link, 10, 1500, ties=False)
        time.sleep(0.02)
        before = [state_of(link), state_of(redis.Redis(unix_socket_path=socket, db=1))]
        link.shutdown(nosave=True)
        process.wait(DEADLINE)
    finally:
        process.kill()
        process.wait()
    with node_in(folder, *ON) as server:
        assert states_of(server) == before


def small_log(folder: Path) -> tuple[Path, bytes]:
    """A short log: a few keys, then a transaction, then a command; its last file and what is in it."""
    with node_in(folder, *ON, "--appendfsync", "always") as server, client(server) as link:
        for number in range(10):
            link.set(f"key{number}", f"value{number}")
        with link.pipeline(transaction=True) as block:
            block.incr("one")
            block.incr("two")
            block.execute()
        link.rpush("list", "a", "b", "c")
    path = increments(folder)[-1]
    return path, path.read_bytes()


def test_a_tail_torn_at_any_byte_is_cut(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    path, whole = small_log(folder)
    places = frames(whole)
    multi = next(place for place in places if whole[place:].startswith(b"*1\r\n$5\r\nMULTI"))
    after = whole.index(b"EXEC\r\n") + 6
    with node_in(folder, *ON) as server, client(server) as link:
        for length in range(multi - 20, len(whole)):
            # In a running node, by way of DEBUG LOADAOF: a process for each byte would take a minute.
            path.write_bytes(whole[:length])
            assert link.execute_command("DEBUG", "LOADAOF") == b"OK", length
            good = max(place for place in places if place <= length)
            if multi < length < after:
                good = multi
            assert path.stat().st_size == good
            assert link.mget("one", "two") == ([b"1", b"1"] if length >= after else [None, None])
            assert link.llen("list") == 0
        path.write_bytes(whole)
        assert link.execute_command("DEBUG", "LOADAOF") == b"OK"
        assert link.llen("list") == 3


def test_slowlog_of_a_replay_names_what_was_asked(folder: Path) -> None:
    small_log(folder)
    with node_in(folder, *ON, "--set", "slowlog-log-slower-than=0") as server, client(server) as link:
        assert link.execute_command("DEBUG", "LOADAOF") == b"OK"
        assert link.slowlog_get(1)[0]["command"] == b"DEBUG LOADAOF"


def test_a_torn_tail_at_the_start(folder: Path) -> None:
    path, whole = small_log(folder)
    path.write_bytes(whole[:-5])
    assert "ends in the middle of a command" in refused_start(folder, *ON, "--set", "aof-load-truncated=no")
    assert path.stat().st_size == len(whole) - 5
    with node_in(folder, *ON) as server, client(server) as link:
        assert link.get("two") == b"1" and not link.exists("list")
        link.set("further", "on")
    path.write_bytes(path.read_bytes() + bytes(1000))  # as some file systems leave it when the power fails
    with node_in(folder, *ON) as server, client(server) as link:
        assert link.get("further") == b"on"
        assert path.read_bytes().endswith(b"on\r\n")


@pytest.mark.parametrize("seed", range(8))
def test_a_damaged_middle_is_not_loaded(folder: Path, seed: int) -> None:
    path, whole = small_log(folder)
    places = frames(whole)
    dice = random.Random(seed)
    start = places[dice.randrange(2, 8)]
    spoiled = bytearray(whole)
    if seed % 4 == 0:
        spoiled[start] = 0  # where '*' was
    elif seed % 4 == 1:
        spoiled[start + 4 : start + 6] = b"$9"  # a length that reaches far beyond the next commands
        spoiled[start + 6 : start + 6] = b"99"
    elif seed % 4 == 2:
        at = whole.index(b"SET", start)
        spoiled[at : at + 3] = b"SAT"
    else:
        del spoiled[start + 2 : start + 9]
    path.write_bytes(spoiled)
    error = refused_start(folder, *ON)
    assert f"byte {start}" in error or f"byte {places[places.index(start) + 1]}" in error, (start, error)
    assert str(path) in error and "truncate -s" in error
    assert path.read_bytes() == spoiled
    if seed % 4 != 3:
        subprocess.run(["truncate", "-s", str(start), str(path)], check=True)
        with node_in(folder, *ON) as server, client(server) as link:
            assert link.get("key0") == b"value0"


def test_files_that_are_missing_or_unknown(folder: Path) -> None:
    path, whole = small_log(folder)
    manifest = folder / "appendonlydir" / "appendonly.aof.manifest"
    text = manifest.read_text()
    manifest.write_text(text + "file what seq one type x\n")
    assert "line 3" in refused_start(folder, *ON)
    manifest.write_text(text)
    path.unlink()
    assert str(path) in refused_start(folder, *ON)
    path.write_bytes(whole)
    base = folder / "appendonlydir" / "appendonly.aof.1.base.rdb"
    data = base.read_bytes()
    base.write_bytes(data[:20])
    assert "it ends too early" in refused_start(folder, *ON)


def test_rewriting_shrinks_the_log_and_loses_nothing(folder: Path) -> None:
    options = ("--set", "auto-aof-rewrite-min-size=20kb", "--set", "auto-aof-rewrite-percentage=100")
    with node_in(folder, *ON, *options) as server, client(server) as link:
        for number in range(20):
            pipe = link.pipeline(transaction=False)
            for index in range(200):
                pipe.set(f"key{index}", f"{number} {index}")
            pipe.execute()
            if number % 10 == 9:
                wait_for(link, "aof_rewrites", 1 + number // 10)
                wait_for(link, "aof_rewrite_in_progress", 0)
        assert link.info("persistence")["aof_last_bgrewrite_status"] == "ok"
        names = set(os.listdir(folder / "appendonlydir"))
        before = state_of(link)
    assert len(names) <= 4, names
    with node_in(folder, *ON) as server, client(server) as link:
        assert state_of(link) == before


def test_switched_on_and_off_while_it_serves(folder: Path) -> None:
    with node_in(folder) as server, client(server) as link:
        link.set("before", "1")
        assert link.config_set("appendonly", "yes")
        link.set("after", "1")
        wait_for(link, "aof_rewrites", 1)
        wait_for(link, "aof_rewrite_in_progress", 0)
        link.config_set("appendonly", "no")
        link.set("unlogged", "1")
        link.config_set("appendonly", "yes")
        wait_for(link, "aof_rewrites", 2)
        wait_for(link, "aof_rewrite_in_progress", 0)
        link.set("last", "1")
        before = state_of(link)
    with node_in(folder, *ON) as server, client(server) as link:
        assert state_of(link) == before
        assert link.exists("before", "after", "unlogged", "last") == 4


def limited_node(folder: Path, size: int, *options: str) -> Server:
    """A node whose files may have `size` bytes: what a full disk is to it. The soft limit alone, so that it can be
    raised again from outside."""

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

    return start_node("--maxmemory", "0", "--dir", str(folder), *options, before=limit)


@pytest.mark.parametrize("policy", ["always", "everysec"])
def test_a_full_disk_refuses_writes_and_recovers(folder: Path, policy: str) -> None:
    server = limited_node(folder, 20_000, *ON, "--appendfsync", policy)
    acknowledged = 0
    try:
        link = client(server)
        error = ""
        for number in range(1000):
            try:
                link.set(f"key{number}", "x" * 100)
                acknowledged += 1
            except redis.ResponseError as problem:
                error = str(problem)
                break
        assert error.startswith("MISCONF Errors writing to the AOF file: File too large"), error
        assert 50 < acknowledged < 200
        with pytest.raises(redis.ResponseError, match="MISCONF"):
            link.delete("key0")
        pipe = link.pipeline(transaction=True)
        pipe.get("key0").incr("counter")
        with pytest.raises(redis.ResponseError, match="MISCONF"):
            pipe.execute()
        assert link.get("key0") == b"x" * 100
        assert link.ping()
        assert link.info("persistence")["aof_last_write_status"] == "err"
        limit_files(server, None)
        wait_for(link, "aof_last_write_status", "ok")
        assert link.set("again", "1")
        before = state_of(link)
        assert len(before) >= acknowledged + 1
    finally:
        kill(server)
    with node_in(folder, *ON) as server, client(server) as link:
        assert state_of(link) == before


def test_a_crash_on_a_full_disk_keeps_what_was_acknowledged(folder: Path) -> None:
    server = limited_node(folder, 20_000, *ON, "--appendfsync", "always")
    acknowledged = []
    try:
        with client(server) as link:
            for number in range(1000):
                try:
                    link.set(f"key{number}", "x" * 99)
                except redis.RedisError:
                    break
                acknowledged.append(f"key{number}")
    finally:
        kill(server)
    with node_in(folder, *ON) as server, client(server) as link:
        assert link.exists(*acknowledged) == len(acknowledged) > 50


def test_a_snapshot_that_fails(folder: Path) -> None:
    server = limited_node(folder, 3000, "--save", "3600 1000000")
    try:
        with client(server) as link:
            link.set("large", "x" * 4_000)
            link.bgsave()
            wait_for(link, "rdb_last_bgsave_status", "err")
            with pytest.raises(redis.ResponseError, match="MISCONF Redis is configured to save RDB snapshots"):
                link.set("refused", "1")
            link.config_set("stop-writes-on-bgsave-error", "no")
            time.sleep(0.15)
            limit_files(server, None)
            assert link.set("taken", "1")
            link.config_set("stop-writes-on-bgsave-error", "yes")
            link.bgsave()
            wait_for(link, "rdb_last_bgsave_status", "ok")
            assert link.set("taken", "2")
    finally:
        kill(server)
    assert [path.name for path in folder.iterdir()] == ["dump.rdb"]


def connected(port: int) -> Connection:
    give_up = time.monotonic() + DEADLINE
    while True:
        try:
            return Connection(("127.0.0.1", port))
        except OSError:
            assert time.monotonic() < give_up
            time.sleep(0.001)


def test_what_is_read_while_loading(folder: Path) -> None:
    """A port that is known before the node is ready shows LOADING."""
    with node_in(folder) as server, client(server) as link:
        pipe = link.pipeline(transaction=False)
        for number in range(400_000):
            pipe.set(f"key:{number}", number)
            if number % 20_000 == 19_999:
                pipe.execute()
                pipe = link.pipeline(transaction=False)
        link.save()
        port = server.port
    process = subprocess.Popen(
        [sys.executable, "-m", "storenode", "--listen", f"127.0.0.1:{port}", "--maxmemory", "0", "--dir", str(folder)],
        stdout=subprocess.PIPE, cwd=ROOT,
    )  # fmt: skip
    try:
        seen = set()
        give_up = time.monotonic() + DEADLINE
        link = connected(port)
        while (reply := link("GET", "key:7")) != b"$1\r\n7\r\n":
            assert reply.startswith(b"-LOADING ") and time.monotonic() < give_up, reply
            seen.add("loading")
            assert link("PING").startswith((b"-LOADING ", b"+PONG"))
            assert link("SELECT", 0) == b"+OK\r\n"
            if b"loading:1\r\n" in (info := link("INFO", "persistence")):
                seen.add("info")
                assert b"loading_total_bytes:" in info
        assert seen == {"loading", "info"}
        assert link("DBSIZE") == b":400000\r\n"
        link.close()
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def test_nothing_is_kept_unless_asked_for(folder: Path) -> None:
    shutil.copy(ROOT / "README.md", folder / "dump.rdb")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        process = subprocess.Popen(
            [sys.executable, "-m", "storenode", "--listen", "127.0.0.1:0"], stdout=subprocess.PIPE, cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
    assert process.stdout is not None and process.stdout.readline().startswith(b"storenode: ready")
    process.terminate()
    assert process.wait(DEADLINE) == 0
    process.stdout.close()
    assert [path.name for path in folder.iterdir()] == ["dump.rdb"]
