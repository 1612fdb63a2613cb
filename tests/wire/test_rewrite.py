"""Rewriting into the canonical form: the arguments survive, and what comes out is framed byte for byte."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.wire import inspect
from tests.helpers import request
from tests.oracle import resp as oracle

CASES = [
    (b"PING\r\n", request(b"PING")),
    (b"SET \"a b\" 'c d'\n", request(b"SET", b"a b", b"c d")),
    (b'""\n', request(b"")),
    (b"\r\n", b""),
    (b" \n", b""),
    (b"*0\r\n", b""),
    (b"*-5\r\n", b""),
    (b"*1\rX$4\rYPINGZZ", request(b"PING")),
    (b"*2\r\n$0\r\nab$1\r\n\rcd", request(b"", b"\r")),
    (request(b"GET", b"k"), request(b"GET", b"k")),
    (request(*[b""] * 10_000), request(*[b""] * 10_000)),
    (b"a " * 32_000 + b"\n", request(*[b"a"] * 32_000)),
    (b'"" ' * 21_000 + b"\n", request(*[b""] * 21_000)),
    (b"x" * 65_000 + b"\n", request(b"x" * 65_000)),
    (b'"' + b"\\x00" * 16_000 + b'"\n', request(b"\0" * 16_000)),
    (b"*1\rX$1000000\r\n" + b"x" * 1_000_002, request(b"x" * 1_000_000)),
]


@pytest.mark.parametrize(("data", "canonical"), CASES, ids=lambda value: repr(value[:24]))
def test_cases(data, canonical):
    assert inspect.rewrite(data) == canonical


@pytest.mark.parametrize(
    "line",
    [b'"\n', b"'\n", b'a "b"c\n', b"a 'b'c\n", b'"\\"\n', b"a" * 60_000 + b'"\n'],
    ids=lambda value: repr(value[:24]),
)
def test_unbalanced_quotes(line):
    with pytest.raises(ValueError, match="unbalanced quotes in request"):
        inspect.rewrite(line)


@given(
    st.lists(
        st.sampled_from([b"a", b" ", b'"', b"'", b"\\", b"x4", b"f", b"n", b"\v", b"\f", b"\t", b"\r", b"\xa0"]),
        max_size=30,
    ).map(b"".join)
)
@settings(max_examples=500)
def test_line_twin(line):
    for end in (b"\n", b"\r\n"):
        expected = oracle.frame_requests(line + end)
        if expected.error is None:
            assert inspect.rewrite(line + end) == (request(*expected.items[0]) if expected.items[0] else b"")
        else:
            with pytest.raises(ValueError, match="unbalanced quotes in request"):
                inspect.rewrite(line + end)


@given(st.lists(st.binary(max_size=30), min_size=1, max_size=6), st.binary(min_size=8, max_size=8))
def test_array_with_slack(arguments, slack):
    """Any byte may stand where Redis does not look: behind the CR of a line and behind a bulk string."""
    data = b"*%d\r%s" % (len(arguments), slack[:1])
    for index, argument in enumerate(arguments):
        data += b"$%d\r%s%s%s" % (len(argument), slack[index : index + 1], argument, slack[index : index + 2])
    assert inspect.rewrite(data) == request(*arguments)
    assert inspect.frame_requests([data]).items == [arguments]
