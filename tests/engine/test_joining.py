"""Reads of a hot key that travel together: who may join, who is answered with what, and what a broken wire leaves."""

from __future__ import annotations

import pytest

from tests.engine.test_cool import KEY, OTHER, SHARED, asked, copied, counters, world_with_copy
from tests.engine.world import EAR, Caller, World


def test_reads_join_before_the_flush() -> None:
    """Exact in any case: the node executes the read after all of them asked."""
    world = World(copies="off")
    callers = [world.open() for _ in range(20)]
    world.ask(callers[0], b"GET", KEY)  # asked once before
    world.settle()
    before = asked(world)
    for caller in callers:
        world.ask(caller, b"GET", KEY)
    world.write((0, KEY), b"late")
    world.settle()
    assert asked(world) == before + 1 and counters(world)["reads_joined"] == 19
    assert all(caller.values[-1] == b"late" for caller in callers)


def on_the_way(world: World, executed: int) -> tuple[Caller, Caller]:
    """A fetch of which the node has executed so many requests, and who joined it on its way."""
    first, second = world.open(), world.open()
    world.ask(first, b"GET", KEY)
    world.settle()
    world.ask(first, b"GET", KEY)
    world.turn()
    wire = world.wires[SHARED]
    world.transmit(wire)
    world.execute(wire, executed + (b"TRACKING" in wire.up))
    joined = counters(world)["reads_joined"]
    world.ask(second, b"GET", KEY)
    assert counters(world)["reads_joined"] == joined + 1
    return first, second


def test_reads_join_on_the_way_and_are_asked_again_if_a_write_began() -> None:
    world = World()
    world.live()
    world.write((0, OTHER), b"x")
    world.settle()
    first, second = on_the_way(world, 2)
    writer = world.open(0, 3)
    world.ask(writer, b"SET", KEY, b"new")
    world.turn()
    wire = world.wires[0, (0, 3, 0, 0)]
    world.transmit(wire)
    world.execute(wire)
    before = asked(world)
    world.deliver(world.wires[SHARED])
    world.collect()
    assert len(first.values) == 2 and len(second.asks) == 1
    world.settle()
    assert second.values == [b"new"] and asked(world) == before + 1 and world.audit() == []


def test_reads_join_on_the_way_and_are_answered_together() -> None:
    world = World()
    world.live()
    first, second = on_the_way(world, 2)
    before = asked(world)
    world.settle()
    assert len(second.values) == 1 and len(first.values) == 2 and asked(world) == before


def test_who_joins_on_the_way_does_not_see_what_ran_out() -> None:
    world = World()
    world.live()
    world.write((0, KEY), b"short", 30_000)
    world.settle()
    first, second = world.open(), world.open()
    world.ask(first, b"GET", KEY)
    world.settle()
    world.ask(first, b"GET", KEY)
    world.turn()
    wire = world.wires[SHARED]
    world.transmit(wire)
    world.execute(wire)
    world.pass_time(40_000)
    world.ask(second, b"GET", KEY)
    world.settle()
    assert first.values[-1] == b"short" and second.values == [None]


def test_a_client_does_not_join_what_was_asked_before_its_own_flushall() -> None:
    world = World()
    world.live()
    world.write((0, KEY), b"old")
    world.settle()
    first, second = world.open(), world.open()
    world.ask(first, b"GET", KEY)
    world.settle()
    world.ask(first, b"GET", KEY)
    world.ask(second, b"FLUSHALL")
    world.ask(second, b"GET", KEY)
    world.settle()
    assert second.values == [None] and first.values[-1] == b"old"


def test_a_fetch_that_takes_longer_than_the_copys_life_is_not_joined() -> None:
    world = World(copies="ttl", life_us=100_000)
    first, second = world.open(), world.open()
    for _ in range(2):
        world.ask(first, b"GET", KEY)
        world.turn()
    wire = world.wires[SHARED]
    world.transmit(wire)
    world.execute(wire)
    world.pass_time(100_000)
    world.write((0, KEY), b"new")
    world.ask(second, b"GET", KEY)
    world.settle()
    assert second.values == [b"new"] and counters(world)["reads_joined"] == 0


def test_a_lost_connection_answers_all_who_joined() -> None:
    world = World()
    world.live()
    first, second = on_the_way(world, 2)
    world.lose(world.wires[SHARED])
    world.collect()
    assert len(first.errors) == 1 and len(second.errors) == 1 and world.audit() == []


def test_a_fetch_sent_in_half_answers_all_and_leaves_nothing() -> None:
    world = World()
    world.live()
    first, second = world.open(), world.open()
    world.ask(first, b"GET", KEY)
    world.settle()
    world.ask(first, b"GET", KEY)
    world.ask(second, b"GET", KEY)
    world.turn()
    wire = world.wires[SHARED]
    data = world.engines[0].sent(wire.name, 1 << 20)
    place = data.index(b"GET") + 2
    wire.up += data[:place]
    world.lose(wire)
    world.collect()
    assert len(first.errors) == 1 and len(second.errors) == 1 and world.audit() == []
    world.connect(*SHARED)
    world.settle()
    copied(world, first)


