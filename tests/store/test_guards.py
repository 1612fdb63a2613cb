"""SET … IFEQ, IFNE, IFDEQ, IFDNE, DELEX and DIGEST, as the documentation of Redis 8.4 has them."""

from collections.abc import Iterator

import pytest

from tests.store.conftest import Server
from tests.store.raw import Argument, Connection

#: XXH3 (64 bits, no seed) of the first n bytes of PATTERN, computed with xxHash 0.8.3.
PATTERN = bytes(number * 7 % 251 for number in range(5000))
DIGESTS = {
    0: "2d06800538d394c2", 1: "c44bdff4074eecdb", 2: "9093381c8763d62e", 3: "c3489259e968ad9e",
    4: "d3d60c1519014e89", 7: "0ffc4827844c63a6", 8: "b88dee77f6bf6980", 9: "03688dcad730d826",
    15: "2e52bc81c6a30fa3", 16: "9da23836adf2be1e", 17: "f34c3c9cf5a112d1", 32: "99cb9ad0f1a11fbe",
    33: "c077b45492d29cde", 64: "faecd52effbb854f", 65: "fd2b8a4f15d954d0", 96: "8f8a0c940d32e958",
    97: "92b3a831febf71ac", 128: "4c659b745f435148", 129: "b85222b83902b6e5", 144: "4030d31d75951b8f",
    160: "7b45da4714c3419f", 239: "6b9d88f6418559a4", 240: "d6dfbf67b0675b54", 241: "c614c8c3575348c1",
    256: "f4186dc163a3283c", 512: "95e4fda72852917f", 1023: "540c9523214a845b", 1024: "f22ef3dc84ff47ea",
    1025: "43f869a83769a435", 1088: "40d71f037cd0c530", 1089: "c1f23f6bfa8243a4", 2048: "3d2649f662a2e191",
    2049: "4583128afa3a2985", 5000: "ce29a19460ee1bfc",
}  # fmt: skip

OK, NIL, SYNTAX = b"+OK\r\n", b"$-1\r\n", b"-ERR syntax error\r\n"
WRONG = b"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"
NO_DIGEST = b"-ERR digest must be exactly 16 hexadecimal characters\r\n"


@pytest.fixture
def connection(node: Server) -> Iterator[Connection]:
    with node.connect() as connection:
        connection("flushall")
        yield connection


def digest(connection: Connection, key: str) -> str:
    reply = connection("digest", key)
    assert reply.startswith(b"$16\r\n")
    return reply[5:-2].decode()


@pytest.mark.parametrize("length", DIGESTS)
def test_digest(connection: Connection, length: int) -> None:
    connection("set", "k", PATTERN[:length])
    assert digest(connection, "k") == DIGESTS[length]


def test_digest_of_what_is_no_string(connection: Connection) -> None:
    connection("rpush", "l", 1)
    assert connection("digest", "nokey") == NIL and connection("digest", "l") == WRONG


@pytest.mark.parametrize("by_digest", [False, True])
def test_set(connection: Connection, by_digest: bool) -> None:
    connection("set", "other", "other")

    def guard(word: str, value: str) -> tuple[Argument, ...]:
        if not by_digest:
            return word, value
        connection("set", "scratch", value)
        return word.replace("if", "ifd"), digest(connection, "scratch").upper()

    assert connection("set", "k", "one", *guard("ifeq", "one")) == NIL and connection("get", "k") == NIL
    assert connection("set", "k", "one", *guard("ifne", "one")) == OK
    assert connection("set", "k", "two", *guard("ifeq", "on")) == NIL
    assert connection("set", "k", "two", *guard("ifeq", "one"), "ex", 100) == OK
    assert connection("set", "k", "three", *guard("ifne", "two")) == NIL and connection("ttl", "k") == b":100\r\n"
    assert connection("set", "k", "three", "keepttl", *guard("ifne", "one")) == OK
    assert connection("ttl", "k") == b":100\r\n" and connection("get", "k") == b"$5\r\nthree\r\n"
    assert connection("set", "k", "four", *guard("ifeq", "x"), "get") == b"$5\r\nthree\r\n"
    assert connection("set", "k", "four", "get", *guard("ifeq", "three")) == b"$5\r\nthree\r\n"
    assert connection("get", "k") == b"$4\r\nfour\r\n" and connection("ttl", "k") == b":-1\r\n"
    assert connection("set", "new", "v", "get", *guard("ifeq", "x")) == NIL and connection("exists", "new") == b":0\r\n"
    assert connection("set", "new", "v", "get", *guard("ifne", "x")) == NIL and connection("exists", "new") == b":1\r\n"


@pytest.mark.parametrize("by_digest", [False, True])
def test_delex(connection: Connection, by_digest: bool) -> None:
    connection("mset", "k", "one", "other", "two")
    same, other = ("one", "two") if not by_digest else (digest(connection, "k"), digest(connection, "other"))
    equal, unequal = ("ifdeq", "ifdne") if by_digest else ("ifeq", "ifne")
    for word, value in ((equal, other), (unequal, same)):
        assert connection("delex", "k", word, value) == b":0\r\n" and connection("exists", "k") == b":1\r\n"
    assert connection("delex", "k", equal, same) == b":1\r\n" and connection("exists", "k") == b":0\r\n"
    assert connection("delex", "other", unequal, same) == b":1\r\n"
    assert connection("delex", "nokey", equal, same) == b":0\r\n"
    assert connection("delex", "nokey", unequal, same) == b":0\r\n"
    connection("rpush", "l", 1)
    assert connection("delex", "l", equal, same) == WRONG
    assert connection("delex", "l") == b":1\r\n" and connection("delex", "l") == b":0\r\n"


def test_bad_arguments(connection: Connection) -> None:
    connection("set", "k", "v")
    connection("rpush", "l", 1)
    for options in (
        ("ifeq",), ("ifeq", "v", "nx"), ("xx", "ifeq", "v"), ("ifeq", "v", "ifne", "v"), ("ifdeq",),
        ("ifeq", "v", "ifeq", "v"), ("ifgt", "v"),
    ):  # fmt: skip
        assert connection("set", "k", "w", *options) == SYNTAX, options
    for word in ("ifdeq", "ifdne"):
        for value in ("", "0123456789abcde", "0123456789abcdef0", "0123456789abcdeg", "0x23456789abcdef"):
            assert connection("set", "k", "w", word, value) == NO_DIGEST
            assert connection("delex", "k", word, value) == NO_DIGEST
    for word in ("ifeq", "ifne", "IFDEQ", "ifdne"):
        assert connection("set", "l", "w", word, "0123456789abcdef") == WRONG
    assert connection("getex", "k", "ifeq", "v") == SYNTAX and connection("delex", "k", "ifgt", "v") == SYNTAX
    assert connection("delex", "k", "ifeq") == b"-ERR wrong number of arguments for 'delex' command\r\n"
    assert connection("get", "k") == b"$1\r\nv\r\n"


def test_a_guard_that_holds_is_a_change_and_one_that_does_not_is_none(node: Server, connection: Connection) -> None:
    connection("set", "k", "v")
    with node.connect() as watcher:
        for command, touched in (
            (("set", "k", "w", "ifeq", "x"), False), (("set", "k", "v", "ifeq", "v"), True),
            (("delex", "k", "ifne", "v"), False), (("delex", "k", "ifeq", "v"), True),
        ):  # fmt: skip
            watcher("watch", "k")
            connection(*command)
            watcher("multi")
            assert watcher("exec") == (b"*-1\r\n" if touched else b"*0\r\n")
