"""What transactions and served clients leave in the append-only log: what happened, not what was asked."""

import random
from collections.abc import Callable
from pathlib import Path

import hiredis
import pytest

from tests.store.conftest import Server
from tests.store.raw import Argument
from tests.store.room import Room, follow, script

Start = Callable[..., Server]

PLAYED = """
a blpop k 0; b rpush k 1 2; c blmove k l left right 0; c brpoplpush l k 0; c blmpop 0 2 x k left count 9
d zadd z 1 m 2 n 3 o; b bzpopmin z 0; b bzmpop 0 1 z max count 5
a brpop q 0; b blmove q r right left 0; c bzpopmax q 0
d multi; d rpush q 7; d rpush q 8; d set s 1; d exec
d multi; d get s; d lpop nokey; d exec; d multi; d set s 5; d discard
d watch s; d set s 9; d multi; d set s 10; d exec
d multi; d blpop r 0; d blpop r 0; d exec; d client unblock id:c
"""

LOGGED = """
rpush k 1 2; LPOP k; LMOVE k l LEFT RIGHT; LMOVE l k RIGHT LEFT; LPOP k 9
zadd z 1 m 2 n 3 o; ZPOPMIN z; ZPOPMAX z 5
MULTI; rpush q 7; rpush q 8; set s 1; EXEC; RPOP q; LMOVE q r RIGHT LEFT
set s 9
MULTI; LPOP r; EXEC
"""


@pytest.fixture
def start(new_node: Start, tmp_path: Path) -> Start:
    """A node that logs every write before it answers."""
    return lambda: new_node("--dir", str(tmp_path), "--appendonly", "yes", "--appendfsync", "always")


def logged(folder: Path) -> list[tuple[str, ...]]:
    """The commands of the log, but for SELECT."""
    reader = hiredis.Reader(encoding="utf-8")
    for path in sorted(folder.glob("*/*.incr.aof")):
        reader.feed(path.read_bytes())
    commands = []
    while command := reader.gets():
        if command[0] != "SELECT":
            commands.append(tuple(command))
    return commands


def test_what_is_logged(start: Start, tmp_path: Path) -> None:
    server = start()
    room = Room(server)
    follow(room, script(PLAYED))
    room.close()
    assert server.stop() == 0
    assert logged(tmp_path) == script(LOGGED)


def contents(server: Server) -> list[list[bytes]]:
    """Every key of two databases with its value."""
    found = []
    with server.connect() as connection:
        for number in (0, 1):
            connection("select", number)
            for key in ("k", "l", "z"):
                kind = connection("type", key)
                read: tuple[Argument, ...] = {
                    b"+list\r\n": ("lrange", key, 0, -1), b"+zset\r\n": ("zrange", key, 0, -1, "withscores"),
                }.get(kind, ("get", key))  # fmt: skip
                found.append([kind, connection(*read)])
    return found


@pytest.mark.parametrize("seed", range(3))
def test_a_restart_gives_the_same(start: Start, tmp_path: Path, seed: int) -> None:
    """Four clients push, pop, wait and queue at random; the log alone makes the same keys of it."""
    choose = random.Random(seed)
    server = start()
    room = Room(server)
    for _ in range(1500):
        key, other = choose.choice("klz"), choose.choice("klz")
        line: tuple[Argument, ...] = choose.choice(
            (
                ("blpop", key, other, 0), ("bzpopmin", key, 0), ("blmove", key, other, "left", "left", 0),
                ("blmpop", 0, 2, key, other, "right", "count", 2), ("bzmpop", 0, 1, key, "max", "count", 2),
                ("rpush", key, choose.randrange(99), choose.randrange(99)), ("zadd", key, choose.randrange(9), "mno"),
                ("rpush", key, choose.randrange(99)), ("del", key), ("rename", key, other), ("move", key, 1),
                ("multi",), ("exec",), ("watch", key), ("swapdb", 0, 1), ("select", choose.randrange(2)),
                ("set", key, choose.randrange(99)), ("client", "unblock", "id:" + choose.choice("abcd")),
            )
        )  # fmt: skip
        # One of them never blocks.
        room.step(choose.choice("abc" if str(line[0]).startswith("b") else "dddabc"), *line)
    room.close()
    before = contents(server)
    assert server.stop() == 0
    assert len(logged(tmp_path)) > 200
    assert contents(start()) == before
