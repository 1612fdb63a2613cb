"""What follows from what nodes of a cluster say of it: places, tables, and who is asked next."""

from __future__ import annotations

from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.control.cluster import ASKED, GRACE, NOBODY, Change, Member, Place, Slots, Topology, View, read_view

INFO = b"cluster_state:ok\r\ncluster_slots_assigned:16384\r\ncluster_current_epoch:7\r\n"


def topology(places: int = 4, replicas: bool = False) -> Topology:
    return Topology(["seed:1"], [Place("") for _ in range(places)], replicas)


def view(*ranges: tuple[int, int, str], epoch: int = 1, well: bool = True) -> View:
    return View(well, epoch, tuple((first, last, node, (f"r{node}",)) for first, last, node in ranges))


def carry_out(changes: list[Change], engine: dict[int, tuple[str, bool]]) -> bytes:
    """What an engine knows afterwards of each place; returns the last table."""
    table = b""
    for change in changes:
        if isinstance(change, Slots):
            table = change.table
            for place in set(memoryview(table).cast("H").tolist()) - {NOBODY}:
                assert engine[place][0], "a table never names a place that nobody has"
        elif change.address:
            engine[change.place] = change.address, change.holds_slots
        else:
            del engine[change.place]
    return table


def test_what_a_node_says() -> None:
    """Nodes that do not know their own host, or were told not to say it, are where they were found."""
    slots = [
        [0, 9, [b"10.0.0.1", 1, b"id", []], [b"", 2, b"id"]],
        [10, 10, [None, 3, b"id"]],
        [11, 16383, [b"?", 4, b"id", [b"ip", b"10.0.0.4"]], [b"::1", 5, b"id"]],
    ]
    assert read_view(INFO, slots, "found") == View(True, 7, (
        (0, 9, "10.0.0.1:1", ("found:2",)), (10, 10, "found:3", ()), (11, 16383, "10.0.0.4:4", ("::1:5",)),
    ))  # fmt: skip
    assert not read_view(INFO.replace(b"ok", b"fail"), [], "found").well


@pytest.mark.parametrize(
    ("information", "slots"),
    [(b"", []), (INFO, [[1]]), (INFO, [[5, 4, [b"a", 1]]]), (INFO, [[0, 16384, [b"a", 1]]]), (INFO, [7]),
     (INFO, [[0, 1, [b"a", b"x"]]]), (INFO, [[b"0", 1, [b"a", 1]]])],
)  # fmt: skip
def test_what_no_node_says(information: bytes, slots: list[object]) -> None:
    with pytest.raises(ValueError, match="it does not say what CLUSTER"):
        read_view(information, slots, "found")


def test_a_node_keeps_its_place_and_leaves_it_after_a_while() -> None:
    known: dict[int, tuple[str, bool]] = {}
    cluster = topology()
    table = carry_out(cluster.take([view((0, 8191, "a:1"), (8192, 16383, "b:1"))], 0.0), known)
    assert known == {0: ("a:1", True), 1: ("b:1", True)} and cluster.settled
    assert table == (array("H", [0]) * 8192 + array("H", [1]) * 8192).tobytes()
    assert cluster.take([view((0, 8191, "a:1"), (8192, 16383, "b:1"))], 1.0) == []
    carry_out(cluster.take([view((0, 16383, "c:1"), epoch=2)], 2.0), known)
    assert known == {0: ("a:1", False), 1: ("b:1", False), 2: ("c:1", True)}
    carry_out(cluster.take([view((0, 8191, "a:1"), (8192, 16383, "c:1"), epoch=3)], 3.0), known)
    assert known == {0: ("a:1", True), 1: ("b:1", False), 2: ("c:1", True)}
    carry_out(cluster.take([], 2.0 + GRACE + 1), known)
    assert known == {0: ("a:1", True), 2: ("c:1", True)}
    carry_out(cluster.take([view((0, 16383, "d:1"), epoch=4)], 200.0), known)
    assert known[1] == ("d:1", True)


def test_the_best_of_several_views() -> None:
    cluster = topology()
    cluster.take([
        view((0, 16383, "old:1"), epoch=3), view((0, 16383, "new:1"), epoch=4),
        view((0, 16383, "cut off:1"), epoch=9, well=False),
    ], 0.0)  # fmt: skip
    owner = cluster.owner(0)
    assert owner is not None and cluster.places[owner].address == "new:1"
    cluster.take([view((5, 16383, "again:1"), epoch=1)], 1.0)  # a cluster that was made anew begins to count anew
    assert cluster.owner(0) is None and not cluster.settled


def test_more_nodes_than_places() -> None:
    cluster = topology(places=1)
    cluster.take([view((0, 99, "a:1"), (100, 16383, "b:1"))], 0.0)
    assert (cluster.without, cluster.owner(99), cluster.owner(100)) == (1, 0, None)


def test_replicas_have_places_where_they_are_read_from() -> None:
    cluster = topology(replicas=True)
    changes = cluster.take([view((0, 16383, "a:1"))], 0.0)
    assert Member(1, "ra:1", False, 0, False) in changes
    assert cluster.known == ["a:1", "ra:1"]


def test_slots_move_before_their_old_node_loses_its_replicas() -> None:
    """Else reads in between would find neither."""
    cluster = topology(replicas=True)
    cluster.take([view((0, 16383, "a:1"))], 0.0)
    changes = cluster.take([view((0, 16383, "ra:1"), epoch=2)], 1.0)
    at = [type(change) for change in changes].index(Slots)
    assert all(isinstance(change, Member) and change.new for change in changes[:at])
    assert Member(1, "ra:1", True, 1, False) in changes[at:]


def test_who_is_asked() -> None:
    cluster = topology()
    assert cluster.whom([], [0.5]) == ["seed:1"]
    cluster.take([view((0, 9, "a:1"), (10, 16383, "b:1"))], 0.0)
    asked = cluster.whom(["a:1", "seed:1", "a:1"], [0.1] * 9)
    assert asked[0] == "a:1" and len(asked) == len(set(asked)) == ASKED
    assert "seed:1" in cluster.whom([], [0.1] * 9)


@given(st.lists(st.tuples(st.lists(st.integers(0, 5), min_size=1, max_size=6), st.floats(0, 60)), max_size=12))
def test_an_engine_is_never_behind(steps: list[tuple[list[int], float]]) -> None:
    """Whatever comes and goes: every slot is where the last view has it, and no place is two nodes'."""
    cluster = topology(places=6)
    known: dict[int, tuple[str, bool]] = {}
    now, table = 0.0, b""
    for epoch, (owners, pause) in enumerate(steps):
        now += pause
        width = 16384 // len(owners)
        ranges = [(at * width, (at + 1) * width - 1, f"n{owner}:1") for at, owner in enumerate(owners)]
        table = carry_out(cluster.take([view(*ranges, epoch=epoch)], now), known) or table
        assert len({address for address, _ in known.values()}) == len(known)
        shown = memoryview(table).cast("H")
        if cluster.without == 0:
            for first, last, owner in ranges:
                assert known[shown[first]] == (owner, True) and shown[first] == shown[last]
        assert {address for address, holds in known.values() if holds} <= {owner for _, _, owner in ranges}
