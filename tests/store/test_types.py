"""Collections against redis-server: sequences of commands, right and wrong, must get the same replies.

Replies are compared byte for byte, those of unordered collections after sorting. Commands that answer something random
are in test_random.py.
"""

import re
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.store.conftest import Server
from tests.store.raw import Argument, Parsed, parse, pipeline
from tests.store.test_differential import BIG, Command, command, flatten, fresh, with_options

# A failure is shown with its commands, and some of them are long.
pytestmark = pytest.mark.filterwarnings("ignore::hypothesis.errors.HypothesisWarning")

Parts = st.SearchStrategy[Any]

SORTED = {"smembers", "spop", "sinter", "sunion", "sdiff", "hkeys", "hvals", "keys"}
PAIRED = {"hgetall", "hscan", "zscan"}

KEYS = st.sampled_from(["h", "l", "s", "z", "t", "x", "y"])
NAMES = st.one_of(
    st.sampled_from(["a", "b", "c", "dd", "ee", "f" * 64, "g" * 65, "", "1", "2", "-3", "007", "70000", str(BIG)]),
    st.integers(-40, 40).map(str),
)
VALUES = st.one_of(
    NAMES, st.sampled_from(["1.5", "-2e3", "x" * 64, "y" * 65, "z" * 9000, "inf", "nan", " 1", str(-BIG - 1)])
)
NUMBERS = st.one_of(st.integers(-6, 12), st.sampled_from([BIG, -BIG - 1, 100000, "x", "", "1.0"]))
FLOATS = st.one_of(
    st.integers(-9, 9).map(str),
    st.sampled_from(["1.5", "3.1", "-0.1", "1e17", "1e-7", "inf", "-inf", "nan", "x", "", "1e400", "0x10", " 1", "-0"]),
    st.floats(allow_nan=False).map(repr),
)
COUNTS = st.sampled_from([0, 1, 2, 5, 200, -1, "x"])
ENDS = st.sampled_from(["left", "right", "LEFT", "RIGHT", "up"])


class Long(tuple[Argument, ...]):
    """A command with too many arguments to be shown."""

    def __repr__(self) -> str:
        return f"<{' '.join(str(word)[:20] for word in self[:4])} … of {len(self)} words>"


def many(name: str, key: str, *shape: str, count: int, start: int = 0) -> Command:
    """One command with `count` groups of arguments, '{}' in each being numbered."""
    return Long((name, key, *[part.format(n) for n in range(start, start + count) for part in shape]))


BULK = [
    *[many("hset", "h", "f{}", "v{}", count=n, start=s) for n in (60, 500) for s in (0, 100)],
    *[many("sadd", "s", "{}", count=n, start=s) for n in (100, 500) for s in (-50, 30000)],
    *[many("sadd", "t", "m{}", count=n) for n in (60, 140)],
    *[many("rpush", "l", "item:{}", count=n) for n in (50, 900)],
    *[many("zadd", "z", "{}", "m{}", count=n, start=s) for n in (60, 130) for s in (0, 100)],
    Long(("zadd", "z", *[part for n in range(300) for part in (n * 7919 % 50, f"n{n * 31 % 200}")])),
    Long(("rpush", "l", *["y" * 3000] * 6)),
    Long(("lpush", "l", "z" * 70000)),
]

HASH = st.one_of(
    with_options("hset", st.lists(st.tuples(NAMES, VALUES), max_size=4).map(flatten), KEYS),
    with_options("hset", st.lists(NAMES, max_size=4), KEYS),
    with_options("hmset", st.lists(st.tuples(NAMES, VALUES), max_size=3).map(flatten), KEYS),
    command("hsetnx", KEYS, NAMES, VALUES),
    *[command(name, KEYS, NAMES) for name in ("hget", "hexists", "hstrlen")],
    with_options("hmget", st.lists(NAMES, max_size=4), KEYS),
    with_options("hdel", st.lists(NAMES, max_size=4), KEYS),
    *[command(name, KEYS) for name in ("hlen", "hkeys", "hvals", "hgetall")],
    command("hincrby", KEYS, NAMES, NUMBERS),
    command("hincrbyfloat", KEYS, NAMES, FLOATS),
    command("hdel", st.just("h"), *[st.integers(0, 240).map(lambda n: f"f{n}")] * 30),
    command("hrandfield", KEYS, st.sampled_from([0, "x", BIG, -BIG - 1]), st.sampled_from(["withvalues", "bogus"])),
    command("hrandfield", KEYS, st.sampled_from([0, "x", -BIG - 1])),
)

