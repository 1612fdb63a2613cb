"""DUMP and RESTORE: between the storage node and redis-server, in both directions, and what is broken."""

import random
import struct

import pytest

from tests.store.conftest import Server
from tests.store.raw import Argument, Connection
from tests.store.test_types import READ_ALL, normal, parse

FAR_MS = 33_000_000_000_000

VALUES: dict[str, list[tuple[Argument, ...]]] = {
    "empty": [("set", "k", "")],
    "number": [("set", "k", "-129")],
    "large number": [("set", "k", "123456789012")],
    "text": [("set", "k", "hello")],
    "compressible": [("set", "k", "abc" * 5000)],
    "binary": [("set", "k", bytes(range(256)) * 80)],
    "intset": [("sadd", "k", *range(-5, 50))],
    "wide intset": [("sadd", "k", 1, 70000, 1 << 40)],
    "set": [("sadd", "k", *[f"member:{n}" for n in range(500)])],
    "small hash": [("hset", "k", *[f"word{n}" for n in range(60)], "n", "-4097", "m", "70000", "l", "z" * 64)],
    "large hash": [("hset", "k", *[f"f{n}" for n in range(2400)], "long", "x" * 5000)],
    "small list": [("rpush", "k", "a", "", "-1", "300000", "8000000000", "x" * 300, "127", "128", "-4096", "4095")],
    "large list": [("rpush", "k", *[f"item{n}" * (n % 9) for n in range(4000)])],
    "large items": [("rpush", "k", "x" * 20000, "y", "z" * 9000)],
    "small zset": [("zadd", "k", "1", "a", "2.5", "b", "-inf", "c", "inf", "d", "1e300", "e", "3.1", "f")],
    "large zset": [("zadd", "k", *[part for n in range(700) for part in (n * 7919 % 101 / 8, f"m{n}")])],
}


def payload(reply: bytes) -> bytes:
    return reply.split(b"\r\n", 1)[1][:-2]


def value_of(connection: Connection) -> object:
    kind = connection("type", "k")
    name, *rest = READ_ALL[kind]
    return kind, normal((name,), connection(name, "k", *rest))


@pytest.mark.parametrize("build", VALUES.values(), ids=VALUES)
def test_both_directions(node: Server, reference: Server, build: list[tuple[Argument, ...]]) -> None:
    with node.connect() as ours, reference.connect() as theirs:
        for source, target in ((ours, theirs), (theirs, ours), (ours, ours)):
            for connection in (ours, theirs):
                connection("flushall")
            for command in build:
                source(*command)
            expected = value_of(source)
            dump = payload(source("dump", "k"))
            assert target("restore", "k", 0, dump, "replace") == b"+OK\r\n"
            assert value_of(target) == expected and target("ttl", "k") == b":-1\r\n"


def test_short_strings_have_the_same_dump(node: Server, reference: Server) -> None:
    with node.connect() as ours, reference.connect() as theirs:
        for value in ("", "a", "12", "-129", "32768", "2147483648", "-2147483649", "01", "hello world", "x" * 20):
            for connection in (ours, theirs):
                connection("set", "k", value)
            assert ours("dump", "k") == theirs("dump", "k"), value
        assert ours("dump", "missing") == theirs("dump", "missing")


def test_options_and_errors_are_those_of_redis_server(node: Server, reference: Server) -> None:
    with node.connect() as ours, reference.connect() as theirs:
        theirs("set", "k", "value")
        dump = payload(theirs("dump", "k"))
        wrong = dump[:-1] + bytes([dump[-1] ^ 1])
        old = dump[:-10] + struct.pack("<H", 99) + dump[-8:]
        script: list[tuple[Argument, ...]] = [
            ("del", "k"),
            ("restore", "k", 0, dump),
            ("restore", "k", 0, dump),
            ("restore", "k", 0, dump, "replace"),
            ("restore", "k", -1, dump, "replace"),
            ("restore", "k", "x", dump, "replace"),
            ("restore", "k", "x", dump),
            ("restore", "k", FAR_MS, dump, "replace", "absttl"),
            ("pexpiretime", "k"),
            ("restore", "k", 1, dump, "replace", "absttl"),
            ("exists", "k"),
            ("restore", "k", 0, wrong),
            ("restore", "k", 0, old),
            ("restore", "k", 0, "x"),
            ("restore", "k", 0, ""),
            ("restore", "k", 0, dump, "idletime", 1000),
            ("restore", "k", 0, dump, "idletime", -1, "replace"),
            ("restore", "k", 0, dump, "idletime", "x", "replace"),
            ("restore", "k", 0, dump, "freq", 256, "replace"),
            ("restore", "k", 0, dump, "freq", "x", "replace"),
            ("restore", "k", 0, dump, "freq", 1, "idletime", 1, "replace"),
            ("restore", "k", 0, dump, "bogus"),
            ("restore", "k", 0),
        ]
        for command in script:
            assert ours(*command) == theirs(*command), command
        ours("restore", "k", 0, dump, "idletime", 1000, "replace")
        assert 999 <= int(ours("object", "idletime", "k")[1:]) <= 1002


def test_broken_values_are_refused(node: Server, reference: Server) -> None:
    """Any byte of a dump may be wrong, and the checksum right: an error or a value, and the node goes on."""
    chance = random.Random(5)
    with node.connect() as ours, reference.connect() as theirs:
        for build in VALUES.values():
            theirs("flushall")
            for command in build:
                theirs(*command)
            dump = payload(theirs("dump", "k"))[:-8]
            for _ in range(60):
                broken = bytearray(dump[:-2])
                for _ in range(chance.choice([1, 1, 2, 5])):
                    broken[chance.randrange(min(len(broken), chance.choice([3, 12, 100, 100000])))] = chance.randrange(256)
                if chance.random() < 0.3:
                    del broken[chance.randrange(len(broken)) :]
                # A checksum of 0 is that of a server that does not compute any.
                reply = ours("restore", "k", 0, bytes(broken) + dump[-2:] + bytes(8), "replace")
                assert reply in (b"+OK\r\n", b"-ERR Bad data format\r\n")
                if reply == b"+OK\r\n":
                    value_of(ours)
                    ours("del", "k")
        assert parse(ours("ping")) == b"+PONG\r\n"
