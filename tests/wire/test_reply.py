"""Reply framing: fixtures of every type fed in all ways, its naive twin, and hiredis as a second judge."""

import hiredis
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.wire import inspect
from tests.helpers import agree_with_twin, bulk, feed_all_ways
from tests.oracle import resp as oracle

TAIL = b"+OK\r\n"
LINE_LIMIT = oracle.REPLY_LINE_LIMIT

REPLIES = [
    b"+OK\r\n",
    b"+\r\n",
    b"+a\nb\r\n",
    b"-ERR no\r\n",
    b":1\r\n",
    b":-9223372036854775808\r\n",
    b"$0\r\n\r\n",
    b"$1\r\nx\r\n",
    b"$4\r\n\r\n\r\n\r\n",
    b"$-1\r\n",
    *[bulk(b"x" * size) for size in (9, 10, 99, 100, 999, 1000, 9999, 10000, 99999, 100000)],
    b"*0\r\n",
    b"*-1\r\n",
    b"*2\r\n+a\r\n$1\r\nb\r\n",
    b"*2\r\n*2\r\n*0\r\n*1\r\n:1\r\n*-1\r\n",
    b"*1\r\n" * 100 + b":1\r\n",
    b"*300\r\n" + b"$-1\r\n" * 300,
    # RESP3
    b"_\r\n",
    b"#t\r\n",
    b"#f\r\n",
    b",1.5\r\n",
    b",inf\r\n",
    b",-2.2250738585072014e-308\r\n",
    b",-1.7976931348623157081452742373170435679807056752584e+308\r\n",
    b"(" + b"1" * 400 + b"\r\n",
    b"!5\r\nERR x\r\n",
    b"=7\r\ntxt:a\r\n\r\n",
    b"~2\r\n+a\r\n+b\r\n",
    b"~0\r\n",
    b"%0\r\n",
    b"%2\r\n+a\r\n:1\r\n+b\r\n%1\r\n_\r\n#t\r\n",
    b">2\r\n$10\r\ninvalidate\r\n_\r\n",
    b">3\r\n+message\r\n$1\r\nc\r\n$1\r\nm\r\n",
    # attributes come before a value and are none
    b"|1\r\n+ttl\r\n:5\r\n+OK\r\n",
    b"|0\r\n$1\r\nx\r\n",
    b"*2\r\n|1\r\n+a\r\n*1\r\n:1\r\n:2\r\n|1\r\n_\r\n_\r\n:3\r\n",
    b"|1\r\n|1\r\n+a\r\n+b\r\n+c\r\n+d\r\n|1\r\n+e\r\n+f\r\n:1\r\n",
]

MALFORMED = [
    b"OK\r\n",
    b"\r\n",
    b"+OK\rx",
    b"$\r\n",
    b"$-2\r\n",
    b"$01\r\n",
    b"$+1\r\n",
    b"$1\n\r\n",
    b"$?\r\n",
    b"$1\r\nxy\r\n",
    b"$1\r\nx\n\r",
    b"$12345\r\n" + b"x" * 12345 + b"\rx",
    b"$9223372036854775807\r\n",
    b"$9223372036854775808\r\n",
    b"$536870913\r\n",
    b"!-2\r\n",
    b"=536870913\r\n",
    b"*?\r\n",
    b"*-2\r\n",
    b"*2147483648\r\n",
    b"*1\r\n$-1\rx",
    b"*1\r\n?\r\n",
    b"%x\r\n",
    b".\r\n",
    b"%2147483647\r\n" * 300,
]

TRUNCATED = [reply[:-1] for reply in REPLIES if len(reply) < 1000] + [
    b"$536870912\r\n",
    b"*2147483647\r\n:1\r\n",
    b"%2147483647\r\n",
    b"|1\r\n+a\r\n+b\r\n",
    b"x" * 30,
    b":" + b"1" * (LINE_LIMIT - 1),
]


def short(value):
    return repr(value[:40])


@pytest.mark.parametrize("reply", REPLIES, ids=short)
def test_complete(reply):
    assert feed_all_ways(inspect.frame_replies, reply, TAIL) == ([reply], None, 0)
    assert oracle.frame_replies(reply) == ([reply], None, 0)
    assert inspect.frame_replies([reply + TAIL]).items == [reply, TAIL]
    assert inspect.count_replies(reply + TAIL, 3) == 6


@pytest.mark.parametrize("data", MALFORMED, ids=short)
def test_malformed(data):
    assert feed_all_ways(inspect.frame_replies, TAIL + data, TAIL) == ([TAIL], b"malformed reply", None)
    if len(data) < 1000:
        assert oracle.frame_replies(TAIL + data)[:2] == ([TAIL], b"malformed reply")


@pytest.mark.parametrize("data", TRUNCATED, ids=short)
def test_truncated(data):
    assert feed_all_ways(inspect.frame_replies, data) == ([], None, len(data))
    assert oracle.frame_replies(data) == ([], None, len(data))


@pytest.mark.parametrize("length", range(LINE_LIMIT - 2, LINE_LIMIT + 3))
def test_line_limit_does_not_depend_on_the_reads(length):
    line = b"+" + b"x" * (length - 1)
    expected = oracle.frame_replies(line + b"\r\n")
    for pieces in (
        [line + b"\r\n"],
        [line, b"\r\n"],
        [line + b"\r", b"\n"],
        [line[:70_000], line[70_000:], b"\r", b"\n"],
    ):
        assert inspect.frame_replies(pieces)[:2] == expected[:2]


