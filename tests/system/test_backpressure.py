"""Slow, greedy and numerous clients: everybody gets all replies in order, and the proxy's memory stays bounded."""

import selectors
import socket
import threading
import time

import pytest

from tests.helpers import request
from tests.redis_server import needs_redis_server
from tests.system.tier import running_nodes, running_proxy, until

pytestmark = needs_redis_server

MB = 1 << 20
KEYS = 100


def value(number):
    return (b"%04d" % number) * 2500  # 10 kB


@pytest.fixture(scope="module")
def nodes(tmp_path_factory):
    with running_nodes(tmp_path_factory.mktemp("nodes"), 2) as nodes:
        yield nodes


@pytest.fixture
def start(nodes, tmp_path):
    """A function that gives a proxy with these options, and the keys k:0 … k:99 with their 10 kB behind it."""
    running = []

    def start(options="", **more):
        for node in nodes:
            node("FLUSHALL")
        context = running_proxy(tmp_path, nodes, options, **more)
        proxy = context.__enter__()
        running.append(context)
        with proxy.link() as link:
            link.send(*(["SET", f"k:{number}", value(number)] for number in range(KEYS)))
            assert link.replies(KEYS) == [b"OK"] * KEYS
        return proxy

    yield start
    for context in running:
        context.__exit__(None, None, None)


GETS = b"".join(request(b"GET", b"k:%d" % number) for number in range(KEYS))
ANSWERS = b"".join(b"$10000\r\n%b\r\n" % value(number) for number in range(KEYS))


def test_a_pipeline_of_100_000_written_before_anything_is_read(start):
    proxy = start()
    proxy.forget_peak()
    before = proxy.memory()
    with proxy.link() as link, proxy.link() as other:
        link.socket.sendall(GETS * 1000)
        assert other("GET", "k:7") == value(7)  # others are served while the replies wait
        for _ in range(1000):
            assert link.exactly(len(ANSWERS)) == ANSWERS
        assert link("PING") == b"PONG"
    assert proxy.memory("VmHWM") - before < 64 * MB


def test_pipelines_of_clients_that_all_write_first(start):
    proxy = start()
    links = [proxy.link() for _ in range(10)]
    proxy.forget_peak()
    before = proxy.memory()
    for link in links:
        link.socket.sendall(GETS * 50)
    for link in links:
        for _ in range(50):
            assert link.exactly(len(ANSWERS)) == ANSWERS
        link.close()
    assert proxy.memory("VmHWM") - before < 200 * MB


def test_a_client_that_never_reads(start):
    """It is not dispatched past output_soft; its requests wait up to query_buffer, then it is not read from."""
    proxy = start("limits: {output_soft: 64kb, window: 64, query_buffer: 1mb, max_bulk: 512kb}")
    before = proxy.memory()
    with proxy.link() as silent, proxy.link() as other:
        silent.socket.setblocking(False)
        written = 0
        deadline = time.monotonic() + 0.5
        while time.monotonic() < deadline:  # long enough for a proxy that reads without end to show it
            try:
                written += silent.socket.send((GETS * 100)[written % len(GETS) :])
                deadline = time.monotonic() + 0.5
            except BlockingIOError:
                assert other("GET", "k:3") == value(3)
            assert written < 100 * MB
        assert proxy.memory() - before < 24 * MB
        # What was written whole is answered, when it does read after all.
        silent.socket.settimeout(20)
        whole = written // len(GETS)
        assert whole > 10
        for _ in range(whole):
            assert silent.exactly(len(ANSWERS)) == ANSWERS


def test_a_client_past_output_hard_is_closed(start):
    """Small replies make it look harmless; then it asks for 30 MB at once and reads nothing."""
    proxy = start("limits: {output_soft: 64kb, output_hard: 1mb, window: 4096}")
    before = proxy.memory()
    with proxy.link() as silent, proxy.link() as other:
        assert [silent("GET", "none") for _ in range(100)] == [None] * 100
        silent.send(*[["GET", "k:0"]] * 3000)
        for number in range(KEYS):
            assert other("GET", f"k:{number}") == value(number)
        got = 0
        with pytest.raises(ConnectionError):
            while True:
                got += len(silent.exactly(10_009))
        assert got < 30 * MB
        assert other("GET", "k:1") == value(1)
    until(lambda: proxy.memory() - before < 16 * MB, "memory given back", within=5)


def exchange(port, count, payload, expected, together=True):
    """``count`` connections at once: each sends ``payload(n)`` and gets ``expected``; all stay until all have it."""
    with selectors.DefaultSelector() as selector:
        waiting = {}
        try:
            for number in range(count):
                link = socket.create_connection(("127.0.0.1", port))
                link.setblocking(False)
                waiting[link] = [memoryview(payload(number)), b""]
                selector.register(link, selectors.EVENT_READ | selectors.EVENT_WRITE)
            answered = 0
            deadline = time.monotonic() + 60
            while answered < count:
                assert time.monotonic() < deadline, f"{answered} of {count} answered"
                for key, events in selector.select(1):
                    state = waiting[key.fileobj]
                    if events & selectors.EVENT_WRITE:
                        state[0] = state[0][key.fileobj.send(state[0]) :]
                        if not state[0]:
                            selector.modify(key.fileobj, selectors.EVENT_READ)
                    if events & selectors.EVENT_READ:
                        data = key.fileobj.recv(65536)
                        state[1] += data
                        assert expected.startswith(state[1]), state[1]
                        assert data, f"closed after {state[1]!r}"
                        answered += state[1] == expected
        finally:
            for link in waiting:
                link.close()


