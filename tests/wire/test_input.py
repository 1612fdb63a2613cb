"""Input: what is kept, how it grows, and that neither reads nor copies grow faster than the bytes."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.wire import inspect
from tests.helpers import bulk, feed_all_ways, request

CHUNK = 16384 - 64  # bytes of a pooled chunk
SCRATCH = 65536  # bytes of one recv
MOVE_AT = 32768  # requests of this size are handed on as chunks


def in_pieces(data, size):
    return [data[at : at + size] for at in range(0, len(data), size)]


SIZES = [CHUNK - 40, CHUNK - 1, CHUNK, CHUNK + 1, MOVE_AT - 20, MOVE_AT, SCRATCH - 30, SCRATCH, SCRATCH + 1, 300_000]


@pytest.mark.parametrize("size", SIZES)
def test_sizes_around_every_threshold(size):
    small, large = [b"GET", b"k"], [b"SET", b"k", bytes(range(256)) * (size // 256) + b"x" * (size % 256)]
    requests = [small, large, small, small, large, large, small]
    data = b"".join(request(*arguments) for arguments in requests)
    for step in (len(data), 1000, CHUNK, SCRATCH - 1, SCRATCH, len(data) // 2 + 1, len(request(*small)), size + 37):
        got = inspect.frame_requests(in_pieces(data, step))
        assert got.items == requests
        assert (got.error, got.left) == (None, 0)
        assert got.copied < 8 * len(data)


@given(
    st.lists(st.sampled_from([1, 100, 1000, *SIZES]), min_size=1, max_size=8),
    st.lists(st.integers(1, 100_000), max_size=12),
)
@settings(deadline=None, max_examples=60)
def test_any_mixture(sizes, cuts):
    requests = [
        [b"SET", b"%d" % index, b"%d" % index * (size // len(b"%d" % index))] for index, size in enumerate(sizes)
    ]
    data = b"".join(request(*arguments) for arguments in requests)
    pieces, at = [], 0
    for cut in cuts:
        pieces.append(data[at : at + cut])
        at += cut
    got = inspect.frame_requests([*pieces, data[at:]])
    assert (got.items, got.error, got.left) == (requests, None, 0)
    assert got.copied <= 8 * len(data)


def work(data, step, frame=inspect.frame_requests):
    got = frame(in_pieces(data, step))
    assert got.error is None
    return got


STREAMS = {
    "a line that never ends": b"a" * 65_000,
    "a line after a request": request(b"GET", b"k") + b"a" * 65_000,
    "one large value": request(b"SET", b"k", b"x" * 4_000_000),
    "many large values in one request": request(b"MSET", *[b"x" * 40_000] * 100),
    "values that fill a read": request(b"MSET", *[b"x" * (SCRATCH - 10)] * 60),
    "many small values in one request": request(b"MSET", *[b"x" * 10] * 100_000),
    "small requests": request(b"GET", b"k") * 50_000,
    "requests that fill a chunk": request(b"SET", b"k", b"x" * (CHUNK - 60)) * 100,
    "requests that are moved": request(b"SET", b"k", b"x" * MOVE_AT) * 100,
    "small and large in turn": (request(b"GET", b"k") + request(b"SET", b"k", b"x" * 50_000)) * 50,
}


@pytest.mark.parametrize("step", [997, 10_000, CHUNK, 10**9])
@pytest.mark.parametrize("name", STREAMS)
def test_work_is_linear(name, step):
    """Counted, not timed: bytes copied per byte fed, and reads beyond those that the pieces and the scratch force."""
    data = STREAMS[name]
    got = work(data, step)
    assert got.copied <= 4 * len(data) + 4 * SCRATCH
    assert got.reads <= 3 * (len(data) // min(step, CHUNK) + 10)


def test_byte_by_byte_is_linear():
    data = request(b"MSET", *[b"x" * 40] * 1000)
    got = work(data, 1)
    assert got.reads == len(data)
    assert got.copied <= 4 * len(data)


def test_a_long_reply_line_is_linear():
    data = b"+" + b"x" * 1_000_000 + b"\r\n"
    got = work(data, 10_000, inspect.frame_replies)
    assert got.items == [data]
    assert got.copied <= 4 * len(data)
    assert got.reads <= 3 * 100 + 30


def test_replies_of_many_values():
    reply = b"*100\r\n" + bulk(b"x" * 40_000) * 100
    for step in (1000, 40_007, 10**9):
        got = work(reply * 2, step, inspect.frame_replies)
        assert got.items == [reply, reply]
        assert got.copied <= 8 * len(reply)


def test_left_over():
    assert inspect.frame_requests([request(b"GET", b"k") + b"*1\r\n$4\r\nPI"]).left == len(b"*1\r\n$4\r\nPI")
    assert inspect.frame_requests([]).left == 0
    assert feed_all_ways(inspect.frame_requests, b"*2\r\n$100000\r\n") == ([], None, 13)
