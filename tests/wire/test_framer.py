"""ReplyFramer: whole replies however they are cut, and one that is dropped leaves its neighbours alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.wire.framer import ReplyFramer
from tests.helpers import cuttings

REPLIES = [
    b"+OK\r\n", b"-ERR no\r\n", b":42\r\n", b"$-1\r\n", b"$5\r\nhello\r\n", b"$0\r\n\r\n", b"*0\r\n", b"_\r\n",
    b",1.5\r\n",
    b"*3\r\n:1\r\n*2\r\n$1\r\na\r\n$2\r\n\r\n\r\n+x\r\n", b"%1\r\n+key\r\n~2\r\n:1\r\n#t\r\n", b"=6\r\ntxt:ab\r\n",
    b"*200\r\n" + b"$10\r\n0123456789\r\n" * 200,
]  # fmt: skip


def taken(pieces):
    framer = ReplyFramer()
    found = []
    for piece in pieces:
        framer.feed(piece)
        while (reply := framer.take()) is not None:
            found.append(reply)
    return found, framer.held


@pytest.mark.parametrize("tail", [b"", b"*2\r\n:1\r\n"])
def test_all_cuttings(tail):
    stream = b"".join(REPLIES)
    for pieces in cuttings(stream + tail):
        assert taken(pieces) == (REPLIES, len(tail))


@given(st.lists(st.tuples(st.integers(0, len(REPLIES) - 1), st.booleans()), min_size=1, max_size=8), st.integers(1, 64))
def test_what_is_dropped_takes_no_room_and_leaves_the_others_alone(chosen, size):
    """As soon as the first bytes of a reply are there it may be dropped; then at most one value of it is kept."""
    stream = b"".join(REPLIES[index] for index, _ in chosen)
    starts = [sum(len(REPLIES[index]) for index, _ in chosen[:place]) for place in range(len(chosen))]
    framer = ReplyFramer()
    found = []
    dropped = set()
    for at in range(0, len(stream), size):
        framer.feed(stream[at : at + size])
        while (reply := framer.take()) is not None:
            found.append(reply)
        fed = at + size
        if framer.held and chosen[len(found)][1] and starts[len(found)] < fed:
            framer.drop()
            dropped.add(len(found))
            assert framer.take() is None
            assert framer.held <= 20 + size
    assert found == [b"" if place in dropped else REPLIES[index] for place, (index, _) in enumerate(chosen)]
    assert framer.held == 0


def test_garbage():
    framer = ReplyFramer()
    framer.feed(b"+OK\r\nHTTP/1.1 400\r\n")
    assert framer.take() == b"+OK\r\n"
    with pytest.raises(ValueError, match="not RESP"):
        framer.take()
