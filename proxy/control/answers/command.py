"""COMMAND and its subcommands, read from the command table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any

from proxy.commands import COMMANDS, Command, KeySpec, find, key_uses
from proxy.control.answers.context import AnswerContext
from proxy.control.answers.glob import glob
from proxy.control.reply import Set, Simple, encode
from proxy.errors import ReplyError

__all__ = ["all_rows", "count", "docs", "getkeys", "getkeysandflags", "info", "list_", "prepare"]


def all_rows(_args: list[bytes], protocol: int, _context: AnswerContext) -> bytes:
    """COMMAND"""
    return _all_rows(protocol)


def count(_args: list[bytes], protocol: int, _context: AnswerContext) -> bytes:
    """COMMAND COUNT"""
    return encode(len(COMMANDS), protocol)


def info(args: list[bytes], protocol: int, _context: AnswerContext) -> bytes:
    """COMMAND INFO [name ...]"""
    if len(args) == 2:
        return _all_rows(protocol)
    rows = (_named(name) for name in args[2:])
    return encode([None if row is None else _row(row) for row in rows], protocol)


def docs(args: list[bytes], protocol: int, _context: AnswerContext) -> bytes:
    """COMMAND DOCS [name ...]; names that do not exist are left out."""
    if len(args) == 2:
        return _all_docs(protocol)
    rows = (_named(name) for name in args[2:])
    return encode({row.name: _docs(row) for row in rows if row is not None}, protocol)


def list_(args: list[bytes], protocol: int, _context: AnswerContext) -> bytes:
    """COMMAND LIST [FILTERBY MODULE name | ACLCAT category | PATTERN pattern]"""
    match [arg.lower() for arg in args[2:]]:
        case []:
            return encode([row.name for row in _every()], protocol)
        case [b"filterby", b"module", _]:
            return encode([], protocol)
        case [b"filterby", b"aclcat", category]:
            return encode([row.name for row in _every() if category.decode("latin-1") in row.acl_categories], protocol)
        case [b"filterby", b"pattern", pattern]:
            matches = glob(pattern)
            return encode([row.name for row in _every() if matches(row.name.encode())], protocol)
    raise ReplyError("syntax")


def getkeys(args: list[bytes], protocol: int, _context: AnswerContext) -> bytes:
    """COMMAND GETKEYS command arg ..."""
    line = args[2:]
    return encode([line[position] for position, _ in _uses(line)], protocol)


def getkeysandflags(args: list[bytes], protocol: int, _context: AnswerContext) -> bytes:
    """COMMAND GETKEYSANDFLAGS command arg ...

    Where the use of a key depends on options (SET, BITFIELD) all it may be is given; Redis runs code there.
    """
    line = args[2:]
    return encode(
        [
            [line[position], _flags(flag for flag in spec.flags if flag != "variable_flags")]
            for position, spec in _uses(line)
        ],
        protocol,
    )


def _uses(line: list[bytes]) -> list[tuple[int, KeySpec]]:
    """The keys of a command line, or the error that GETKEYS words for it."""
    row = find(line)
    if row is None or (row.subcommands and len(line) > 1):
        raise ReplyError("keys_unknown_command")
    if not row.routes or row.publishes:
        raise ReplyError("keys_none")
    if not row.arity_allows(len(line)):
        raise ReplyError("keys_arity")
    try:
        return key_uses(row, line)
    except ReplyError:
        # A script with a bad key count is the node's to complain about.
        if "no_mandatory_keys" in row.flags:
            return []
        raise


def _named(name: bytes) -> Command | None:
    """The row called ``client|id`` or ``get``, in any case."""
    top, bar, child = name.lower().partition(b"|")
    row = COMMANDS.get(top.decode("latin-1"))
    return row.subcommands.get(child.decode("latin-1")) if row is not None and bar else row


def _every() -> Iterator[Command]:
    for row in COMMANDS.values():
        yield row
        yield from row.subcommands.values()


def _row(row: Command) -> list[Any]:
    """One element of COMMAND's reply."""
    return [
        row.name,
        row.arity,
        _flags(row.flags),
        row.first_key,
        row.last_key,
        row.key_step,
        _flags("@" + category for category in row.acl_categories),
        Set(row.tips),
        Set(_spec(spec) for spec in row.key_specs),
        [_row(child) for child in row.subcommands.values()],
    ]


def _flags(words: Iterable[str]) -> Set:
    return Set(Simple(word) for word in words)


def _spec(spec: KeySpec) -> dict[str, Any]:
    where: dict[str, Any] = {}
    how: dict[str, Any] = {}
    if spec.begin == "index":
        where = {"index": spec.index}
    elif spec.begin == "keyword":
        where = {"keyword": spec.keyword, "startfrom": spec.start_from}
    if spec.find == "range":
        how = {"lastkey": spec.last_key, "keystep": spec.key_step, "limit": spec.limit}
    elif spec.find == "keynum":
        how = {"keynumidx": spec.keynum_index, "firstkey": spec.first_key, "keystep": spec.key_step}
    return {
        "flags": _flags(spec.flags),
        "begin_search": {"type": spec.begin, "spec": where},
        "find_keys": {"type": spec.find, "spec": how},
    }


def _docs(row: Command) -> dict[str, Any]:
    entry: dict[str, Any] = {"summary": row.summary, "since": row.since, "group": row.group}
    if row.complexity:
        entry["complexity"] = row.complexity
    if row.deprecated:
        entry |= {"doc_flags": _flags(["deprecated"]), "deprecated_since": row.deprecated}
    if row.subcommands:
        entry["subcommands"] = {child.name: _docs(child) for child in row.subcommands.values()}
    return entry


def prepare() -> None:
    """Build the longest replies, about 12 ms each: all of COMMAND and of COMMAND DOCS in both protocols."""
    for protocol in (2, 3):
        _all_rows(protocol)
        _all_docs(protocol)


@cache
def _all_rows(protocol: int) -> bytes:
    """All of COMMAND: some 90 KB, asked for by every redis-cli and many cluster clients, so it is built once."""
    return encode([_row(row) for row in COMMANDS.values()], protocol)


@cache
def _all_docs(protocol: int) -> bytes:
    return encode({row.name: _docs(row) for row in COMMANDS.values()}, protocol)
