"""The ring against recorded rings of twemproxy 0.5.0 and against its naive twin."""

import hashlib
import json
import struct
from collections import Counter
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.engine.hashes import HASHES
from proxy.engine.ring import DISTRIBUTIONS, Placement, _time_nodes
from tests.oracle.hashes import murmur_preimage
from tests.oracle.ring import Draws, SlowRing, ketama_points

POOLS = json.loads((Path(__file__).parents[1] / "data" / "ketama_vectors.json").read_text())["rings"]


def labels_of(count):
    return [b"10.0.0.%d:6379" % number for number in range(1, count + 1)]


# ---- recorded rings


@pytest.mark.parametrize("pool", POOLS, ids=lambda pool: pool["pool"])
def test_recorded_ring(pool):
    placement = Placement([label.encode() for label in pool["labels"]], pool["weights"])
    points = placement.points()
    per_node = Counter(node for _, node in points)
    assert [per_node[node] for node in range(len(placement))] == pool["points_per_server"]
    assert [list(point) for point in points[:6]] == pool["first6"]
    assert [list(point) for point in points[-3:]] == pool["last3"]
    packed = b"".join(struct.pack("<II", *point) for point in points)
    assert hashlib.sha256(packed).hexdigest() == pool["sha256_le_u32_value_u32_index"]


@pytest.mark.parametrize("pool", POOLS, ids=lambda pool: pool["pool"])
def test_recorded_homes(pool):
    for name, homes in pool["place"].items():
        placement = Placement([label.encode() for label in pool["labels"]], pool["weights"], hash=name)
        for key, node in homes.items():
            assert placement.node(bytes.fromhex(key)) == node, (name, key)


@pytest.mark.parametrize("count", [25, 47, 50, 55, 61, 71, 94, 100])
def test_rounding_costs_four_points(count):
    placement = Placement(labels_of(count), [1] * count)
    assert set(Counter(node for _, node in placement.points()).values()) == {156}


@pytest.mark.parametrize(
    ("weights", "points"),
    [
        ([1, 2], [104, 212]),
        ([10, 20, 60], [52, 104, 320]),
        ([1, 2, 3, 10], [40, 80, 120, 400]),
        ([1, 1, 1, 5], [80, 80, 80, 400]),
        ([100000, 1], [316, 0]),
    ],
)
def test_points_by_weight(weights, points):
    per_node = Counter(node for _, node in Placement(labels_of(len(weights)), weights).points())
    assert [per_node[node] for node in range(len(weights))] == points


def test_rounding_of_every_small_ring():
    for count in range(1, 130):
        expected = ketama_points(1, count, count) * count
        assert len(Placement(labels_of(count), [1] * count).points()) == expected, count


# ---- the same as the twin


@st.composite
def groups(draw):
    """Up to four groups; prefixes that begin alike, or that fit the keys below, are likely."""
    piece = st.lists(st.sampled_from([b"{", b"}", b"u", b"user", b":", b"x", b"\xff", b"\x00"]), min_size=1, max_size=4)
    text = (piece.map(b"".join) | st.binary(min_size=1, max_size=3)).filter(lambda text: text != b"*")
    prefixes = draw(st.lists(text | text.map(lambda text: b"*" + text), unique=True, max_size=8))
    names = draw(st.lists(st.binary(min_size=1, max_size=9) | st.just(b"{x}y"), unique=True, max_size=4))
    return {name: part for number, name in enumerate(names) if (part := prefixes[number :: len(names)])}


@st.composite
def pools(draw):
    distribution = draw(st.sampled_from(DISTRIBUTIONS))
    labels = draw(st.lists(st.binary(min_size=1, max_size=24), min_size=1, max_size=9, unique=True))
    heaviest = draw(st.sampled_from([1, 5, 1000] if distribution == "modula" else [1, 5, 1000, 2**31 - 1]))
    if heaviest == 2**31 - 1:
        heaviest = (2**32 - 1) // len(labels) if len(labels) > 2 else heaviest
    weights = draw(st.lists(st.integers(1, heaviest), min_size=len(labels), max_size=len(labels)))
    tag = draw(st.sampled_from([None, b"{}", b"<>", b"||", b"\xff\x00"]))
    return labels, weights, distribution, draw(st.sampled_from(HASHES)), tag, draw(groups())


