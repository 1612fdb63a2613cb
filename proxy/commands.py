"""The command table: one row per command and subcommand, read by everyone who treats a command by its name.

The rows live in ``commands.json``, one per line, sorted by name and edited by hand; this file gives them types. The
first half of a row says what the command is, in Redis's own terms (arity, flags, key specifications, ...: what
``COMMAND`` reports). The second half is the proxy's: which lane serves it, whether it may travel on a shared node
connection, be answered from a copy, be merged, be repeated. Router, rights, ``COMMAND``, documentation and metrics
read this table; there is no second list.

Nothing here runs once per request: the engine compiles the rows at start. `find` and `keys_of` serve the control plane
and are the naive twins the compiled lookup is tested against.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from importlib.resources import files
from typing import Any, Literal

from proxy.errors import ReplyError

__all__ = [
    "CAPABILITIES",
    "COMMANDS",
    "Command",
    "KeySpec",
    "Lane",
    "find",
    "key_uses",
    "keys_of",
    "refusal",
    "subcommands",
]

Effect = Literal["same", "rewritten", "refused"]


class Lane(IntEnum):
    """Who answers a command."""

    FAST = 0  #: one node, by way of the engine; several keys have to live on that node
    MGET = 1  #: split by node, the arrays merged in key order
    MSET = 2  #: split by node, one OK
    SUM = 3  #: split by node, the integers added
    ENGINE = 4  #: the engine itself, without a node
    CONTROL = 5  #: the control plane, from tables and statistics
    LATER = 6  #: an error that names the missing capability; the connection stays
    REFUSED = 7  #: an error that says why not; the connection stays


#: What a LATER row waits for, worded to follow "it needs".
CAPABILITIES: Mapping[str, str] = {
    "administration": "administration through the proxy",
    "blocking": "blocking commands",
    "client tracking": "client-side caching through the proxy",
    "replication": "a view of the nodes' replication",
    "transactions": "transactions",
}


@dataclass(frozen=True, slots=True)
class KeySpec:
    """Where some of a command's keys are: first find a start, then the keys from there on (Redis 7's model).

    begin:
        ``index``: the start is position ``index``. ``keyword``: it is the position after ``keyword`` (any case),
        searched from ``start_from`` on; a negative ``start_from`` counts from the end and searches backwards; without
        the keyword there are no keys. ``option`` is the proxy's own, for where Redis runs code: the arguments from
        ``start_from`` on are options with operands (`Command.options`), the last ``keyword`` that has one counts.
        ``unknown``: Redis cannot say.
    find:
        ``range``: every ``key_step``-th argument up to start + ``last_key``; a negative ``last_key`` counts from the
        end, and ``limit`` n > 1 means only the first 1/n of the remaining arguments. ``keynum``: the number of keys is
        the argument at start + ``keynum_index``, the first of them is at start + ``first_key``. ``unknown``: as above.
    flags:
        Redis's: RO RW OW RM, access update insert delete, not_key, incomplete, variable_flags. The proxy's own:
        channel, which routes a command without being a key.
    """

    begin: Literal["index", "keyword", "option", "unknown"]
    find: Literal["range", "keynum", "unknown"]
    index: int = 0
    keyword: str = ""
    start_from: int = 0
    last_key: int = 0
    key_step: int = 1
    limit: int = 0
    keynum_index: int = 0
    first_key: int = 0
    flags: tuple[str, ...] = ()

    @property
    def reads(self) -> bool:
        """The content of the keys is read, or copied, or part of the answer."""
        return "access" in self.flags

    @property
    def writes(self) -> bool:
        """The content of the keys is changed."""
        return not {"insert", "update", "delete"}.isdisjoint(self.flags)


@dataclass(frozen=True, slots=True, eq=False)
class Command:
    """One row. There is one object per command, so identity is equality.

    Positions count from 0, the name; a subcommand has its own name at 1.
    """

    name: str  #: lower case; a subcommand is ``client|id``
    arity: int  #: number of arguments, name included; negative: at least that many
    flags: tuple[str, ...]
    acl_categories: tuple[str, ...]  #: without the ``@``
    first_key: int  #: the triple of Redis before 7; 0 where key_specs say more
    last_key: int
    key_step: int
    key_specs: tuple[KeySpec, ...]  #: as Redis reports them
    routes: tuple[KeySpec, ...]  #: the specifications that decide: real keys only, none unknown
    options: Mapping[str, int]  #: option (upper case) → number of operands, -1 for all the rest; others take none
    tips: tuple[str, ...]  #: hints to clients: request and response policy, nondeterminism
    since: str
    group: str
    summary: str
    complexity: str  #: empty where Redis names none
    deprecated: str  #: the version that deprecated it, or empty
    lane: Lane
    later: str  #: LATER rows: a key of CAPABILITIES
    why: str  #: REFUSED rows: the reason
    blocks_with: str  #: the keyword (upper case) whose presence makes this FAST command a blocking one
    effect: Effect  #: how a write is repeated on another node: verbatim, as its outcome, or not at all
    shared: bool  #: may be written to a shared node connection (a row with blocks_with: unless it blocks)
    cacheable: bool  #: a deterministic read of one key: copies and joined fetches allowed
    mergeable: bool  #: an increment the combiner may merge
    one_node: bool  #: every node is asked; where a pool has one, its own answer is the answer, in a transaction too
    session: bool  #: changes the client's own connection: a barrier
    subcommands: Mapping[str, Command] = field(default_factory=dict, repr=False)

    @property
    def readonly(self) -> bool:
        """Reads keys and changes none."""
        return "readonly" in self.flags

    @property
    def write(self) -> bool:
        """May change keys, as Redis flags it; scripts and functions are neither `readonly` nor `write`."""
        return "write" in self.flags

    @property
    def may_write(self) -> bool:
        """Has to be treated as a write: `write`, or a script or function that may do anything to its keys."""
        return self.write or (not self.readonly and any({"RW", "OW", "RM"} & set(spec.flags) for spec in self.routes))

    @property
    def from_replicas(self) -> bool:
        """A read whose answer, or its age, is all that differs at a replica. Commands about how often or when a key was
        used are about one node; a script may not be there."""
        reads = self.readonly and bool(self.routes) and self.lane in (Lane.FAST, Lane.MGET, Lane.SUM)
        about_one = self.name == "touch" or self.name.startswith("object|")
        return reads and not (self.may_write or self.blocking or self.runs_code or self.publishes or about_one)

    @property
    def publishes(self) -> bool:
        """Routed by a channel, which is no key; answers with the number of receivers."""
        return any("channel" in spec.flags for spec in self.routes)

    @property
    def blocking(self) -> bool:
        """Always waits; a command that waits only on request has `blocks_with` instead."""
        return "blocking" in self.flags and not self.blocks_with

    @property
    def admin(self) -> bool:
        """Administers the server rather than data."""
        return "admin" in self.flags

    @property
    def runs_code(self) -> bool:
        """Runs a script or function at the node, which may do what no key specification tells."""
        return "scripting" in self.acl_categories and bool(self.routes)

    @property
    def channels(self) -> slice:
        """Which arguments are channels, or patterns of them, that the caller needs a right to."""
        return _CHANNELS.get(self.name, slice(0))

    @property
    def channel_patterns(self) -> bool:
        """Its channels are patterns of channels."""
        return self.name == "psubscribe"

    @property
    def touches_keys(self) -> bool:
        """May name keys, and so has to be routed."""
        return bool(self.routes)

    def arity_allows(self, count: int) -> bool:
        """Whether ``count`` arguments, name included, are a legal number."""
        return count == self.arity if self.arity >= 0 else count >= -self.arity

    def blocks(self, args: Sequence[bytes]) -> bool:
        """Whether this request waits on the node: always, or because an option says so.

        Exact, as a mistake would stall everybody on a shared connection: a group named like the option is none.
        """
        if not self.blocks_with:
            return self.blocking
        return any(name == self.blocks_with for name, _ in self.options_of(args, 1))

    def options_of(self, args: Sequence[bytes], start: int) -> Iterator[tuple[str, int]]:
        """The options among ``args`` from ``start`` on: each name, upper case, and the position after it."""
        while start < len(args):
            name = _word(args[start]).upper()
            yield name, start + 1
            operands = self.options.get(name, 0)
            start = start + 1 + operands if operands >= 0 else len(args)


def find(args: Sequence[bytes]) -> Command | None:
    """The row of a request: the subcommand's where there is one, else the command's; None if the name is unknown.

    A container without a known subcommand gives the container's own row (``CLIENT NOPE`` → ``client``), whose lane
    words the error.
    """
    if not args:
        return None
    command = COMMANDS.get(_word(args[0]))
    if command is None or not command.subcommands or len(args) < 2:
        return command
    return command.subcommands.get(_word(args[1]), command)


def subcommands(name: str) -> Mapping[str, Command]:
    """The subcommands of ``name`` (lower case) by their own lower-case name; empty if it has none.

    Raises:
        KeyError: if there is no such command.
    """
    return COMMANDS[name].subcommands


def refusal(command: Command) -> ReplyError:
    """The error a LATER or REFUSED row answers with.

    Raises:
        ValueError: for a row of another lane.
    """
    if command.lane is Lane.LATER:
        return ReplyError("later", command=command.name, capability=CAPABILITIES[command.later])
    if command.lane is Lane.REFUSED:
        return ReplyError("refused", command=command.name, why=command.why)
    raise ValueError(f"{command.name} is served by lane {command.lane.name}")


def keys_of(command: Command, args: Sequence[bytes]) -> list[int]:
    """Positions in ``args`` of the keys the request names, in the order of the row's specifications.

    Raises:
        ReplyError: as `key_uses` does.
    """
    return [position for position, _ in key_uses(command, args)]


def key_uses(command: Command, args: Sequence[bytes]) -> list[tuple[int, KeySpec]]:
    """Like `keys_of`, each position with the specification that found it, whose flags say how the key is used.

    A script or function that is called with no keys has none: the list is empty.

    Raises:
        ReplyError: ``wrong_arity``, or ``keys_invalid`` where a key count or a keyword does not fit the arguments.
    """
    if not command.arity_allows(len(args)):
        raise ReplyError("wrong_arity", command=command.name)
    uses: list[tuple[int, KeySpec]] = []
    for spec in command.routes:
        start = _start(command, spec, args)
        if start is None:
            continue
        if spec.find == "keynum":
            count = _count(args, start + spec.keynum_index)
            if count == 0 and "no_mandatory_keys" in command.flags:
                continue
            first = start + spec.first_key
            last = first + (count - 1) * spec.key_step
        else:
            first = start
            if spec.last_key >= 0:
                last = first + spec.last_key
            elif spec.limit:
                last = first + (len(args) - first) // spec.limit + spec.last_key
            else:
                last = len(args) + spec.last_key
        if not first <= last < len(args):
            raise ReplyError("keys_invalid")
        uses.extend((position, spec) for position in range(first, last + 1, spec.key_step))
    if not uses and command.routes and "no_mandatory_keys" not in command.flags:
        raise ReplyError("keys_invalid")
    # MIGRATE with KEYS has an empty argument where its only key would be.
    if command.name == "migrate" and len(uses) > 1:
        if args[uses[0][0]]:
            raise ReplyError("keys_invalid")
        del uses[0]
    return uses


def _start(command: Command, spec: KeySpec, args: Sequence[bytes]) -> int | None:
    """The position where ``spec`` starts, or None if its keyword is absent."""
    if spec.begin == "index":
        return spec.index
    if spec.begin == "option":
        found = [start for name, start in command.options_of(args, spec.start_from) if name == spec.keyword]
        return found[-1] if found and found[-1] < len(args) else None
    if spec.start_from > 0:
        candidates = range(spec.start_from, len(args) - 1)
    else:
        candidates = range(len(args) + spec.start_from, 0, -1)
    return next((i + 1 for i in candidates if args[i].upper() == spec.keyword.encode()), None)


def _count(args: Sequence[bytes], position: int) -> int:
    """The number of keys the argument at ``position`` states; a sign is no digit."""
    text = args[position] if position < len(args) else b""
    if not text.isdigit() or len(text) > 18:
        raise ReplyError("keys_invalid")
    return int(text)


def _word(arg: bytes) -> str:
    return arg.lower().decode("latin-1")


def _parse_spec(text: str) -> KeySpec:
    """A key specification from its spelling in the file.

    ``index:1`` | ``keyword:NAME,start_from`` | ``option:NAME,start_from`` | ``unknown``, then
    ``range:last_key,key_step,limit`` | ``keynum:keynum_index,first_key,key_step`` | ``unknown``, then flags.
    """
    begin_text, find_text, *flags = text.split(" ")
    values: dict[str, Any] = {"flags": tuple(flags)}
    begin, _, rest = begin_text.partition(":")
    if begin == "index":
        values["index"] = int(rest)
    elif begin != "unknown":
        values["keyword"], start_from = rest.split(",")
        values["start_from"] = int(start_from)
    kind, _, rest = find_text.partition(":")
    if kind == "range":
        values |= zip(("last_key", "key_step", "limit"), map(int, rest.split(",")), strict=True)
    elif kind == "keynum":
        values |= zip(("keynum_index", "first_key", "key_step"), map(int, rest.split(",")), strict=True)
    return KeySpec(begin=begin, find=kind, **values)  # type: ignore[arg-type]


#: Where channels stand in a request, and which commands name patterns of them; leaving a channel needs no right.
_CHANNELS: Mapping[str, slice] = {
    "publish": slice(1, 2), "spublish": slice(1, 2),
    "subscribe": slice(1, None), "ssubscribe": slice(1, None), "psubscribe": slice(1, None),
}  # fmt: skip

#: Lanes whose requests are written to a node.
_NODE_LANES = frozenset({Lane.FAST, Lane.MGET, Lane.MSET, Lane.SUM})


def _parse_row(row: Mapping[str, Any], children: Mapping[str, Command]) -> Command:
    """A row of the file, its absent columns filled with their defaults."""
    lane = Lane[row["lane"]]
    flags = tuple(row.get("flags", "").split())
    specs = tuple(map(_parse_spec, row.get("specs", ())))
    routes = tuple(map(_parse_spec, row["routes"])) if "routes" in row else specs
    first_key, last_key, key_step = row.get("keys", (0, 0, 0))
    session = row.get("session", False)
    return Command(
        name=row["name"],
        arity=row["arity"],
        flags=flags,
        acl_categories=tuple(row["acl"].split()),
        first_key=first_key,
        last_key=last_key,
        key_step=key_step,
        key_specs=specs,
        routes=tuple(spec for spec in routes if spec.begin != "unknown" and "not_key" not in spec.flags),
        options=row.get("options", {}),
        tips=tuple(row.get("tips", ())),
        since=row["since"],
        group=row["group"],
        summary=row["summary"],
        complexity=row.get("complexity", ""),
        deprecated=row.get("deprecated", ""),
        lane=lane,
        later=row.get("later", ""),
        why=row.get("why", ""),
        blocks_with=row.get("blocks_with", ""),
        effect=row.get("effect", "same"),
        shared=lane in _NODE_LANES and not session and ("blocking" not in flags or "blocks_with" in row),
        cacheable=row.get("cacheable", False),
        mergeable=row.get("mergeable", False),
        one_node=row.get("one_node", False),
        session=session,
        subcommands=children,
    )


def _load() -> dict[str, Command]:
    rows: list[dict[str, Any]] = json.loads(files("proxy").joinpath("commands.json").read_bytes())
    children: dict[str, dict[str, Command]] = {}
    for row in rows:
        parent, bar, name = row["name"].partition("|")
        if bar:
            children.setdefault(parent, {})[name] = _parse_row(row, {})
    return {row["name"]: _parse_row(row, children.get(row["name"], {})) for row in rows if "|" not in row["name"]}


#: The table: top-level commands by lower-case name; each holds its subcommands.
COMMANDS: Mapping[str, Command] = _load()
