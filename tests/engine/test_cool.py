"""Copies, fetches and ears, in small scenes of tests/engine/world.py. Joined reads: test_joining.py."""

from __future__ import annotations

import pytest

from tests.engine.world import EAR, KEYS, Caller, World
from tests.helpers import bulk

KEY, OTHER = KEYS
SHARED = (0, (0, 2, 0, 0))  # the first engine's connection for RESP2, database 0


def counters(world: World, engine: int = 0) -> dict[str, int]:
    return world.engines[engine].counters()


def copied(world: World, caller: Caller, key: bytes = KEY) -> None:
    """Have `caller` read until a copy answers it."""
    for _ in range(6):
        before = counters(world, caller.engine)["copy_hits"]
        world.ask(caller, b"GET", key)
        world.settle()
        if counters(world, caller.engine)["copy_hits"] > before:
            return
    raise AssertionError(counters(world, caller.engine))


def asked(world: World, name: bytes = b"GET") -> int:
    return sum(words[0] == name for words in world.seen)


def world_with_copy(value: bytes | None = b"one", **options: object) -> tuple[World, Caller]:
    world = World(**options)  # type: ignore[arg-type]
    if options.get("copies", "tracked") == "tracked":
        world.live()
    if value is not None:
        world.write((0, KEY), value)
        world.settle()
    caller = world.open()
    copied(world, caller)
    return world, caller


# -- a copy, and what makes it void -----------------------------------------------------------------------------------


@pytest.mark.parametrize("copies", ["tracked", "ttl"])
def test_a_copy_answers(copies: str) -> None:
    world, caller = world_with_copy(copies=copies)
    before = asked(world)
    for _ in range(20):
        world.ask(caller, b"GET", KEY)
    world.collect()
    assert caller.values[-20:] == [b"one"] * 20 and asked(world) == before
    assert world.audit() == []


@pytest.mark.parametrize("engine", [0, 1])
@pytest.mark.parametrize("words", [
    [b"SET", KEY, b"two"], [b"DEL", KEY], [b"UNLINK", OTHER, KEY], [b"PEXPIRE", KEY, b"5000"], [b"RENAME", KEY, OTHER],
    [b"MSET", OTHER, b"1", KEY, b"2"], [b"RENAME", OTHER, KEY], [b"FCALL", b"f", b"1", KEY, b"two"], [b"FLUSHALL"],
    [b"BLPOP", KEY, b"0"],
])  # fmt: skip
def test_a_write_voids_copies_of_all_engines(words: list[bytes], engine: int) -> None:
    """Before its client can know that it is done, without a word of the node's invalidation."""
    world = World(2)
    world.live()
    world.write((0, KEY), b"one")
    world.write((0, OTHER), b"other")
    reader, writer = world.open(0), world.open(engine)
    copied(world, reader)
    before = counters(world)["copies_changed"]
    world.ask(writer, *words)
    for _ in range(3):
        world.turn()
        for wire in list(world.wires.values()):
            if wire.name != EAR and wire.engine == engine:
                world.transmit(wire)
                world.execute(wire)
                world.deliver(wire)
    world.collect()
    assert not writer.asks
    world.ask(reader, b"GET", KEY)
    world.collect()
    assert len(reader.asks) == 1 and counters(world)["copies_changed"] == before + 1
    world.settle()
    assert world.audit() == []


@pytest.mark.parametrize("engine", [0, 1])
def test_a_transaction_voids_copies(engine: int) -> None:
    world = World(2)
    world.live()
    world.write((0, KEY), b"one")
    reader, writer = world.open(0), world.open(engine)
    copied(world, reader)
    world.transaction(writer, [[b"SET", KEY, b"two"], [b"DEL", OTHER]])
    world.ask(reader, b"GET", KEY)  # EXEC is on its way: void from here on
    world.collect()
    assert len(reader.asks) == 1
    world.settle()
    world.ask(reader, b"GET", KEY)
    world.settle()
    assert reader.values[-1] == b"two"


def test_commands_of_the_control_plane_void_copies() -> None:
    """FLUSHALL of several nodes does not pass the engines: lanes/hot.py forgets before and after it."""
    world, caller = world_with_copy()
    before = asked(world)
    world.group.forget_copies()
    world.ask(caller, b"GET", KEY)
    world.settle()
    assert asked(world) == before + 1


def test_swapdb_voids_copies() -> None:
    """Though no node tells of it: the process that passes it on knows."""
    world, caller = world_with_copy()
    world.ask(caller, b"SWAPDB", b"0", b"1")
    world.settle()
    world.ask(caller, b"GET", KEY)
    world.settle()
    assert caller.values[-1] is None


