"""The key hashes against recorded values of twemproxy 0.5.0 and against their naive twins."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.engine.hashes import HASHES, hash_name_to_kind, key_hash
from tests.oracle import hashes as slow

VECTORS = json.loads((Path(__file__).parents[1] / "data" / "ketama_vectors.json").read_text())["hash"]


@pytest.mark.parametrize("name", HASHES)
def test_recorded_values(name):
    for row in VECTORS:
        assert key_hash(name, bytes.fromhex(row["key_hex"])) == row[name], row["key_hex"]


def test_every_hash_has_a_twin_and_a_kind():
    assert set(HASHES) == set(slow.HASHES)
    assert [hash_name_to_kind(name) for name in HASHES] == list(range(12))


@settings(max_examples=400, deadline=None)
@given(key=st.binary(max_size=200))
def test_same_as_the_twin(key):
    for name in HASHES:
        assert key_hash(name, key) == slow.HASHES[name](key), name


@pytest.mark.parametrize("name", HASHES)
@pytest.mark.parametrize("filler", [b"\x00", b"a", b"\x7f", b"\x80", b"\xff"])
def test_every_length_up_to_three_md5_blocks(name, filler):
    for length in range(193):
        assert key_hash(name, filler * length) == slow.HASHES[name](filler * length), length


def test_md5_of_a_ring_label():
    assert key_hash("md5", b"server1-0") == 2394223911


@pytest.mark.parametrize("wanted", [0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF])
def test_murmur_can_be_run_backwards(wanted):
    assert key_hash("murmur", slow.murmur_preimage(wanted)) == wanted


def test_an_unknown_name_is_answered_with_the_known_ones():
    with pytest.raises(ValueError, match=r"unknown hash 'sha1': use one of one_at_a_time, md5, .*jenkins"):
        hash_name_to_kind("sha1")
    with pytest.raises(ValueError, match="unknown hash"):
        key_hash("sha1", b"key")
