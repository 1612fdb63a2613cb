"""Nodes and redis-servers that replicate each other: starting them, links that break on order, writes, comparison."""

from __future__ import annotations

import random
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.store.conftest import DEADLINE, Server
from tests.store.raw import Argument, Connection, pipeline

PATIENCE = 30.0  # seconds for a replica to get where it has to be


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def start_redis(directory: Path, *options: str) -> Server:
    """A redis-server on a TCP port, as replication needs; somebody else may take the port first, so several tries."""
    for _ in range(5):
        port = free_port()
        process = subprocess.Popen(
            ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(directory),
             "--dbfilename", f"{port}.rdb", "--repl-diskless-sync-delay", "0", "--enable-debug-command", "yes",
             "--hz", "100", *options],
            stdout=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        server = Server(process, ("127.0.0.1", port))
        give_up = time.monotonic() + DEADLINE
        while process.poll() is None and time.monotonic() < give_up:
            with suppress(OSError), server.connect() as connection:
                if connection("ping"):
                    return server
            time.sleep(0.01)
        server.stop()
    raise AssertionError("redis-server did not start")


class Pipe:
    """A TCP relay to `target` whose connections can be cut, all at once, at any byte."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.listener.getsockname()[1]
        self.sockets: list[socket.socket] = []
        self.made = 0
        self.open = True
        self.threads = [threading.Thread(target=self._accept)]
        self.threads[0].start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            if not self.open:
                near.close()
                continue
            try:
                far = socket.create_connection(("127.0.0.1", self.target))
            except OSError:
                near.close()
                continue
            self.made += 1
            self.sockets += [near, far]
            for one, other in ((near, far), (far, near)):
                self.threads.append(threading.Thread(target=self._relay, args=(one, other)))
                self.threads[-1].start()

    def _relay(self, one: socket.socket, other: socket.socket) -> None:
        with suppress(OSError):
            while data := one.recv(1 << 16):
                other.sendall(data)
        for end in (one, other):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def cut(self) -> None:
        """Break every connection that there is; new ones are relayed again."""
        for end in self.sockets:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self.open = False
        self.cut()
        with suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for thread in list(self.threads):
            thread.join(DEADLINE)
        for end in self.sockets:
            end.close()


@contextmanager
def pipe_to(server: Server) -> Iterator[Pipe]:
    pipe = Pipe(server.port)
    try:
        yield pipe
    finally:
        pipe.close()


def until(condition: Callable[[], bool], what: str, patience: float = PATIENCE) -> None:
    give_up = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < give_up, what
        time.sleep(0.01)


def fields(connection: Connection, section: str = "replication") -> dict[str, str]:
    """A section of INFO."""
    text = connection("info", section).decode().split("\r\n", 1)[1]
    return dict(line.split(":", 1) for line in text.split("\r\n") if ":" in line)


def follow(replica: Connection, port: int) -> None:
    """REPLICAOF, and wait until the link is up."""
    assert replica("replicaof", "127.0.0.1", port).startswith(b"+OK")
    until(lambda: fields(replica)["master_link_status"] == "up", "the replica is not linked")


def caught_up(primary: Connection, replica: Connection) -> None:
    """Wait until the replica has executed all that the primary has written down so far."""
    wanted = int(fields(primary)["master_repl_offset"])
    until(
        lambda: (now := fields(replica)).get("master_link_status") == "up" and int(now["slave_repl_offset"]) >= wanted,
        "the replica does not catch up",
    )


READS: dict[bytes, tuple[str, tuple[Argument, ...]]] = {
    b"+string\r\n": ("get", ()),
    b"+list\r\n": ("lrange", (0, -1)),
    b"+set\r\n": ("smembers", ()),
    b"+hash\r\n": ("hgetall", ()),
    b"+zset\r\n": ("zrange", (0, -1, "withscores")),
}


def contents(connection: Connection) -> dict[tuple[int, bytes], tuple[bytes, object]]:
    """Every key of every database with its time of expiry and its value; what has no order is sorted.

    Keys that expire within a minute are left out: they may be gone when the other side is read.
    """
    soon = (time.time() + 60) * 1000
    found: dict[tuple[int, bytes], tuple[bytes, object]] = {}
    for number in range(16):
        connection("select", number)
        words = connection("keys", "*").split(b"\r\n")
        keys = words[2::2]
        times = pipeline(connection, [("pexpiretime", key) for key in keys])
        lasting = [(key, at) for key, at in zip(keys, times, strict=True) if at == b":-1\r\n" or int(at[1:]) > soon]
        keys, times = [key for key, _ in lasting], [at for _, at in lasting]
        types = pipeline(connection, [("type", key) for key in keys])
        reads = [(READS[kind][0], key, *READS[kind][1]) for key, kind in zip(keys, types, strict=True)]
        values = pipeline(connection, reads)
        for key, kind, expiry, value in zip(keys, types, times, values, strict=True):
            shown: object = value
            if kind in (b"+set\r\n", b"+hash\r\n"):
                parts = value.split(b"\r\n")[2::2]
                shown = sorted(parts) if kind == b"+set\r\n" else sorted(zip(parts[::2], parts[1::2], strict=True))
            found[number, key] = (kind + expiry, shown)
    connection("select", 0)
    return found


def settled(connection: Connection) -> bool:
    """Is there no key left that expires within a minute, so that a primary has nothing to say unless it is asked?"""
    soon = (time.time() + 60) * 1000
    for number in range(16):
        connection("select", number)
        keys = connection("keys", "*").split(b"\r\n")[2::2]
        times = [int(reply[1:]) for reply in pipeline(connection, [("pexpiretime", key) for key in keys])]
        if any(at != -1 and at < soon for at in times) or connection("dbsize") != b":%d\r\n" % len(keys):
            return False
    connection("select", 0)
    return True


def same_contents(one: Connection, other: Connection) -> None:
    ours, theirs = contents(one), contents(other)
    different = [key for key in ours.keys() | theirs.keys() if ours.get(key) != theirs.get(key)]
    assert not different, [(key, str(ours.get(key))[:300], str(theirs.get(key))[:300]) for key in different[:3]]


class Writer:
    """Random writes of all kinds from a seed, in pipelines and transactions, to several databases."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def key(self, kind: str) -> str:
        return f"{kind}{self.random.randrange(12)}"

    def word(self) -> str:
        draw = self.random
        return draw.choice([str(draw.randrange(-40, 40)), f"w{draw.randrange(60)}", "x" * draw.choice([1, 70, 300])])

    def command(self) -> tuple[Argument, ...]:
        draw, key, word = self.random, self.key, self.word
        number = draw.randrange(-5, 30)
        far = draw.randrange(2_000_000, 9_000_000)
        return draw.choice([
            lambda: ("set", key("t"), word()),
            lambda: ("set", key("t"), word(), "px", far),
            lambda: ("set", key("t"), word(), "keepttl", "get"),
            lambda: ("setex", key("t"), far, word()),
            lambda: ("append", key("t"), word()),
            lambda: ("incrby", key("n"), number),
            lambda: ("incrbyfloat", key("f"), draw.random()),
            lambda: ("setrange", key("t"), number + 5, word()),
            lambda: ("setbit", key("t"), number + 5, 1),
            lambda: ("getex", key("t"), "ex", far),
            lambda: ("getdel", key("t")),
            lambda: ("expire", key(draw.choice("tlshz")), far),
            lambda: ("pexpire", key(draw.choice("tlshz")), draw.choice([-1, 30, far])),
            lambda: ("persist", key(draw.choice("tlshz"))),
            lambda: ("mset", key("t"), word(), key("t"), word()),
            lambda: ("del", key(draw.choice("tlshz")), key("t")),
            lambda: ("lpush", key("l"), word(), word()),
            lambda: ("rpush", key("l"), *[word() for _ in range(draw.choice([1, 5, 200]))]),
            lambda: ("lpop", key("l"), draw.randrange(4)),
            lambda: ("lmove", key("l"), key("l"), "left", "right"),
            lambda: ("linsert", key("l"), "before", word(), word()),
            lambda: ("ltrim", key("l"), 0, 300),
            lambda: ("blpop", key("l"), key("l"), 0.001) if draw.random() < 0.1 else ("ping",),
            lambda: ("sadd", key("s"), *[word() for _ in range(draw.choice([1, 5, 150]))]),
            lambda: ("spop", key("s"), draw.randrange(6)),
            lambda: ("spop", key("s")),
            lambda: ("srem", key("s"), word(), word()),
            lambda: ("smove", key("s"), key("s"), word()),
            lambda: ("sunionstore", key("s"), key("s"), key("s")),
            lambda: ("sort", key("l"), "alpha", "store", key("l")),
            lambda: ("hset", key("h"), *[word() for _ in range(draw.choice([2, 4, 300]))]),
            lambda: ("hincrby", key("h"), "count", number),
            lambda: ("hincrbyfloat", key("h"), "float", draw.random()),
            lambda: ("hdel", key("h"), word(), word()),
            lambda: ("zadd", key("z"), *[part for _ in range(draw.choice([1, 90])) for part in (number, word())]),
            lambda: ("zincrby", key("z"), draw.random(), word()),
            lambda: ("zpopmin", key("z"), 2),
            lambda: ("zremrangebyrank", key("z"), 0, 1),
            lambda: ("zunionstore", key("z"), 2, key("z"), key("z")),
            lambda: ("bzpopmax", key("z"), 0.001) if draw.random() < 0.1 else ("ping",),
            lambda: ("pfadd", key("p"), word()),
            lambda: ("geoadd", key("z"), number, number, word()),
            lambda: ("rename", key("t"), key("t")),
            lambda: ("copy", key("t"), key("t"), "replace"),
            lambda: ("move", key("t"), 1),
            lambda: ("select", draw.choice([0, 0, 0, 1, 9])),
            lambda: ("swapdb", 1, 9) if draw.random() < 0.05 else ("ping",),
            lambda: ("flushdb",) if draw.random() < 0.02 else ("ping",),
        ])()  # fmt: skip

    def write(self, connection: Connection, count: int) -> None:
        """So many random commands; errors (of a wrong type, say) are as good as any other reply."""
        left = count
        while left > 0:
            batch = [self.command() for _ in range(self.random.choice([1, 10, 60]))]
            if self.random.random() < 0.3:
                batch = [("multi",), *[command for command in batch if command[0] != "select"], ("exec",)]
            pipeline(connection, batch)
            left -= len(batch)
