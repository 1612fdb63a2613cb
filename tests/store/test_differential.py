"""The same commands to the storage node and to redis-server: the replies must be the same bytes."""

import re

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

SCRIPT: list[Command] = [
    # strings
    ("get", "missing"), ("set", "k", "v"), ("get", "k"), ("GeT", "k"), ("set", "k"), ("get"), ("get", "k", "x"),
    ("set", "k", "v", "nx"), ("set", "n", "v", "NX"), ("set", "n", "w", "xx"), ("set", "nn", "w", "xx"),
    ("set", "n", "x", "get"), ("set", "none", "x", "get"), ("set", "n", "y", "nx", "get"), ("get", "n"),
    ("set", "new", "y", "nx", "get"), ("set", "new2", "y", "xx", "get"), ("set", "n", "y", "nx", "xx"),
    ("set", "k", "v", "ex"), ("set", "k", "v", "ex", "0"), ("set", "k", "v", "ex", "-1"), ("set", "k", "v", "ex", "x"),
    ("set", "k", "v", "px", BIG), ("set", "k", "v", "ex", BIG), ("set", "k", "v", "ex", 9223372036854775),
    ("set", "k", "v", "ex", 100), ("ttl", "k"), ("pttl", "k"), ("set", "k", "w", "keepttl"), ("ttl", "k"),
    ("set", "k", "w"), ("ttl", "k"), ("set", "k", "v", "exat", FAR), ("expiretime", "k"), ("pexpiretime", "k"),
    ("set", "k", "v", "pxat", FAR * 1000), ("pexpiretime", "k"), ("set", "k", "v", "exat", "1"), ("get", "k"),
    ("set", "k", "v", "ex", 10, "px", 10), ("set", "k", "v", "ex", 10, "keepttl"), ("set", "k", "v", "keepttl", "ex", 1),
    ("set", "k", "v", "ex", 10, "ex", 200), ("ttl", "k"), ("set", "k", "v", "persist"), ("set", "k", "v", "bogus"),
    ("setnx", "k", "1"), ("setnx", "k2", "1"), ("setex", "k", 10, "v"), ("setex", "k", 0, "v"), ("setex", "k", "a", "v"),
    ("psetex", "k", 10000, "v"), ("psetex", "k", -5, "v"), ("pttl", "k"), ("getset", "k", "new"), ("ttl", "k"),
    ("getset", "absent", "1"), ("getdel", "absent"), ("getdel", "absent"), ("getex", "k"), ("getex", "k", "ex", 50),
    ("ttl", "k"), ("getex", "k", "persist"), ("ttl", "k"), ("getex", "k", "ex", 0), ("getex", "nokey", "ex", 0),
    ("getex", "k", "nx"), ("getex", "k", "pxat", 1), ("get", "k"), ("getex", "k", "ex", 10, "persist"),
    ("mset", "a", 1, "b", 2), ("mget", "a", "b", "c", "a"), ("mset", "a"), ("mset", "a", 1, "b"), ("msetnx", "a", 1, "z", 2),
    ("msetnx", "y", 1, "z", 2), ("msetnx", "y", 1, "z"), ("mget", "y", "z"), ("mset", "a", 1, "a", 2), ("get", "a"),
    ("append", "ap", "1"), ("object", "encoding", "ap"), ("append", "ap", "2"), ("object", "encoding", "ap"), ("get", "ap"),
    ("incr", "ap"), ("object", "encoding", "ap"), ("append", "ap", ""), ("strlen", "ap"), ("strlen", "missing"),
    ("set", "r", "Hello World"), ("getrange", "r", 0, 4), ("getrange", "r", -5, -1), ("getrange", "r", 5, 2),
    ("getrange", "r", -1, -5), ("getrange", "r", 0, 1000), ("getrange", "r", -1000, 2), ("substr", "r", 2, 3),
    ("getrange", "r", "a", 1), ("getrange", "r", 0, BIG), ("getrange", "missing", 0, 1), ("getrange", "r", 100, 200),
    ("setrange", "r", 6, "Redis"), ("get", "r"), ("setrange", "r", 20, "!"), ("get", "r"), ("setrange", "r", -1, "x"),
    ("setrange", "r", 0, ""), ("setrange", "empty", 5, ""), ("exists", "empty"), ("setrange", "fresh", 3, "x"),
    ("get", "fresh"), ("object", "encoding", "fresh"), ("setrange", "r", 536870911, "xx"), ("setrange", "r", "q", "xx"),
    ("setrange", "r", BIG, "x"), ("setrange", "r", 536870912, ""),
    ("set", "i", 10), ("incr", "i"), ("decr", "i"), ("incrby", "i", 5), ("decrby", "i", 3), ("incrby", "i", "x"),
    ("incrby", "i", BIG), ("decrby", "i", -BIG - 1), ("set", "i", -BIG - 1), ("decr", "i"), ("incr", "i"),
    ("set", "i", " 1"), ("incr", "i"), ("set", "i", "01"), ("incr", "i"), ("set", "i", ""), ("incr", "i"),
    ("set", "i", "+1"), ("incr", "i"), ("set", "i", "-0"), ("incr", "i"), ("incr", "fresh-counter"), ("incr", "i", "x"),
    ("set", "f", "10.50"), ("incrbyfloat", "f", "0.1"), ("incrbyfloat", "f", "-5e3"), ("incrbyfloat", "f", "abc"),
    ("incrbyfloat", "f", " 1"), ("incrbyfloat", "f", "1 "), ("incrbyfloat", "f", "inf"), ("incrbyfloat", "f", "nan"),
    ("incrbyfloat", "f", "1e400"), ("incrbyfloat", "f", "0x10"), ("incrbyfloat", "nf", "3"), ("object", "encoding", "nf"),
    ("incrbyfloat", "nf", "-3"), ("incrbyfloat", "nf", ""), ("incrbyfloat", "nf", "1e-20"), ("incrbyfloat", "nf", "1e300"),
    ("set", "f", "x"), ("incrbyfloat", "f", 1), ("incrbyfloat", "nz", "-0.0"),
    # bits
    ("setbit", "bits", 7, 1), ("setbit", "bits", 7, 0), ("getbit", "bits", 7), ("setbit", "bits", 100, 1), ("strlen", "bits"),
    ("getbit", "bits", 100), ("getbit", "bits", 101), ("getbit", "bits", 10000), ("setbit", "bits", -1, 1),
    ("setbit", "bits", 4294967296, 1), ("setbit", "bits", 1, 2), ("getbit", "bits", "x"), ("set", "bc", "foobar"),
    ("bitcount", "bc"), ("bitcount", "bc", 0, 0), ("bitcount", "bc", 1, 1), ("bitcount", "bc", 1), ("bitcount", "bc", -2, -1),
    ("bitcount", "bc", 5, 30, "BIT"), ("bitcount", "bc", 1, 1, "byte"), ("bitcount", "bc", 1, 1, "x"),
    ("bitcount", "bc", 0, -1, "bit"), ("bitcount", "missing"), ("bitcount", "bc", -1, -2), ("bitcount", "bc", 10, 20),
    # keys
    ("del", "a", "b", "nothing", "a"), ("unlink", "y", "z"), ("exists", "k2", "k2", "none"), ("touch", "k2", "none"),
    ("type", "k2"), ("type", "none"), ("expire", "k2", 100), ("ttl", "k2"), ("expire", "none", 100), ("ttl", "none"),
    ("expire", "k2", "x"), ("expire", "k2", BIG), ("expire", "k2", -BIG - 1), ("pexpire", "k2", BIG),
    ("expire", "k2", 200, "nx"), ("expire", "k2", 200, "gt"), ("expire", "k2", 300, "lt"), ("ttl", "k2"),
    ("expire", "k2", 100, "lt"), ("expire", "k2", 500, "xx", "gt"), ("expire", "k2", 1, "nx", "xx"),
    ("expire", "k2", 1, "gt", "lt"), ("expire", "k2", 1, "bogus"), ("persist", "k2"), ("persist", "k2"), ("persist", "none"),
    ("expire", "k2", 500, "gt"), ("expire", "k2", 500, "xx"), ("expire", "k2", 500, "lt"), ("ttl", "k2"),
    ("expireat", "k2", FAR), ("expiretime", "k2"), ("pexpireat", "k2", FAR * 1000 + 499), ("expiretime", "k2"),
    ("pexpireat", "k2", FAR * 1000 + 500), ("expiretime", "k2"), ("pexpiretime", "k2"), ("expireat", "k2", 1), ("exists", "k2"),
    ("set", "e", 1), ("pexpire", "e", 0), ("exists", "e"), ("set", "e", 1), ("expire", "e", -1), ("exists", "e"),
    ("set", "src", "v"), ("expire", "src", 100), ("rename", "src", "dst"), ("ttl", "dst"), ("exists", "src"),
    ("rename", "nosuch", "x"), ("rename", "dst", "dst"), ("renamenx", "dst", "dst"), ("set", "src", 1), ("renamenx", "src", "dst"),
    ("renamenx", "src", "free"), ("rename", "free", "dst"), ("ttl", "dst"), ("copy", "dst", "dst"), ("copy", "dst", "c1"),
    ("copy", "dst", "c1"), ("copy", "dst", "c1", "replace"), ("copy", "dst", "c1", "db", 3), ("copy", "dst", "dst", "db", 3),
    ("copy", "dst", "c1", "db", 16), ("copy", "dst", "c1", "db", "x"), ("copy", "dst", "c1", "db", 99999999999),
    ("copy", "none", "c2"), ("copy", "dst", "c1", "bogus"), ("select", 3), ("get", "c1"), ("dbsize"), ("flushdb"), ("select", 0),
    ("object", "encoding", "none"), ("set", "o", "x" * 44), ("object", "encoding", "o"), ("set", "o", "x" * 45),
    ("object", "encoding", "o"), ("set", "o", 12345), ("object", "encoding", "o"), ("object", "refcount", "o"),
    ("set", "o", 9999), ("object", "refcount", "o"), ("object", "refcount", "none"), 
    ("object", "freq", "o"), ("set", "o", 10000), ("object", "idletime", "o"), ("object", "freq", "none"), ("set", "o", "1" * 21), ("object", "encoding", "o"), ("object",),
    ("object", "encoding"), ("object", "bogus", "o"), ("object", "encoding", "o", "x"), ("memory", "usage", "absent"),
    ("memory", "usage", "o", "samples"), ("memory", "usage", "o", "samples", "x"), ("memory",),
    ("scan", "x"), ("scan", "0", "count", 0), ("scan", "0", "count", "x"), ("scan", "0", "bogus"), ("scan", " 0"),
    ("scan", "0", "match"), ("scan",), ("keys",), ("flushdb", "x"), ("flushall", "sync", "x"), ("flushall", "async"),
    ("randomkey"), ("dbsize"), ("scan", "0"), ("set", "only", 1), ("randomkey"), ("keys", "*"), ("keys", "x*"),
    ("scan", "0", "match", "o*", "count", 1000), ("scan", 0, "type", "string"), ("scan", 0, "type", "hash"), ("flushdb", "sync"),
    # connection
    ("ping"), ("ping", "hello"), ("ping", "a", "b"), ("echo", "x"), ("echo"), ("select", 16), ("select", -1), ("select", "x"),
    ("select", 99999999999), ("auth",), ("auth", "x"), ("auth", "default", "x"), ("auth", "nobody", "x"), ("auth", "a", "b", "c"),
    ("client", "setname", "me"), ("client", "getname"), ("client", "setname", "a b"), ("client", "setname", ""),
    ("client", "getname"), ("client", "kill", "1.2.3.4:5"), ("client", "kill", "id", "0"), ("client", "kill", "id", 99999999),
    ("client", "kill", "bogus", "x"), ("client", "kill", "user", "nobody"), ("client", "kill", "type", "bogus"),
    ("client", "kill", "id", 99999999, "addr"), ("client", "kill", "id", 1, "skipme", "x"), ("client", "no-evict", "x"),
    ("client", "no-evict", "on"), ("client", "no-evict", "off"), ("client", "bogus"), ("client",), ("client", "id", "x"),
    ("client", "list", "type", "bogus"), ("client", "list", "id", "x"), ("client", "list", "bogus"),
    ("client", "list", "type", "pubsub"), ("hello", 4), ("hello", "x"), ("hello", 2, "bogus"), ("hello", 2, "auth", "default"),
    ("hello", 2, "setname"), ("config", "set", "bogus", 1), ("config", "set", "maxmemory"), ("config", "set", "maxmemory", "x"),
    ("config", "set", "databases", "8"), ("config", "get"), ("config", "get", "databases"), ("config", "bogus"),
    ("config", "get", "MAXMEMORY"), ("config", "get", "appendonl?"), ("config", "resetstat"), ("config", "resetstat", "x"),
    ("command", "count", "x"), ("reset"), ("reset", "x"),
    # what is not a command
    ("bogus"), ("bogus", "a", "b"), ("bogus", "x" * 200, "y"), ("bogus", *["arg%d" % i for i in range(50)]), ("x" * 200, "y"),
    (b"a\r\nb", b"c\r\nd"), (b"a\0b", b"c\0d"), ("", "a"), ("GET" + "X" * 20,),
]  # fmt: skip


