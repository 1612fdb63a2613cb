"""What is made of the replies of many nodes, against the plainest way to say it."""

import random
from collections import Counter

import hiredis
from hypothesis import given
from hypothesis import strategies as st

from proxy.control.reply import encode
from proxy.control.statistics import DatabaseStatistics
from proxy.errors import ReplyError
from proxy.lanes import memory
from proxy.lanes.databases import read_keyspace
from proxy.lanes.functions import name_of, runs
from proxy.lanes.keyspace import pick
from proxy.lanes.latency import merge_histograms, merge_latest
from proxy.lanes.raw import NodeError, elements, integer, join, parse
from proxy.lanes.scripts import most_telling
from proxy.lanes.slowlog import merge

values = st.recursive(
    st.none() | st.integers(-(1 << 63), (1 << 63) - 1) | st.binary(max_size=20),
    lambda inner: st.lists(inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


@given(st.lists(st.lists(values, max_size=5), max_size=5), st.sampled_from([2, 3]))
def test_arrays_are_joined_and_taken_apart(arrays, protocol):
    raws = [encode(array, protocol) for array in arrays]
    whole = [value for array in arrays for value in array]
    assert join(raws) == encode(whole, protocol)
    assert elements(join(raws)) == [encode(value, protocol) for value in whole]
    assert parse(join(raws)) == whole


def test_an_integer():
    assert integer(b":-12\r\n") == -12


def test_an_error_of_a_node_is_passed_on_byte_for_byte():
    raw = b"-NOPERM this user \xff has no permissions\r\n"
    assert NodeError(raw).reply == raw


# -- SLOWLOG ----------------------------------------------------------------------------------------------------------

entries = st.tuples(st.integers(0, 50), st.integers(0, 1000), st.lists(st.binary(max_size=5), max_size=3))


@given(st.lists(st.lists(entries, max_size=6), min_size=2, max_size=4), st.integers(-1, 12))
def test_slowlog_is_merged_by_time(nodes, count):
    raws = []
    everything = []
    for node, found in enumerate(nodes):
        log = []
        for number, (at, took, args) in enumerate(sorted(found, key=lambda entry: entry[0])):
            log.insert(0, [number, at, took, args, b"10.0.0.9:1", b"name"])
            everything.append([number * len(nodes) + node, at, took, args, b"10.0.0.9:1", b"name"])
        raws.append(encode(log, 2))
    merged = parse(merge(raws, count))
    assert len(merged) == (len(everything) if count < 0 else min(count, len(everything)))
    assert all(entry in everything for entry in merged)
    times = [entry[1] for entry in merged]
    assert times == sorted(times, reverse=True)
    if merged:
        assert times == sorted((entry[1] for entry in everything), reverse=True)[: len(times)]
    assert len({entry[0] for entry in merged}) == len(merged)


# -- LATENCY ----------------------------------------------------------------------------------------------------------

counts = st.dictionaries(st.sampled_from([1, 2, 4, 8, 16, 33, 66]), st.integers(1, 100), min_size=1)
commands = st.dictionaries(st.sampled_from([b"get", b"set", b"client|id"]), counts, max_size=3)


def cumulative(buckets):
    total = 0
    made = {}
    for bound in sorted(buckets):
        total += buckets[bound]
        made[bound] = total
    return {b"calls": total, b"histogram_usec": made}


@given(st.lists(commands, min_size=1, max_size=4))
def test_histograms_are_added_bucket_by_bucket(nodes):
    together: dict[bytes, Counter[int]] = {}
    for node in nodes:
        for command, buckets in node.items():
            together.setdefault(command, Counter()).update(buckets)
    replies = [{command: cumulative(buckets) for command, buckets in node.items()} for node in nodes]
    assert merge_histograms(replies) == {command: cumulative(buckets) for command, buckets in together.items()}


def test_the_latest_spike_and_the_worst():
    merged = merge_latest([
        [[b"command", 100, 20, 90]], [[b"fork", 50, 5, 5], [b"command", 101, 10, 30]], [],
    ])  # fmt: skip
    assert merged == [[b"command", 101, 10, 90], [b"fork", 50, 5, 5]]


# -- MEMORY, keys and the rest ----------------------------------------------------------------------------------------


def test_memory_is_added_up_and_shares_are_weighted():
    def node(total, keys, share):
        return {
            b"total.allocated": total, b"startup.allocated": 100, b"keys.count": keys, b"keys.bytes-per-key": 7,
            b"db.0": {b"overhead.hashtable.main": keys * 8}, b"dataset.percentage": share, b"hash": b"murmur",
        }  # fmt: skip

    merged = memory.merge([node(1100, 10, 90.0), {**node(3100, 30, 50.0), b"db.1": {b"overhead.hashtable.main": 1}}])
    assert merged == {
        b"total.allocated": 4200, b"startup.allocated": 200, b"keys.count": 40, b"keys.bytes-per-key": 100,
        b"db.0": {b"overhead.hashtable.main": 320}, b"dataset.percentage": (90.0 * 1100 + 50.0 * 3100) / 4200,
        b"hash": b"murmur", b"db.1": {b"overhead.hashtable.main": 1},
    }  # fmt: skip


@given(st.lists(st.integers(0, 5), max_size=8))
def test_a_node_is_picked_as_often_as_it_has_keys(sizes):
    picked = Counter(pick(sizes, lambda total, at=at: at) for at in range(sum(sizes)))
    assert picked == Counter({place: size for place, size in enumerate(sizes) if size})
    if not any(sizes):
        assert pick(sizes, random.randrange) is None


def test_keyspace_lines():
    text = b"$90\r\n# Keyspace\r\ndb0:keys=3,expires=1,avg_ttl=100\r\n"
    text += b"db12:keys=4,expires=0,avg_ttl=0,subexpiry=2\r\n\r\n"
    assert read_keyspace(text) == {0: DatabaseStatistics(3, 1, 100), 12: DatabaseStatistics(4, 0, 0)}


@given(st.lists(st.tuples(st.integers(0, 100), st.integers(0, 100)), max_size=5))
def test_databases_add_up(parts):
    total = sum((DatabaseStatistics(expires + 1, expires, ttl) for expires, ttl in parts), DatabaseStatistics())
    assert total.keys == sum(expires + 1 for expires, _ in parts)
    assert total.expires == sum(expires for expires, _ in parts)
    if total.expires:
        exact = sum(expires * ttl for expires, ttl in parts) / total.expires
        assert exact - len(parts) <= total.average_ttl <= exact


def test_what_a_kill_is_answered_with():
    idle, done, stuck = b"-NOTBUSY No scripts\r\n", b"+OK\r\n", b"-UNKILLABLE Sorry\r\n"
    down = ReplyError("syntax")
    assert most_telling([idle, done, stuck]) == done
    assert most_telling([idle, down, stuck]) == stuck
    assert most_telling([idle, down]) == b""


def test_functions_of_both_protocols():
    library = {"library_name": "mine", "functions": []}
    flat = ["library_name", "mine", "functions", []]
    assert name_of(encode(library, 3)) == name_of(encode(flat, 2)) == b"mine"
    assert runs(encode({"running_script": {"name": "f"}}, 3)) and runs(encode(["running_script", ["name", "f"]], 2))
    assert not runs(encode({"running_script": None}, 3)) and not runs(encode(["running_script", None], 2))
    assert isinstance(parse(b"-ERR no\r\n"), hiredis.ReplyError)
