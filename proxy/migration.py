"""Migration: what came of reading another proxy's configuration, and how it is printed.

`config_envoy.py` and `config_predixy.py` read; they know the other proxy, and this file knows Quench. A Migration is
pools in the native form, what moves keys or opens doors (`alarms`), and what else does not carry over (`notes`).
Nothing of the other file is dropped without a word: what no reader took becomes a note.
"""

import re
from collections.abc import Iterator, Mapping
from textwrap import fill
from typing import Any

from msgspec import Struct, field

from proxy.config_text import WIDTH, to_yaml
from proxy.config_walk import VARIABLE


class Migration(Struct):
    """The result, filled in by a reader. `pools` holds options by name as they are to be written."""

    engines: int | None = None
    pools: dict[str, dict[str, Any]] = field(default_factory=dict)
    alarms: list[str] = field(default_factory=list)  # keys that move, clients that get in or do not
    notes: list[str] = field(default_factory=list)  # "place: what, and what to do"

    def note(self, place: str, text: str) -> None:
        """Say that something has not been carried over, or not quite."""
        self.notes.append(f"{place}: {text}" if place else text)

    def alarm(self, place: str, text: str) -> None:
        """Say it at the top."""
        self.alarms.append(f"{place}: {text}" if place else text)

    def free_name(self, wanted: str) -> str:
        """A name for a pool: one word, like `wanted`, that no other pool has."""
        word = re.sub(r"[^A-Za-z0-9_.-]+", "-", wanted).strip("-") or "pool"
        name, number = word, 2
        while name in self.pools:
            name, number = f"{word}-{number}", number + 1
        return name

    def text(self, source: str) -> str:
        """The configuration file; `source` says where it came from."""
        lines = [f"# Made from {_plain(source)}."]
        for title, said in (("READ THIS FIRST:", self.alarms), ("Not carried over, or not quite:", self.notes)):
            if said:
                lines += ["#", f"# {title}"]
                lines += [_comment(text) for text in dict.fromkeys(said)]
        document = ({} if self.engines is None else {"engines": self.engines}) | {"pools": self.pools}
        return "\n".join(lines) + "\n\n" + to_yaml(document)


class Fields:
    """One mapping of the other file. Take what you know; `leave` notes the rest."""

    def __init__(self, value: Any, place: str, migration: Migration) -> None:
        self.place = place
        self.migration = migration
        self.left: dict[str, Any] = {}
        if isinstance(value, Mapping):
            self.left = {str(key): value for key, value in value.items()}
        elif value is not None:
            migration.note(place, f"expected a mapping, got {value!r}")

    def path(self, name: str) -> str:
        """Where the value of `name` stands."""
        return f"{self.place}.{name}" if self.place else name

    def take(self, name: str, default: Any = None) -> Any:
        """The value of `name`, which counts as carried over."""
        return self.left.pop(name, default)

    def text(self, name: str) -> str:
        """The value of `name` as text; empty if it is missing or no scalar."""
        value = self.take(name)
        if isinstance(value, Mapping | list):
            self.migration.note(self.path(name), "expected one value")
            return ""
        return "" if value is None else str(value)

    def fields(self, name: str) -> "Fields":
        """The mapping at `name`, empty if there is none."""
        return Fields(self.take(name), self.path(name), self.migration)

    def each(self, name: str) -> Iterator["Fields"]:
        """The mappings of the list at `name`."""
        value = self.take(name)
        if value is not None and not isinstance(value, list):
            self.migration.note(self.path(name), "expected a list")
        elif value:
            for index, item in enumerate(value):
                yield Fields(item, f"{self.path(name)}[{index}]", self.migration)

    def leave(self, reasons: Mapping[str, str], otherwise: str = "has no counterpart") -> None:
        """Note everything that was not taken; `reasons` knows why, "" is for what needs no word."""
        for name in self.left:
            reason = reasons.get(name, otherwise)
            if reason:
                self.migration.note(self.path(name), reason)


def secret(text: str, place: str) -> str:
    """A password as a native file may hold it. Raises ValueError for one that a native file would read otherwise."""
    if VARIABLE.search(text):
        raise ValueError(f"{place}: the password holds ${{…}}, which Quench fills in; put it into a file first")
    return text


def _comment(text: str) -> str:
    return fill(_plain(text), WIDTH, initial_indent="# * ", subsequent_indent="#   ", break_on_hyphens=False,
                break_long_words=False)  # fmt: skip


def _plain(text: str) -> str:
    """Without line breaks of any alphabet, which would end a comment."""
    return "".join(char if char.isprintable() else " " for char in text)