KEYS = st.lists(
    st.one_of(
        st.binary(max_size=40),
        st.lists(st.sampled_from([b"{", b"}", b"<", b">", b"|", b"\xff", b"\x00", b"user:1", b"x"]), max_size=8).map(
            b"".join
        ),
    ),
    min_size=1,
    max_size=30,
)


@settings(max_examples=200, deadline=None)
@given(pool=pools(), keys=KEYS, data=st.data())
def test_same_as_the_twin(pool, keys, data):
    fast, slow = Placement(*pool), SlowRing(*pool)
    count = len(fast)
    if pool[2] == "ketama":
        assert fast.points() == slow.points
    masks = st.binary(min_size=count, max_size=count).map(lambda mask: bytes(byte & 1 for byte in mask))
    for key in keys:
        assert fast.group(key) == slow.group(key)
        assert fast.hash(key) == slow.hash(key)
        for most in (0, 1, 2, count, count + 1):
            assert fast.candidates(key, most) == slow.candidates(key, most)
        seed = fast.random_state
        assert fast.node(key) == slow.node(key, Draws(seed))
        live = data.draw(masks)
        fast.random_state = seed
        assert fast.live_node(key, live) == slow.live_node(key, live, Draws(seed))


@settings(max_examples=12, deadline=None)
@given(count=st.integers(2, 40), heaviest=st.sampled_from([1, 4]), data=st.data())
def test_at_and_beside_every_point(count, heaviest, data):
    weights = data.draw(st.lists(st.integers(1, heaviest), min_size=count, max_size=count))
    placement = Placement(labels_of(count), weights)
    points = placement.points()
    for (below, _), (value, node), (_, after) in zip(
        [(-1, 0), *points], points, [*points[1:], points[0]], strict=False
    ):
        assert placement.node(murmur_preimage(value)) == node
        if value - 1 > below:
            assert placement.node(murmur_preimage(value - 1)) == node
        if value < 2**32 - 1 and value + 1 not in {value for value, _ in points}:
            assert placement.node(murmur_preimage(value + 1)) == after
    assert placement.node(murmur_preimage(0)) == points[0][1]
    assert placement.node(murmur_preimage(2**32 - 1)) == points[0][1]


@pytest.mark.parametrize("weights", [[1, 1], [3, 1, 7], [1, 500, 1, 1], [2**31 - 1, 2**31 - 1, 1]])
def test_modula_at_every_edge(weights):
    placement = Placement(labels_of(len(weights)), weights, "modula")
    total = sum(weights)
    begin = 0
    for node, weight in enumerate(weights):
        for slot in (begin, begin + weight - 1):
            for h in (slot, slot + total):
                if h < 2**32:
                    assert placement.node(murmur_preimage(h)) == node
        begin += weight


def test_modula_slots_are_in_the_order_of_names():
    placement = Placement([b"zz", b"bbb", b"y", b"aa"], [1, 4, 2, 1], "modula")
    assert [placement.node(murmur_preimage(slot)) for slot in range(8)] == [2, 2, 3, 0, 1, 1, 1, 1]


def test_equal_points_belong_to_the_first_name():
    alike = [b"x" * 272 + last for last in (b"c", b"aa", b"b")]  # the same 272 bytes are hashed: every point is a tie
    placement = Placement(alike, [1, 1, 1])
    assert placement.points() == SlowRing(alike, [1, 1, 1], "ketama", "murmur").points
    assert {placement.node(b"key:%d" % number) for number in range(100)} == {2}


# ---- what the walk promises


