"""Copies, joined reads, fetches and ears, in small scenes of tests/engine/world.py."""

from tests.engine.world import EAR, KEYS, World

KEY, OTHER = KEYS


def test_a_copy_is_served():
    world = World()
    world.live()
    caller = world.open()
    world.write((0, KEY), b"one")
    for _ in range(6):
        world.ask(caller, b"GET", KEY)
        world.settle()
    assert caller.values == [b"one"] * 6
    counters = world.engines[0].counters()
    assert counters["copy_hits"] >= 3 and counters["copies_stored"] >= 1
    assert not world.audit()