def test_a_change_elsewhere_is_told() -> None:
    world, caller = world_with_copy()
    world.write((0, KEY), b"two")
    world.ask(caller, b"GET", KEY)
    world.collect()
    assert caller.values[-1] == b"one"  # not heard of yet
    world.settle()
    world.ask(caller, b"GET", KEY)
    world.settle()
    assert caller.values[-1] == b"two" and counters(world)["invalidations"] == 1


def test_databases_and_protocols_have_copies_of_their_own() -> None:
    world = World()
    world.live()
    world.write((0, KEY), b"zero")
    world.write((1, KEY), b"one")
    callers = {(protocol, database): world.open(0, protocol, database) for protocol in (2, 3) for database in (0, 1)}
    for (_, database), caller in callers.items():
        copied(world, caller)
        assert caller.values[-1] == (b"zero", b"one")[database]
    writer = world.open(0, 3, 1)
    world.ask(writer, b"DEL", KEY)
    world.settle()
    for caller in callers.values():
        copied(world, caller)
    assert [callers[2, 1].values[-1], callers[3, 1].values[-1], callers[2, 0].values[-1]] == [None, None, b"zero"]


# -- time -------------------------------------------------------------------------------------------------------------


def test_a_copy_lives_no_longer_than_its_key() -> None:
    world = World()
    world.live()
    world.write((0, KEY), b"short", 50_000)
    caller = world.open()
    for _ in range(4):
        world.ask(caller, b"GET", KEY)
        world.settle()
    before = asked(world)
    world.pass_time(49_000)
    world.ask(caller, b"GET", KEY)
    world.collect()
    assert asked(world) == before and caller.values[-1] == b"short"
    world.pass_time(1_000)
    world.ask(caller, b"GET", KEY)
    world.settle()
    assert caller.values[-1] is None and asked(world) == before + 1


def test_a_missing_key_is_copied_only_while_the_node_would_tell() -> None:
    world, caller = world_with_copy(None)
    assert caller.values[-1] is None
    world.write((0, KEY), b"here")
    world.settle()
    world.ask(caller, b"GET", KEY)
    world.settle()
    assert caller.values[-1] == b"here"
    world = World(copies="ttl")
    caller = world.open()
    for _ in range(5):
        world.ask(caller, b"GET", KEY)
        world.settle()
    assert counters(world)["copies_stored"] == 0


def test_a_key_that_ran_out_before_pttl_is_not_copied() -> None:
    world = World()
    world.live()
    caller = world.open()
    world.write((0, KEY), b"short", 20_000)
    wire = world.wires[SHARED]
    world.ask(caller, b"GET", KEY)
    world.settle()
    world.ask(caller, b"GET", KEY)
    world.turn()
    world.transmit(wire)
    world.execute(wire, 3 if b"TRACKING" in wire.up else 2)
    assert world.seen[-1][0] == b"GET"
    before = counters(world)["copies_stored"]
    world.pass_time(20_000)
    world.settle()
    assert world.seen[-1][0] == b"PTTL" and caller.values[-1] == b"short" and counters(world)["copies_stored"] == before


def test_one_request_refreshes_at_half_life() -> None:
    world, caller = world_with_copy()
    before = asked(world)
    for _ in range(60):
        world.pass_time(100_000)
        world.settle()
        world.ask(caller, b"GET", KEY)
        world.ask(caller, b"GET", KEY)
        world.settle()
    assert asked(world) - before == 1 and counters(world)["copy_refreshes"] == 1


def test_a_copy_with_a_ttl_expires() -> None:
    world, caller = world_with_copy(copies="ttl", life_us=1_000_000)
    world.write((0, KEY), b"two")
    world.pass_time(1_000_000)
    world.ask(caller, b"GET", KEY)
    world.settle()
    assert caller.values[-1] == b"two" and counters(world)["copies_expired"] == 1


# -- ears -------------------------------------------------------------------------------------------------------------


def test_a_silent_ear_is_believed_for_half_a_second() -> None:
    world, caller = world_with_copy()
    world.pass_time(100_000)
    world.settle()
    before = asked(world)
    world.pass_time(499_000)
    world.ask(caller, b"GET", KEY)
    world.collect()
    assert asked(world) == before and not caller.asks
    world.pass_time(1_000)
    world.ask(caller, b"GET", KEY)
    world.collect()
    assert len(caller.asks) == 1 and counters(world)["copies_unsure"] == 1
    world.settle()
    world.ask(caller, b"GET", KEY)  # the PING has been answered, and nothing was missed: the copy is good again
    world.collect()
    assert not caller.asks


