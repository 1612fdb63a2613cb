"""Registry against a naive twin: a set of pairs, from which everything is counted anew each time."""

from __future__ import annotations

from array import array

from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.lanes.kept import KeptClient
from proxy.lanes.registry import Audience, Key, Kind, Registry

CLIENTS = [KeptClient(number, number % 3, 0x1000 + number // 3, 0) for number in range(7)]
KEYS: list[Key] = [(kind, name) for kind in Kind for name in (b"a", b"b", b"")]


class Twin:
    """Who is subscribed to what, in the order of subscribing."""

    def __init__(self) -> None:
        self.pairs: list[tuple[Key, KeptClient]] = []

    def receivers(self, key: Key) -> dict[int, list[int]]:
        found: dict[int, list[int]] = {}
        for each, client in self.pairs:
            if each == key:
                found.setdefault(client.engine, []).append(client.pointer)
        return found

    def names(self, kind: Kind, client: KeptClient) -> list[bytes]:
        return [key[1] for key, each in self.pairs if each is client and key[0] is kind]


def check(registry: Registry, twin: Twin) -> None:
    assert len(registry) == len({client for _, client in twin.pairs})
    assert set(registry.keys()) == {key for key, _ in twin.pairs}
    assert registry.totals == [len({key for key, _ in twin.pairs if key[0] is kind}) for kind in Kind]
    for key in KEYS:
        wanted = twin.receivers(key)
        audience = registry.audience(key)
        assert registry.size(key) == sum(map(len, wanted.values()))
        if audience is None:
            assert not wanted
            continue
        for _ in range(2):  # the second time from what is kept
            assert {engine: list(array("Q", data)) for engine, data in audience.arrays().items()} == wanted
        assert audience.size == registry.size(key) > 0
    for client in CLIENTS:
        assert registry.counts(client) == tuple(len(twin.names(kind, client)) for kind in Kind)
        for kind in Kind:
            assert registry.names(kind, client) == twin.names(kind, client)


STEPS = st.lists(
    st.tuples(st.sampled_from(["add", "add", "add", "remove", "forget"]), st.sampled_from(KEYS),
              st.sampled_from(CLIENTS)),
    max_size=60,
)  # fmt: skip


@settings(deadline=None)
@given(STEPS)
def test_it_knows_what_the_twin_knows(steps: list[tuple[str, Key, KeptClient]]) -> None:
    registry, twin = Registry(), Twin()
    for what, key, client in steps:
        pair = (key, client)
        if what == "add":
            assert registry.add(key, client) == (pair not in twin.pairs)
            if pair not in twin.pairs:
                twin.pairs.append(pair)
        elif what == "remove":
            assert registry.remove(key, client) == (pair in twin.pairs)
            twin.pairs = [each for each in twin.pairs if each != pair]
        else:
            left = [each for each, whose in twin.pairs if whose is client]
            assert registry.of(client) == sorted(left, key=lambda key: key[0])
            assert sorted(registry.forget(client)) == sorted(left)
            twin.pairs = [each for each in twin.pairs if each[1] is not client]
        check(registry, twin)
    for client in CLIENTS:
        registry.forget(client)
    assert not len(registry) and not list(registry.keys()) and registry.totals == [0, 0, 0]


def test_clients_are_told_apart_by_who_they_are_not_by_their_pointer() -> None:
    """A pointer is free for another client as soon as the first was released."""
    registry = Registry()
    before, after = KeptClient(1, 0, 0x1000, 0), KeptClient(2, 0, 0x1000, 0)
    registry.add((Kind.CHANNEL, b"a"), before)
    assert registry.forget(before) == [(Kind.CHANNEL, b"a")]
    assert registry.add((Kind.CHANNEL, b"a"), after)
    assert registry.forget(before) == []
    assert registry.size((Kind.CHANNEL, b"a")) == 1


def test_an_unchanged_audience_is_one_object() -> None:
    """A message costs no new array."""
    registry = Registry()
    key = (Kind.CHANNEL, b"a")
    registry.add(key, CLIENTS[0])
    audience = registry.audience(key)
    assert audience is not None
    assert audience.arrays() is audience.arrays()
    registry.add(key, CLIENTS[1])
    assert registry.audience(key) is audience and len(audience.arrays()) == 2


def test_the_head_of_a_message_is_redis() -> None:
    assert Audience((Kind.CHANNEL, b"ch")).head == b">3\r\n$7\r\nmessage\r\n$2\r\nch\r\n"
    assert Audience((Kind.PATTERN, b"c*")).head == b">4\r\n$8\r\npmessage\r\n$2\r\nc*\r\n"
    assert Audience((Kind.SHARD, b"")).head == b">3\r\n$8\r\nsmessage\r\n$0\r\n\r\n"
