"""The configuration file: YAML text in, a checked Settings or every problem at once out.

Owns the walk over the file. The YAML is composed to nodes, not loaded to objects, because only nodes know their line
and column, keep a value as it was written (`redis_auth: 0123` is a password, not 83) and show a key that occurs twice.

Two forms are read. The native one has `pools:` at its root. A nutcracker.yml has the pools themselves there, and
twemproxy's meaning: its keys, its defaults, bare milliseconds, no `${VARIABLE}`. What twemproxy 0.5.0 accepts is
accepted, with a warning where it does harm; in a native file the same mistakes are errors.
"""

import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import yaml
from msgspec import UNSET
from yaml.events import CollectionEndEvent, CollectionStartEvent
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from proxy.address import Server, make_server, parse_server, parse_weight
from proxy.options import ENGINES, GROUPS, OPTIONS, Option
from proxy.placement import pointless
from proxy.settings import MASK, ConfigError, Pool, Problem, Secret, Settings
from proxy.spelling import nearest, parse

VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")
# Composing recurses in C without a limit, and overruns the stack on a file of brackets: a reload must survive that.
MOST_DEPTH = 32
NULL = "tag:yaml.org,2002:null"
MERGE = "tag:yaml.org,2002:merge"


def load(path: str, environ: Mapping[str, str] | None = None) -> Settings:
    """Read the file `path` ("-" is standard input). Raises ConfigError with all of its problems."""
    name = "<stdin>" if path == "-" else path
    try:
        data = sys.stdin.buffer.read() if path == "-" else Path(path).read_bytes()
        text = data.decode("utf-8-sig")
    except OSError as error:
        raise ConfigError([Problem(name, 0, 0, "", f"cannot be read: {error.strerror}")]) from None
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError([Problem(name, line, 1, "", "is not UTF-8 text; save it as UTF-8")]) from None
    return loads(text, name, environ)


def loads(text: str, file: str = "<text>", environ: Mapping[str, str] | None = None) -> Settings:
    """Read the configuration `text`; `file` names it in messages. Raises ConfigError with all of its problems."""
    reader = _Reader(file, os.environ if environ is None else environ)
    try:
        depth = 0
        for event in yaml.parse(text, Loader=yaml.CSafeLoader):
            depth += isinstance(event, CollectionStartEvent) - isinstance(event, CollectionEndEvent)
            if depth > MOST_DEPTH:
                message = f"is nested more than {MOST_DEPTH} deep; a configuration needs 5"
                raise ConfigError([Problem(file, *_place(event.start_mark), "", message)])
        root = yaml.compose(text, Loader=yaml.CSafeLoader)
    except yaml.MarkedYAMLError as error:
        place = _place(error.problem_mark or error.context_mark)
        raise ConfigError([Problem(file, *place, "", f"is not YAML: {error.problem or error.context}")]) from None
    except yaml.YAMLError as error:
        raise ConfigError([Problem(file, 0, 0, "", f"is not YAML: {str(error).splitlines()[0]}")]) from None
    settings = reader.settings(root)
    if reader.problems or settings is None:
        raise ConfigError(reader.problems)
    return settings


def is_nutcracker(root: MappingNode) -> bool:
    """Are the pools at the root, as twemproxy has them? (A pool that is called `pools` does not fool it.)"""
    native = any(key.value == "pools" and not _is_pool(value) for key, value in root.value)
    return not native and any(_is_pool(value) for _, value in root.value)


def _is_pool(node: Node) -> bool:
    """Does it have a listener or servers, in the shape of either, right below itself?"""
    shapes = {"listen": ScalarNode, "servers": SequenceNode}
    return isinstance(node, MappingNode) and any(
        isinstance(key, ScalarNode) and isinstance(value, shapes.get(key.value, ())) for key, value in node.value
    )