def test_a_lost_ear_voids_all_copies() -> None:
    world, caller = world_with_copy()
    world.lose(world.wires[0, EAR])
    world.ask(caller, b"GET", KEY)
    world.collect()
    assert len(caller.asks) == 1
    world.settle()
    stored = counters(world)["copies_stored"]
    world.ask(caller, b"GET", KEY)
    world.settle()
    assert counters(world)["copies_stored"] == stored  # nothing would be told
    world.pass_time(1_000_000)
    for _ in range(3):
        world.ask(caller, b"GET", KEY)
        world.settle()
        world.pass_time(100_000)
    copied(world, caller)
    assert sum(wire.name == EAR for wire in world.wires.values()) == 1
    world.write((0, KEY), b"two")
    world.settle()
    world.ask(caller, b"GET", KEY)
    world.settle()
    assert caller.values[-1] == b"two"


def test_a_lost_connection_voids_what_was_read_on_it() -> None:
    """Its tracking is gone with it: the ear would hear nothing of those keys."""
    world, caller = world_with_copy()
    world.lose(world.wires[SHARED])
    world.connect(*SHARED)
    world.write((0, KEY), b"two")
    world.ask(caller, b"GET", KEY)
    world.settle()
    assert caller.values[-1] == b"two"
    copied(world, caller)


def test_an_idle_connection_that_closes_voids_what_was_read_on_it() -> None:
    world = World(life_us=200_000_000)
    world.live()
    world.write((0, KEY), b"one")
    idle, other = world.open(0, 3), world.open(0, 2)
    copied(world, idle)
    for _ in range(1300):
        world.pass_time(50_000)
        world.settle()
        world.ask(other, b"GET", OTHER)
    assert (0, (0, 3, 0, 0)) not in world.wires
    world.connect(0, (0, 3, 0, 0))
    world.write((0, KEY), b"two")
    world.pass_time(600_000)
    world.settle()
    world.ask(idle, b"GET", KEY)
    world.settle()
    assert idle.values[-1] == b"two"


def test_a_null_invalidation_voids_all_copies_of_the_node() -> None:
    world, caller = world_with_copy()
    world.data.clear()
    world.change((0, KEY), None)
    world.invalidate(None)
    world.settle()
    world.ask(caller, b"GET", KEY)
    world.settle()
    assert caller.values[-1] is None


def test_a_node_that_does_not_track_is_not_copied() -> None:
    world = World(tracks=False)
    caller = world.open()
    for _ in range(10):
        world.ask(caller, b"GET", KEY)
        world.settle()
        world.pass_time(100_000)
    assert counters(world)["copies_stored"] == 0 and not caller.asks and not caller.errors


def test_a_push_of_nonsense_is_dropped() -> None:
    world, _ = world_with_copy()
    ear = world.wires[0, EAR]
    ear.down += b">1\r\n$4\r\nwhat\r\n>2\r\n$10\r\ninvalidate\r\n*0\r\n>3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\nb\r\n"
    world.settle()
    assert (0, EAR) in world.wires and counters(world)["pushes_dropped"] == 2


def test_ejecting_a_node_voids_copies() -> None:
    """Its keys live elsewhere meanwhile, and again when it is back: whoever told of them tells no more."""
    world, caller = world_with_copy(copies="ttl")
    for out in (True, False):
        world.engines[0].eject(0, 0, out)
        world.turn()
    before = asked(world)
    world.ask(caller, b"GET", KEY)
    world.settle()
    assert asked(world) == before + 1


# -- who is answered, and what is kept --------------------------------------------------------------------------------


def test_what_is_asked_once_is_not_copied() -> None:
    world = World()
    world.live()
    caller = world.open()
    for index in range(50):
        world.ask(caller, b"GETRANGE", KEY, b"0", b"%d" % index)
    assert counters(world)["copies_stored"] == 0
    assert b"CACHING" not in world.engines[0].sent(SHARED[1])


def test_watching_and_tracking_clients_ask_the_node() -> None:
    world, caller = world_with_copy()
    world.ask(caller, b"GET", KEY)
    world.collect()
    assert not caller.asks
    for words in ([b"WATCH", KEY], [b"CLIENT", b"TRACKING", b"ON"]):
        other = world.open(0, 3)
        world.ask(other, *words)
        world.settle()
        assert not other.asks
        before = asked(world)
        world.ask(other, b"GET", KEY)
        world.settle()
        assert asked(world) == before + 1 and other.values == [b"one"]
        world.leave(other)
        world.turn()


