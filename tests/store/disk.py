"""What the tests of persistence share: nodes with a folder, what a keyspace holds, random writes."""

import random
import re
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.store.conftest import DEADLINE, SANITIZED, Server, start_node

ROOT = Path(__file__).parents[2]
State = dict[bytes, tuple[bytes, int, Any]]


@contextmanager
def node_in(folder: Path, *options: str) -> Iterator[Server]:
    """A node that keeps its data in `folder`; killed at the end, unless it was stopped before."""
    server = start_node("--maxmemory", "0", "--dir", str(folder), *options)
    try:
        yield server
    finally:
        kill(server)


def kill(server: Server) -> None:
    """SIGKILL, and wait until it is gone."""
    server.process.kill()
    server.process.wait(DEADLINE)
    if server.process.stdout is not None:
        server.process.stdout.close()


def limit_files(server: Server, size: int | None) -> None:
    """From now on the node's files may have `size` bytes, which is what a full disk is to it; None: any number."""
    soft = resource.RLIM_INFINITY if size is None else size
    resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (soft, resource.RLIM_INFINITY))


def library_of(source: str, folder: Path) -> Path:
    """A library for LD_PRELOAD. In its C source NEXT(name) is the function that it stands in front of."""
    if SANITIZED or not shutil.which("gcc"):
        pytest.skip("takes gcc, and a process without another library in front")
    begin = "#define _GNU_SOURCE\n#include <dlfcn.h>\n#define NEXT(name) dlsym(RTLD_NEXT, #name)\n"
    (folder / "library.c").write_text(begin + source)
    command = ["gcc", "-shared", "-fPIC", "-Werror", "-o", "library.so", "library.c", "-ldl"]
    subprocess.run(command, cwd=folder, check=True)
    return folder / "library.so"


def refused_start(folder: Path, *options: str) -> str:
    """What a node that does not start says."""
    result = subprocess.run(
        [sys.executable, "-m", "storenode", "--listen", "127.0.0.1:0", "--dir", str(folder), *options],
        capture_output=True, text=True, cwd=ROOT, timeout=DEADLINE, check=False,
    )  # fmt: skip
    assert result.returncode == 1, result
    assert not result.stdout
    return result.stderr


def client(server: Server, **options: Any) -> "redis.Redis":
    return redis.Redis(port=server.port, socket_timeout=DEADLINE, **options)


def value_of(link: "redis.Redis", key: bytes, kind: bytes) -> Any:
    """A key's value in a form that does not depend on how it is laid out."""
    if kind == b"string":
        return link.get(key)
    if kind == b"list":
        return link.lrange(key, 0, -1)
    if kind == b"set":
        return link.smembers(key)
    if kind == b"hash":
        return link.hgetall(key)
    assert kind == b"zset", kind
    return link.zrange(key, 0, -1, withscores=True)


def state_of(link: "redis.Redis") -> State:
    """Every key of the selected database with its type, expiry (Unix time, ms) and value."""
    state = {}
    for key in link.scan_iter(count=1000):
        kind = link.type(key)
        state[key] = (kind, link.pexpiretime(key), value_of(link, key, kind))
    return state


def states_of(server: Server, databases: int = 2) -> list[State]:
    states = []
    for number in range(databases):
        with client(server, db=number) as link:
            states.append(state_of(link))
    return states


def wait_for(link: "redis.Redis", field: str, value: object) -> None:
    """Until a field of INFO persistence has a value: what goes on in the background takes a tick or two."""
    give_up = time.monotonic() + DEADLINE
    while link.info("persistence")[field] != value:
        assert time.monotonic() < give_up, (field, link.info("persistence"))
        time.sleep(0.01)


def increments(folder: Path) -> list[Path]:
    """The commands' files of a log, in order."""
    return sorted(
        (folder / "appendonlydir").glob("*.incr.aof"), key=lambda path: int(path.name.split(".")[-3])
    )  # fmt: skip


def frames(data: bytes) -> list[int]:
    """Where each command of a log begins, and where the last one ends."""
    places = [0]
    at = 0
    while at < len(data):
        head = re.compile(rb"\*(\d+)\r\n").match(data, at)
        assert head, at
        at = head.end()
        for _ in range(int(head[1])):
            bulk = re.compile(rb"\$(\d+)\r\n").match(data, at)
            assert bulk, at
            at = bulk.end() + int(bulk[1]) + 2
        places.append(at)
    return places