def as_command(entry: Command | str) -> Command:
    """`("ping")` in the script above is just a string."""
    return (entry,) if isinstance(entry, str) else entry


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
        compare(ours, theirs, [as_command(entry) for entry in SCRIPT])


PROTOCOL = [
    b"*1\r\n$-1\r\n", b"*abc\r\n", b"*1\r\nfoo\r\n", b"*1\r\n$999999999999\r\n", b"*2147483648\r\n", b"*1\r\n:1\r\n",
    b"*1\r\n$01\r\nx\r\n", b'set "a b\r\n', b"set 'a'b\r\n", b"x" * 70000, b"*1\r\n$" + b"1" * 70000,
]  # fmt: skip


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
    b"PING\r\n", b"ping\n", b"set a b\r\n", b'get "a"\r\n', b'set "\\x41" \'b c\'\r\n', b"get A\r\n", b"\r\n", b"*0\r\n",
    b"*-1\r\n", b"   \r\n", b"ECHO '\\'x'\r\n", b"*1\r\n$4\r\nPINGxx", b"*2\r\n$3\r\nget\r\n$1\r\nA..", b"mget a A b c d e f\r\n",
]  # fmt: skip


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
# Long enough that nothing expires in between, or over at once.
SECONDS = st.sampled_from([0, -1, 1000, 2000, 3000, BIG, "x"])
CONDITIONS = st.lists(st.sampled_from(["nx", "xx", "gt", "lt", "NX", "bogus"]), max_size=2)
SET_OPTIONS = st.lists(
    st.one_of(
        st.sampled_from([("nx",), ("xx",), ("get",), ("keepttl",), ("bogus",), ("ex",)]),
        st.tuples(st.sampled_from(["ex", "EX"]), SECONDS),
        st.tuples(st.just("px"), st.sampled_from([0, -1, 1000000, BIG])),
        st.tuples(st.just("exat"), st.sampled_from([0, FAR, BIG])),
        st.tuples(st.just("pxat"), st.sampled_from([0, FAR * 1000, BIG])),
    ),
    max_size=3,
).map(lambda options: [word for option in options for word in option])


