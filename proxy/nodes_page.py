"""Nodes page: what `quench nodes` shows. It asks a running proxy for INFO nodes, as any client could."""

from __future__ import annotations

import os
import socket
from typing import Any
from urllib.parse import unquote

import hiredis

from proxy.address import Listen
from proxy.settings import Pool

#: Seconds that the proxy may take.
PATIENCE = 5.0

#: The columns of the table, of those that the proxy tells.
COLUMNS = (
    "pool", "name", "address", "role", "state", "lag", "epoch", "in_flight", "backlog", "requests", "errors",
    "timeouts", "losses", "retries", "hedges", "hedges_won", "promotions", "copies", "hints", "missed", "replayed",
    "mended", "repaired",
)  # fmt: skip

#: Those that are left out while they are 0 everywhere: what they count does not happen in every pool.
QUIET = {"retries", "hedges", "hedges_won", "promotions", "hints"}


def nodes_of(pool: Pool) -> list[dict[str, str]]:
    """A row for each node of each pool of the proxy that listens where `pool` does.

    Raises:
        OSError: it cannot be reached, or it refuses; `strerror` or the text says why.
    """
    with _connect(pool.listen) as link:
        link.settimeout(PATIENCE)
        commands: list[tuple[Any, ...]] = [("INFO", "nodes")]
        if pool.password is not None:
            commands.insert(0, ("AUTH", pool.password.reveal()))
        link.sendall(b"".join(map(hiredis.pack_command, commands)))
        reader = hiredis.Reader(encoding="utf-8", errors="replace")
        text = ""
        for _ in commands:
            while (reply := reader.gets()) is False:
                received = link.recv(65536)
                if not received:
                    raise OSError("the proxy closed the connection")
                reader.feed(received)
            if isinstance(reply, hiredis.ReplyError):
                raise OSError(str(reply))
            text = str(reply)
    rows = []
    for line in text.splitlines():
        if line.startswith("node"):
            pairs = (pair.partition("=") for pair in line.partition(":")[2].split(","))
            rows.append({name: unquote(value) for name, _, value in pairs})
    return rows


def _connect(listen: Listen) -> socket.socket:
    if listen.path:
        link = socket.socket(socket.AF_UNIX)
        link.settimeout(PATIENCE)
        try:
            link.connect(os.fspath(listen.path))
        except OSError:
            link.close()
            raise
        return link
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(listen.host, listen.host)
    return socket.create_connection((host, listen.port), PATIENCE)


def table(rows: list[dict[str, str]]) -> str:
    """As columns of text; replicas stand behind their nodes, and a column that nobody fills is left out."""
    shown = [
        column for column in COLUMNS
        if any(row.get(column, "") not in (("", "0") if column in QUIET else ("",)) for row in rows)
    ]  # fmt: skip
    members = [row for row in rows if not row.get("replica_of")]
    lines = [[column.replace("_", " ") for column in shown]]
    for member in members:
        group = [row for row in rows if row.get("replica_of") == member["name"] and row.get("pool") == member["pool"]]
        lines += [[row.get(column, "") for column in shown] for row in (member, *group)]
    widths = [max(len(line[place]) for line in lines) for place in range(len(shown))]
    return "\n".join(
        "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )
