"""Raw, odd and malformed requests: redis-server and our framing have to agree on every answer.

Each case is sent to a real server followed by a mark (an ECHO) where the stream can go on. From our framing we derive
what the server has to say: a reply for each request, the error text, and whether the connection is closed.
"""

import socket

import pytest

from proxy.wire import inspect
from tests.helpers import bulk, cuttings, request
from tests.redis_server import needs_redis_server, redis_server
from tests.wire.test_resp import COMPLETE, MALFORMED

pytestmark = needs_redis_server

MARK = request(b"ECHO", b"mark")
LINE_LIMIT = 65536


@pytest.fixture(scope="module")
def open_redis(tmp_path_factory):
    with redis_server(tmp_path_factory.mktemp("redis"), "--enable-debug-command", "yes") as address:
        yield address


@pytest.fixture(scope="module")
def closed_redis(tmp_path_factory):
    """A server that wants a password first."""
    with redis_server(tmp_path_factory.mktemp("redis"), "--requirepass", "secret") as address:
        yield address


def converse(address, data, replies, closes=False):
    """Send `data`; what came back by the time that `replies` replies are there, and whether the server closed.

    Where it is expected to close that is waited for; else it has 10 ms to surprise us.
    """
    got = b""
    with socket.socket(socket.AF_UNIX) as link:
        link.settimeout(20)
        link.connect(address)
        link.sendall(data)
        while closes or len(inspect.frame_replies([got]).items) < replies:
            piece = link.recv(65536)
            if not piece:
                return got, True
            got += piece
        link.settimeout(0.01)
        try:
            return got, link.recv(1) == b""
        except TimeoutError:
            return got, False


# Requests that are complete and answered, alone in their stream.
ODD = [data for data, _ in COMPLETE] + [
    b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$5\r\n\0\r\n\xff\x00\r\n",
    b"PING \r\n",
    b"\tECHO\t'a b'\r\n",
    b'ECHO "\\x00\\xff"\r\n',
    b'ECHO "a\rb"\r\n',
    b"ECHO a\vb\r\n",
    b"\v\fECHO\fa\r\n",
    b"ECHO a\fb\r\n",
    b"ECHO 'a\\nb' \r\n",
    b"ECHO a\\nb\r\n",
    b'ECHO "a"\vb\r\n',
    b"ECHO \x85\xa0\r\n",
    b'ECHO a"b"\r\n',
    b"ECHO ''\r\n",
    b"e\"cho\" 'x'\r\n",
    b"ECHO " + b"a" * (LINE_LIMIT - 7) + b"\r\n",
    b"*0\r\n*0\r\n*-1\r\n\r\n \r\n",
    b"*1\r\n$0\r\n\r\n",
    b"*1\r\n$4\r\nPIN\n\r\n",
    b"*1\r\n$4\n\r\n",
    b"*1\r$4\r\nPING\r\n",
    b"*1\n$4\nPING\n",
    b"*1\r\n$4\r\nPING",
    b"*1\r\n$100\r\nPING\r\n",
    b"*1\r\n",
    b"*1\r\n\0\r\n",
    b"*1\0\r\n",
    b"*1\r\n$4\0\r\nPING\r\n",
    b"*\0",
    b"PING\0\r\n",
    b"\0PING\r\n",
    b"ECHO a\0b\r\nPING\r\n",
    b"a" * LINE_LIMIT,
    b"*1\r\n" + b"$" * LINE_LIMIT,
    b"*2147483647\r\n",
    b"*1048577\r\n$1\r\na\r\n",
    b"*1\r\n$536870912\r\n",
    b"*1\r\n$4\r\nPING*\r*1\r\n$4\r\nPING\r\n",
    b"*1\r\n$4\r\nPING\r\n\r\n\r\n*1\r\n$4\r\nPING\r\nPING\r\n",
    b"+OK\r\n",
    b":1\r\n",
    b"$4\r\nPING\r\n",
    b"GET / HTTP/1.0\r\n\r\n",
]
BROKEN = [data for data, _ in MALFORMED] + [
    b"*1\r\n$-1\r\n\r\n",
    b"*2\r\n$4\r\nECHO\r\n$-1\r\n",
    b"*1\r\n+PING\r\n",
    b"*1\r\nPING\r\n",
    b"*1\r\n \r\n",
    b"*1\r\n\xff\r\n",
    b"*1\r\n\r\n$4\r\nPING\r\n",
    b"*1\n\n\r\n",
    b"*-9223372036854775809\r\n",
    b"*99999999999999999999\r\n",
    b"*3.0\r\n",
    b"*0x1\r\n",
    b"**1\r\n",
    b"*1\r\n$$4\r\n",
    b"*1\r\n$4 \r\nPING\r\n",
    b"*1\r\n$\n4\r\nPING\r\n",
    b"*2\r\n$3\r\nGET\r\n*1\r\n$1\r\nk\r\n",
    b"\0" * (LINE_LIMIT + 1),
    b"*\0\r\n" + b"x" * LINE_LIMIT,
    b"*1\r\n$\0\r\n" + b"x" * LINE_LIMIT,
    b'ECHO "\0"\r\n' + b"x" * LINE_LIMIT,
    b"*11\r\n",
    b"*1\r\n$16385\r\n",
    b"ECHO 'a'b\r\n",
    b'ECHO "a\\\r\n',
]