LIST = st.one_of(
    *[
        with_options(name, st.lists(VALUES, max_size=4), KEYS)
        for name in ("lpush", "rpush", "lpush", "rpush", "lpushx", "rpushx")
    ],
    *[command(name, KEYS) for name in ("lpop", "rpop", "llen")],
    *[command(name, KEYS, COUNTS) for name in ("lpop", "rpop")],
    command("lpop", KEYS, COUNTS, COUNTS),
    command("lindex", KEYS, NUMBERS),
    command("lset", KEYS, NUMBERS, VALUES),
    command("linsert", KEYS, st.sampled_from(["before", "AFTER", "x"]), VALUES, VALUES),
    command(
        "linsert", st.just("l"), st.sampled_from(["before", "AFTER"]), st.integers(0, 900).map("item:{}".format), VALUES
    ),
    command("lrange", KEYS, NUMBERS, NUMBERS),
    command("lrange", KEYS, st.just(0), st.just(-1)),
    command("ltrim", KEYS, NUMBERS, NUMBERS),
    command("ltrim", st.just("l"), st.integers(0, 300), st.integers(-300, -1)),
    command("lrem", KEYS, NUMBERS, VALUES),
    command("lrem", st.just("l"), st.integers(-2, 2), st.integers(0, 900).map("item:{}".format)),
    with_options(
        "lpos",
        st.lists(st.tuples(st.sampled_from(["rank", "COUNT", "maxlen", "x"]), NUMBERS), max_size=3).map(flatten),
        KEYS,
        VALUES,
    ),
    command("lmove", KEYS, KEYS, ENDS, ENDS),
    command("rpoplpush", KEYS, KEYS),
    command("lmpop", st.sampled_from([1, 2, 0, 3, "x", 100]), KEYS, KEYS, ENDS),
    command("lmpop", st.sampled_from([1, 2]), KEYS, KEYS, ENDS, st.sampled_from(["count", "x"]), COUNTS),
)

SET = st.one_of(
    *[with_options(name, st.lists(NAMES, max_size=5), KEYS) for name in ("sadd", "sadd", "srem", "smismember")],
    *[command(name, KEYS) for name in ("scard", "smembers")],
    command("sismember", KEYS, NAMES),
    command("smove", KEYS, KEYS, NAMES),
    *[with_options(name, st.lists(KEYS, max_size=3), KEYS) for name in ("sinter", "sunion", "sdiff")],
    *[with_options(name, st.lists(KEYS, max_size=3), KEYS) for name in ("sinterstore", "sunionstore", "sdiffstore")],
    command("sintercard", st.sampled_from([1, 2, 0, 3, "x"]), KEYS, KEYS),
    command("sintercard", st.sampled_from([1, 2]), KEYS, KEYS, st.sampled_from(["limit", "x"]), NUMBERS),
    command("srem", st.just("s"), *[st.integers(-50, 500)] * 20),
    command("spop", KEYS, st.sampled_from([0, 1000, -1, "x"])),
    command("srandmember", KEYS, st.sampled_from([0, "x", -BIG - 1])),
    command("srandmember", KEYS, st.just(1), st.just(1)),
)

SCORES = st.one_of(FLOATS, FLOATS, FLOATS.map(lambda text: "(" + text))
LEX = st.sampled_from(["-", "+", "[a", "(a", "[dd", "(m5", "[m", "(", "[", "a", "", "(ee", "--"])
ADD_WORDS = st.lists(st.sampled_from(["nx", "XX", "gt", "lt", "ch", "incr"]), max_size=2)
RANGE_WORDS = st.lists(
    st.one_of(
        st.sampled_from([("withscores",), ("rev",), ("byscore",), ("bylex",), ("x",), ("limit", 1)]),
        st.tuples(st.just("limit"), st.sampled_from([0, 1, 3, -1, "x"]), st.sampled_from([0, 2, -1, 100, "x"])),
    ),
    max_size=3,
).map(flatten)
ALGEBRA_WORDS = st.lists(
    st.one_of(
        st.sampled_from([("withscores",), ("aggregate", "min"), ("aggregate", "MAX"), ("aggregate", "sum"), ("x",)]),
        st.tuples(st.just("weights"), FLOATS, FLOATS),
        st.tuples(st.just("limit"), COUNTS),
    ),
    max_size=2,
).map(flatten)
RANGES = ("zrange", "zrevrange", "zrangebyscore", "zrevrangebyscore")
# Names are ordered only among equal scores, so ranges by name get a key of their own: this one, all of score 0.
SAME = st.just("same")

