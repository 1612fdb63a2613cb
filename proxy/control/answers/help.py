"""Every HELP: the subcommands of the table, in one voice."""

from __future__ import annotations

from proxy.commands import Lane, subcommands
from proxy.control.reply import Simple, encode

__all__ = ["help_"]

_NOTES = {Lane.LATER: " (not supported yet)", Lane.REFUSED: " (refused by the proxy)"}


def help_(args: list[bytes], protocol: int) -> bytes:
    """HELP of a container: each subcommand with its summary and, where it is not served, a word about that."""
    name = args[0].decode("latin-1")
    lines = [f"{name.upper()} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:"]
    for child, row in subcommands(name.lower()).items():
        lines += [child.upper(), f"    {row.summary}{_NOTES.get(row.lane, '')}"]
    return encode([Simple(line) for line in lines], protocol)
