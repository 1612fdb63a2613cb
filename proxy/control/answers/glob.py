"""Redis's glob patterns: ``*``, ``?``, ``[a-z]``, ``[^a]`` and a backslash before any of them.

Not `re`: a pattern comes from a client, and one with many stars would backtrack for longer than the control plane may
stand still. `fnmatch` differs in classes and has no escape.
"""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["glob"]

_ANY = frozenset(range(256))


def glob(pattern: bytes, any_case: bool = True) -> Callable[[bytes], bool]:
    """A function that tells whether a text matches ``pattern`` as a whole.

    As in Redis, a class that is not closed reaches to the end of the pattern, a range may be given backwards, and a
    backslash at the end stands for itself. Costs O(pattern x text): on a mismatch only the last star takes more.
    """
    parts = _parse(pattern.lower() if any_case else pattern)

    def matches(text: bytes) -> bool:
        if any_case:
            text = text.lower()
        at = part = 0
        star = star_at = -1
        while at < len(text):
            member = parts[part] if part < len(parts) else frozenset[int]()
            if member is None:
                star, star_at = part, at
                part += 1
            elif text[at] in member:
                at += 1
                part += 1
            elif star >= 0:
                star_at += 1
                at, part = star_at, star + 1
            else:
                return False
        return all(member is None for member in parts[part:])

    return matches


def _parse(pattern: bytes) -> list[frozenset[int] | None]:
    """The pattern as sets of bytes, one for each byte of text; None is a star."""
    parts: list[frozenset[int] | None] = []
    i = 0
    while i < len(pattern):
        byte = pattern[i]
        i += 1
        if byte == ord("*"):
            parts.append(None)
        elif byte == ord("?"):
            parts.append(_ANY)
        elif byte == ord("["):
            members, i = _class(pattern, i)
            parts.append(members)
        else:
            if byte == ord("\\") and i < len(pattern):
                byte = pattern[i]
                i += 1
            parts.append(frozenset((byte,)))
    return parts


def _class(pattern: bytes, i: int) -> tuple[frozenset[int], int]:
    """The class that begins at ``i``, behind its bracket, and the position behind it."""
    negated = pattern[i : i + 1] == b"^"
    i += negated
    members: set[int] = set()
    while i < len(pattern) and pattern[i] != ord("]"):
        if pattern[i] == ord("\\") and i + 1 < len(pattern):
            i += 1
            members.add(pattern[i])
        elif pattern[i + 1 : i + 2] == b"-" and i + 2 < len(pattern):
            low, high = sorted((pattern[i], pattern[i + 2]))
            members.update(range(low, high + 1))
            i += 2
        else:
            members.add(pattern[i])
        i += 1
    return (_ANY - members if negated else frozenset(members)), i + 1
