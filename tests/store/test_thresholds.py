"""The settings that say how long a small collection stays small: encodings, contents and memory under each of them."""

import random
from collections.abc import Callable, Iterator

import pytest

from tests.store.conftest import SANITIZED, Server
from tests.store.raw import Argument, Connection, info, pipeline

DEFAULTS: list[Argument] = [
    "hash-max-listpack-entries", 512, "hash-max-listpack-value", 64, "set-max-intset-entries", 512,
    "zset-max-listpack-entries", 128, "zset-max-listpack-value", 64, "list-max-listpack-size", -2,
]  # fmt: skip


@pytest.fixture
def pair(node: Server, reference: Server) -> Iterator[tuple[Connection, Connection]]:
    with node.connect() as ours, reference.connect() as theirs:
        for connection in (ours, theirs):
            connection("flushall")
        yield ours, theirs
        for connection in (ours, theirs):
            assert connection("config", "set", *DEFAULTS) == b"+OK\r\n"


def both(pair: tuple[Connection, Connection], *command: Argument) -> bytes:
    ours, theirs = pair[0](*command), pair[1](*command)
    assert ours == theirs, command
    return ours


@pytest.mark.parametrize("most", [0, 1, 3, 100, 300])
def test_encodings_change_where_those_of_redis_do(pair: tuple[Connection, Connection], most: int) -> None:
    for name in ("hash-max-listpack-entries", "zset-max-ziplist-entries", "set-max-intset-entries"):
        both(pair, "config", "set", name, most)
    for count in {1, most, most + 1, most * 2}:
        for number in range(count):
            both(pair, "hset", f"h{count}", f"f{number}", number)
            both(pair, "zadd", f"z{count}", number, f"m{number}")
            both(pair, "sadd", f"s{count}", number)
        for key in ("h", "z", "s"):
            both(pair, "object", "encoding", f"{key}{count}")
        both(pair, "zrange", f"z{count}", 0, -1, "withscores")
        both(pair, "zrevrange", f"z{count}", 3, 7)


@pytest.mark.parametrize("most", ["0", "5", "64", "200", "1k"])
def test_long_elements_change_the_encoding_where_those_of_redis_do(
    pair: tuple[Connection, Connection], most: str
) -> None:
    """Up to 255 bytes: a longer element always makes a table here."""
    for name in ("hash-max-ziplist-value", "zset-max-listpack-value"):
        both(pair, "config", "set", name, most)
    both(pair, "config", "get", "zset-max-listpack-value")
    for length in (1, 5, 6, 64, 65, 200, 201, 255):
        text = "x" * length
        both(pair, "hset", f"h{length}", "f", text)
        both(pair, "hset", f"n{length}", text, "v")
        both(pair, "zadd", f"z{length}", 1.5, text)
        for key in ("h", "n", "z"):
            both(pair, "object", "encoding", f"{key}{length}")
        both(pair, "hget", f"h{length}", "f")
        both(pair, "zscore", f"z{length}", text)


@pytest.mark.parametrize("size", [-5, -1, 0, 1, 2, 7, 128])
def test_lists_are_lists_whatever_the_size_of_a_piece(pair: tuple[Connection, Connection], size: int) -> None:
    draw = random.Random(size)
    both(pair, "config", "set", "list-max-listpack-size", size)
    for _ in range(400):
        value = "v" * draw.choice([0, 1, 10, 100, 3000])
        choice = draw.randrange(9)
        if choice < 3:
            both(pair, "rpush", "l", *[value + str(n) for n in range(draw.randrange(1, 5))])
        elif choice < 5:
            both(pair, "lpush", "l", value)
        elif choice == 5:
            both(pair, draw.choice(["lpop", "rpop"]), "l")
        elif choice == 6:
            both(pair, "linsert", "l", draw.choice(["before", "after"]), both(pair, "lindex", "l", 3)[4:-2], value)
        elif choice == 7:
            both(pair, "lrem", "l", draw.choice([-1, 1]), value)
        else:
            both(pair, "lset", "l", draw.randrange(-5, 5), value)
    for index in range(-20, 20):
        both(pair, "lindex", "l", index)
    both(pair, "lrange", "l", 0, -1)
    both(pair, "lrange", "l", -7, -2)


MAKERS: dict[str, Callable[[int], tuple[Argument, ...]]] = {
    "hash": lambda n: ("hset", f"hash:{n}", *(word for i in range(10) for word in (f"field:{i}", f"value:{n}"))),
    "zset": lambda n: ("zadd", f"zset:{n}", *(word for i in range(10) for word in (i * n % 1000, f"member:{i}"))),
    "list": lambda n: ("rpush", f"list:{n}", *(f"item:{n}:{i}" for i in range(10))),
    "short": lambda n: ("rpush", f"list:{n}", *range(10)),
    "set": lambda n: ("sadd", f"set:{n}", *(f"member:{i}" for i in range(10))),
    "ints": lambda n: ("sadd", f"set:{n}", *(i * 7 for i in range(10))),
}


@pytest.mark.parametrize("kind", MAKERS)
def test_small_collections_take_no_more_memory_than_in_redis(pair: tuple[Connection, Connection], kind: str) -> None:
    taken = []
    for connection in pair:
        before = info(connection, "memory", "used_memory")
        for start in range(0, 10_000, 1000):
            pipeline(connection, [MAKERS[kind](number) for number in range(start, start + 1000)])
        taken.append(info(connection, "memory", "used_memory") - before)
    assert taken[0] <= taken[1] or SANITIZED, taken  # its malloc does not say what it handed out


def test_a_million_keys_in_miniature(new_node: Callable[..., Server]) -> None:
    """16 bytes of key, 64 of value: at most 48 bytes beyond them, table and malloc's words included."""
    count = 160_000  # just before the table grows, as a million keys are
    with new_node("--maxmemory", "0").connect() as connection:
        before = info(connection, "memory", "used_memory")
        for start in range(0, count, 5000):
            pipeline(connection, [("set", f"key:{n:012d}", "x" * 64) for n in range(start, start + 5000)])
        assert (info(connection, "memory", "used_memory") - before) / count - 80 <= 48
