"""Commands whose answers are random or come in any order: what must hold of them whatever comes, small values and large."""

import time
from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from tests.store.conftest import Server
from tests.store.raw import Connection, Parsed, info, parse, pipeline

SIZES = [7, 100, 2000]  # in the key's own block; still so, or a table of a set; a table


@pytest.fixture
def connection(node: Server) -> Iterator[Connection]:
    with node.connect() as connection:
        connection("flushall")
        yield connection


def texts(reply: bytes) -> list[bytes]:
    """The strings of an array or set."""
    parsed = parse(reply)
    assert isinstance(parsed, list)
    return [text(item) for item in parsed[1:]]


def text(item: Parsed) -> bytes:
    assert isinstance(item, bytes)
    return item.split(b"\r\n", 1)[1][:-2]


def fill(connection: Connection, size: int) -> set[bytes]:
    names = [b"member:%d" % number for number in range(size)]
    connection("sadd", "s", *names)
    connection("hset", "h", *[part for name in names for part in (name, b"value of " + name)])
    connection("zadd", "z", *[part for number, name in enumerate(names) for part in (str(number), name)])
    return set(names)


@pytest.mark.parametrize("size", SIZES)
def test_counts(connection: Connection, size: int) -> None:
    names = fill(connection, size)
    for command in (("srandmember", "s"), ("hrandfield", "h"), ("zrandmember", "z")):
        for count in (1, 3, size // 2, size - 1):
            found = texts(connection(*command, count))
            assert len(found) == len(set(found)) == count and set(found) <= names
        assert set(texts(connection(*command, size + 5))) == names
        found = texts(connection(*command, -3 * size))
        assert len(found) == 3 * size and set(found) <= names
        assert text(connection(*command)) in names


@pytest.mark.parametrize("size", SIZES)
def test_every_element_has_its_chance(connection: Connection, size: int) -> None:
    names = fill(connection, size)
    for command in (("srandmember", "s"), ("hrandfield", "h"), ("zrandmember", "z")):
        seen = Counter(texts(connection(*command, -30 * size)))
        assert set(seen) == names
        assert max(seen.values()) < 90, "one element comes three times as often as it should"
        # A subset of half the size, drawn again and again: everybody is in some and in none of some others.
        seen = Counter(name for reply in pipeline(connection, [(*command, size // 2)] * 40) for name in texts(reply))
        assert len(seen) >= size - 1 and max(seen.values()) < 40


@pytest.mark.parametrize("size", SIZES)
def test_values_come_with_their_names(connection: Connection, size: int) -> None:
    fill(connection, size)
    for count in (5, -5):
        flat = texts(connection("hrandfield", "h", count, "withvalues"))
        assert len(flat) == 10 and flat[1::2] == [b"value of " + name for name in flat[::2]]
        flat = texts(connection("zrandmember", "z", count, "withscores"))
        assert len(flat) == 10 and flat[1::2] == [name.removeprefix(b"member:") for name in flat[::2]]
    connection("hello", 3)
    for count in (5, -5):
        pairs = parse(connection("hrandfield", "h", count, "withvalues"))
        assert len(pairs) == 6 and all(text(pair[2]) == b"value of " + text(pair[1]) for pair in pairs[1:])  # type: ignore[arg-type]


@pytest.mark.parametrize("size", SIZES)
def test_spop(connection: Connection, size: int) -> None:
    names = fill(connection, size)
    connection("sadd", "numbers", *range(size))
    gone = {text(connection("spop", "s")) for _ in range(5)}
    gone |= set(texts(connection("spop", "s", size - 7)))
    assert len(gone) == size - 2 and set(texts(connection("smembers", "s"))) == names - gone
    assert set(texts(connection("spop", "s", 10))) == names - gone
    assert connection("exists", "s") == b":0\r\n"
    assert connection("spop", "s") == b"$-1\r\n" and connection("spop", "s", 1) == b"*0\r\n"
    popped = [int(text(reply)) for reply in pipeline(connection, [("spop", "numbers")] * size)]
    assert sorted(popped) == list(range(size)) and (size < 100 or popped != sorted(popped))


@pytest.mark.parametrize("size", SIZES)
def test_scans_show_everything(connection: Connection, size: int) -> None:
    """All elements that stay are shown, while others come and go."""
    names = fill(connection, size)
    for scan, key, width in (("sscan", "s", 1), ("hscan", "h", 2), ("zscan", "z", 2)):
        cursor, seen, turn = b"0", set(), 0
        while True:
            reply = parse(connection(scan, key, cursor, "count", 30))
            assert isinstance(reply, list) and isinstance(reply[2], list)
            cursor = text(reply[1])
            seen |= {text(item) for item in reply[2][1::width]}
            if cursor == b"0":
                break
            turn += 1
            more = [b"guest:%d:%d" % (turn, number) for number in range(60)]
            connection("sadd", "s", *more)
            connection("hset", "h", *[part for name in more for part in (name, b"x")])
            connection("zadd", "z", *[part for name in more for part in ("1", name)])
            if turn % 3 == 0:
                connection("srem", "s", *more)
                connection("hdel", "h", *more)
                connection("zrem", "z", *more)
        assert names <= seen and (turn > 10) == (size == 2000)
        matched = parse(connection(scan, key, 0, "match", "*:1", "count", 1 << 40))
        assert {text(item) for item in matched[2][1::width]} >= {b"member:1"}  # type: ignore[index]


def test_scan_by_type(connection: Connection) -> None:
    fill(connection, 7)
    connection("set", "t", "x")
    connection("rpush", "l", "x")
    for kind, key in (("set", b"s"), ("hash", b"h"), ("zset", b"z"), ("string", b"t"), ("list", b"l")):
        reply = parse(connection("scan", 0, "type", kind.upper(), "count", 1000))
        assert [text(item) for item in reply[2][1:]] == [key]  # type: ignore[index]
    assert parse(connection("scan", 0, "type", "stream"))[2] == [b"*"]  # type: ignore[index]


def test_memory_of_values_returns_to_the_start(connection: Connection) -> None:
    """The accounting is exact for every layout, whichever way a value goes."""
    before = info(connection, "memory", "used_memory")
    for size in (5, 100, 3000):
        for remove in (("del",), ("unlink",), ("rename",), ("expire",), ("flushall",), ("flushall", "async"), ("over",)):
            fill(connection, size)
            connection("sadd", "numbers", *range(size))
            connection("rpush", "l", *["item" * (number % 9) for number in range(size)])
            for key in ("s", "h", "z", "numbers", "l"):
                connection("copy", key, key + "2")
            pipeline(connection, [("srem", "s", f"member:{n}") for n in range(0, size, 2)])
            pipeline(connection, [("hset", "h", f"member:{n}", "y" * (n % 50)) for n in range(0, size, 3)])
            pipeline(connection, [("hdel", "h", f"member:{n}") for n in range(0, size, 2)])
            pipeline(connection, [("zadd", "z", size - n, f"member:{n}") for n in range(0, size, 2)])
            pipeline(connection, [("zrem", "z", f"member:{n}") for n in range(1, size, 2)])
            connection("zremrangebyrank", "z", 0, size // 4)
            pipeline(connection, [("linsert", "l", "before", "itemitem", "z" * n) for n in range(min(size, 100))])
            connection("lrem", "l", 0, "itemitem")
            assert info(connection, "memory", "used_memory") > before
            for key in texts(connection("keys", "*")):
                usage = int(connection("memory", "usage", key)[1:])
                assert usage > 30
                if remove[0] in ("del", "unlink"):
                    connection(remove[0], key)
                elif remove[0] == "rename":
                    connection("rename", key, "one")
                elif remove[0] == "over":
                    connection("set", key, "x")
                elif remove[0] == "expire":
                    connection("pexpire", key, 1)
            connection(*(remove if remove[0] == "flushall" else ("flushall",)))
            wait_until(lambda: info(connection, "memory", "used_memory") == before)  # noqa: B023


def wait_until(holds: Callable[[], bool]) -> None:
    give_up = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < give_up
        time.sleep(0.005)


def test_unlink_of_a_large_value_frees_bit_by_bit(connection: Connection) -> None:
    for start in range(0, 300_000, 10_000):
        connection("zadd", "z", *[part for n in range(start, start + 10_000) for part in (n, f"member:{n}")])
        connection("rpush", "l", *[f"item:{n}" for n in range(start, start + 10_000)])
    full = info(connection, "memory", "used_memory")
    assert connection("unlink", "z", "l") == b":2\r\n"
    assert info(connection, "memory", "lazyfree_pending_objects") >= 1
    assert info(connection, "memory", "used_memory") > full // 2
    wait_until(lambda: info(connection, "memory", "lazyfree_pending_objects") == 0)
    assert info(connection, "memory", "used_memory") < full // 20