def test_a_client_in_multi_asks_the_node() -> None:
    world, caller = world_with_copy()
    hits = counters(world)["copy_hits"]
    world.transaction(caller, [[b"GET", KEY]])
    world.settle()
    assert counters(world)["copy_hits"] == hits and world.seen[-1] == [b"GET", KEY]


def test_large_values_and_errors_are_not_copied() -> None:
    world = World(max_value=100)
    world.live()
    caller = world.open()
    world.write((0, KEY), b"x" * 200)
    for _ in range(5):
        world.ask(caller, b"GET", KEY)
        world.settle()
    assert counters(world)["copies_stored"] == 0
    assert world.audit() == []


def test_copies_keep_to_their_memory() -> None:
    world = World(memory=3000, max_value=2000)
    world.live()
    caller = world.open()
    world.write((0, KEY), b"x" * 500)
    for index in range(40):
        for _ in range(3):
            world.ask(caller, b"GET", KEY if index % 2 else OTHER)
            world.settle()
        assert world.audit() == []


def test_copies_of_colder_keys_make_room() -> None:
    world = World(memory=1200, max_value=2000)
    world.live()
    caller = world.open()
    world.write((0, KEY), b"x" * 600)
    world.write((0, OTHER), b"y" * 600)
    world.settle()
    copied(world, caller, KEY)
    for _ in range(12):  # OTHER is asked for more and more, KEY is not
        for _ in range(50):
            world.ask(caller, b"GET", OTHER)
        world.settle()
        world.pass_time(100_000)
        world.settle()
    copied(world, caller, OTHER)
    assert counters(world)["copies_evicted"] >= 1 and world.audit() == []


def test_stale_copies_serve_while_the_node_is_down() -> None:
    world, caller = world_with_copy(stale_us=5_000_000, life_us=1_000_000)
    world.lose(world.wires[SHARED])
    world.engines[0].node_down(0, 0, b"test")
    world.turn()
    world.pass_time(2_000_000)
    world.ask(caller, b"GET", KEY)
    world.turn()
    assert counters(world)["copies_stale"] == 1
    assert bulk(b"one") in world.engines[0].take(caller.id)
    caller.asks.clear()
    world.group.forget_copies()  # FLUSHALL by way of this proxy
    world.ask(caller, b"GET", KEY)
    world.turn()
    assert world.engines[0].take(caller.id).startswith(b"-ERR")
    caller.asks.clear()


def test_stale_copies_end() -> None:
    world, caller = world_with_copy(stale_us=5_000_000, life_us=1_000_000)
    world.lose(world.wires[SHARED])
    world.engines[0].node_down(0, 0, b"test")
    world.turn()
    world.pass_time(6_100_000)
    world.ask(caller, b"GET", KEY)
    world.turn()
    world.collect()
    assert counters(world)["copies_stale"] == 0 and len(caller.errors) == 1


def test_hot_keys_can_be_forgotten() -> None:
    world, _ = world_with_copy()
    second = world.open()
    world.engines[0].forget_hot_keys()
    world.turn()
    assert counters(world)["hot_demoted"] == 3 and world.audit() == []
    world.ask(second, b"GET", KEY)
    world.settle()
    assert second.values == [b"one"]


def test_what_a_connection_read_that_was_cut_off_unnoticed_is_served_half_a_second() -> None:
    """The node forgets it, and tells nobody of what it read; the ear answers as before."""
    world, caller = world_with_copy()
    wire = world.wires[SHARED]
    world.cut(wire)
    world.pass_time(50_000)
    world.write((0, KEY), b"two")
    for _ in range(12):
        world.pass_time(100_000)
        world.settle()
        if not caller.asks:
            world.ask(caller, b"GET", KEY)
            world.collect()
    assert b"one" in caller.values and caller.asks  # not served any more: on its way, and nobody answers
    assert counters(world)["copies_unsure"] > 0
    world.lose(wire)
    world.connect(*SHARED)
    world.settle()
    world.ask(caller, b"GET", KEY)
    world.settle()
    assert caller.values[-1] == b"two" and world.audit() == []


def test_a_quiet_connection_is_asked_whether_it_is_there() -> None:
    world, caller = world_with_copy()
    before = asked(world), counters(world)["copies_unsure"]
    for _ in range(30):
        world.pass_time(100_000)
        world.settle()
        world.ask(caller, b"GET", KEY)
        world.collect()
        assert not caller.asks
    assert before == (asked(world), counters(world)["copies_unsure"])
