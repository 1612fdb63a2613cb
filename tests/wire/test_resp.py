"""Request framing: fixtures fed in all ways, and its naive twin."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.wire import inspect
from tests.helpers import agree_with_twin, feed_all_ways, request
from tests.oracle import resp as oracle

TAIL = b"*1\r\n$4\r\nPING\r\n"
LINE_LIMIT = 65536


def error(text):
    return b"-ERR Protocol error: " + text + b"\r\n"


COMPLETE = [
    (request(b"GET", b"k"), [b"GET", b"k"]),
    (request(b"SET", b"", b"\0\r\n*1\r\n"), [b"SET", b"", b"\0\r\n*1\r\n"]),
    (request(*[b"a"] * 9), [b"a"] * 9),
    (request(*[b"a"] * 10), [b"a"] * 10),
    (request(b"x" * 9, b"x" * 10, b"x" * 99, b"x" * 100, b"x" * 1000), [b"x" * n for n in (9, 10, 99, 100, 1000)]),
    (b"*0\r\n", []),
    (b"*-1\r\n", []),
    (b"*-9223372036854775808\r\n", []),
    (b"\r\n", []),
    (b"\n", []),
    (b"  \t \r\n", []),
    # what Redis lets pass: a CR is enough for a line, two bytes behind a bulk string are anything
    (b"*1\rX$4\rXPINGXX", [b"PING"]),
    (b"*2\r\n$3\r\nGET\n\r$1\r\nk\0\0", [b"GET", b"k"]),
    (b"*0\rX", []),
    # inline
    (b"PING\r\n", [b"PING"]),
    (b"PING\n", [b"PING"]),
    (b"  SET  k\tv \r\n", [b"SET", b"k", b"v"]),
    (b"a\rb\r\r\n", [b"a", b"b"]),
    (b"a\vb \vc d\f\n", [b"a\vb", b"c", b"d\f"]),
    (b'SET k "a b\\n\\r\\t\\a\\b\\x41\\xfF\\q\\"\\\\"\r\n', [b"SET", b"k", b'a b\n\r\t\a\bA\xffq"\\']),
    (b'"\\x4" "\\xg0" "\\x"\n', [b"x4", b"xg0", b"x"]),
    (b"SET k 'a b\\n\\'\"'\n", [b"SET", b"k", b"a b\\n'\""]),
    (b"\"\" ''\n", [b"", b""]),
    (b'a"b c"\n', [b"ab c"]),
    (b"\xff\xfe\x80\n", [b"\xff\xfe\x80"]),
    (b"$4\r\n", [b"$4"]),
]

MALFORMED = [
    (b"*x\r\n", b"invalid multibulk length"),
    (b"*\r\n", b"invalid multibulk length"),
    (b"*01\r\n", b"invalid multibulk length"),
    (b"*+1\r\n", b"invalid multibulk length"),
    (b"* 1\r\n", b"invalid multibulk length"),
    (b"*1 \r\n", b"invalid multibulk length"),
    (b"*-0\r\n", b"invalid multibulk length"),
    (b"*-\r\n", b"invalid multibulk length"),
    (b"*1\n\r\n", b"invalid multibulk length"),
    (b"*2147483648\r\n", b"invalid multibulk length"),
    (b"*9223372036854775808\r\n", b"invalid multibulk length"),
    (b"*18446744073709551617\r\n", b"invalid multibulk length"),
    (b"*" + b"1" * 30 + b"\r\n", b"invalid multibulk length"),
    (b"*1\r\n$\r\n", b"invalid bulk length"),
    (b"*1\r\n$-1\r\n", b"invalid bulk length"),
    (b"*1\r\n$04\r\nPING\r\n", b"invalid bulk length"),
    (b"*1\r\n$+4\r\nPING\r\n", b"invalid bulk length"),
    (b"*1\r\n$4x\r\nPING\r\n", b"invalid bulk length"),
    (b"*1\r\n$536870913\r\n", b"invalid bulk length"),
    (b"*1\r\n$1234567890\r\n", b"invalid bulk length"),
    (b"*1\r\n$9223372036854775807\r\n", b"invalid bulk length"),
    (b"*1\r\n$18446744073709551620\r\nPING\r\n", b"invalid bulk length"),
    (b"*1\r\n:4\r\n", b"expected '$', got ':'"),
    (b"*1\r\n\r\n", b"expected '$', got ' '"),
    (b"*1\r\n\n\r\n", b"expected '$', got ' '"),
    (b"*2\r\n*1\r\n$1\r\na\r\n$1\r\nb\r\n", b"expected '$', got '*'"),
    (b'"\r\n', b"unbalanced quotes in request"),
    (b"'\r\n", b"unbalanced quotes in request"),
    (b'SET k "v\r\n', b"unbalanced quotes in request"),
    (b'SET k "v"x\r\n', b"unbalanced quotes in request"),
    (b"SET k 'v'x\r\n", b"unbalanced quotes in request"),
    (b'SET k "v\\"\r\n', b"unbalanced quotes in request"),
    (b"SET k 'v\\'\r\n", b"unbalanced quotes in request"),
    (b'"\\\n', b"unbalanced quotes in request"),
    (b"a" * (LINE_LIMIT + 1), b"too big inline request"),
    (b"a\0\n" + b"a" * (LINE_LIMIT - 2), b"too big inline request"),
    (b"*" + b"1" * LINE_LIMIT, b"too big mbulk count string"),
    (b"*1\r\n$" + b"1" * LINE_LIMIT, b"too big bulk count string"),
]

TRUNCATED = [
    b"*",
    b"*1",
    b"*1\r",
    b"*12\r\n",
    b"*1\r\n$",
    b"*1\r\n$4\r",
    b"*1\r\n$4\r\n",
    b"*1\r\n$4\r\nPING",
    b"*1\r\n$4\r\nPING\r",
    b"*1\r\n:",
    b"*2147483647\r\n$1\r\na\r\n",
    b"*1\r\n$536870912\r\n",
    b"PING",
    b"PING\r",
    b"a\0\n",
    b"\0\r\n",
    b"*1\0\r\n",
    b"*1\r\n$1\0\r\n",
    b"a" * LINE_LIMIT,
]


def short(value):
    return repr(value[:40]) if isinstance(value, bytes) else None


@pytest.mark.parametrize(("data", "arguments"), COMPLETE, ids=short)
def test_complete(data, arguments):
    assert feed_all_ways(inspect.frame_requests, data, TAIL) == ([arguments], None, 0)
    assert oracle.frame_requests(data) == ([arguments], None, 0)
    assert inspect.frame_requests([data + TAIL]).items == [arguments, [b"PING"]]


@pytest.mark.parametrize(("data", "text"), MALFORMED, ids=short)
def test_malformed(data, text):
    ahead = request(b"GET", b"k")
    expected = ([[b"GET", b"k"]], error(text), None)
    if len(data) < 1000:
        assert feed_all_ways(inspect.frame_requests, ahead + data, TAIL) == expected
    for pieces in ([ahead + data], [ahead, data], [ahead, data[:-1], data[-1:]]):
        got = inspect.frame_requests(pieces)
        assert (got.items, got.error) == expected[:2]
    assert oracle.frame_requests(ahead + data)[:2] == expected[:2]


@pytest.mark.parametrize("data", TRUNCATED, ids=short)
def test_truncated(data):
    assert feed_all_ways(inspect.frame_requests, data) == ([], None, len(data))
    assert oracle.frame_requests(data) == ([], None, len(data))


@pytest.mark.parametrize("length", [LINE_LIMIT - 1, LINE_LIMIT, LINE_LIMIT + 1, LINE_LIMIT + 2])
@pytest.mark.parametrize("prefix", [b"", b"*", b"*1\r\n$"], ids=repr)
def test_line_limit_does_not_depend_on_the_reads(prefix, length):
    line = prefix[-1:] + b"1" * (length - len(prefix[-1:]))
    data = prefix[:-1] + line + b"\r\n"
    expected = oracle.frame_requests(data)
    for cut in [*range(len(data) - 6, len(data)), 1, len(prefix) + 1, 40_000, len(data)]:
        got = inspect.frame_requests([data[:cut], data[cut:]] if cut < len(data) else [data])
        assert (got.items, got.error) == expected[:2], cut


def test_before_auth():
    small = request(b"AUTH", b"x" * 16384, *[b"x"] * 8)
    assert inspect.frame_requests([small], trusted=False).items == [[b"AUTH", b"x" * 16384, *[b"x"] * 8]]
    many = feed_all_ways(inspect.frame_requests, request(*[b"x"] * 11), trusted=False)
    assert many == ([], error(b"unauthenticated multibulk length"), None)
    large = feed_all_ways(inspect.frame_requests, request(b"AUTH", b"x" * 16385)[:60], trusted=False)
    assert large == ([], error(b"unauthenticated bulk length"), None)
    huge = feed_all_ways(inspect.frame_requests, b"*1\r\n$999999999999\r\n", trusted=False)
    assert huge == ([], error(b"invalid bulk length"), None)


def test_max_bulk():
    assert inspect.frame_requests([b"*1\r\n$100\r\n" + b"x" * 102], max_bulk=100).items == [[b"x" * 100]]
    assert inspect.frame_requests([b"*1\r\n$101\r\n"], max_bulk=100).error == error(b"invalid bulk length")


NUMBERS = ["0", "1", "-1", "10", "9223372036854775807", "-9223372036854775808"]
NOT_NUMBERS = [
    "", "-", "+1", "00", "01", "-0", "-01", " 1", "1 ", "1.0", "0x1", "9223372036854775808", "-9223372036854775809",
    "18446744073709551615", "18446744073709551616", "99999999999999999999", "999999999999999999999",
    "/", ":", "1/", "1:", "1\0",
]  # fmt: skip


def test_numbers():
    for text in NUMBERS:
        assert inspect.parse_number(text.encode()) == int(text)
        assert inspect.format_number(int(text)) == text.encode() + b"\r\n"
    for text in NOT_NUMBERS:
        assert inspect.parse_number(text.encode()) is None, text


@given(st.one_of(st.integers(-(1 << 63), (1 << 63) - 1)))
def test_number_round_trip(value):
    assert inspect.format_number(value) == b"%d\r\n" % value
    assert inspect.parse_number(b"%d" % value) == value


@given(st.text("0123456789-+ ", max_size=22))
def test_number_twin(text):
    assert inspect.parse_number(text.encode()) == oracle.number(text.encode())


# ---- the twin, on streams made of good requests, odd requests and damage

ARGUMENT = st.one_of(st.binary(max_size=12), st.sampled_from([b"x" * 9, b"x" * 10, b"x" * 99, b"x" * 100, b"x" * 700]))
GOOD = st.builds(lambda arguments: request(*arguments), st.lists(ARGUMENT, max_size=12))
ODD = st.sampled_from([data for data, _ in [*COMPLETE, *MALFORMED] if len(data) < 100] + TRUNCATED[:-1])
INLINE = st.builds(
    lambda words, end: b"".join(words) + end,
    st.lists(st.sampled_from([b"a", b" ", b'"', b"'", b"\\", b"x4", b"f", b"\v", b"\t", b"\r", b"\0", b"\xc3"])),
    st.sampled_from([b"\n", b"\r\n"]),
)
PIECE = st.one_of(
    GOOD, GOOD, INLINE, ODD, st.binary(max_size=6), st.text("*$1234567890-\r\nab ", max_size=20).map(str.encode)
)
STREAM = st.lists(PIECE, max_size=6).map(b"".join)


@given(STREAM, st.booleans())
@settings(deadline=None)
def test_twin(data, trusted):
    agree_with_twin(inspect.frame_requests, oracle.frame_requests, data, trusted=trusted)


@given(STREAM, st.lists(st.integers(0, 40), max_size=10))
@settings(deadline=None)
def test_twin_in_pieces(data, sizes):
    pieces, at = [], 0
    for size in sizes:
        pieces.append(data[at : at + size])
        at += size
    pieces.append(data[at:])
    assert inspect.frame_requests(pieces)[:2] == oracle.frame_requests(data)[:2]


# ---- a byte is looked at once


@pytest.mark.parametrize("data", [data for data, _ in COMPLETE] + [request(b"MSET", *[b"x" * 50] * 200)], ids=short)
def test_framing_resumes(data):
    """Fed byte by byte: no argument is framed twice, and `need` never asks for more than the request has."""
    steps = inspect.request_steps(data)
    assert len(steps) == len(data) - 1
    done = 0
    for length, (scanned, need) in enumerate(steps, 1):
        assert done <= scanned <= length < need <= len(data)
        done = scanned
    if data.startswith(b"*200"):
        assert all(length - scanned < len(b"$50\r\n\r\n") + 50 for length, (scanned, _) in enumerate(steps, 1))


@given(STREAM)
def test_steps_of_any_stream(data):
    """Under a sanitizer this shows that no byte behind the last one is read."""
    for length, (scanned, need) in enumerate(inspect.request_steps(data), 1):
        assert scanned <= length < need