@pytest.mark.parametrize("distribution", ["ketama", "modula"])
@pytest.mark.parametrize("weights", [[1] * 5, [10, 20, 60], [1, 2, 3, 10]])
def test_only_the_keys_of_a_dead_node_move(distribution, weights):
    placement = Placement(labels_of(len(weights)), weights, distribution)
    keys = [b"user:%d" % number for number in range(2000)]
    for dead in range(len(weights)):
        live = bytes(node != dead for node in range(len(weights)))
        taken = Counter()
        for key in keys:
            home, now = placement.node(key), placement.live_node(key, live)
            if home == dead:
                taken[now] += 1
            else:
                assert now == home
        assert len(taken) == len(weights) - 1  # every survivor takes some
        assert dead not in taken


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_nobody_is_live(distribution):
    for count in (1, 4):
        assert Placement(labels_of(count), [1] * count, distribution).live_node(b"key", bytes(count)) is None


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_the_last_survivor_is_found(distribution):
    placement = Placement(labels_of(200), [1] * 200, distribution)
    for survivor in (0, 77, 199):
        live = bytes(node == survivor for node in range(200))
        assert {placement.live_node(b"key:%d" % number, live) for number in range(50)} == {survivor}


def test_random_uses_every_node_and_no_weights():
    placement = Placement(labels_of(4), [1, 1, 1, 1000], "random")
    placement.random_state = 7
    drawn = Counter(placement.node(b"one key") for _ in range(4000))
    assert all(850 < drawn[node] < 1150 for node in range(4))
    assert sorted(placement.candidates(b"one key", 4)) == [0, 1, 2, 3]
    assert placement.candidates(b"one key", 4) == placement.candidates(b"one key", 4)


def test_a_node_without_points_is_no_candidate():
    placement = Placement(labels_of(2), [100000, 1])
    assert placement.candidates(b"key", 2) == [0]
    assert placement.live_node(b"key", b"\x00\x01") is None


def test_one_node_takes_all():
    for distribution in DISTRIBUTIONS:
        placement = Placement([b"only"], [3], distribution, "crc16")
        assert placement.node(b"") == placement.node(b"key") == 0
        assert placement.candidates(b"key", 5) == [0]
        assert placement.shares() == [1.0]


def test_the_empty_key_hashes_to_zero():
    for name in HASHES:
        assert Placement(labels_of(2), [1, 1], hash=name, hash_tag=b"{}").hash(b"") == 0


@pytest.mark.parametrize(
    ("key", "hashed"),
    [
        (b"{user}:1", b"user"),
        (b"a{b}c{d}", b"b"),
        (b"{}x", b"{}x"),
        (b"{x", b"{x"),
        (b"x}", b"x}"),
        (b"}{a}", b"a"),
        (b"{{a}}", b"{a"),
        (b"{}{a}", b"{}{a}"),
    ],
)
def test_hash_tag(key, hashed):
    assert Placement(labels_of(2), [1, 1], hash_tag=b"{}").hash(key) == Placement(labels_of(2), [1, 1]).hash(hashed)


# ---- groups


def test_groups():
    names = {b"rq": [b"rq:"], b"celery": [b"celery", b"unacked", b"_kombu."], b"other": [b"celery-task"]}
    plain, grouped = Placement(labels_of(5), [1] * 5), Placement(labels_of(5), [1] * 5, colocate=names)
    tagged = Placement(labels_of(5), [1] * 5, hash_tag=b"{}", colocate=names)
    for key, name in (
        (b"rq:job:1", b"rq"), (b"rq:", b"rq"), (b"rq:{a}", b"rq"), (b"celery", b"celery"), (b"celeryev", b"celery"),
        (b"_kombu.binding.x", b"celery"), (b"celery-task-meta-1", b"other"), (b"celery-tas", b"celery"),
    ):  # fmt: skip
        assert grouped.group(key) == tagged.group(key) == name
        assert grouped.hash(key) == tagged.hash(key) == plain.hash(name)
        assert grouped.candidates(key, 5) == tagged.candidates(key, 5) == plain.candidates(name, 5)
    for key in (b"", b"r", b"rq", b"_", b"xrq:", b"\xff", b"user:1", b"Celery"):
        assert grouped.group(key) is None
        assert grouped.hash(key) == plain.hash(key)
    assert tagged.hash(b"{rq}:x") == plain.hash(b"rq") and tagged.group(b"{rq}:x") is None