def check(address, data, trusted):
    # The mark shows that the stream goes on, or becomes part of a request that is not complete. Behind a line at the
    # limit it is left out: how much the server reads at once decides whether it sees that line end.
    stream = data if len(data) >= LINE_LIMIT else data + MARK
    ours = inspect.frame_requests([stream], trusted=trusted)
    commands = [arguments for arguments in ours.items if arguments]
    broken = ours.error is not None
    answer, closed = converse(address, stream, len(commands) + broken, broken)
    replies = inspect.frame_replies([answer])
    assert (replies.error, replies.left) == (None, 0)
    assert len(replies.items) == len(commands) + broken
    assert closed == broken
    if broken:
        assert replies.items.pop() == ours.error
    return zip(commands, replies.items, strict=True)


@pytest.mark.parametrize("data", ODD + BROKEN, ids=lambda data: repr(data[:40]))
def test_same_answer(open_redis, data):
    for arguments, reply in check(open_redis, data, True):
        if len(arguments) == 2 and arguments[0].upper() == b"ECHO":
            assert reply == bulk(arguments[1])
        else:
            assert reply == converse(open_redis, request(*arguments), 1)[0]


@pytest.mark.parametrize("data", ODD + BROKEN, ids=lambda data: repr(data[:40]))
def test_same_answer_before_auth(closed_redis, data):
    for _, reply in check(closed_redis, data, False):
        assert reply.startswith((b"-NOAUTH ", b"-ERR "))


KINDS = ["string", "integer", "double", "null", "array", "set", "map", "attrib", "verbatim", "true", "false", "bignum"]
TINY = b"redis.setresp(3) return {double=-2.2250738585072014e-308}"


@pytest.mark.parametrize("version", [b"2", b"3"])
def test_replies_of_every_type(open_redis, version):
    """The replies of a real server, fed in all cuttings."""
    asked = [request(b"HELLO", version), *(request(b"DEBUG", b"PROTOCOL", kind.encode()) for kind in KINDS)]
    asked += [request(b"COMMAND"), request(b"INFO"), request(b"NOSUCH"), request(b"EVAL", TINY, b"0")]
    answer, _ = converse(open_redis, b"".join(asked), len(asked))
    replies = inspect.frame_replies([answer])
    assert (len(replies.items), replies.error, replies.left) == (len(asked), None, 0)
    for reply in replies.items:
        for pieces in cuttings(reply):
            assert inspect.frame_replies(pieces)[:3] == ([reply], None, 0)
