"""Output against a model that is one bytearray, and writing to real sockets."""

import socket

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from proxy.wire.inspect import OutputFace
from tests.helpers import bulk

CHUNK = 16384 - 64
SIZES = st.one_of(st.integers(0, 40), st.sampled_from([1000, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 100_000]))
DATA = st.builds(lambda size, seed: (b"%d," % seed * (size // 2 + 1))[:size], SIZES, st.integers(0, 999))


class OutputModel(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.output = OutputFace()
        self.model = bytearray()

    @rule(data=DATA)
    def append(self, data):
        self.output.append(data)
        self.model += data

    @rule(data=DATA)
    def bulk(self, data):
        self.output.bulk(data)
        self.model += bulk(data)

    @rule(value=st.integers(-(1 << 63), (1 << 63) - 1))
    def number(self, value):
        self.output.number(b":", value)
        self.model += b":%d\r\n" % value

    @rule(data=DATA, spare=st.integers(0, 50), skip=st.integers(0, 50))
    def move(self, data, spare, skip):
        self.output.move(data, spare, skip)
        self.model += data

    @rule(size=SIZES)
    def room(self, size):
        self.output.room(size)

    @rule(part=st.fractions(0, 1))
    def consume(self, part):
        size = int(len(self.model) * part)
        self.output.consume(size)
        del self.model[:size]

    @rule(start=st.fractions(0, 1), part=st.fractions(0, 1))
    def cut(self, start, part):
        begin = int(len(self.model) * start)
        size = int((len(self.model) - begin) * part)
        self.output.cut(begin, size)
        del self.model[begin : begin + size]

    @rule(start=st.integers(0, 60), size=st.integers(0, 60))
    def cut_little(self, start, size):
        start = min(start, len(self.model))
        size = min(size, len(self.model) - start)
        self.output.cut(start, size)
        del self.model[start : start + size]

    @invariant()
    def same_bytes(self):
        assert bytes(self.output) == self.model
        assert len(self.output) == len(self.model)

    def teardown(self):
        self.output.consume(len(self.model))
        assert self.output.chunks == 0
        assert self.output.reserved == 0


TestOutputModel = OutputModel.TestCase
TestOutputModel.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)


class KeepingModel(RuleBasedStateMachine):
    """An Output that keeps what it gave away: the whole stream is the model."""

    def __init__(self):
        super().__init__()
        self.output = OutputFace(keeping=True)
        self.stream = bytearray()
        self.sent = self.kept = 0

    @rule(data=DATA)
    def append(self, data):
        self.output.append(data)
        self.stream += data

    @rule(data=DATA, spare=st.integers(0, 1000))
    def move(self, data, spare):
        self.output.move(data, spare)
        self.stream += data

    @rule(part=st.fractions(0, 1))
    def consume(self, part):
        size = int(len(self.output) * part)
        self.output.consume(size)
        self.sent += size

    @rule(start=st.fractions(0, 1), part=st.fractions(0, 1))
    def cut(self, start, part):
        begin = int(len(self.output) * start)
        size = int((len(self.output) - begin) * part)
        self.output.cut(begin, size)
        del self.stream[self.sent + begin : self.sent + begin + size]

    @rule(part=st.fractions(0, 1))
    def release(self, part):
        self.kept = max(self.kept, int(self.sent * part))
        self.output.release(self.kept)

    @rule()
    def restart(self):
        self.kept = self.sent
        self.output.restart(self.sent)

    @rule(part=st.fractions(0, 1), length=SIZES)
    def find(self, part, length):
        place = self.kept + int((len(self.stream) - self.kept) * part)
        length = min(length, len(self.stream) - place)
        assert self.output.found(place, length) == self.stream[place : place + length]
        assert self.output.found(len(self.stream), 1) is None

    @invariant()
    def same_bytes(self):
        assert bytes(self.output) == self.stream[self.sent :]

    def teardown(self):
        self.output.consume(len(self.output))
        self.output.release(len(self.stream))
        assert self.output.chunks <= 1


TestKeepingModel = KeepingModel.TestCase
TestKeepingModel.settings = settings(max_examples=100, stateful_step_count=30, deadline=None)


def test_small_requests_that_are_kept_share_chunks():
    output = OutputFace(keeping=True)
    for _ in range(1000):
        output.append(bytes(60))
        output.consume(60)
    assert output.reserved <= 4 * (CHUNK + 100)
    output.release(60_000)
    assert output.reserved <= CHUNK + 100


def drain(output, near, far):
    """Write `output` to `near` while reading from `far`; what arrived."""
    near.setblocking(False)
    far.setblocking(False)
    arrived = bytearray()
    while True:
        done = output.write(near.fileno())
        try:
            while piece := far.recv(1 << 20):
                arrived += piece
        except BlockingIOError:
            pass
        if done:
            return bytes(arrived)


@given(st.lists(st.tuples(st.booleans(), DATA), max_size=12))
@settings(deadline=None, max_examples=60)
def test_write(pieces):
    output = OutputFace()
    for moved, data in pieces:
        (output.move if moved and data else output.append)(data)
    near, far = socket.socketpair()
    with near, far:
        assert drain(output, near, far) == b"".join(data for _, data in pieces)
    assert (len(output), output.chunks, output.reserved) == (0, 0, 0)


def test_write_of_more_chunks_than_one_call_takes():
    output = OutputFace()
    expected = b""
    for number in range(1000):
        output.move(b"%d," % number * (number % 7))
        expected += b"%d," % number * (number % 7)
    near, far = socket.socketpair()
    with near, far:
        assert drain(output, near, far) == expected


def test_write_of_several_chunks_and_a_full_kernel_buffer():
    output = OutputFace()
    data = bytes(range(256)) * 40_000
    for at in range(0, len(data), 50_000):
        output.append(data[at : at + 50_000])
    assert output.chunks > 64
    near, far = socket.socketpair()
    with near, far:
        near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 10_000)
        near.setblocking(False)
        assert output.write(near.fileno()) is False
        assert 0 < len(output) < len(data)
        assert data.endswith(bytes(output))
        assert drain(output, near, far) == data


@pytest.mark.parametrize("pieces", [1, 3])
def test_write_to_a_peer_that_is_gone(pieces):
    output = OutputFace()
    for _ in range(pieces):
        output.move(b"x")
    near, far = socket.socketpair()
    with near:
        far.close()
        with pytest.raises(BrokenPipeError):
            output.write(near.fileno())
    assert bytes(output) == b"x" * pieces


def test_empty_output_writes_nothing():
    assert OutputFace().write(-1) is True
