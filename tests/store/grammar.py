"""Requests made from COMMAND DOCS, redis-server's own description of arguments: right ones, and some with a flaw."""

from random import Random
from typing import Any

import hiredis

from tests.store.raw import Connection

KEYS = ["str", "num", "hash", "list", "set", "zset", "geo", "hll", "none", "a", "b"]
WORDS = ["a", "b", "c", "1", "3", "10", "-1", "1.5", "", "x" * 70, "0", "*", "a*", "f1", "m1", "hello"]
NUMBERS = ["0", "1", "2", "3", "10", "100", "-1", "-2", "-100"]
ODD = ["x", "", "1.0", " 1", "9223372036854775807", "-9223372036854775808", "9223372036854775808", "+7", "07", "7e2"]
FLOATS = ["0", "1", "-1.5", "3.25", "inf", "-inf", "10", "1e3", "(1", "[a", "+", "-", "nan", "13.36", "38.1"]
AHEAD = ["1000000", "20000000", "0", "-5"]  # none that ends during a test
DATES = ["33000000000", "33000000000000", "1000", "0", "-5"]

OF_GROUP = {
    "bitmap": "str", "hash": "hash", "list": "list", "set": "set", "sorted-set": "zset", "geo": "geo", "string": "num",
}  # fmt: skip

#: One key of every type, one with a number and one with text.
FILL: list[tuple[str, ...]] = [
    ("set", "str", "hello world"),
    ("set", "num", "10"),
    ("hset", "hash", "f1", "v1", "f2", "10", "a", "1.5"),
    ("rpush", "list", "a", "b", "c", "1", "3", "a"),
    ("sadd", "set", "a", "b", "c", "m1"),
    ("zadd", "zset", "1", "a", "2", "b", "3", "c", "4", "m1"),
    ("zadd", "lex", "0", "a", "0", "b", "0", "c", "0", "d"),  # see request()
    ("geoadd", "geo", "13.361389", "38.115556", "a", "15.087269", "37.502669", "b"),
    ("pfadd", "hll", "a", "b", "c"),
]

Docs = dict[str, Any]


def fields(flat: list[Any]) -> Docs:
    return dict(zip(flat[::2], flat[1::2], strict=True))


def documentation(connection: Connection) -> dict[str, Docs]:
    """What is said of every command and subcommand, by its full name (`config|get`)."""
    reader = hiredis.Reader(encoding="utf-8")
    reader.feed(connection("command", "docs"))
    found: dict[str, Docs] = {}
    waiting = [fields(reader.gets())]
    while waiting:
        for name, flat in waiting.pop().items():
            found[name] = fields(flat)
            if "subcommands" in found[name]:
                waiting.append(fields(found[name]["subcommands"]))
    return found


def value(random: Random, kind: str, name: str) -> str:
    if random.random() < 0.04:
        return random.choice(ODD)
    if name == "timeout":
        return "0.01" if kind == "double" else "5"
    if name == "operation":
        return random.choice(["and", "OR", "xor", "not"])
    if name in ("min", "max", "start", "stop") and kind == "string":
        return random.choice(["-", "+", "[a", "(b", "[c", "0", "1", "-1", "(2", "x"])
    if name in ("seconds", "milliseconds", "ttl"):
        return random.choice(AHEAD)
    if kind == "key":
        return random.choice(KEYS)
    if kind == "integer":
        return random.choice(NUMBERS)
    if kind == "double":
        return random.choice(FLOATS[:-7] + FLOATS[-2:])
    if kind == "unix-time":
        return random.choice(DATES)
    return random.choice(WORDS + FLOATS) if random.random() < 0.8 else random.choice(KEYS + NUMBERS)


def argument(random: Random, flat: list[Any]) -> list[str]:
    """The words of one argument, none if it is optional."""
    said = fields(flat)
    flags = said.get("flags", [])
    if "optional" in flags and random.random() < 0.6:
        return []
    words: list[str] = []
    token = [said["token"]] if "token" in said else []
    if token and random.random() < 0.3:
        token = [token[0].lower()]
    for count in range(random.choice([1, 1, 2, 3]) if "multiple" in flags else 1):
        if count == 0 or "multiple_token" in flags:
            words += token
        if said["type"] == "oneof":
            words += argument(random, random.choice(said["arguments"]))
        elif said["type"] == "block":
            words += arguments(random, said["arguments"])
        elif said["type"] != "pure-token":
            words.append(value(random, said["type"], said["name"]))
    return words


def arguments(random: Random, described: list[Any]) -> list[str]:
    """The words of all of them; a number of keys is mostly that of the keys behind it."""
    parts = [argument(random, flat) for flat in described]
    names = [fields(flat)["name"] for flat in described]
    for index, name in enumerate(names[:-1]):
        if name == "numkeys" and parts[index] and random.random() < 0.9:
            parts[index] = [str(len(parts[index + 1]))]
    if random.random() < 0.15:  # options in another order
        tail = parts[-3:]
        random.shuffle(tail)
        parts[-3:] = tail
    return [word for part in parts for word in part]


def request(random: Random, name: str, said: Docs) -> tuple[str, ...]:
    """A request of a command that is described so; one in five has a word too few, too many, or another one."""
    words = arguments(random, said.get("arguments", []))
    called = name.split("|")
    if words and words[0] in KEYS and random.random() < 0.4:
        words[0] = OF_GROUP.get(said["group"], words[0])
    if random.random() < 0.2:
        change, at = random.randrange(4), random.randrange(len(words) + 1)
        if change == 0:
            del words[at : at + 1]
        elif change == 1:
            words.insert(at, random.choice(WORDS + ODD + NUMBERS))
        elif change == 2:
            words[at : at + 1] = [random.choice(ODD)]
        else:
            words[at:at] = words[-2:]
    if len(words) > 1 and (name.endswith("lex") or "bylex" in " ".join(words).lower()):
        words[name == "zrangestore"] = "lex"  # of members with unlike scores it is not specified what is found
    if random.random() < 0.1:
        called[-1] = called[-1].upper()
    return (*called, *words)