def write_at_random(link: "redis.Redis", seed: int, count: int, ties: bool = True) -> None:
    """`count` commands that write, of every kind whose effect differs from its words, and many that fail or do nothing.

    ties: also a SORT … STORE whose order is that of a hash table; redis-server repeats its words and gets another one.
    """
    dice = random.Random(seed)
    order = ["BY", "w_*"] if ties else []

    def key() -> str:
        return f"key:{dice.randrange(40)}"

    def some() -> str:
        return dice.choice(["", "1", "2.5", "-17", "x" * dice.randrange(200), "äöü\r\n*1\r\n", str(dice.random())])

    def options() -> list[str]:
        later = str(dice.choice([1, 3, 5_000_000, 7_000_000_123]))
        return dice.choice([[], ["PX", later], ["KEEPTTL"], ["NX"], ["XX", "GET"], ["PX", later, "GET"]])

    makers: list[Callable[[], list[Any]]] = [
        lambda: ["SET", key(), some(), *options()],
        lambda: ["SETEX", key(), 4000, some()],
        lambda: ["GETEX", key(), *dice.choice([["PERSIST"], ["EX", 5000], ["PX", 1]])],
        lambda: ["GETDEL", key()],
        lambda: ["MSET", key(), some(), key(), some()],
        lambda: ["APPEND", key(), some()],
        lambda: ["SETRANGE", key(), dice.randrange(50), some()],
        lambda: ["SETBIT", key(), dice.randrange(100), 1],
        lambda: ["INCR", key()],
        lambda: ["INCRBYFLOAT", key(), dice.choice(["0.1", "1e3", "-3.25"])],
        lambda: ["EXPIRE", key(), dice.choice([3000, -1, 4000]), *dice.choice([[], ["NX"], ["GT"]])],
        lambda: ["PEXPIREAT", key(), dice.choice([1, 33_000_000_000_000])],
        lambda: ["PERSIST", key()],
        lambda: [dice.choice(["DEL", "UNLINK"]), key(), key()],
        lambda: ["RENAME", key(), key()],
        lambda: ["COPY", key(), key(), *dice.choice([[], ["REPLACE"], ["DB", "1", "REPLACE"]])],
        lambda: ["MOVE", key(), 1],
        lambda: [dice.choice(["LPUSH", "RPUSH"]), f"list:{dice.randrange(5)}", some(), some()],
        lambda: [dice.choice(["LPOP", "RPOP"]), f"list:{dice.randrange(5)}", *dice.choice([[], [2]])],
        lambda: ["LMOVE", f"list:{dice.randrange(5)}", f"list:{dice.randrange(5)}", "LEFT", "RIGHT"],
        lambda: ["BLPOP", f"list:{dice.randrange(5)}", f"list:{dice.randrange(5)}", "0.001"],
        lambda: ["LTRIM", f"list:{dice.randrange(5)}", 0, 30],
        lambda: ["LMPOP", 2, "list:0", "list:1", "RIGHT", "COUNT", 2],
        lambda: ["SADD", f"set:{dice.randrange(5)}", *(dice.randrange(60) for _ in range(5))],
        lambda: ["SADD", f"set:{dice.randrange(5)}", some()],
        lambda: ["SPOP", f"set:{dice.randrange(5)}", *dice.choice([[], [1], [3], [500]])],
        lambda: ["SMOVE", f"set:{dice.randrange(5)}", f"set:{dice.randrange(5)}", dice.randrange(60)],
        lambda: ["SUNIONSTORE", f"set:{dice.randrange(5)}", "set:0", "set:1", "set:2"],
        lambda: ["SORT", f"set:{dice.randrange(5)}", *order, "ALPHA", "STORE", f"list:{dice.randrange(5)}"],
        lambda: ["SORT", f"list:{dice.randrange(5)}", "ALPHA", "DESC", "STORE", "sorted"],
        lambda: ["HSET", f"hash:{dice.randrange(5)}", f"f{dice.randrange(20)}", some()],
        lambda: ["HINCRBYFLOAT", f"hash:{dice.randrange(5)}", f"n{dice.randrange(5)}", "0.7"],
        lambda: ["HDEL", f"hash:{dice.randrange(5)}", f"f{dice.randrange(20)}"],
        lambda: ["ZADD", f"zset:{dice.randrange(5)}", dice.random(), f"m{dice.randrange(30)}"],
        lambda: ["ZADD", f"zset:{dice.randrange(5)}", "INCR", "0.1", f"m{dice.randrange(30)}"],
        lambda: [dice.choice(["ZPOPMIN", "ZPOPMAX"]), f"zset:{dice.randrange(5)}"],
        lambda: ["ZUNIONSTORE", "zset:9", 2, "zset:0", "zset:1"],
        lambda: ["PFADD", "hll", dice.randrange(1000)],
        lambda: ["GEOADD", "geo", dice.uniform(-100, 100), dice.uniform(-80, 80), dice.randrange(20)],
        lambda: ["GET", key()],
        lambda: ["SELECT", 0],
    ]  # fmt: skip
    pipe: Any = link.pipeline(transaction=False)
    for number in range(count):
        if number % 20 == 19:
            pipe.execute(raise_on_error=False)
            pipe = link.pipeline(transaction=dice.random() < 0.3)
        if number % 701 == 700:
            pipe.execute_command("SWAPDB", 0, 1)
        pipe.execute_command(*dice.choice(makers)())
    pipe.execute(raise_on_error=False)
