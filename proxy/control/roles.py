"""Roles: what a node says of its place in replication. Pure: text in, reports out.

A role is learnt from the node and never taken from the configuration: who is a replica there may have been promoted
since. It is read from INFO replication, which has what ROLE says, and the ids of the streams besides.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

NO_ID = "0" * 40


@dataclass(frozen=True, slots=True)
class Report:
    """A node's INFO replication, and the run_id of its process."""

    run_id: str
    primary: bool  #: it takes writes of its own
    replid: str = NO_ID  #: the stream that it is in
    replid2: str = NO_ID  #: the one that it was in before, of which this one is the continuation
    offset: int = 0  #: bytes of the stream that it has
    follows: str = ""  #: host:port that it was told to replicate; "" where it is a primary
    linked: bool = False  #: it has its primary's data and gets every change
    syncing: bool = False  #: it is getting its primary's data, and its own is gone
    replicas: int = 0  #: connected to it
    keys: int = 0

    def shares(self, other: Report) -> bool:
        """Both are in one stream."""
        return self.replid == other.replid != NO_ID


def parse(run_id: str, text: str, keys: int = 0) -> Report:
    """A Report from the text of INFO replication. Raises ValueError where it is none."""
    fields = dict(re.findall(r"(?m)^(\w+):(.*?)\r?$", text))
    role = fields.get("role")
    if role not in ("master", "slave"):
        raise ValueError("it does not say which role it has")
    primary = role == "master"
    offset = fields.get("master_repl_offset" if primary else "slave_repl_offset", "0")
    return Report(
        run_id,
        primary,
        fields.get("master_replid", NO_ID),
        fields.get("master_replid2", NO_ID),
        int(offset),
        "" if primary else f"{fields.get('master_host', '')}:{fields.get('master_port', '')}",
        fields.get("master_link_status") == "up",
        fields.get("master_sync_in_progress") == "1",
        int(fields.get("connected_slaves", "0")),
        keys,
    )


def leading(now_there: str, addresses: Sequence[str], reports: Mapping[str, Report]) -> str:
    """Who of a member's nodes is primary by their own account: the one that is thought to be, as long as it says so or
    nobody else does; else the only other one."""
    primaries = [address for address in addresses if address in reports and reports[address].primary]
    return primaries[0] if len(primaries) == 1 and now_there not in primaries else now_there