def command(name: str, *parts: st.SearchStrategy[object]) -> st.SearchStrategy[tuple[object, ...]]:
    return st.tuples(st.just(name), *parts)


def spread(name: str, first: st.SearchStrategy[object], rest: st.SearchStrategy[list[object]]):  # type: ignore[no-untyped-def]
    return st.tuples(first, rest).map(lambda pair: (name, pair[0], *pair[1]))


PLAIN = st.one_of(
    *[command(name, KEYS) for name in (
        "get", "getdel", "strlen", "incr", "decr", "type", "ttl", "pttl", "expiretime", "pexpiretime", "persist", "bitcount")],
    *[command(name, KEYS, VALUES) for name in ("setnx", "getset", "append", "incrbyfloat")],
    *[command(name, KEYS, NUMBERS) for name in ("incrby", "decrby", "getbit")],
    *[command(name, KEYS, KEYS) for name in ("rename", "renamenx", "copy", "del", "exists", "touch", "mget")],
    command("getrange", KEYS, NUMBERS, NUMBERS),
    command("setrange", KEYS, st.one_of(st.integers(-1, 50), st.just("x"), st.just(BIG)), VALUES),
    command("setbit", KEYS, st.integers(-1, 300), st.sampled_from([0, 1, 1, 2])),
    command("bitcount", KEYS, st.integers(-9, 9), st.integers(-9, 9), st.sampled_from(["bit", "byte", "x"])),
    command("setex", KEYS, SECONDS, VALUES), command("psetex", KEYS, st.sampled_from([0, 1000000, BIG]), VALUES),
    command("mset", KEYS, VALUES, KEYS, VALUES), command("msetnx", KEYS, VALUES, KEYS, VALUES),
    command("copy", KEYS, KEYS, st.just("replace")), command("copy", KEYS, KEYS, st.just("db"), st.sampled_from([0, 1])),
    command("object", st.just("encoding"), KEYS), command("select", st.sampled_from([0, 0, 1])),
    command("unlink", KEYS), command("flushdb"),
    spread("set", st.tuples(KEYS, VALUES), SET_OPTIONS).map(lambda c: (c[0], *c[1], *c[2:])),
    *[spread(name, st.tuples(KEYS, SECONDS), CONDITIONS).map(lambda c: (c[0], *c[1], *c[2:]))
      for name in ("expire", "pexpire", "expireat")],
    spread("getex", KEYS, st.sampled_from([[], ["persist"], ["ex", 1000], ["ex", 0], ["exat", 1], ["nx"], ["pxat", FAR * 1000]])),
)  # fmt: skip


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(commands=st.lists(PLAIN, min_size=10, max_size=60), version=st.sampled_from([2, 3]))
def test_generated_sequences(node: Server, reference: Server, commands: list[Command], version: int) -> None:
    with fresh(node, version) as ours, fresh(reference, version) as theirs:
        compare(ours, theirs, commands)
        for number in (0, 1):
            compare(ours, theirs, [("select", number)])
            keys = []
            for connection in (ours, theirs):
                lines = connection("keys", "*").split(b"\r\n")
                # Expired at once by SET … EXAT in the past: gone from KEYS, and from DBSIZE when touched.
                keys.append(sorted(lines))
            assert keys[0] == keys[1]


PATTERNS = st.text(st.sampled_from("abc*?[]^-\\"), max_size=8)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(names=st.lists(st.text(st.sampled_from("abc*[]^-\\"), max_size=6), max_size=12), patterns=st.lists(PATTERNS, min_size=10, max_size=40))
def test_glob(node: Server, reference: Server, names: list[str], patterns: list[str]) -> None:
    with fresh(node, 2) as ours, fresh(reference, 2) as theirs:
        for name in names:
            compare(ours, theirs, [("set", name, "1")])
        for pattern in patterns:
            found = [sorted(connection("keys", pattern).split(b"\r\n")) for connection in (ours, theirs)]
            assert found[0] == found[1], pattern
