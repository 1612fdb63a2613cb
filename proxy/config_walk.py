"""A walk over the nodes of one configuration file, and the notes taken on it.

Owns what every level of the file has in common: problems and warnings with their place, the keys of a mapping (merges
unfolded, duplicates noted), the text of a scalar with its variables filled in. `config_file.py` walks the root with
it, `config_pool.py` a pool.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import UNSET
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from proxy.options import Option
from proxy.settings import Problem
from proxy.spelling import parse

VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")
NULL = "tag:yaml.org,2002:null"
MERGE = "tag:yaml.org,2002:merge"


class Walk:
    """One pass over one file. A value that is wrong is noted and left out, and the walk goes on.

    `nutcracker` says which of the two forms is read: there, text is taken as it stands and numbers are twemproxy's.
    """

    def __init__(self, file: str, environ: Mapping[str, str], nutcracker: bool = False) -> None:
        self.file = file
        self.environ = environ
        self.nutcracker = nutcracker
        self.problems: list[Problem] = []
        self.warnings: list[Problem] = []

    def problem(self, node: Node, path: str, message: str) -> None:
        """Note an error at `node`."""
        self.problems.append(self._at(node, path, message))

    def warn(self, node: Node, path: str, message: str) -> None:
        """Note something that works and that somebody should know."""
        self.warnings.append(self._at(node, path, message))

    def _at(self, node: Node, path: str, message: str) -> Problem:
        return Problem(self.file, *place(node.start_mark), path, message)

    def entries(self, node: MappingNode, path: str) -> Iterator[tuple[str, Node, Node]]:
        """(name, key, value) of a mapping, its merges (`<<: *anchor`) unfolded, a key's second occurrence noted."""
        seen: dict[str, Node] = {}
        merged: list[tuple[str, Node, Node]] = []
        for key, value in node.value:
            if not isinstance(key, ScalarNode):
                self.problem(key, path, f"expected a key, got {shape(key)}")
            elif key.tag == MERGE and not self.nutcracker:
                merged += self.merged(key, value, path, (node,))
            elif key.value in seen:
                first = seen[key.value].start_mark.line + 1
                self.problem(key, join(path, key.value), f"occurs twice, first on line {first}; keep one")
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
            self.problem(node, path, f"expected one value, got {shape(node)}")
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


def place(mark: Any) -> tuple[int, int]:
    """Line and column, from 1, of one of PyYAML's marks; 0, 0 without one."""
    return (mark.line + 1, mark.column + 1) if mark else (0, 0)


def shape(node: Node) -> str:
    """What a node is, in words."""
    if isinstance(node, ScalarNode):
        return "nothing" if node.tag == NULL or not node.value else f"'{node.value}'"
    empty = "an empty " if not node.value else "a "
    return empty + ("list" if isinstance(node, SequenceNode) else "mapping")


def join(path: str, name: str) -> str:
    """A dotted path with one more name; either may be empty."""
    return f"{path}.{name}" if path and name else path or name