@pytest.mark.parametrize("executed", [0, 1, 2, 3])
def test_clients_that_leave_owe_nothing(executed: int) -> None:
    world = World()
    world.live()
    first, second = on_the_way(world, executed)
    world.leave(first)
    world.leave(second)
    world.turn()
    assert world.audit() == []
    world.settle()
    assert world.audit() == []


def test_the_deadline_of_a_fetch_is_everybodys() -> None:
    world = World(timeout_us=1_000_000)
    world.live()
    callers = [world.open() for _ in range(10)]
    world.ask(callers[0], b"GET", KEY)
    world.settle()
    joined = counters(world)["reads_joined"]
    for caller in callers[:5]:
        world.ask(caller, b"GET", KEY)
    world.turn()
    world.transmit(world.wires[SHARED])
    world.pass_time(240_000)
    for caller in callers[5:9]:
        world.ask(caller, b"GET", KEY)  # on the way
    world.pass_time(20_000)
    world.ask(callers[9], b"GET", KEY)  # would have too little time left: a request of its own
    assert counters(world)["reads_joined"] == joined + 8
    world.pass_time(750_000)
    world.collect()
    assert [len(caller.errors) for caller in callers] == [1] * 9 + [0]
    world.settle()
    assert not callers[9].asks and world.audit() == []


def test_a_tracking_request_that_was_withdrawn_is_repeated() -> None:
    """The ear of before is gone and the request for the new one was never sent: what is read then is not tracked."""
    world = World(timeout_us=1_000_000)
    world.live()
    caller = world.open()
    copied(world, caller)
    world.lose(world.wires[0, EAR])
    world.pass_time(1_000_000)
    world.ask(caller, b"GET", KEY)
    world.settle()
    world.pass_time(100_000)
    world.settle()
    assert (0, EAR) in world.wires
    world.ask(caller, b"GET", KEY)  # CLIENT TRACKING and the rest, but the kernel takes nothing
    for _ in range(10):
        world.pass_time(99_000)
        for wire in [world.wires[0, EAR]]:
            world.transmit(wire)
            world.execute(wire)
            world.deliver(wire)
    world.ask(caller, b"GET", OTHER)
    world.pass_time(20_000)
    world.settle()
    assert caller.errors
    world.pass_time(100_000)
    world.settle()
    copied(world, caller)
    world.write((0, KEY), b"two")
    world.settle()
    world.ask(caller, b"GET", KEY)
    world.settle()
    assert caller.values[-1] == b"two"


def test_forgetting_hot_keys_leaves_nobody_waiting() -> None:
    world = World()
    world.live()
    first, second = on_the_way(world, 2)
    world.engines[0].forget_hot_keys()
    world.turn()
    world.settle()
    assert not first.asks and not second.asks and world.audit() == []


def test_who_wrote_a_shielded_key_is_not_made_to_wait_for_it() -> None:
    """Others were told that it is missing, or wait for it; to this client either would be a lie."""
    world = World(shield_us=1_000_000, threshold=1_000_000)
    world.live()
    loader, waiting, writer, reader = (world.open() for _ in range(4))
    for _ in range(2):
        world.ask(loader, b"GET", b"cold")
        world.settle()
    world.ask(waiting, b"GET", b"cold")
    world.settle()
    assert loader.values[-1] is None and len(waiting.asks) == 1
    for words in ([b"SET", b"cold", b"one"], [b"DEL", b"cold"], [b"SET", b"cold", b"two"]):
        world.ask(writer, *words)
        world.settle()
        world.ask(reader, b"STRLEN", b"cold")
        world.settle()
    world.ask(writer, b"GET", b"cold")
    world.ask(reader, b"GET", b"cold")
    world.settle()
    assert writer.values == [b"two"] and reader.values[-1] == b"two"
    world.pass_time(20_000)
    world.settle()
    assert waiting.values == [b"two"] and world.audit() == []


def test_a_write_behind_a_read_that_joined_on_the_way_does_not_change_what_it_reads() -> None:
    """Whoever joined may be asked for again: his write has to wait for that."""
    world = World()
    world.live()
    world.write((0, KEY), b"old")
    world.settle()
    first, second = on_the_way(world, 1)
    world.ask(second, b"SET", KEY, b"mine")
    world.ask(second, b"GET", KEY)
    world.settle()
    assert second.values == [b"old", b"mine"] and first.values == [b"old"] * 2


def test_a_copy_does_not_overtake_the_clients_read_on_its_way() -> None:
    """The one that fetches the copy anew finds a change of which nothing was heard yet."""
    world, caller = world_with_copy()
    world.pass_time(100_000)
    while True:
        world.pass_time(100_000)
        world.settle()
        world.ask(caller, b"GET", KEY)
        world.turn()
        world.collect()
        if caller.asks:
            break
    world.write((0, KEY), b"two")
    for _ in range(5):
        world.ask(caller, b"GET", KEY)
    world.transmit(world.wires[SHARED])
    world.execute(world.wires[SHARED])
    world.deliver(world.wires[SHARED])
    world.turn()
    world.collect()
    assert caller.values[-6:] == [b"two"] * 6


