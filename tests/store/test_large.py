"""Large values against their naive twins: thousands of changes, in the shapes that a tree or a chain may take."""

import random

import pytest

from tests.oracle.values import List, SortedSet
from tests.store.conftest import Server
from tests.store.raw import Argument, Connection, parse, pipeline
from tests.store.test_random import texts

Commands = list[tuple[Argument, ...]]


def show(number: float) -> bytes:
    return b"%.17g" % number


def check_order(connection: Connection, oracle: SortedSet) -> None:
    expected = [part for score, member in oracle.order for part in (member, show(score))]
    assert texts(connection("zrange", "z", 0, -1, "withscores")) == expected
    assert texts(connection("zrevrange", "z", 0, -1)) == expected[::2][::-1]
    assert connection("zcard", "z") == b":%d\r\n" % len(oracle.order)


def check_places(connection: Connection, oracle: SortedSet, chance: random.Random) -> None:
    members = chance.choices(list(oracle.scores), k=50)
    ranks = pipeline(connection, [("zrank", "z", member) for member in members])
    assert ranks == [b":%d\r\n" % oracle.rank(member) for member in members]
    for _ in range(10):
        low, high = sorted(chance.uniform(-10, 110) for _ in range(2))
        assert connection("zcount", "z", low, high) == b":%d\r\n" % oracle.between(low, high)
        start = chance.randrange(len(oracle.order))
        found = texts(connection("zrange", "z", start, start + 20))
        assert found == [member for _, member in oracle.order[start : start + 21]]


SCORES = {
    "ascending": lambda chance, number: number,
    "descending": lambda chance, number: -number,
    "anywhere": lambda chance, number: chance.uniform(0, 100),
    "few": lambda chance, number: chance.randrange(3),
}


@pytest.mark.parametrize("shape", SCORES)
def test_sorted_set(node: Server, shape: str) -> None:
    chance = random.Random(7)
    oracle = SortedSet()
    with node.connect() as connection:
        connection("flushall")
        for start in range(0, 12_000, 3000):
            script: Commands = []
            expected = []
            for number in range(start, start + 3000):
                member, score = b"member:%d" % chance.randrange(20_000), SCORES[shape](chance, number)
                script.append(("zadd", "z", repr(score), member))
                expected.append(b":%d\r\n" % oracle.add(member, score))
            assert pipeline(connection, script) == expected
            check_order(connection, oracle)
            check_places(connection, oracle, chance)
        # Down again, member by member, in three ways at once; the tree merges and loses its branches.
        while len(oracle.order) > 40:
            script, expected = [], []
            for member in chance.sample(list(oracle.scores), len(oracle.scores) // 3):
                script.append(("zrem", "z", member))
                expected.append(b":%d\r\n" % oracle.remove(member))
            assert pipeline(connection, script) == expected
            start = chance.randrange(len(oracle.order))
            end = min(len(oracle.order), start + chance.choice([1, 70, 500]))
            assert connection("zremrangebyrank", "z", start, end - 1) == b":%d\r\n" % oracle.cut(start, end)
            for command, ends in (("zpopmin", oracle.order[:5]), ("zpopmax", oracle.order[-5:][::-1])):
                ends = [pair for pair in ends if pair[1] in oracle.scores]
                popped = texts(connection(command, "z", 5))[::2]
                assert popped[: len(ends)] == [member for _, member in ends]
                for member in popped:
                    assert oracle.remove(member)
            check_order(connection, oracle)
            if oracle.order:
                check_places(connection, oracle, chance)


def item(chance: random.Random) -> bytes:
    size = chance.choice([0, 1, 5, 20, 20, 20, 127, 128, 500, 9000 if chance.random() < 0.05 else 3])
    return bytes([chance.randrange(97, 123)]) * size


def list_step(chance: random.Random, oracle: List) -> tuple[tuple[Argument, ...], bytes]:
    """A random change: the command, and the reply that the twin gives."""
    kind = chance.choice(["push"] * 8 + ["pop"] * 4 + ["insert"] * 4 + ["remove", "set", "set", "index", "index"])
    front = chance.random() < 0.5
    value = item(chance)
    if kind == "push":
        return ("lpush" if front else "rpush", "l", value), b":%d\r\n" % oracle.push(value, front)
    if kind == "pop" and oracle.items:
        taken = oracle.pop(chance.choice([1, 1, 1, 5, 40]), front)
        reply = b"*%d\r\n" % len(taken) + b"".join(b"$%d\r\n%s\r\n" % (len(one), one) for one in taken)
        return ("lpop" if front else "rpop", "l", len(taken)), reply
    if kind == "insert" and oracle.items:
        pivot = chance.choice(oracle.items)
        reply = b":%d\r\n" % oracle.insert(pivot, value, front)
        return ("linsert", "l", "after" if front else "before", pivot, value), reply
    if kind == "remove" and oracle.items:
        count = chance.choice([0, 1, -1, 2, -2])
        value = chance.choice(oracle.items)
        return ("lrem", "l", count, value), b":%d\r\n" % oracle.remove(value, count)
    if kind in ("set", "index") and oracle.items:
        place = chance.randrange(-len(oracle.items), len(oracle.items))
        if kind == "index":
            return ("lindex", "l", place), b"$%d\r\n%s\r\n" % (len(oracle.items[place]), oracle.items[place])
        oracle.items[place] = value
        return ("lset", "l", place, value), b"+OK\r\n"
    return ("llen", "l"), b":%d\r\n" % len(oracle.items)


@pytest.mark.parametrize("seed", range(4))
def test_list(node: Server, seed: int) -> None:
    chance = random.Random(seed)
    oracle = List()
    with node.connect() as connection:
        connection("flushall")
        for turn in range(12):
            steps = [list_step(chance, oracle) for _ in range(600)]
            replies = pipeline(connection, [command for command, _ in steps])
            for (command, expected), reply in zip(steps, replies, strict=True):
                assert reply == expected, command
            assert texts(connection("lrange", "l", 0, -1)) == oracle.items
            if turn % 4 == 3 and oracle.items:
                start, end = sorted(chance.randrange(len(oracle.items)) for _ in range(2))
                oracle.trim(start, end)
                assert connection("ltrim", "l", start, end) == b"+OK\r\n"
                assert texts(connection("lrange", "l", 0, -1)) == oracle.items


def test_a_queue_keeps_its_size(node: Server) -> None:
    """What comes in at one end and goes out at the other leaves no room behind."""
    with node.connect() as connection:
        connection("flushall")
        connection("rpush", "l", *[b"item:%06d" % number for number in range(1000)])
        first = int(connection("memory", "usage", "l")[1:])
        for start in range(1000, 100_000, 1000):
            connection("rpush", "l", *[b"item:%06d" % number for number in range(start, start + 1000)])
            assert parse(connection("lpop", "l", 1000))[1] == b"$11\r\nitem:%06d\r\n" % (start - 1000)
        assert int(connection("memory", "usage", "l")[1:]) < first + 16_384
        assert connection("llen", "l") == b":1000\r\n"
