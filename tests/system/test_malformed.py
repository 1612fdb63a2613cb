"""Raw, odd and malformed requests through the proxy: the bytes that redis-server gives, the connection closed alike.

Whatever one connection sends, the traffic of another one on the same proxy has to stay correct.
"""

import pytest

from proxy.wire import inspect
from tests.helpers import request
from tests.redis_server import needs_redis_server, redis_server
from tests.system.tier import Link, running_nodes, running_proxy
from tests.wire.test_against_redis import BROKEN, LINE_LIMIT, MARK, ODD, converse
from tests.wire.test_resp import MALFORMED

pytestmark = needs_redis_server

MAX_BULK = 512 << 20


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    with redis_server(tmp_path_factory.mktemp("reference")) as address:
        yield address


@pytest.fixture(scope="module")
def nodes(tmp_path_factory):
    with running_nodes(tmp_path_factory.mktemp("nodes"), 2) as nodes:
        yield nodes


@pytest.fixture(scope="module")
def proxy(nodes, tmp_path_factory):
    directory = tmp_path_factory.mktemp("proxy")
    with running_proxy(directory, nodes, listen=str(directory / "proxy.sock")) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def closed_reference(tmp_path_factory):
    with redis_server(tmp_path_factory.mktemp("reference"), "--requirepass", "secret") as address:
        yield address


@pytest.fixture(scope="module")
def closed_proxy(nodes, tmp_path_factory):
    directory = tmp_path_factory.mktemp("proxy")
    with running_proxy(directory, nodes, "password: secret", listen=str(directory / "proxy.sock")) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def neighbour(proxy):
    with proxy.link() as link:
        yield link


def check(data, trusted, reference, proxy):
    # Behind a line at the limit the mark is left out: how much a server reads at once decides whether it sees that
    # line end.
    stream = data if len(data) >= LINE_LIMIT else data + MARK
    framed = inspect.frame_requests([stream], trusted=trusted)
    broken = framed.error is not None
    count = len([arguments for arguments in framed.items if arguments]) + broken
    assert converse(proxy, stream, count, broken) == converse(reference, stream, count, broken)


@pytest.mark.parametrize("data", ODD + BROKEN, ids=lambda data: repr(data[:40]))
def test_same_answer(reference, proxy, neighbour, data):
    neighbour.send(["SET", "neighbour", data], ["GET", "neighbour"])
    check(data, True, reference, proxy.address)
    assert neighbour.replies(2) == [b"OK", data]
    assert neighbour("STRLEN", "neighbour") == len(data)


@pytest.mark.parametrize("data", ODD + BROKEN, ids=lambda data: repr(data[:40]))
def test_same_answer_before_auth(closed_reference, closed_proxy, data):
    check(data, False, closed_reference, closed_proxy.address)


@pytest.mark.parametrize("data", [data for data, _ in MALFORMED], ids=lambda data: repr(data[:40]))
def test_what_was_asked_before_is_answered(proxy, data):
    """Requests ahead of a malformed one are answered first, in order, whichever node they went to."""
    ahead = [("SET", f"ahead:{number}", number) for number in range(20)]
    ahead += [("GET", f"ahead:{number}") for number in range(20)]
    with Link(proxy.address) as link:
        link.socket.sendall(b"".join(request(*(str(word).encode() for word in words)) for words in ahead) + data)
        assert link.replies(40) == [b"OK"] * 20 + [b"%d" % number for number in range(20)]
        assert str(link.reply()).startswith("ERR Protocol error: ")
        assert link.ended()


def test_in_pieces(proxy, reference):
    """One byte at a time, each in a packet of its own."""
    for data in (b"SET piece 'a b'\r\n", request(b"SET", b"piece", b"\r\n$*"), b"*1\r\n$0\r\n\r\n", b"*1\r\n+\r\n"):
        answers = []
        for address in (proxy.address, reference):
            with Link(address) as link:
                for at in range(len(data)):
                    link.socket.sendall(data[at : at + 1])
                answers += link.raw(1)
        assert answers[0] == answers[1]


def test_512_mb_pass(proxy, nodes):
    piece = bytes(range(256)) * 4096  # 1 MiB
    with Link(proxy.address, timeout=60) as link:
        link.socket.sendall(b"*3\r\n$3\r\nSET\r\n$4\r\nhuge\r\n$%d\r\n" % MAX_BULK)
        for _ in range(512):
            link.socket.sendall(piece)
        link.socket.sendall(b"\r\n")
        assert link.reply() == b"OK"
        assert link("STRLEN", "huge") == MAX_BULK
        assert link("GETRANGE", "huge", 255, 256) == b"\xff\0"
        assert link("GETRANGE", "huge", -1, -1) == b"\xff"
        link.send(["GET", "huge"])
        assert link.exactly(12) == b"$%d\r\n" % MAX_BULK
        for _ in range(512):
            assert link.exactly(1 << 20) == piece
        assert link.exactly(2) == b"\r\n"
        assert link("DEL", "huge") == 1


def test_more_than_512_mb_is_refused(proxy):
    with Link(proxy.address) as link:
        link.socket.sendall(b"*3\r\n$3\r\nSET\r\n$4\r\nhuge\r\n$%d\r\n" % (MAX_BULK + 1))
        assert str(link.reply()) == "ERR Protocol error: invalid bulk length"
        assert link.ended()
    with Link(proxy.address) as link:
        assert link("GET", "huge") is None
