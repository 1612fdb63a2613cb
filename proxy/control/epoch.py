"""Epoch: the record on which the proxies of a pool agree, and how a voter keeps it. Pure.

Every data node of a pool is a voter: it keeps one record, under a key named after itself, in database 0. A record says
who is the primary of each member. It has a number that only grows at a voter, and never changes: whoever wants another
one raises the epoch. A record holds when a majority of the voters keeps it.

A voter may forget (FLUSHALL, eviction, a restart), and its key may come back from the past: from a snapshot on its
disk, or in a full resync from a node that once was its replica. So a record at a voter counts only together with the
process and the replication stream in which it was written: a process has a new run_id, and data comes from elsewhere
with another stream's id and without a previous one. A voter whose record does not count is one that has none.
"""

from __future__ import annotations

import msgspec

from proxy.control.roles import NO_ID, Report

#: Ends as the copies of hot keys do: clients may not name such keys, and are not shown them.
KEY = b"quench:epoch:%b:%b\0#0"


class Place(msgspec.Struct, frozen=True, array_like=True):
    """A process that is a primary: where it is, and its run_id. Both are empty while a member has none."""

    address: str = ""
    run_id: str = ""

    def __bool__(self) -> bool:
        return self.address != ""


VACANT = Place()


class Record(msgspec.Struct, frozen=True):
    """What holds in one epoch of a pool."""

    epoch: int
    proxy: str  #: who raised it
    primaries: dict[str, Place]  #: by the label of the member

    def primary(self, member: str) -> Place:
        """The primary of a member, VACANT while it has none."""
        return self.primaries.get(member, VACANT)


class _Kept(msgspec.Struct, frozen=True):
    record: Record
    run_id: str
    replid: str


_decoder = msgspec.json.Decoder(_Kept)


def key(pool: str, voter: str) -> bytes:
    """Where the voter at the address `voter` keeps its record of `pool`."""
    return KEY % (pool.encode(), voter.encode())


def encode(record: Record, report: Report) -> bytes:
    """What a voter that says `report` of itself is to keep."""
    return msgspec.json.encode(_Kept(record, report.run_id, report.replid))


def decode(value: bytes | None, report: Report) -> Record | None:
    """The record that a voter has, from the value of its key and what it says of itself; None: it has none."""
    if value is None:
        return None
    try:
        kept = _decoder.decode(value)
    except msgspec.MsgspecError:
        return None
    if kept.run_id != report.run_id or kept.replid == NO_ID:
        return None
    return kept.record if kept.replid in (report.replid, report.replid2) else None