ZSET = st.one_of(
    *[with_options("zadd", st.lists(st.tuples(FLOATS, NAMES), max_size=4).map(flatten), KEYS)] * 2,
    st.tuples(ADD_WORDS, st.lists(st.tuples(FLOATS, NAMES), min_size=1, max_size=2).map(flatten), KEYS).map(
        lambda parts: ("zadd", parts[2], *parts[0], *parts[1])
    ),
    with_options("zadd", st.lists(st.tuples(st.just(0), NAMES), max_size=4).map(flatten), SAME),
    command("zincrby", KEYS, FLOATS, NAMES),
    *[with_options(name, st.lists(NAMES, max_size=4), KEYS) for name in ("zrem", "zmscore")],
    *[command(name, KEYS, NAMES) for name in ("zscore", "zrank", "zrevrank")],
    *[command(name, st.just("z"), st.integers(0, 240).map("m{}".format)) for name in ("zrem", "zrank", "zrevrank")],
    command("zcard", KEYS),
    *[command(name, KEYS) for name in ("zpopmin", "zpopmax")],
    *[command(name, KEYS, COUNTS) for name in ("zpopmin", "zpopmax")],
    command("zmpop", st.sampled_from([1, 2, 0, 3, "x"]), KEYS, KEYS, st.sampled_from(["min", "MAX", "x"])),
    command("zmpop", st.just(2), KEYS, KEYS, st.sampled_from(["min", "MAX"]), st.just("count"), COUNTS),
    *[with_options(name, RANGE_WORDS, KEYS, NUMBERS, NUMBERS) for name in RANGES],
    *[with_options(name, RANGE_WORDS, KEYS, SCORES, SCORES) for name in RANGES],
    *[with_options("zrange", RANGE_WORDS, KEYS, SCORES, SCORES, st.just("byscore"))] * 2,
    with_options("zrange", RANGE_WORDS, SAME, LEX, LEX, st.just("bylex")),
    *[with_options(name, RANGE_WORDS, SAME, LEX, LEX) for name in ("zrangebylex", "zrevrangebylex")],
    with_options("zrangestore", RANGE_WORDS, KEYS, KEYS, NUMBERS, NUMBERS),
    with_options("zrangestore", RANGE_WORDS, KEYS, KEYS, SCORES, SCORES, st.just("byscore")),
    command("zcount", KEYS, SCORES, SCORES),
    *[command(name, SAME, LEX, LEX) for name in ("zlexcount", "zremrangebylex")],
    command("zremrangebyscore", KEYS, SCORES, SCORES),
    command("zremrangebyrank", KEYS, NUMBERS, NUMBERS),
    command("zremrangebyrank", st.just("z"), st.integers(0, 100), st.integers(100, 140)),
    *[
        with_options(name, ALGEBRA_WORDS, st.just(2), KEYS, KEYS)
        for name in ("zunion", "zinter", "zdiff", "zintercard")
    ],
    *[
        command(name, st.sampled_from([0, 1, 3, "x"]), KEYS, KEYS)
        for name in ("zunion", "zinter", "zdiff", "zintercard")
    ],
    *[
        with_options(name, ALGEBRA_WORDS, KEYS, st.just(2), KEYS, KEYS)
        for name in ("zunionstore", "zinterstore", "zdiffstore")
    ],
    command("zrandmember", KEYS, st.sampled_from([0, "x", -BIG - 1, BIG]), st.sampled_from(["withscores", "x"])),
)

