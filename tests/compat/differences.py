"""Where a client can tell Quench from a bare redis-server 7.0.15: every command whose replies differ, and why.

The tests fail on a difference that is not a row here, and on a row that no longer is a difference.
"""

from __future__ import annotations

from typing import NamedTuple

ONE, TAGGED, SPREAD = "one node", "three nodes, one tag", "three nodes"
EVERYWHERE = (ONE, TAGGED, SPREAD)
SEVERAL = (TAGGED, SPREAD)

MOST = 40  # rows; a longer list is no drop-in


class Row(NamedTuple):
    """Commands (rows of the table, subcommands as `client|id`) that differ in some arrangements for one reason."""

    commands: tuple[str, ...]
    arrangements: tuple[str, ...]
    why: str


DIFFERENCES: tuple[Row, ...] = ()


def documented(arrangement: str) -> set[str]:
    """The commands that may differ, and have to, in an arrangement."""
    return {command for row in DIFFERENCES if arrangement in row.arrangements for command in row.commands}