def test_the_name_of_a_group_has_no_tag():
    placement = Placement(labels_of(3), [1] * 3, hash_tag=b"{}", colocate={b"a{b}": [b"x"]})
    assert placement.hash(b"x") == Placement(labels_of(3), [1] * 3).hash(b"a{b}")


# ---- shares


@pytest.mark.parametrize("weights", [[1, 1], [1] * 25, [10, 20, 60], [100000, 1]])
def test_shares_of_ketama(weights):
    placement = Placement(labels_of(len(weights)), weights)
    points = placement.points()
    owned = [Fraction(0)] * len(weights)
    for (below, _), (value, node) in zip([(points[-1][0] - 2**32, 0), *points], points, strict=False):
        owned[node] += Fraction(value - below, 2**32)
    assert placement.shares() == [float(share) for share in owned]
    assert sum(owned) == 1


def test_shares_of_modula_and_random():
    assert Placement(labels_of(3), [1, 2, 5], "modula").shares() == [0.125, 0.25, 0.625]
    assert Placement(labels_of(4), [1, 2, 5, 9], "random").shares() == [0.25] * 4


# ---- nonsense is refused


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([], []), "at least one node"),
        (([b"a"], [1, 2]), "1 labels but 2 weights: give one weight"),
        (([b"a", b"a"], [1, 1]), "b'a' appears twice: give each node a name"),
        (([b""], [1]), "give a name"),
        ((["a"], [1]), "as non-empty bytes"),
        (([b"a"], [0]), "weight 0 of node b'a': use a whole number from 1"),
        (([b"a"], [1.5]), "weight 1.5"),
        (([b"a"], [2**31]), "from 1 to 2147483647"),
        (([b"a", b"b", b"c"], [2**31 - 1] * 3), "divide them all"),
        (([b"a"], [1], "consistent"), "unknown distribution 'consistent': use one of ketama, modula, random"),
        (([b"a"], [1], "ketama", "sha1"), "unknown hash 'sha1'"),
        (([b"a"], [1], "ketama", "murmur", b"{"), "give two characters"),
        (([b"a"], [1], "ketama", "murmur", None, {b"": [b"x"]}), "group b'': give it a name"),
        (([b"a"], [1], "ketama", "murmur", None, {b"g": []}), "group b'g' has no prefix: give it one"),
        (([b"a"], [1], "ketama", "murmur", None, {b"g": [b""]}), "prefix b'' of group b'g': give non-empty bytes"),
        (([b"a"], [1], "ketama", "murmur", None, {b"g": ["x"]}), "prefix 'x' of group b'g': give non-empty bytes"),
        (([b"a"], [1], "ketama", "murmur", None, {b"g": [b"x"], b"h": [b"x"]}), "in group b'g' and in b'h': keep one"),
        (([b"%d" % number for number in range(65536)], [1] * 65536), "split the pool"),
    ],
)
def test_refusals(arguments, message):
    with pytest.raises(ValueError, match=message):
        Placement(*arguments)


def test_the_largest_ring():
    placement = Placement([b"%d" % number for number in range(65535)], [1] * 65535, "modula")
    assert placement.node(murmur_preimage(65534)) == 65534
    assert sorted(placement.candidates(b"key", 65535)) == list(range(65535))


def test_a_live_mask_of_the_wrong_length_is_refused():
    with pytest.raises(ValueError, match="1 live flags for 2 nodes"):
        Placement(labels_of(2), [1, 1]).live_node(b"key", b"\x01")


def test_the_micro_benchmark_runs():
    assert 0 < _time_nodes(Placement(labels_of(3), [1] * 3), [b"a", b"b"], 100) < 1e6
    with pytest.raises(ValueError, match="nothing to time"):
        _time_nodes(Placement(labels_of(3), [1] * 3), [], 100)
