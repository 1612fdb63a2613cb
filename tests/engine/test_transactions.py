"""Transactions over several nodes: what EXEC answers, against one server that holds every key."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.engine.harness import build, conn, key_on, ring, settle
from tests.helpers import bulk, request
from tests.oracle.resp import frame_requests

KEYS = [*(b"k%d" % number for number in range(12)), b"err1", b"err2", b""]
NAMES = [b"GET", b"SET", b"MGET", b"mget", b"MSET", b"DEL", b"UNLINK", b"EXISTS", b"TOUCH", b"PING"]
VALUES = st.sampled_from([b"", b"v", b"$-1\r\n", b"x" * 300, b"y" * 20_000])
ERROR = b"-WRONGTYPE of this key\r\n"


class Server:
    """A server with strings only. A read that names a key of `err` answers an error."""

    def __init__(self, protocol: int) -> None:
        self.protocol = protocol
        self.data: dict[bytes, bytes] = {}
        self.inbox = b""
        self.queue: list[list[bytes]] | None = None

    def run(self, args: list[bytes]) -> bytes:
        name, rest = args[0].upper(), args[1:]
        if name in (b"GET", b"MGET", b"EXISTS", b"TOUCH") and any(key.startswith(b"err") for key in rest):
            return ERROR
        if name == b"PING":
            return b"+PONG\r\n"
        if name == b"MGET":
            return b"*%d\r\n" % len(rest) + b"".join(map(self.value, rest))
        if name == b"GET":
            return self.value(rest[0])
        if name in (b"EXISTS", b"TOUCH"):
            return b":%d\r\n" % sum(key in self.data for key in rest)
        if name in (b"DEL", b"UNLINK"):
            return b":%d\r\n" % sum(self.data.pop(key, None) is not None for key in rest)
        assert name in (b"SET", b"MSET"), args
        if len(rest) % 2:
            return b"-ERR wrong number of arguments for 'mset' command\r\n"
        self.data.update(zip(rest[::2], rest[1::2], strict=True))
        return b"+OK\r\n"

    def value(self, key: bytes) -> bytes:
        return bulk(self.data[key]) if key in self.data else b"_\r\n" if self.protocol == 3 else b"$-1\r\n"

    def receive(self, data: bytes) -> bytes:
        """The replies to all requests that `data` completes."""
        self.inbox += data
        framing = frame_requests(self.inbox)
        assert framing.error is None
        self.inbox = self.inbox[len(self.inbox) - framing.left :]
        return b"".join(map(self.reply, framing.items))

    def reply(self, args: list[bytes]) -> bytes:
        if args == [b"MULTI"]:
            assert self.queue is None
            self.queue = []
            return b"+OK\r\n"
        if self.queue is None:
            return self.run(args)
        if args != [b"EXEC"]:
            self.queue.append(args)
            return b"+QUEUED\r\n"
        queue, self.queue = self.queue, None
        return b"*%d\r\n" % len(queue) + b"".join(map(self.run, queue))


class Ring:
    """An engine whose nodes are such servers, each of which refuses the keys of others."""

    def __init__(self, nodes: int, protocol: int = 2, **options) -> None:
        self.engine = build(nodes, split=True, **options)
        self.names = [conn(node, protocol) for node in range(nodes)]
        self.servers = [Server(protocol) for _ in range(nodes)]

    def serve(self, order=None, size: int = 1 << 30) -> None:
        """Every node answers what it was sent, node by node in this order, in pieces of `size` bytes."""
        for node in range(len(self.names)) if order is None else order:
            replies = self.servers[node].receive(self.engine.sent(self.names[node]))
            for at in range(0, len(replies), size):
                self.engine.answer(self.names[node], replies[at : at + size])
                assert self.engine.audit() == []
        for node, server in enumerate(self.servers):
            assert {ring(len(self.servers)).node(key) for key in server.data} <= {node}

    def client(self, protocol: int = 2) -> int:
        client = self.engine.open()
        self.engine.feed(client, request(b"HELLO", b"%d" % protocol))
        self.engine.take(client)
        return client

    def nothing_left(self) -> None:
        settle(self.engine)
        counters = self.engine.counters()
        assert counters["input_reserved"] == 0 and counters["chunk_bytes"] <= 160 * 16384


@st.composite
def commands(draw):
    name = draw(st.sampled_from(NAMES))
    if name == b"PING":
        return [name]
    most = 1 if name in (b"GET", b"SET") else 9
    keys = draw(st.lists(st.sampled_from(KEYS), min_size=1, max_size=most))
    if name not in (b"SET", b"MSET"):
        return [name, *keys]
    args = [name, *(part for key in keys for part in (key, draw(VALUES)))]
    # A malformed MSET is an error among the elements of EXEC, as it is with one server.
    return args + [b"odd"] if name == b"MSET" and draw(st.integers(0, 9)) == 0 else args


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_as_one_server_says_it(data):
    protocol = data.draw(st.sampled_from([2, 3]))
    nodes = data.draw(st.integers(1, 4))
    ours, one = Ring(nodes, protocol), Server(protocol)
    client = ours.client(protocol)
    expected, got = b"", b""
    for _ in range(data.draw(st.integers(1, 3))):
        script = [[b"MULTI"], *data.draw(st.lists(commands(), max_size=12)), [b"EXEC"]]
        asked = b"".join(request(*args) for args in script)
        expected += b"".join(map(one.reply, script))
        size = data.draw(st.sampled_from([1 << 30, 13]))
        for at in range(0, len(asked), size):
            ours.engine.feed(client, asked[at : at + size])
        if data.draw(st.booleans()):
            ours.serve(data.draw(st.permutations(range(nodes))), data.draw(st.sampled_from([1 << 30, 1000])))
            got += ours.engine.take(client)
            assert got == expected
    ours.serve()
    assert got + ours.engine.take(client) == expected
    ours.nothing_left()


A, B, C = key_on(0, 3), key_on(1, 3), key_on(2, 3)
MULTI, EXEC = request(b"MULTI"), request(b"EXEC")


def test_each_node_gets_one_block_with_its_parts():
    ours = Ring(3)
    client = ours.client()
    # What Django's cache.set_many() sends.
    ours.engine.feed(client, MULTI + request(b"MSET", A, b"1", B, b"2", C, b"3") + request(b"EXPIRE", A, b"9")
                     + request(b"EXPIRE", B, b"9") + EXEC)
    blocks = [request(b"MSET", A, b"1") + request(b"EXPIRE", A, b"9"),
              request(b"MSET", B, b"2") + request(b"EXPIRE", B, b"9"), request(b"MSET", C, b"3")]
    assert [ours.engine.sent(name) for name in ours.names] == [MULTI + block + EXEC for block in blocks]
    ours.engine.answer(ours.names[2], b"+OK\r\n+QUEUED\r\n*1\r\n+OK\r\n")
    for name in ours.names[:2]:
        assert b"*" not in ours.engine.take(client)
        ours.engine.answer(name, b"+OK\r\n" + b"+QUEUED\r\n" * 2 + b"*2\r\n+OK\r\n:1\r\n")
    assert ours.engine.take(client).endswith(b"*3\r\n+OK\r\n:1\r\n:1\r\n")
    ours.nothing_left()


@pytest.mark.parametrize("name, value, plain", [(b"MSET", b"v", b"+OK\r\n"), (b"DEL", None, b":1\r\n"),
                                                (b"MGET", None, b"*1\r\n+x\r\n")])
@pytest.mark.parametrize("broken", [0, 1, 2])
def test_the_error_of_a_part_is_the_element(name, value, plain, broken):
    ours = Ring(3)
    client = ours.client()
    args = [part for key in (A, B, C) for part in ((key,) if value is None else (key, value))]
    ours.engine.feed(client, MULTI + request(name, *args) + request(b"PING") + request(b"GET", B) + EXEC)
    ours.engine.take(client)
    for node, at in enumerate(ours.names):
        ours.engine.sent(at)
        element = b"-OOM out of memory\r\n" if node >= broken else plain
        count = 2 if node == 1 else 1
        ours.engine.answer(at, b"+OK\r\n" + b"+QUEUED\r\n" * count + b"*%d\r\n" % count + element
                           + b"$1\r\nb\r\n" * (count - 1))
    assert ours.engine.take(client) == b"*3\r\n-OOM out of memory\r\n+PONG\r\n$1\r\nb\r\n"
    ours.nothing_left()


def test_an_mget_gives_nil_for_a_part_that_failed_where_the_pool_says_so():
    ours = Ring(3, nil_on_error=True)
    client = ours.client()
    ours.engine.feed(client, MULTI + request(b"MGET", A, B, A) + EXEC)
    ours.engine.take(client)
    for name, element in zip(ours.names, [b"*2\r\n+x\r\n+y\r\n", b"-ERR no\r\n"], strict=False):
        ours.engine.sent(name)
        ours.engine.answer(name, b"+OK\r\n+QUEUED\r\n*1\r\n" + element)
    assert ours.engine.take(client) == b"*1\r\n*3\r\n+x\r\n$-1\r\n+y\r\n"
    ours.nothing_left()


@pytest.mark.parametrize("reply, expected", [
    (b"-EXECABORT no\r\n", b"-EXECABORT no\r\n"), (b"*0\r\n", b"*2\r\n$-1\r\n$-1\r\n"),
    (b"*1\r\n*0\r\n", b"*2\r\n*2\r\n+x\r\n$-1\r\n$-1\r\n")])  # fmt: skip
def test_a_node_that_does_not_run_its_block_or_leaves_something_out(reply, expected):
    ours = Ring(3)
    client = ours.client()
    ours.engine.feed(client, MULTI + request(b"MGET", A, B) + request(b"DEL", A, B) + EXEC)
    ours.engine.take(client)
    for name, answer in zip(ours.names, (b"*2\r\n*1\r\n+x\r\n:1\r\n", reply), strict=False):
        ours.engine.sent(name)
        ours.engine.answer(name, b"+OK\r\n" + b"+QUEUED\r\n" * 2 + answer)
    assert ours.engine.take(client) == expected
    ours.nothing_left()


def test_a_connection_that_is_lost_is_the_error_of_all():
    ours = Ring(3)
    client = ours.client()
    ours.engine.feed(client, MULTI + request(b"MSET", A, b"1", B, b"2", C, b"3") + EXEC)
    ours.engine.take(client)
    for name in ours.names:
        ours.engine.sent(name)
    ours.engine.answer(ours.names[0], b"+OK\r\n+QUEUED\r\n*1\r\n+OK\r\n")
    for name in ours.names[1:]:
        ours.engine.fail(name, b"gone")
    assert b"fate of 'exec' is unknown" in ours.engine.take(client)
    ours.nothing_left()


def test_what_finds_no_room_is_queued_for_no_node():
    ours = Ring(3, query_buffer=2000)
    client = ours.client()
    asked = [request(b"SET", A, b"1"), request(b"MSET", A, b"v" * 900, B, b"v" * 900),
             request(b"MSET", A, b"v" * 900, B, b"v" * 900)]
    for one in (MULTI, *asked):
        ours.engine.feed(client, one)
    reply = ours.engine.take(client)
    assert reply.startswith(b"+OK\r\n+QUEUED\r\n-ERR ") and b"was not queued" in reply
    ours.engine.feed(client, EXEC)
    assert ours.engine.take(client).startswith(b"-EXECABORT ")
    assert [ours.engine.sent(name) for name in ours.names] == [b""] * 3
    ours.nothing_left()


def test_without_the_option_keys_on_several_nodes_are_refused():
    engine = build(3)
    client = engine.open()
    for args in ([b"MGET", A, B], [b"MSET", A, b"1", B, b"2"], [b"DEL", A, B]):
        engine.feed(client, MULTI)
        engine.take(client)
        engine.feed(client, request(*args))
        assert engine.take(client).startswith(b"-CROSSSLOT ")
        engine.feed(client, EXEC)
        assert engine.take(client).startswith(b"-EXECABORT ")
    settle(engine)


def test_other_commands_are_refused_in_a_split_transaction_too():
    ours = Ring(3)
    client = ours.client()
    ours.engine.feed(client, MULTI + request(b"SINTER", A, B))
    assert ours.engine.take(client).startswith(b"+OK\r\n-CROSSSLOT ")
    ours.nothing_left()


@pytest.mark.parametrize("stage", range(5))
def test_clients_that_die_inside(stage):
    """While queueing, having discarded, with all on its way, with one block answered, and with two."""
    ours = Ring(3)
    for _ in range(300):
        client = ours.client()
        queued = request(b"MGET", A, B, C) + request(b"MSET", C, b"v" * 500, A, b"w" * 500) + request(b"PING")
        ours.engine.feed(client, MULTI + queued * 3 + (b"", request(b"DISCARD"), EXEC, EXEC, EXEC)[stage])
        ours.serve([0, 1][: max(0, stage - 2)])
        ours.engine.close(client)
        ours.engine.turn()
        ours.serve()
    ours.nothing_left()
    assert ours.engine.counters()["replies"] == (900 if stage >= 2 else 0)