def test_limit():
    assert inspect.frame_replies([bulk(b"x" * 100)], limit=100).items == [bulk(b"x" * 100)]
    for reply in (bulk(b"x" * 101), b"*1\r\n" + bulk(b"x" * 101)):
        assert inspect.frame_replies([reply], limit=100).error is not None


@pytest.mark.parametrize("reply", [reply for reply in REPLIES if len(reply) < 20_000], ids=short)
def test_framing_resumes(reply):
    """Fed byte by byte: values already skipped are not looked at again, and `need` never asks for too much."""
    steps = inspect.reply_steps(reply)
    assert len(steps) == len(reply) - 1
    done = 0
    for length, (scanned, need) in enumerate(steps, 1):
        assert done <= scanned <= length < need <= len(reply)
        done = scanned
    if reply.startswith((b"*300", b"*1\r\n*1")):
        assert all(length - scanned < 6 for length, (scanned, _) in enumerate(steps, 1))


# ---- the twin and hiredis

LINE = st.text("abc 1", max_size=8).map(str.encode)
NUMBER = st.integers(-(1 << 63), (1 << 63) - 1)
LEAF2 = st.one_of(
    st.builds(lambda line: b"+%s\r\n" % line, LINE),
    st.builds(lambda line: b"-E%s\r\n" % line, LINE),
    st.builds(lambda value: b":%d\r\n" % value, NUMBER),
    st.builds(bulk, st.binary(max_size=20)),
    st.builds(lambda size: bulk(b"x" * size), st.sampled_from([9, 10, 99, 100, 1000, 20_000])),
    st.sampled_from([b"$-1\r\n", b"*-1\r\n"]),
)
PLAIN3 = st.one_of(
    LEAF2,
    st.sampled_from([b"_\r\n", b"#t\r\n", b"#f\r\n", b",inf\r\n"]),
    st.builds(lambda value: b",%r\r\n" % value, st.floats(allow_nan=False)),
    st.builds(lambda value: b"(%d\r\n" % value, st.integers()),
    st.builds(lambda text: b"=%d\r\ntxt:%s\r\n" % (len(text) + 4, text), st.binary(max_size=20)),
)
LEAF3 = PLAIN3 | st.builds(lambda text: b"!%d\r\n%s\r\n" % (len(text), text), st.binary(max_size=20))


def aggregates(kinds):
    def extend(child):
        return st.builds(
            lambda kind, items: b"%s%d\r\n" % (kind, len(items)) + b"".join(items),
            st.sampled_from(kinds),
            st.lists(child, max_size=5),
        )

    return extend


def maps(key, child, kind=b"%"):
    return st.builds(
        lambda pairs: b"%s%d\r\n" % (kind, len(pairs)) + b"".join(a + b for a, b in pairs),
        st.lists(st.tuples(key, child), max_size=3),
    )


def attributed(child):
    return st.builds(bytes.__add__, maps(child, child, b"|"), child)


# What hiredis reads: no attributes, no bulk errors, and Python wants a map's keys to be hashable.
PLAIN = st.recursive(PLAIN3, lambda child: aggregates([b"*", b"~"])(child) | maps(LEAF2, child), max_leaves=8)
REPLY = st.recursive(
    LEAF3,
    lambda child: aggregates([b"*", b"~", b">"])(child) | maps(child, child) | attributed(child),
    max_leaves=8,
)
DAMAGE = st.sampled_from([data for data in MALFORMED + TRUNCATED if len(data) < 60]) | st.binary(max_size=5)


@given(st.lists(REPLY, max_size=4))
@settings(deadline=None)
def test_whole_replies(replies):
    assert feed_all_ways(inspect.frame_replies, b"".join(replies)) == (replies, None, 0)
    assert oracle.frame_replies(b"".join(replies)) == (replies, None, 0)


@given(st.lists(REPLY | DAMAGE, max_size=5).map(b"".join))
@settings(deadline=None)
def test_twin(data):
    agree_with_twin(inspect.frame_replies, oracle.frame_replies, data)


@given(REPLY, st.data())
@settings(deadline=None)
def test_twin_of_damage(reply, draw):
    at = draw.draw(st.integers(0, len(reply) - 1))
    damaged = reply[:at] + draw.draw(st.binary(max_size=2)) + reply[at + 1 :]
    assert inspect.frame_replies([damaged])[:2] == oracle.frame_replies(damaged)[:2]


@given(st.lists(REPLY | DAMAGE, max_size=3).map(b"".join).filter(lambda data: len(data) < 2000))
def test_steps_of_any_stream(data):
    """Under a sanitizer this shows that no byte behind the last one is read."""
    for length, (scanned, need) in enumerate(inspect.reply_steps(data), 1):
        assert scanned <= length < need


NOTHING = object()


def count_of_hiredis(data):
    """Replies that hiredis finds in `data`."""
    reader = hiredis.Reader(notEnoughData=NOTHING)
    reader.feed(data)
    count = 0
    while reader.gets() is not NOTHING:
        count += 1
    return count


@given(st.lists(PLAIN, max_size=5), st.integers(0, 4))
@settings(deadline=None)
def test_hiredis(replies, cut):
    """hiredis sees as many replies, in the whole and in a truncated stream."""
    data = b"".join(replies)
    data = data[: len(data) - cut]
    got = inspect.frame_replies([data])
    assert got.error is None
    assert len(got.items) == count_of_hiredis(data)