class _Reader:
    """One pass over one file. A value that is wrong is noted and left out, and the walk goes on."""

    def __init__(self, file: str, environ: Mapping[str, str]) -> None:
        self.file = file
        self.environ = environ
        self.problems: list[Problem] = []
        self.warnings: list[Problem] = []
        self.nutcracker = False

    def problem(self, node: Node, path: str, message: str) -> None:
        """Note an error at `node`."""
        self.problems.append(self._at(node, path, message))

    def warn(self, node: Node, path: str, message: str) -> None:
        """Note something that works and that somebody should know."""
        self.warnings.append(self._at(node, path, message))

    def _at(self, node: Node, path: str, message: str) -> Problem:
        return Problem(self.file, *_place(node.start_mark), path, message)

    # The levels of the file, from the top.

    def settings(self, root: Node | None) -> Settings | None:
        """The whole file."""
        if root is None:
            self.problems.append(Problem(self.file, 1, 1, "", "is empty; it needs pools: with at least one pool"))
            return None
        if not isinstance(root, MappingNode):
            self.problem(root, "", "expected pools: at the root, got " + _shape(root))
            return None
        self.nutcracker = is_nutcracker(root)
        top: dict[str, Node] = {"pools": root} if self.nutcracker else {}
        engines = parse(ENGINES, "auto")
        if not self.nutcracker:
            for name, key, value in self.entries(root, ""):
                if name == "pools":
                    top[name] = value
                elif name == "engines":
                    engines = self.scalar(ENGINES, value, name)
                else:
                    self.unknown_at_root(name, key)
        pools: list[Pool] = []
        if "pools" not in top:
            self.problem(root, "pools", "is missing; it names the pools to serve")
        elif not isinstance(top["pools"], MappingNode) or not top["pools"].value:
            self.problem(top["pools"], "pools", "expected NAME: {listen, servers} for each pool")
        else:
            pools = self.pools(top["pools"])
        if self.problems:
            return None
        warnings = sorted(self.warnings, key=lambda warning: (warning.line, warning.column))
        return Settings(engines=engines, pools=tuple(pools), file=self.file, warnings=tuple(warnings))

    def unknown_at_root(self, name: str, key: Node) -> None:
        """A key at the root that is neither `engines` nor `pools`."""
        if name in GROUPS or any(name == option.key for option in OPTIONS):
            self.problem(key, name, "is an option of a pool; move it under pools: NAME:")
        else:
            advice = nearest(name, ["engines", "pools"]) or "; at the root are engines and pools"
            self.problem(key, name, f"unknown key{advice}")

    def pools(self, node: MappingNode) -> list[Pool]:
        """All pools, checked against each other."""
        pools = []
        listening: dict[str, str] = {}
        for name, key, value in self.entries(node, "" if self.nutcracker else "pools"):
            path = name if self.nutcracker else f"pools.{name}"
            if not name or not (self.nutcracker or (name.isprintable() and " " not in name)):
                self.problem(key, path, "the name of a pool is one word")
            elif not isinstance(value, MappingNode):
                self.problem(value, path, f"expected the options of a pool, got {_shape(value)}")
            elif pool := _PoolReader(self, name, key, path).read(value):
                pools.append(pool)
                listen = str(pool.listen)
                if listen in listening and (pool.listen.path or pool.listen.port):
                    self.problem(key, f"{path}.listen", f"{listen} is pool {listening[listen]}'s; choose another")
                listening.setdefault(listen, name)
        return pools

    # Pieces.

    def entries(self, node: MappingNode, path: str) -> Iterator[tuple[str, Node, Node]]:
        """(name, key, value) of a mapping, its merges (`<<: *anchor`) unfolded, a key's second occurrence noted."""
        seen: dict[str, Node] = {}
        merged: list[tuple[str, Node, Node]] = []
        for key, value in node.value:
            if not isinstance(key, ScalarNode):
                self.problem(key, path, f"expected a key, got {_shape(key)}")
            elif key.tag == MERGE and not self.nutcracker:
                merged += self.merged(key, value, path, (node,))
            elif key.value in seen:
                first = seen[key.value].start_mark.line + 1
                self.problem(key, _join(path, key.value), f"occurs twice, first on line {first}; keep one")
            else:
                seen[key.value] = key
                yield key.value, key, value
        for name, key, value in merged:  # a key of the mapping itself wins, then the first merge that has it
            if name not in seen:
                seen[name] = key
                yield name, key, value

    def merged(
        self, merge: Node, value: Node, path: str, outer: tuple[Node, ...]
    ) -> Iterator[tuple[str, Node, Node]]:
        """The entries that `<<: value` brings in, its own merges last; `outer` are the mappings being merged into."""
        for source in value.value if isinstance(value, SequenceNode) else [value]:
            if not isinstance(source, MappingNode) or source in outer:
                self.problem(merge, path, "expected << to merge another mapping")
                continue
            further = []
            for key, inner in source.value:
                if key.tag == MERGE:
                    further.append((key, inner))
                elif isinstance(key, ScalarNode):
                    yield key.value, key, inner
            for key, inner in further:
                yield from self.merged(key, inner, path, (*outer, source))

    def text(self, node: Node, path: str) -> str | None:
        """The text of a scalar, its variables filled in; None, and a problem noted, if there is none."""
        if not isinstance(node, ScalarNode):
            self.problem(node, path, f"expected one value, got {_shape(node)}")
            return None
        if node.tag == NULL:
            self.problem(node, path, "has no value; give it one or delete the key")
            return None
        if self.nutcracker:
            return str(node.value)
        unset = [m[1] for m in VARIABLE.finditer(node.value) if m[2] is None and m[1] not in self.environ]
        for name in dict.fromkeys(unset):
            self.problem(node, path, f"variable {name} is not set; set it, or write ${{{name}:-default}}")
        if unset:
            return None
        text = VARIABLE.sub(lambda m: self.environ.get(m[1]) or m[2] or "", node.value)
        if any("\ud800" <= char <= "\udfff" for char in text):  # how Python spells bytes of a variable that are no text
            self.problem(node, path, "a variable in it is not UTF-8 text; set it again")
            return None
        return text

    def scalar(self, option: Option, node: Node, path: str) -> Any:
        """The value of an option; UNSET, and a problem noted, if it has none."""
        if isinstance(node, ScalarNode) and node.tag == NULL and option.nullable and not self.nutcracker:
            return None
        if option.kind == "tag" and isinstance(node, MappingNode):
            self.problem(node, path, 'expected two characters; write them in quotes: "{}"')
            return UNSET
        text = self.text(node, path)
        if text is None:
            return UNSET
        try:
            return parse(option, text, self.nutcracker)
        except ValueError as error:
            self.problem(node, path, str(error))
            return UNSET