TEXTS = st.one_of(
    VALUES,
    st.sampled_from(["ohmytext", "mynewtext", "abcabcabc", "\xff\x0f", "\0\0", "\xff" * 9]),
    st.binary(max_size=20),
)
FIELD_TYPES = st.sampled_from(["u8", "i8", "u1", "i1", "u63", "i64", "u64", "i5", "x", "u", "i0", "i65"])
PLACES = st.one_of(st.integers(0, 70), st.integers(0, 9).map("#{}".format), st.sampled_from([-1, "#x", "x", 1 << 40]))
FIELD_NUMBERS = st.one_of(st.integers(-300, 300), st.sampled_from([BIG, -BIG - 1, BIG - 1, "x"]))
FIELD_WORDS = st.lists(
    st.one_of(
        st.tuples(st.just("get"), FIELD_TYPES, PLACES),
        *[st.tuples(st.sampled_from(["set", "incrby"]), FIELD_TYPES, PLACES, FIELD_NUMBERS)] * 3,
        st.tuples(st.just("overflow"), st.sampled_from(["wrap", "sat", "FAIL", "sat", "x"])),
        st.sampled_from([("x",), ("get", "u8"), ("overflow",)]),
    ),
    max_size=5,
).map(flatten)

BITS = st.one_of(
    *[command("set", KEYS, TEXTS)] * 3,
    *[with_options("bitpos", st.lists(NUMBERS, max_size=2), KEYS, st.sampled_from([0, 1, 0, 1, 2, "x"]))] * 2,
    command("bitpos", KEYS, st.sampled_from([0, 1]), NUMBERS, NUMBERS, st.sampled_from(["bit", "BYTE", "x"])),
    with_options("bitop", st.lists(KEYS, max_size=3), st.sampled_from(["and", "OR", "xor", "not", "x"]), KEYS),
    *[with_options("bitfield", FIELD_WORDS, KEYS)] * 4,
    with_options("bitfield_ro", FIELD_WORDS, KEYS),
    *[
        with_options(
            "lcs",
            st.lists(
                st.sampled_from(
                    [("len",), ("IDX",), ("minmatchlen", 2), ("minmatchlen", "x"), ("withmatchlen",), ("x",)]
                ),
                max_size=3,
            ).map(flatten),
            KEYS,
            KEYS,
        )
    ]
    * 2,
    command("setbit", KEYS, st.integers(-1, 100), st.sampled_from([0, 1])),
    command("bitcount", KEYS, NUMBERS, NUMBERS, st.sampled_from(["bit", "byte", "x"])),
)

# Keys that no other command appends to: what a broken one answers depends on where it is broken.
COUNTERS = st.sampled_from(["p", "q", "r"])

HLL = st.one_of(
    *[with_options("pfadd", st.lists(st.integers(0, 100000), max_size=8), COUNTERS)] * 3,
    st.tuples(COUNTERS, st.integers(0, 100), st.sampled_from([100, 1500, 4000])).map(
        lambda parts: Long(("pfadd", parts[0], *range(parts[1] * 10, parts[1] * 10 + parts[2])))
    ),
    *[with_options("pfcount", st.lists(st.one_of(COUNTERS, KEYS), max_size=3), COUNTERS)] * 2,
    with_options("pfmerge", st.lists(st.one_of(COUNTERS, COUNTERS, KEYS), max_size=3), COUNTERS),
    command("set", COUNTERS, st.sampled_from(["HYLL", "HYLL\0" + "\0" * 11, b"HYLL\1" + bytes(11) + b"\x7f\xff"])),
    command("del", COUNTERS),
    command("get", COUNTERS),
)

SORT_WORDS = st.lists(
    st.one_of(
        st.sampled_from([("asc",), ("DESC",), ("alpha",), ("alpha",), ("x",), ("by",)]),
        st.tuples(st.just("by"), st.sampled_from(["w_*", "nosort", "w_*->f", "wh_*->f", "*"])),
        st.tuples(st.just("get"), st.sampled_from(["#", "w_*", "wh_*->f", "wh_*->", "none", "*->f"])),
        st.tuples(st.just("limit"), st.integers(-2, 5), st.integers(-2, 5)),
        st.tuples(st.just("store"), KEYS),
    ),
    max_size=4,
).map(flatten)
# Weights differ, so that nothing depends on which of two equals comes first.
WEIGHED = [Long(("mset", *[part for n in range(-9, 13) for part in (f"w_{n}", n * 7 % 23)]))]


