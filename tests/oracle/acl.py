"""The naive twin of the reading of ACL rules about commands: every question goes through all of them again."""

from __future__ import annotations

from collections.abc import Sequence

from proxy.commands import COMMANDS, Command


def command_allowed(rules: Sequence[str], row: Command, first: str) -> bool:
    """May `row` run, with `first` as its first argument (lower case), after these rules?"""
    container = COMMANDS[row.name.partition("|")[0]]
    allowed, firsts = False, set()
    for rule in rules:
        what = rule[1:].lower()
        if what == "@all":
            hit = True
        elif what.startswith("@"):
            hit = what[1:] in row.acl_categories or what[1:] in container.acl_categories
        else:
            hit = what in (row.name, container.name)
        if hit:
            allowed, firsts = rule[0] == "+", set()
        elif what.partition("|")[0] == row.name:
            firsts.add(what.partition("|")[2])
    return allowed or first in firsts