def test_what_was_read_at_the_node_voids_an_older_copy() -> None:
    """Before the node's invalidation, and before the value can be a copy itself."""
    world, caller = world_with_copy()
    other = world.open()
    world.pass_time(100_000)
    while True:
        world.pass_time(100_000)
        world.settle()
        world.ask(caller, b"GET", KEY)
        world.turn()
        world.collect()
        if caller.asks:
            break
    wire = world.wires[SHARED]
    world.write((0, KEY), b"two")
    world.transmit(wire)
    world.execute(wire, 2)
    world.deliver(wire)
    world.turn()
    world.collect()
    assert caller.values[-1] == b"two"
    for one in (caller, other):
        world.ask(one, b"GET", KEY)
    world.settle()
    assert caller.values[-1] == other.values[-1] == b"two"


def test_other_reads_of_the_key_bound_what_a_copy_may_say() -> None:
    world, caller = world_with_copy()
    world.ask(caller, b"STRLEN", KEY)
    world.ask(caller, b"MGET", KEY, OTHER)
    world.write((0, KEY), b"three")
    world.ask(caller, b"GET", KEY)
    world.ask(caller, b"MGET", OTHER, KEY)
    wire = world.wires[SHARED]
    for _ in range(4):
        world.transmit(wire)
        world.execute(wire)
        world.deliver(wire)
        world.turn()
    world.collect()
    assert not caller.asks and caller.values.count(b"three") + caller.values.count(5) >= 3


def test_reads_join_a_set_that_was_not_sent() -> None:
    """Exact in any case: the node executes it after all of them asked, and what it says then is what they get."""
    world = World(copies="off")
    writer, readers = world.open(), [world.open() for _ in range(5)]
    world.ask(writer, b"SET", KEY, b"late", b"PX", b"5000")
    for reader in readers:
        world.ask(reader, b"GET", KEY)
        world.ask(reader, b"GET", KEY)
    world.ask(writer, b"GET", KEY)
    world.settle()
    assert asked(world) == 0 and counters(world)["reads_joined"] == 11 and world.audit() == []
    assert all(reader.values == [b"late"] * 2 for reader in readers) and writer.values == [b"late"]
    world.ask(readers[0], b"GET", KEY)
    world.settle()
    assert asked(world) == 1


def test_a_set_that_was_sent_is_not_joined() -> None:
    world = World(copies="off")
    writer, reader = world.open(), world.open()
    world.ask(writer, b"SET", KEY, b"sent")
    world.turn()
    world.transmit(world.wires[SHARED])
    world.ask(reader, b"GET", KEY)
    world.write((0, KEY), b"elsewhere")
    world.settle()
    assert asked(world) == 1


def test_a_set_that_fails_is_asked_for_after_all() -> None:
    world = World(copies="off")
    world.write((0, KEY), b"old")
    writer, reader = world.open(), world.open()
    world.ask(writer, b"SET", KEY, b"new")
    world.ask(reader, b"GET", KEY)
    world.turn()
    wire = world.wires[SHARED]
    world.transmit(wire)
    wire.up = b""
    wire.down = b"-OOM command not allowed when used memory > 'maxmemory'.\r\n"
    world.settle()
    assert len(writer.errors) == 1 and reader.values == [b"old"] and asked(world) == 1 and world.audit() == []


@pytest.mark.parametrize("sent", [False, True])
def test_a_set_whose_connection_breaks_answers_all_who_joined(sent: bool) -> None:
    world = World(copies="off")
    writer, reader, gone = world.open(), world.open(), world.open()
    world.ask(writer, b"SET", KEY, b"new")
    world.ask(reader, b"GET", KEY)
    world.ask(gone, b"GET", KEY)
    world.leave(gone)
    if sent:
        world.turn()
        world.transmit(world.wires[SHARED])
    world.lose(world.wires[SHARED])
    world.turn()
    if not sent:
        world.connect(*SHARED)
    world.settle()
    if sent:
        assert b"fate" in writer.errors[0] and b"fate" not in reader.errors[0]
    else:
        assert reader.values == [b"new"]
    assert not writer.asks and not reader.asks and world.audit() == []


def test_a_set_that_times_out_answers_all_who_joined() -> None:
    world = World(copies="off", timeout_us=100_000)
    writer, reader = world.open(), world.open()
    world.ask(writer, b"SET", KEY, b"new")
    world.ask(reader, b"GET", KEY)
    world.turn()
    world.transmit(world.wires[SHARED])
    world.pass_time(200_000)
    world.collect()
    assert len(writer.errors) == len(reader.errors) == 1 and b"fate" not in reader.errors[0]
    world.settle()
    assert world.audit() == []


def test_a_read_does_not_join_a_set_before_its_clients_own_read() -> None:
    world = World(copies="off")
    writer, reader = world.open(), world.open()
    world.ask(writer, b"SET", KEY, b"new")
    world.ask(reader, b"STRLEN", KEY)
    world.ask(reader, b"GET", KEY)
    world.settle()
    assert asked(world) == 1 and reader.values == [3, b"new"]