def has_an_order(sent: Command) -> bool:
    """Elements of the same weight come in any order if the weights are compared as text: see test_sort_by_nothing."""
    return not ("alpha" in sent and "by" in sent)


SORT = st.one_of(
    *[with_options("sort", SORT_WORDS, KEYS).filter(has_an_order)] * 4,
    with_options("sort_ro", SORT_WORDS, KEYS).filter(has_an_order),
    with_options("rpush", st.lists(st.integers(-9, 12), min_size=1, max_size=5), st.just("l")),
    with_options("sadd", st.lists(st.integers(-9, 12), min_size=1, max_size=5), st.just("s")),
    with_options("sadd", st.lists(NAMES, min_size=1, max_size=5), st.just("t")),
    with_options("zadd", st.lists(st.tuples(FLOATS, NAMES), min_size=1, max_size=2).map(flatten), st.just("z")),
    st.sampled_from(WEIGHED),
    command("hset", st.integers(-9, 12).map("wh_{}".format), st.just("f"), st.integers(0, 1000000)),
)

DEGREES = st.one_of(
    st.floats(-180, 180),
    st.floats(-85, 85),
    st.floats(13, 16),
    st.sampled_from([0, 180, -180, 85.05112878, 90, "x", "nan"]),
)
UNITS = st.sampled_from(["m", "KM", "ft", "mi", "km", "x"])
RADII = st.one_of(st.floats(0, 500), st.floats(0, 20_000_000), st.sampled_from([0, -1, "x", 1e9]))
GEO_WORDS = st.lists(
    st.one_of(
        st.sampled_from([("withdist",), ("withhash",), ("WITHCOORD",), ("asc",), ("desc",), ("x",), ("any",)]),
        st.tuples(st.just("count"), st.sampled_from([1, 3, 100, 0, "x"])),
        st.tuples(st.just("count"), st.sampled_from([1, 3]), st.just("any")),
        st.tuples(st.sampled_from(["store", "storedist"]), KEYS),
        st.just(("storedist",)),
    ),
    max_size=3,
).map(flatten)
GEO_FROM = st.one_of(st.tuples(st.just("frommember"), NAMES), st.tuples(st.just("FROMLONLAT"), DEGREES, DEGREES))
GEO_BY = st.one_of(
    st.tuples(st.just("byradius"), RADII, UNITS), st.tuples(st.just("bybox"), RADII, RADII, UNITS), st.just(("asc",))
)
GEO_SEARCH = st.tuples(GEO_FROM, GEO_BY, GEO_WORDS).map(flatten)

GEO = st.one_of(
    *[with_options("geoadd", st.lists(st.tuples(DEGREES, DEGREES, NAMES), min_size=1, max_size=6).map(flatten), KEYS)]
    * 4,
    with_options(
        "geoadd",
        st.tuples(DEGREES, DEGREES, NAMES),
        KEYS,
        st.sampled_from(["nx", "XX", "ch"]),
        st.sampled_from(["nx", "ch"]),
    ),
    command("geoadd", KEYS, DEGREES, DEGREES),
    *[with_options(name, st.lists(NAMES, max_size=3), KEYS) for name in ("geohash", "geopos")],
    with_options("geodist", st.lists(UNITS, max_size=2), KEYS, NAMES, NAMES),
    *[with_options("geosearch", GEO_SEARCH, KEYS)] * 4,
    *[with_options("geosearchstore", GEO_SEARCH, KEYS, KEYS)] * 2,
    *[with_options(name, GEO_WORDS, KEYS, DEGREES, DEGREES, RADII, UNITS) for name in ("georadius", "georadius_ro")],
    *[
        with_options(name, GEO_WORDS, KEYS, NAMES, RADII, UNITS)
        for name in ("georadiusbymember", "georadiusbymember_ro")
    ],
    command("zrange", KEYS, st.just(0), st.just(-1), st.just("withscores")),
)