class _PoolReader:
    """One pool: its keys to fields, then the checks that need several of them."""

    def __init__(self, reader: _Reader, name: str, key: Node, path: str) -> None:
        self.reader = reader
        self.name = name
        self.key = key
        self.path = path
        self.where = ("both", "nutcracker") if reader.nutcracker else ("both", "native")
        self.options = {option.key: option for option in OPTIONS if option.where in self.where}
        self.values: dict[str, Any] = {}  # by key of the option table, e.g. limits.window
        self.nodes: dict[str, Node] = {}  # where a value stands
        self.spelled: dict[str, str] = {}  # the key that gave a value

    def read(self, node: MappingNode) -> Pool | None:
        """The pool, or None if anything in it is wrong."""
        before = len(self.reader.problems)
        self.mapping(node, "")
        for option in self.options.values():
            if option.required and option.key not in self.nodes:
                self.reader.problem(self.key, f"{self.path}.{option.key}", f"is missing: {option.help}")
        if self.reader.nutcracker and self.values.pop("redis", False) is not True:
            self.reader.problem(
                self.nodes.get("redis", self.key), f"{self.path}.redis",
                "is not true, so this is a memcached pool, which Quench does not speak; take the pool out, or write "
                "redis: true (in a native file: put the pools under pools:)",
            )  # fmt: skip
        if len(self.reader.problems) > before:
            return None
        pool = self.build()
        self.check(pool)
        return None if len(self.reader.problems) > before else pool

    def mapping(self, node: MappingNode, group: str) -> None:
        """The options of the pool, or of one group of it."""
        here = _join(self.path, group)
        for name, key, value in self.reader.entries(node, here):
            full = _join(group, name)
            path = _join(here, name)
            if not group and name in GROUPS and not self.reader.nutcracker:
                if isinstance(value, MappingNode):
                    self.mapping(value, name)
                else:
                    self.reader.problem(value, path, f"expected the options of {name}, got {_shape(value)}")
            elif full in self.options:
                self.option(self.options[full], value, path)
            else:
                self.reader.problem(key, path, self.unknown(name, group))

    def unknown(self, name: str, group: str) -> str:
        """What to say of a key that is not in the table."""
        if self.reader.nutcracker and (name in GROUPS or any(name == option.key for option in OPTIONS)):
            return "is not an option of twemproxy's; to use it, put the pools of this file under pools:"
        for option in OPTIONS:
            if option.name == name and option.group != group and option.where in self.where:
                return f"belongs under {option.group}:" if option.group else "belongs to the pool itself, one level up"
        known = [key.removeprefix(f"{group}.") for key in self.options if key.rpartition(".")[0] == group]
        return f"unknown option{nearest(name, known + ([] if group else list(GROUPS)))}"

    def option(self, option: Option, node: Node, path: str) -> None:
        """One key and its value."""
        self.nodes[option.key] = node
        value = self.servers(node, path) if option.kind == "servers" else self.reader.scalar(option, node, path)
        if value is UNSET:
            return
        if value == Secret(MASK):
            self.reader.warn(node, path, "is the mask that quench config prints, not a password")
        for field in (option.key,) if option.sets is None or option.key == "redis" else option.sets:
            if field in self.spelled:
                self.reader.problem(node, path, f"{field} is already given by {self.spelled[field]}; keep one of them")
            else:
                self.spelled[field] = option.key
                self.values[field] = value

    def servers(self, node: Node, path: str) -> Any:
        """The list of nodes."""
        if not isinstance(node, SequenceNode) or not node.value:
            self.reader.problem(node, path, f"expected a list of nodes like [10.0.0.1:6379], got {_shape(node)}")
            return UNSET
        servers = []
        labels: dict[str, int] = {}
        for index, item in enumerate(node.value):
            place = f"{path}[{index}]"
            server = self.server(item, place)
            if server is None:
                continue
            if server.label in labels:
                first = labels[server.label]
                advice = "give one of them another name" if server.name is not None else "delete one"
                self.reader.problem(item, place, f"node {server.label} is already there as [{first}]; {advice}")
            labels.setdefault(server.label, index)
            servers.append(server)
        return tuple(servers)

    def server(self, node: Node, path: str) -> Server | None:
        """One node, in either form."""
        if not isinstance(node, MappingNode):
            text = self.reader.text(node, path)
            return None if text is None else self.attempt(node, path, partial(parse_server, text))
        fields: dict[str, str] = {}
        known = ["address", "weight", "name"]
        for name, key, value in self.reader.entries(node, path):
            if name not in known:
                advice = nearest(name, known) or f"; a node has {', '.join(known)}"
                self.reader.problem(key, f"{path}.{name}", f"unknown key{advice}")
            elif (text := self.reader.text(value, f"{path}.{name}")) is not None:
                fields[name] = text
        if "address" not in fields:
            self.reader.problem(node, f"{path}.address", "is missing: host:port, or the path of a unix socket")
            return None

        def make() -> Server:
            return make_server(fields["address"], parse_weight(fields.get("weight", "1")), fields.get("name"))

        return self.attempt(node, path, make)

    def attempt(self, node: Node, path: str, make: Callable[[], Server]) -> Server | None:
        """`make()`, or None and its ValueError noted."""
        try:
            return make()
        except ValueError as error:
            self.reader.problem(node, path, str(error))
            return None

    def build(self) -> Pool:
        """The struct, with the defaults of the file's form."""
        values = dict(self.values)
        if self.reader.nutcracker:
            for option in self.options.values():
                if option.nutcracker is not UNSET:
                    values.setdefault(option.key, option.nutcracker)
            if values["timeout"] is not None:  # twemproxy has one timeout, for connecting and for replies
                values["connect_timeout"] = values["timeout"]
        own = {key: value for key, value in values.items() if "." not in key}
        for group, struct in GROUPS.items():
            own[group] = struct(**{k.partition(".")[2]: v for k, v in values.items() if k.startswith(f"{group}.")})
        return Pool(name=self.name, **own)

    def check(self, pool: Pool) -> None:
        """What no single option shows."""
        limits, harm = pool.limits, self.reader.warn if self.reader.nutcracker else self.reader.problem
        for low, high, small, large in (
            ("limits.output_soft", "limits.output_hard", limits.output_soft, limits.output_hard),
            ("limits.bulk", "limits.max_bulk", limits.bulk, limits.max_bulk),
            ("limits.max_bulk", "limits.query_buffer", limits.max_bulk, limits.query_buffer),
            ("reconnect.first", "reconnect.most", pool.reconnect.first, pool.reconnect.most),
        ):
            if small > large:
                culprit = low if low in self.nodes else high
                self.reader.problem(self.node(culprit), f"{self.path}.{culprit}", f"{low} is larger than {high}")
        if pool.hash == "crc32" and pool.distribution == "ketama":
            advice = "keep it only to take over existing data" if self.reader.nutcracker else "use murmur or crc32a"
            harm(
                self.node("hash"), f"{self.path}.hash",
                f"crc32 has 15 bits and ketama's ring 32, so one node would hold nearly every key; {advice}",
            )  # fmt: skip
        total = sum(server.weight for server in pool.servers)
        for index in pointless(pool):
            path = f"{self.path}.servers[{index}]"
            node = self.nodes["servers"].value[index]
            harm(node, path, f"weight {pool.servers[index].weight} of {total} gives it no point, so no key; raise it")
        if pool.distribution == "random" and len(pool.servers) > 1:
            self.reader.warn(
                self.node("distribution"), f"{self.path}.distribution",
                "random asks any node for any key; it is for nodes that all hold the same data",
            )  # fmt: skip
        if pool.server_connections > 1:
            self.reader.warn(
                self.node("server_connections"), f"{self.path}.server_connections",
                "has no effect: an engine pipelines on one connection to a node; use engines: for more",
            )  # fmt: skip

    def node(self, key: str) -> Node:
        """Where to point for an option: at its value, or at the pool's name if it has its default."""
        return self.nodes.get(key, self.key)


def _place(mark: Any) -> tuple[int, int]:
    """Line and column, from 1, of one of PyYAML's marks; 0, 0 without one."""
    return (mark.line + 1, mark.column + 1) if mark else (0, 0)


def _shape(node: Node) -> str:
    if isinstance(node, ScalarNode):
        return "nothing" if node.tag == NULL or not node.value else f"'{node.value}'"
    empty = "an empty " if not node.value else "a "
    return empty + ("list" if isinstance(node, SequenceNode) else "mapping")


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path and name else path or name
