"""`python -m tests.compat`: the table of differences from a bare redis-server."""

from __future__ import annotations

from tests.compat.differences import DIFFERENCES


def table() -> str:
    """The rows of `differences.py`, as Markdown."""
    lines = ["| command | pool | difference from Redis 7.0.15 |", "|---|---|---|"]
    for row in DIFFERENCES:
        names = ", ".join(f"`{name.upper().replace('|', ' ')}`" for name in row.commands)
        lines.append(f"| {names} | {'; '.join(row.arrangements)} | {row.why} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(table())
