"""The command table as a page: COMMANDS.md, what becomes of every command.

Made from the rows of `commands.json` and the words that `quench commands` has for them, so it says nothing of its own;
`make commands` writes it, and a test compares it.
"""

from collections.abc import Sequence

from proxy.commands import Command, Lane

#: Redis's groups, by their headings, in the order of the page.
GROUPS = {
    "string": "Strings",
    "bitmap": "Bitmaps",
    "generic": "Keys of any type",
    "hash": "Hashes",
    "list": "Lists",
    "set": "Sets",
    "sorted-set": "Sorted sets",
    "stream": "Streams",
    "hyperloglog": "HyperLogLog",
    "geo": "Geography",
    "pubsub": "Publish and subscribe",
    "transactions": "Transactions",
    "scripting": "Scripts and functions",
    "connection": "Connection",
    "server": "Server",
    "cluster": "Cluster",
}

INTRODUCTION = """\
# What becomes of every command

<!-- make commands -->
Written by `make commands` from the command table, [commands.json](commands.json); `quench commands` prints the same.
Of {all} commands and subcommands {served} are served, {later} are not served yet, and {refused} are refused for good:
a client gets an error that says why, and keeps its connection.

*One node*: the node that holds the key, as it is and byte for byte; several keys have to live on one node, else the
reply is `CROSSSLOT`. *Split by node*: one command for each node concerned, the replies merged. *Every node*: all nodes
of the pool are asked, and one that fails is an error. *Answered here*: by the proxy itself, without a node unless the
command asks for one. *(copied)* marks a read that a copy of a hot key could answer, *(merged)* an increment that could
be combined with others.
"""


def page(rows: Sequence[tuple[Command, str]]) -> str:
    """The page, of (row, what becomes of it) in the order of the table. KeyError for a group without a heading."""
    lanes = [row.lane for row, _ in rows]
    later, refused = lanes.count(Lane.LATER), lanes.count(Lane.REFUSED)
    served = len(rows) - later - refused
    sections = {group: [f"## {heading}", "", "| command | what becomes of it | what it does |", "|---|---|---|"]
                for group, heading in GROUPS.items()}  # fmt: skip
    for row, treatment in rows:
        cells = (f"`{row.name.upper().replace('|', ' ')}`", _cell(treatment), _cell(row.summary))
        sections[row.group].append(f"| {' | '.join(cells)} |")
    text = INTRODUCTION.format(all=len(rows), served=served, later=later, refused=refused)
    return "\n".join([text, *("\n".join(lines) + "\n" for lines in sections.values() if len(lines) > 4)])


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")
