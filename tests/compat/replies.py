"""Comparing two replies, as the bytes that arrived: wholly, in any order, by shape, or by type alone."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Any

AGGREGATES = {b"*": 1, b"~": 1, b">": 1, b"%": 2}  # and how many replies one of their elements is

Tree = tuple[bytes, bytes, tuple[Any, ...]]  #: type, the rest of the line (or the bytes of a string), elements


class Match(StrEnum):
    """What has to be equal; the mark of a request says so."""

    BYTES = ""
    ORDER = "*"  #: all but the order of the elements
    SHAPE = "?"  #: types and counts, whether nil; an error's first word
    TYPE = "!"  #: the type of the reply


def parse(data: bytes) -> Tree:
    """The tree of one whole reply."""
    tree, end = _parse(data, 0)
    assert end == len(data), data
    return tree


def _parse(data: bytes, at: int) -> tuple[Tree, int]:
    end = data.index(b"\r\n", at)
    kind, line = data[at : at + 1], data[at + 1 : end]
    end += 2
    if kind in b"$=" and line != b"-1":
        return (kind, data[end : end + int(line)], ()), end + int(line) + 2
    elements = []
    if kind in AGGREGATES and line != b"-1":
        for _ in range(int(line) * AGGREGATES[kind]):
            element, end = _parse(data, end)
            elements.append(element)
    return (kind, line, tuple(elements)), end


def alike(ours: bytes, theirs: bytes, match: Match) -> bool:
    """Whether two replies are the same as far as ``match`` asks."""
    if ours == theirs or match is Match.BYTES:
        return ours == theirs
    if not ours or not theirs:  # one of the connections was closed, or silent
        return False
    return tree_alike(parse(ours), parse(theirs), match)


def tree_alike(ours: Tree, theirs: Tree, match: Match) -> bool:
    """The same of parsed replies."""
    if match is Match.BYTES:
        return ours == theirs
    if match is Match.TYPE:
        return ours[0] == theirs[0]
    if match is Match.SHAPE:
        return shape(ours) == shape(theirs)
    return ours[:2] == theirs[:2] and sorted(pairs(ours)) == sorted(pairs(theirs))


def elements_alike(ours: bytes, theirs: bytes, matches: Sequence[Match]) -> bool:
    """Whether two arrays of as many replies as there are ``matches`` are the same, each as far as its own asks."""
    if not matches or ours[:1] != b"*" or theirs[:1] != b"*":
        return False
    mine, other = parse(ours), parse(theirs)
    return mine[1] == other[1] == b"%d" % len(matches) and all(map(tree_alike, mine[2], other[2], matches))


def pairs(tree: Tree) -> list[tuple[Tree, ...]]:
    """The elements; of a map each key with its value."""
    size = AGGREGATES.get(tree[0], 1)
    return [tree[2][at : at + size] for at in range(0, len(tree[2]), size)]


def shape(tree: Tree) -> tuple[object, ...]:
    """What is left of a reply without its values."""
    kind, line, elements = tree
    if kind in AGGREGATES:
        return (kind, line, *map(shape, elements))
    return (kind, line.split(b" ")[0] if kind == b"-" else line == b"-1")
