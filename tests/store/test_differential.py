"""The same commands to the storage node and to redis-server: the replies must be the same bytes."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.store.conftest import Server
from tests.store.raw import Argument, Connection

Command = tuple[Argument, ...]

# The replies of these depend on the moment; they are compared as numbers, with this tolerance in the reply's unit.
NEAR = {"ttl": 1, "pttl": 500, "expiretime": 1, "pexpiretime": 500}
FAR = 33_000_000_000  # a Unix time far ahead, in seconds
BIG = 9223372036854775807

# What the script's notation cannot say: control characters, many arguments, a long name.
ODD: list[Command] = [
    (b"a\r\nb", b"c\r\nd"),
    (b"a\0b", b"c\0d"),
    ("bogus", *[f"arg{number}" for number in range(50)]),
    ("GET" + "X" * 20,),
]


def read_script() -> list[Command]:
    """The commands of script.txt."""
    commands: list[Command] = []
    for line in Path(__file__).with_name("script.txt").read_text().splitlines():
        if line.startswith("#"):
            continue
        for text in line.split("; "):
            words = shlex.split(text)
            for index, word in enumerate(words):
                if repeated := re.fullmatch(r"(.)\*(\d+)", word):
                    words[index] = repeated[1] * int(repeated[2])
            if words:
                commands.append(tuple(words))
    return commands


def same(command: Command, ours: bytes, theirs: bytes) -> bool:
    if ours == theirs:
        return True
    tolerance = NEAR.get(str(command[0]).lower(), 0)
    numbers = re.fullmatch(rb":(-?\d+)\r\n:(-?\d+)\r\n", ours + theirs)
    return bool(tolerance and numbers and abs(int(numbers[1]) - int(numbers[2])) <= tolerance)


def compare(node: Connection, reference: Connection, commands: list[Command]) -> None:
    for command in commands:
        ours, theirs = node(*command), reference(*command)
        assert same(command, ours, theirs), f"{command}: ours {ours!r}, redis-server's {theirs!r}"


def fresh(server: Server, version: int) -> Connection:
    connection = server.connect()
    assert connection("flushall") == b"+OK\r\n"
    if version == 3:
        assert connection("hello", 3).startswith(b"%7\r\n")
    return connection


@pytest.mark.parametrize("version", [2, 3])
def test_script(node: Server, reference: Server, version: int) -> None:
    with fresh(node, version) as ours, fresh(reference, version) as theirs:
        compare(ours, theirs, read_script() + ODD)


PROTOCOL = [
    b"*1\r\n$-1\r\n",
    b"*abc\r\n",
    b"*1\r\nfoo\r\n",
    b"*1\r\n$999999999999\r\n",
    b"*2147483648\r\n",
    b"*1\r\n:1\r\n",
    b"*1\r\n$01\r\nx\r\n",
    b'set "a b\r\n',
    b"set 'a'b\r\n",
    b"x" * 70000,
    b"*1\r\n$" + b"1" * 70000,
]


@pytest.mark.parametrize("broken", PROTOCOL, ids=lambda data: repr(data[:20]))
def test_protocol_errors_close_the_connection_with_the_same_words(
    node: Server, reference: Server, broken: bytes
) -> None:
    replies = []
    for server in (node, reference):
        with server.connect() as connection:
            connection.send(b"PING\r\n" + broken)
            assert connection.reply() == b"+PONG\r\n"
            replies.append(connection.reply())
            assert connection.closed()
    assert replies[0] == replies[1]


INLINE = [
    b"PING\r\n",
    b"ping\n",
    b"set a b\r\n",
    b'get "a"\r\n',
    b"set \"\\x41\" 'b c'\r\n",
    b"get A\r\n",
    b"\r\n",
    b"*0\r\n",
    b"*-1\r\n",
    b"   \r\n",
    b"ECHO '\\'x'\r\n",
    b"*1\r\n$4\r\nPINGxx",
    b"*2\r\n$3\r\nget\r\n$1\r\nA..",
    b"mget a A b c d e f\r\n",
]


def test_inline_commands_and_slack(node: Server, reference: Server) -> None:
    with fresh(node, 2) as ours, fresh(reference, 2) as theirs:
        for data in INLINE:
            for connection in (ours, theirs):
                connection.send(data + b"*2\r\n$4\r\nECHO\r\n$3\r\nend\r\n")
            while True:
                reply = ours.reply()
                assert reply == theirs.reply(), data
                if reply == b"$3\r\nend\r\n":
                    break


KEYS = st.sampled_from(["a", "b", "c", "dd", "a" * 30])
VALUES = st.one_of(
    st.integers(-5, 5).map(str),
    st.sampled_from(["", "0", "x", "10", str(BIG), str(-BIG - 1), "1.5", "x" * 44, "x" * 45, "y" * 300, "3.0e2", "01"]),
    st.binary(max_size=70),
)
NUMBERS = st.one_of(st.integers(-10, 30), st.sampled_from([BIG, -BIG - 1, BIG - 1, 100, 1 << 40]), st.just("x"))
# Either so long that nothing expires in between, or over at once.
SECONDS = st.sampled_from([0, -1, 1000, 2000, 3000, BIG, "x"])
MILLISECONDS = st.sampled_from([0, -1, 1000000, BIG])
OFFSETS = st.one_of(st.integers(-1, 50), st.sampled_from(["x", BIG]))
# Not GT and LT: two servers that got a relative expiry a millisecond apart may differ. script.txt has them.
CONDITIONS = st.lists(st.sampled_from(["nx", "xx", "NX", "bogus"]), max_size=2)
EXPIRIES = [
    st.tuples(st.sampled_from(["ex", "EX"]), SECONDS),
    st.tuples(st.just("px"), MILLISECONDS),
    st.tuples(st.just("exat"), st.sampled_from([0, FAR, BIG])),
    st.tuples(st.just("pxat"), st.sampled_from([0, FAR * 1000, BIG])),
]
SET_WORDS = st.sampled_from([("nx",), ("xx",), ("get",), ("keepttl",), ("bogus",), ("ex",)])
GETEX_WORDS = st.sampled_from([("persist",), ("nx",), ("exat", 1)])
Parts = st.SearchStrategy[Any]


def command(name: str, *parts: Parts) -> st.SearchStrategy[Command]:
    return st.tuples(st.just(name), *parts)


def flatten(groups: list[tuple[Argument, ...]]) -> list[Argument]:
    return [word for group in groups for word in group]


def with_options(name: str, options: Parts, *parts: Parts) -> st.SearchStrategy[Command]:
    """A command whose fixed arguments are followed by a list of others."""
    return st.tuples(st.tuples(*parts), options).map(lambda pair: (name, *pair[0], *pair[1]))


PLAIN = st.one_of(
    *[command(name, KEYS) for name in ("get", "getdel", "strlen", "incr", "decr", "type", "bitcount", "unlink")],
    *[command(name, KEYS) for name in ("ttl", "pttl", "expiretime", "pexpiretime", "persist")],
    *[command(name, KEYS, VALUES) for name in ("setnx", "getset", "append", "incrbyfloat")],
    *[command(name, KEYS, NUMBERS) for name in ("incrby", "decrby", "getbit")],
    *[command(name, KEYS, KEYS) for name in ("rename", "renamenx", "copy", "del", "exists", "touch", "mget")],
    *[command(name, KEYS, VALUES, KEYS, VALUES) for name in ("mset", "msetnx")],
    *[with_options(name, CONDITIONS, KEYS, SECONDS) for name in ("expire", "pexpire", "expireat")],
    with_options("set", st.lists(st.one_of(SET_WORDS, *EXPIRIES), max_size=3).map(flatten), KEYS, VALUES),
    with_options("getex", st.lists(st.one_of(GETEX_WORDS, *EXPIRIES), max_size=2).map(flatten), KEYS),
    command("getrange", KEYS, NUMBERS, NUMBERS),
    command("setrange", KEYS, OFFSETS, VALUES),
    command("setbit", KEYS, st.integers(-1, 300), st.sampled_from([0, 1, 1, 2])),
    command("bitcount", KEYS, st.integers(-9, 9), st.integers(-9, 9), st.sampled_from(["bit", "byte", "x"])),
    command("setex", KEYS, SECONDS, VALUES),
    command("psetex", KEYS, MILLISECONDS, VALUES),
    command("copy", KEYS, KEYS, st.just("replace")),
    command("copy", KEYS, KEYS, st.just("db"), st.sampled_from([0, 1])),
    command("object", st.just("encoding"), KEYS),
    command("select", st.sampled_from([0, 0, 1])),
    command("flushdb"),
)


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(commands=st.lists(PLAIN, min_size=10, max_size=60), version=st.sampled_from([2, 3]))
def test_generated_sequences(node: Server, reference: Server, commands: list[Command], version: int) -> None:
    with fresh(node, version) as ours, fresh(reference, version) as theirs:
        compare(ours, theirs, commands)
        for number in (0, 1):
            compare(ours, theirs, [("select", number)])
            keys = []
            for connection in (ours, theirs):
                keys.append(sorted(connection("keys", "*").split(b"\r\n")))
            assert keys[0] == keys[1]


PATTERNS = st.text(st.sampled_from("abc*?[]^-\\"), max_size=8)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    names=st.lists(st.text(st.sampled_from("abc*[]^-\\"), max_size=6), max_size=12),
    patterns=st.lists(PATTERNS, min_size=10, max_size=40),
)
def test_glob(node: Server, reference: Server, names: list[str], patterns: list[str]) -> None:
    with fresh(node, 2) as ours, fresh(reference, 2) as theirs:
        for name in names:
            compare(ours, theirs, [("set", name, "1")])
        for pattern in patterns:
            found = [sorted(connection("keys", pattern).split(b"\r\n")) for connection in (ours, theirs)]
            assert found[0] == found[1], pattern
