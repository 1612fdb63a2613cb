"""The cases: what a client sends, and how its replies are to be compared. Written ones in `cases.txt`, others derived.

Derived are, from the command tables of the proxy and of redis-server, wrong numbers of arguments and unknown
subcommands; from the written cases, every request on a key of every type, and whole cases inside MULTI.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from proxy.commands import COMMANDS, Command, find, keys_of
from proxy.errors import ReplyError
from tests.compat.replies import Match

FILE = Path(__file__).parent / "cases.txt"
WORD = re.compile(r'"(?:\\.|[^"\\])*"|\S+')
PREFIX = re.compile(r"([*?!]?)(&?)(?:([a-z])=)?(?:(\d)>)?(.*)", re.DOTALL)
TAG = b"{}"


@dataclass(frozen=True)
class Step:
    """One request and its reply; or a reply of its own (no words); or a wait until a client is blocked (`wait`)."""

    words: tuple[bytes, ...] = ()
    match: Match = Match.BYTES
    connection: int = 1
    awaited: bool = True
    keep: bytes = b""
    wait: bool = False
    elements: tuple[Match, ...] = ()  #: of EXEC: how each reply of its array is compared

    def filled(self, tag: bytes, kept: Mapping[bytes, bytes]) -> list[bytes]:
        """Its words with `{}` as ``tag`` and $n as what was kept."""
        return [kept[word[1:]] if word[:1] == b"$" and word[1:] in kept else word.replace(TAG, tag)
                for word in self.words]  # fmt: skip

    @property
    def command(self) -> str:
        """The name of its row, or as much of it as was sent."""
        row = find(self.words)
        return row.name if row else self.words[0].decode(errors="replace").lower()

    @property
    def keys(self) -> tuple[bytes, ...]:
        """The words that name keys."""
        return tuple(word for word in self.words[1:] if re.fullmatch(rb"\{\}\w+", word))


Case = tuple[Step, ...]


def step(text: str) -> Step:
    """What one request of a line says."""
    if text == "...":
        return Step(wait=True)
    found = PREFIX.fullmatch(text)
    assert found
    mark, later, keep, connection, rest = found.groups()
    if not mark and rest[:1] in "*?!":  # the mark may stand behind the connection
        mark, rest = rest[0], rest[1:]
    words = () if rest == "<" else tuple(word(piece) for piece in WORD.findall(rest))
    return Step(words, Match(mark), int(connection or 1), not later, (keep or "").encode())


def word(piece: str) -> bytes:
    """One argument; escapes only between quotes."""
    if piece.startswith('"'):
        return piece[1:-1].encode().decode("unicode_escape").encode("latin-1")
    return piece.encode()


@cache
def written() -> tuple[Case, ...]:
    """The cases of the file."""
    lines = FILE.read_text().splitlines()
    return tuple(
        with_elements(tuple(map(step, line.split(" ; ")))) for line in lines if line and not line.startswith("#")
    )


def with_elements(case: Case) -> Case:
    """The case with what its requests between MULTI and EXEC say about their replies handed to EXEC."""
    done, queued = [], {}
    for one in case:
        name = one.words[0].upper() if one.words else b""
        if name == b"MULTI":
            queued[one.connection] = ()
        elif name == b"EXEC":
            one = replace(one, elements=queued.pop(one.connection, ()))
        elif one.connection in queued:
            queued[one.connection] += (one.match,)
        done.append(one)
    return tuple(done)


def rows(names: Iterable[str]) -> Iterator[Command]:
    """The rows of these commands and of all their subcommands."""
    for name in names:
        container, _, subcommand = name.partition("|")
        yield COMMANDS[container].subcommands[subcommand] if subcommand else COMMANDS[container]


#: Sent without arguments, or with one more than they take, these do what a comparison cannot bear.
ALONE_DOES_IT = {"shutdown", "sync", "psync", "monitor", "quit", "debug|segfault", "bgsave"}


def arities(names: Iterable[str]) -> Iterator[Case]:
    """For each command one argument less than it takes, one more where it takes no more, and an unknown subcommand."""
    for row in rows(names):
        if row.name in ALONE_DOES_IT:
            continue
        name = tuple(part.encode() for part in row.name.split("|"))
        least = abs(row.arity)
        if least > len(name):
            yield (Step((*name, *([b"1"] * (least - len(name) - 1)))),)
        if row.arity > 0:
            yield (Step((*name, *([b"1"] * (least - len(name) + 1)))),)
        if row.subcommands:
            yield (Step((*name, b"NOSUCH")),)
            yield (Step((*name, b"NOSUCH", b"{}a", b"b")),)


SETUPS = (
    (b"SET", b"10"), (b"HSET", b"a", b"1", b"b", b"x"), (b"RPUSH", b"a", b"10", b"b"), (b"SADD", b"1", b"2", b"3"),
    (b"ZADD", b"1", b"a", b"2", b"b"), (b"XADD", b"1-1", b"f", b"v"),
)  # fmt: skip


#: Commands whose replies depend on chance, or on the clock.
UNCERTAIN = {
    "hrandfield", "srandmember", "zrandmember", "spop", "ttl", "pttl", "object|idletime", "object|freq",
    "memory|usage", "xinfo|consumers", "xpending",
}  # fmt: skip

#: Commands that need more than keys: what a node knows of scripts, a server of its own, a subscription.
APART = {
    "evalsha", "evalsha_ro", "fcall", "fcall_ro", "migrate", "restore-asking", "pfdebug", "watch", "ssubscribe",
    "sunsubscribe", "spublish",
}  # fmt: skip


def plain(one: Step) -> bool:
    """Whether a step is about data and nothing else: not the connection, the server, or the clock (an id of `*`)."""
    row = find(one.words) if one.words else None
    return (
        row is not None and not one.keep and one.awaited and one.connection == 1
        and not any(word.startswith(b"$") and len(word) == 2 and word[1:].isalpha() for word in one.words)
        and bool(row.routes) and not row.blocks(one.words) and not row.session
        and row.name not in APART and b"*" not in one.words
    )  # fmt: skip


def has_place(one: Step) -> bool:
    """Whether a request names a key, which says where it goes: with a wrong number of keys it names none."""
    row = find(one.words)
    try:
        return row is not None and bool(keys_of(row, one.words))
    except ReplyError:
        return False


@cache
def requests() -> tuple[Step, ...]:
    """Every plain request of the written cases, once."""
    return tuple(dict.fromkeys(one for case in written() for one in case if plain(one)))


def of_every_type() -> Iterator[Case]:
    """Every plain request on keys that hold a value of each type."""
    for one in requests():
        if one.command in UNCERTAIN:
            one = replace(one, match=Match.SHAPE)
        if not (keys := tuple(dict.fromkeys(one.keys))):
            continue
        for setup in SETUPS:
            made = tuple(Step((setup[0], key, *setup[1:])) for key in keys)
            yield (*(Step((b"DEL", key)) for key in keys), *made, one)


def in_transactions() -> Iterator[Case]:
    """Every written case of plain requests, inside MULTI and EXEC; without the empty key, which takes no tag."""
    for case in written():
        if all(plain(one) and one.words[1] for one in case):
            yield with_elements((Step((b"MULTI",)), *case, Step((b"EXEC",))))