OTHER = st.one_of(
    *[command(name, KEYS) for name in ("type", "get", "strlen", "incr", "persist", "del", "unlink", "exists", "ttl")],
    *[command(name, KEYS, KEYS) for name in ("rename", "renamenx", "copy", "mget")],
    command("copy", KEYS, KEYS, st.just("replace")),
    command("set", KEYS, VALUES),
    command("set", KEYS, VALUES, st.just("get")),
    *[command(name, KEYS, VALUES) for name in ("getset", "append", "setnx")],
    command("object", st.just("encoding"), KEYS),
    command("move", KEYS, st.sampled_from([0, 1, 1, 16, -1, "x"])),
    command("swapdb", st.sampled_from([0, 0, 1, 16, "x"]), st.sampled_from([0, 1, 1, "y"])),
    command("expire", KEYS, st.sampled_from([-1, 1000])),
    *[command(name, KEYS, st.sampled_from([0, "x"])) for name in ("hscan", "sscan", "zscan")],
    *[
        command(
            name, KEYS, st.just(0), st.sampled_from(["match", "count", "x"]), st.sampled_from(["*", "[a-c1]*", 0, 5])
        )
        for name in ("hscan", "sscan", "zscan")
    ],
    st.sampled_from(BULK),
)


def normal(sent: Command, reply: bytes) -> Parsed:
    """What is compared: the reply, without the order that does not matter."""
    name = str(sent[0]).lower()
    parsed = parse(reply)
    if not isinstance(parsed, list) or len(parsed) < 2:
        return parsed
    if name.startswith("sort") and "nosort" in sent:
        return [b"%d" % len(parsed)]  # a set has no order; lists and sorted sets: test_sort_by_nothing
    if name in SORTED:
        return [parsed[0], *sorted(parsed[1:], key=repr)]
    if name == "hgetall":
        return [parsed[0], *sorted(zip(parsed[1::2], parsed[2::2], strict=True), key=repr)]  # type: ignore[list-item]
    if name in ("hscan", "zscan", "sscan"):
        return [b"scan"]  # a large one comes in other portions: see test_scans_show_everything
    return parsed


def compare(ours: Server, theirs: Server, commands: list[Command], version: int) -> None:
    sorting = any(str(sent[0]).startswith("sort") for sent in commands)
    with fresh(ours, version) as one, fresh(theirs, version) as other:
        for sent, mine, its in zip(commands, pipeline(one, commands), pipeline(other, commands), strict=True):
            if not (sorting and sent[0] == "object"):
                assert normal(sent, mine) == normal(sent, its), f"{sent}: ours {mine!r}, redis-server's {its!r}"
        for number in (0, 1):
            state = []
            for connection in (one, other):
                connection("select", number)
                state.append(dump(connection, encodings=not sorting))
            assert state[0] == state[1]


READ_ALL: dict[bytes, Command] = {
    b"+string\r\n": ("get",),
    b"+hash\r\n": ("hgetall",),
    b"+list\r\n": ("lrange", 0, -1),
    b"+set\r\n": ("smembers",),
    b"+zset\r\n": ("zrange", 0, -1, "withscores"),
}


def dump(connection: Any, encodings: bool = True) -> list[Any]:
    """The whole database, sorted. `encodings`: not after a SORT, which makes redis-server lay out sorted sets anew."""
    keys = sorted(key.split(b"\r\n")[1] for key in parse(connection("keys", "*"))[1:])
    out: list[Any] = []
    for key in keys:
        kind = connection("type", key)
        name, *rest = READ_ALL[kind]
        read = (name, key, *rest)
        encoding = connection("object", "encoding", key) if encodings else b""
        out.append((key, kind, encoding, normal(read, connection(*read))))
    return out


# Nothing is shrunk: each try is a whole sequence over two sockets, and the message names the command that differs.
SETTINGS = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)


@pytest.mark.parametrize(
    "family",
    [HASH, LIST, SET, ZSET, BITS, HLL, SORT, GEO],
    ids=["hash", "list", "set", "zset", "bits", "hll", "sort", "geo"],
)
@pytest.mark.parametrize("version", [2, 3])
def test_sequences(node: Server, reference: Server, family: Parts, version: int) -> None:
    @SETTINGS
    @given(commands=st.lists(st.one_of(family, family, family, OTHER), min_size=30, max_size=90))
    def run(commands: list[Command]) -> None:
        compare(node, reference, commands, version)

    run()


