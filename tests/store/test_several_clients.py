"""Transactions, WATCH and blocking pops over several connections: each client is told what redis-server tells it."""

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.store.conftest import Server
from tests.store.raw import Argument
from tests.store.room import Room, follow, script

Line = tuple[Argument, ...]

#: The sections of several_clients.txt.
SCRIPTS = dict(
    re.findall(r"^\[(.+)\]\n((?:.+\n)+)", Path(__file__).with_name("several_clients.txt").read_text(), re.MULTILINE)
)


@pytest.fixture
def rooms(node: Server, reference: Server) -> Iterator[tuple[Room, Room]]:
    pair = fresh(node), fresh(reference)
    yield pair
    for room in pair:
        room.close()


def fresh(server: Server) -> Room:
    room = Room(server)
    room.control("flushall")
    return room


def same(rooms: tuple[Room, Room], lines: list[Line]) -> None:
    for line in lines:
        ours, theirs = (follow(room, [line])[0] for room in rooms)
        if "hello" in line:
            assert set(ours) == set(theirs)
        else:
            assert ours == theirs, f"{line}: ours {ours!r}, redis-server's {theirs!r}"
        assert rooms[0].waiting == rooms[1].waiting, line
    for name in rooms[0].clients:
        assert rooms[0].flags(name) == rooms[1].flags(name), name


@pytest.mark.parametrize("name", [name for name in SCRIPTS if name != "hello inside"])
def test_script(rooms: tuple[Room, Room], name: str) -> None:
    same(rooms, script(SCRIPTS[name]))


def test_hello_inside_a_transaction(rooms: tuple[Room, Room]) -> None:
    """The replies before and after it are each in the protocol that was in force."""
    ours, theirs = (follow(room, script(SCRIPTS["hello inside"]))[-1]["a"] for room in rooms)
    for reply in (ours, theirs):
        assert reply.startswith(b"*4\r\n%7\r\n") and b"%0\r\n" in reply and reply.endswith(b"*0\r\n")


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        # There at WATCH, expired since: a change, whether somebody has come upon it or not.
        ("b set k v px 20; a watch k; - wait; a multi; a ping; a exec", b"*-1\r\n"),
        ("b set k v px 20; a watch k; - wait; b get k; a multi; a ping; a exec", b"*-1\r\n"),
        # Expired before WATCH: no change when it goes, one when it comes back.
        ("b set k v px 20; - wait; a watch k; a multi; a ping; a exec", b"*1\r\n+PONG\r\n"),
        ("b set k v px 20; - wait; a watch k; b get k; a multi; a ping; a exec", b"*1\r\n+PONG\r\n"),
        ("b set k v px 20; - wait; a watch k; b set k w; a multi; a ping; a exec", b"*-1\r\n"),
        ("b set k v px 20; - wait; a watch k; b get k; b set k w; a multi; a ping; a exec", b"*-1\r\n"),
        ("b set k v px 20; - wait; a watch k; b flushall; a multi; a ping; a exec", b"*1\r\n+PONG\r\n"),
        ("b set k v px 20; - wait; a watch k; b swapdb 0 1; a multi; a ping; a exec", b"*1\r\n+PONG\r\n"),
        ("b select 1; b set k v px 20; - wait; a watch k; b swapdb 0 1; a multi; a ping; a exec", b"*1\r\n+PONG\r\n"),
        ("b select 1; b set k v px 20; - wait; a set k w; a watch k; b swapdb 0 1; a multi; a exec", b"*-1\r\n"),
    ],
)  # fmt: skip
def test_watch_and_expiry(rooms: tuple[Room, Room], lines: str, expected: bytes) -> None:
    """Without the active sweep, which would come upon the key at its own time."""
    for room in rooms:
        room.control("debug", "set-active-expire", "0")
    try:
        for room in rooms:
            for line in script(lines):
                if line[0] == "-":
                    time.sleep(0.03)  # the expiry's time has to pass; no event tells of it
                else:
                    answers = room.step(str(line[0]), *line[1:])
            assert answers == {"a": expected}
    finally:
        for room in rooms:
            room.control("debug", "set-active-expire", "1")


KEYS = st.sampled_from(["k", "l", "z"])
ENDS = st.sampled_from(["left", "right"])
COMMANDS = st.one_of(
    st.sampled_from([("multi",), ("exec",), ("exec",), ("discard",), ("unwatch",), ("reset",), ("ping",), ("nosuch",)]),
    st.tuples(st.just("watch"), KEYS),
    st.tuples(st.sampled_from(["blpop", "brpop", "bzpopmin", "bzpopmax"]), KEYS, KEYS, st.just(0)),
    st.tuples(st.just("blmpop"), st.just(0), st.just(2), KEYS, KEYS, ENDS, st.just("count"), st.integers(1, 3)),
    st.tuples(st.just("bzmpop"), st.just(0), st.just(2), KEYS, KEYS, st.sampled_from(["min", "max"])),
    st.tuples(st.just("blmove"), KEYS, KEYS, ENDS, ENDS, st.just(0)),
    st.tuples(st.sampled_from(["rpush", "lpush"]), KEYS, st.integers(0, 9)),
    st.tuples(st.just("rpush"), KEYS, st.integers(0, 9), st.integers(0, 9), st.integers(0, 9)),
    st.tuples(st.just("zadd"), KEYS, st.integers(0, 9), st.sampled_from("mno")),
    st.tuples(st.sampled_from(["del", "lpop", "zpopmin", "incr", "get", "llen", "zcard"]), KEYS),
    st.tuples(st.just("set"), KEYS, st.just(1)),
    st.tuples(st.sampled_from(["rename", "copy", "rpoplpush"]), KEYS, KEYS),
    st.tuples(st.just("move"), KEYS, st.sampled_from([0, 1])),
    st.tuples(st.just("select"), st.sampled_from([0, 0, 1])),
    st.sampled_from([("swapdb", 0, 1), ("flushdb",), ("flushall",)]),
    st.tuples(
        st.just("client"), st.just("unblock"), st.sampled_from(["id:a", "id:b"]), st.sampled_from(["error", "timeout"])
    ),
)  # fmt: skip
LINES = st.lists(st.tuples(st.sampled_from("abcd"), COMMANDS), min_size=10, max_size=60)


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(lines=LINES, version=st.sampled_from([2, 3]))
def test_random(node: Server, reference: Server, lines: list[tuple[str, Any]], version: int) -> None:
    pair = fresh(node), fresh(reference)
    try:
        if version == 3:
            for room in pair:
                follow(room, [(name, "hello", 3) for name in room.clients])
        same(pair, [(name, *command) for name, command in lines])
    finally:
        for room in pair:
            room.close()
