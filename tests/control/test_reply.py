"""The RESP writer, judged by hiredis."""

from __future__ import annotations

import math
from typing import Any

import hiredis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.control.reply import Error, Set, Simple, Verbatim, encode


def parse(reply: bytes) -> Any:
    """The one value in ``reply``, fed whole, byte by byte and with a tail."""
    values = []
    for pieces in ([reply], [reply[i : i + 1] for i in range(len(reply))], [reply + b"+tail\r\n"]):
        reader = hiredis.Reader()
        value: Any = False
        for i, piece in enumerate(pieces):
            reader.feed(piece)
            if len(pieces) == 1 or i == len(pieces) - 1:
                value = reader.gets()
        assert reader.gets() == (b"tail" if pieces[0].endswith(b"+tail\r\n") else False)
        values.append(value)
    assert repr(values[0]) == repr(values[1]) == repr(values[2])
    return values[0]


@pytest.mark.parametrize(
    ("value", "resp2", "resp3"),
    [
        (None, b"$-1\r\n", b"_\r\n"),
        (True, b":1\r\n", b"#t\r\n"),
        (False, b":0\r\n", b"#f\r\n"),
        (-5, b":-5\r\n", b":-5\r\n"),
        (1.5, b"$3\r\n1.5\r\n", b",1.5\r\n"),
        (3.0, b"$1\r\n3\r\n", b",3\r\n"),
        (math.inf, b"$3\r\ninf\r\n", b",inf\r\n"),
        (-math.inf, b"$4\r\n-inf\r\n", b",-inf\r\n"),
        (math.nan, b"$3\r\nnan\r\n", b",nan\r\n"),
        ("é", b"$2\r\n\xc3\xa9\r\n", b"$2\r\n\xc3\xa9\r\n"),
        (b"a\r\nb", b"$4\r\na\r\nb\r\n", b"$4\r\na\r\nb\r\n"),
        (Simple("OK"), b"+OK\r\n", b"+OK\r\n"),
        (Error("ERR no"), b"-ERR no\r\n", b"-ERR no\r\n"),
        (Verbatim("hi\n"), b"$3\r\nhi\n\r\n", b"=7\r\ntxt:hi\n\r\n"),
        ([1, ["a"]], b"*2\r\n:1\r\n*1\r\n$1\r\na\r\n", b"*2\r\n:1\r\n*1\r\n$1\r\na\r\n"),
        ((), b"*0\r\n", b"*0\r\n"),
        (Set([[1], [1]]), b"*2\r\n*1\r\n:1\r\n*1\r\n:1\r\n", b"~2\r\n*1\r\n:1\r\n*1\r\n:1\r\n"),
        (frozenset(["a"]), b"*1\r\n$1\r\na\r\n", b"~1\r\n$1\r\na\r\n"),
        ({"a": 1}, b"*2\r\n$1\r\na\r\n:1\r\n", b"%1\r\n$1\r\na\r\n:1\r\n"),
    ],
)
def test_encode(value: object, resp2: bytes, resp3: bytes) -> None:
    assert encode(value, 2) == resp2
    assert encode(value, 3) == resp3
    parse(resp2)
    parse(resp3)


scalars = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.binary() | st.floats(allow_nan=False)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.binary(max_size=8), inner, max_size=4)
)


@given(values)
def test_resp3_comes_back_as_it_was(value: object) -> None:
    assert parse(encode(value, 3)) == value


def flat(value: Any) -> Any:
    """What RESP2 makes of a value."""
    match value:
        case bool():
            return int(value)
        case float():
            return encode(value, 3)[1:-2]
        case list():
            return [flat(element) for element in value]
        case dict():
            return [flat(part) for pair in value.items() for part in pair]
    return value


@given(values)
def test_resp2_comes_back_flat(value: object) -> None:
    assert parse(encode(value, 2)) == flat(value)


@given(st.floats(allow_nan=False))
def test_a_double_loses_nothing(value: float) -> None:
    assert float(encode(value, 3)[1:-2]) == value


@pytest.mark.parametrize("value", [object(), 1j, [bytearray()]])
def test_what_has_no_resp_type(value: object) -> None:
    with pytest.raises(TypeError, match="no RESP type"):
        encode(value, 3)


@pytest.mark.parametrize("value", [2**63, -(2**63) - 1, Simple("a\nb"), Error("a\rb")])
def test_what_does_not_fit(value: object) -> None:
    with pytest.raises(ValueError):
        encode(value, 2)