@pytest.mark.parametrize("count", [1000, 9000])
def test_many_clients(start, count):
    proxy = start()
    before = proxy.memory()
    exchange(proxy.address, count, lambda number: request(b"SET", b"c:%d" % number, b"%d" % number), b"+OK\r\n")
    with proxy.link() as link:
        assert link("MGET", *(f"c:{number}" for number in range(count))) == [b"%d" % number for number in range(count)]
    # A client costs its socket and a small struct, and an idle one no buffer.
    until(lambda: proxy.memory() - before < 4 * MB + count * 2048, "memory given back", within=5)


def test_500_clients_set_1_mb_at_once(start):
    proxy = start("limits: {input_total: 64mb}")
    proxy.forget_peak()
    before = proxy.memory()
    large = b"x" * MB
    exchange(proxy.address, 500, lambda number: request(b"SET", b"mb:%d" % number, large), b"+OK\r\n")
    # input_total, plus what waits for the nodes (a node takes a value in less time than a client sends one).
    assert proxy.memory("VmHWM") - before < 160 * MB
    until(lambda: proxy.memory() - before < 16 * MB, "memory given back", within=5)
    with proxy.link() as link:
        link.send(*(["STRLEN", f"mb:{number}"] for number in range(500)))
        assert link.replies(500) == [MB] * 500


def test_a_trickle_of_large_requests_starves_nobody(start):
    """Requests that are announced but never completed hold their memory; others still come through."""
    proxy = start("limits: {input_total: 8mb}")
    sleepers = [proxy.link() for _ in range(20)]
    for link in sleepers:
        link.socket.sendall(b"*3\r\n$3\r\nSET\r\n$5\r\nsleep\r\n$1048576\r\nxxx")
    with proxy.link() as link:
        for number in range(KEYS):
            assert link("GET", f"k:{number}") == value(number)
    # The oldest one may always finish, and so, one after another, may all.
    for link in sleepers:
        threading.Thread(target=link.socket.sendall, args=(b"y" * (MB - 3) + b"\r\n",), daemon=True).start()
    for link in sleepers:
        assert link.reply() == b"OK"
        link.close()


@pytest.mark.parametrize("engines", [1, 2])
def test_client_connections(start, engines):
    proxy = start("client_connections: 10", engines=engines)
    links = []
    try:
        for _ in range(10):
            links.append(proxy.link())
            assert links[-1]("PING") == b"PONG"
        with proxy.link() as late:
            assert late.socket.recv(100) == b"-ERR max number of clients reached\r\n"
            assert late.ended()
        assert [link("PING") for link in links] == [b"PONG"] * 10
        links.pop().close()

        def admitted():
            with proxy.link() as link:
                link.send(["PING"])
                try:
                    return link.socket.recv(100) == b"+PONG\r\n"
                except ConnectionResetError:
                    return False

        until(admitted, "a place was free again")
    finally:
        for link in links:
            link.close()


def test_half_closed_clients_get_their_replies(start):
    """shutdown(SHUT_WR) after the last request: everything asked is answered, then the connection ends."""
    proxy = start()
    with proxy.link() as link:
        link.socket.sendall(GETS * 30)
        link.socket.shutdown(socket.SHUT_WR)
        for _ in range(30):
            assert link.exactly(len(ANSWERS)) == ANSWERS
        assert link.ended()


@pytest.mark.parametrize(
    "last",
    [b"", b"*1\r\n$4\r\nPI", b"*0\r\n", b"GET k", b"*3\r\n$3\r\nSET\r\n$1\r\nx\r\n$1000000\r\nabc"],
    ids=repr,
)
def test_half_closed_in_the_middle_of_a_request(start, last):
    """Behind a barrier, too, what is left over of an ended client keeps nothing alive."""
    proxy = start()
    large = request(b"SET", b"large", b"x" * MB)
    for ahead, answer in ((b"", b""), (GETS, ANSWERS), (large, b"+OK\r\n"), (GETS + large + GETS, None)):
        with proxy.link() as link:
            link.socket.sendall(ahead + last)
            link.socket.shutdown(socket.SHUT_WR)
            expected = ANSWERS + b"+OK\r\n" + ANSWERS if answer is None else answer
            assert link.exactly(len(expected)) == expected
            assert link.ended()


def test_a_byte_at_a_time(start):
    proxy = start()
    with proxy.link() as link, proxy.link() as other:
        link.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        stream = request(b"SET", b"slow", b"value") + b"get slow\r\n" + request(b"MGET", b"slow", b"k:1", b"none")
        for at in range(len(stream)):
            link.socket.sendall(stream[at : at + 1])
            if at % 10 == 0:
                assert other("GET", "k:5") == value(5)
        assert link.replies(3) == [b"OK", b"value", [b"value", value(1), None]]


def test_clients_that_leave_in_the_middle(start):
    """Abrupt ends with requests at the nodes and replies on their way hurt nobody else."""
    proxy = start()
    before = proxy.memory()
    with proxy.link() as other:
        for round_ in range(50):
            leaving = [proxy.link() for _ in range(10)]
            for link in leaving:
                link.socket.sendall(GETS)
            for link in leaving:
                if round_ % 2:
                    link.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                link.close()
            assert other("GET", f"k:{round_}") == value(round_)
    until(lambda: proxy.memory() - before < 16 * MB, "memory given back", within=5)