def test_everything_mixed(node: Server, reference: Server) -> None:
    """Every command meets every type."""

    @SETTINGS
    @given(
        commands=st.lists(st.one_of(HASH, LIST, SET, ZSET, BITS, HLL, SORT, GEO, OTHER), min_size=40, max_size=120),
        version=st.sampled_from([2, 3]),
    )
    def run(commands: list[Command], version: int) -> None:
        compare(node, reference, commands, version)

    run()


CHANGES = re.compile(rb"rdb_changes_since_last_save:(\d+)")


@pytest.mark.parametrize(
    "family", [HASH, LIST, SET, ZSET, BITS, SORT, GEO], ids=["hash", "list", "set", "zset", "bits", "sort", "geo"]
)
def test_every_write_passes_the_hook(node: Server, reference: Server, family: Parts) -> None:
    """A command counts as a change exactly where redis-server counts one: what replicas, logs and WATCH go by."""

    @settings(SETTINGS, max_examples=25)
    @given(commands=st.lists(st.one_of(family, family, OTHER), min_size=30, max_size=60))
    def run(commands: list[Command]) -> None:
        sent = [("info", "persistence"), *[part for one in commands for part in (one, ("info", "persistence"))]]
        counts = []
        with fresh(node, 2) as ours, fresh(reference, 2) as theirs:
            for connection in (ours, theirs):
                counts.append(
                    [int(found[1]) for reply in pipeline(connection, sent) if (found := CHANGES.search(reply))]
                )
        for index, one in enumerate(commands):
            changed = [count[index + 1] > count[index] for count in counts]
            # To redis-server a database swapped with itself is a change. An LTRIM that removes nothing is one to WATCH
            # and not to replicas; here it is one.
            assert changed[0] == changed[1] or one[0] in ("swapdb", "ltrim"), (
                f"{one}: ours {changed[0]}, redis-server's {changed[1]}"
            )

    run()


@pytest.mark.parametrize("version", [2, 3])
def test_sort_by_nothing(node: Server, reference: Server, version: int) -> None:
    """The order of a list or a sorted set is kept, DESC reverses it; a set that is stored is sorted by name."""
    script: list[Command] = [
        ("rpush", "l", "c", "a", "b", "d", "a"),
        ("zadd", "z", 3, "a", 1, "b", 2, "c"),
        ("sadd", "s", "c", "a", "b", "10"),
        *[
            ("sort", key, "by", "nosort", *order, *limit)
            for key in ("l", "z")
            for order in ((), ("desc",), ("asc",))
            for limit in ((), ("limit", 1, 2), ("limit", -3, 2), ("limit", 9, 1))
        ],
        *[("sort", key, "by", "nosort", "get", "#", "desc", "store", "x" + key) for key in ("l", "z", "s")],
        *[("lrange", "x" + key, 0, -1) for key in ("l", "z", "s")],
        ("mset", "w_a", "x", "w_b", "10", "w_c", "9", "w_d", ""),
        *[
            ("sort", key, "by", "w_*", "alpha", *order)
            for key in ("z", "l")
            for order in ((), ("desc",), ("limit", 1, 2))
        ],
    ]
    with fresh(node, version) as ours, fresh(reference, version) as theirs:
        for sent in script:
            assert ours(*sent) == theirs(*sent), sent


def test_options_newer_than_the_reference(node: Server) -> None:
    """ZRANK … WITHSCORE is of Redis 7.2."""
    with fresh(node, 2) as connection:
        connection("zadd", "z", 1, "a", 2.5, "b")
        assert connection("zrank", "z", "b", "withscore") == b"*2\r\n:1\r\n$3\r\n2.5\r\n"
        assert connection("zrevrank", "z", "b", "WITHSCORE") == b"*2\r\n:0\r\n$3\r\n2.5\r\n"
        assert connection("zrank", "z", "x", "withscore") == b"*-1\r\n"
        assert connection("zrank", "none", "x", "withscore") == b"*-1\r\n"
        assert connection("zrank", "z", "x", "bogus") == b"-ERR syntax error\r\n"
        assert (
            connection("zrank", "z", "x", "withscore", "y") == b"-ERR wrong number of arguments for 'zrank' command\r\n"
        )
        connection("hello", 3)
        assert connection("zrank", "z", "b", "withscore") == b"*2\r\n:1\r\n,2.5\r\n"
        assert connection("zrank", "z", "x", "withscore") == b"_\r\n"
