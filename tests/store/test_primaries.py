"""What a replica makes of whatever a primary sends: in any pieces, broken, endless; by a primary that is a script."""

from __future__ import annotations

import random
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from storenode.handshake import Agreed, HandshakeError, Wish, agreement, shake
from tests.store.conftest import Server, start_node
from tests.store.raw import Connection, info, pipeline, request
from tests.store.replicating import Writer, contents, fields, start_redis, until

STREAM = "0123456789abcdef" * 2 + "01234567"
MARK = "f" * 40
LOADING = b"-LOADING Redis is loading the dataset in memory\r\n"


class Script:
    """A primary that greets as it should, answers PSYNC with `answer`, and sends `pieces` behind it."""

    def __init__(self, answer: bytes, *pieces: bytes, hold: bool = True) -> None:
        self.answer = answer
        self.pieces = pieces
        self.hold = hold  # keep the connection open when all is sent
        self.asked: list[bytes] = []  # of every connection, the PSYNC
        self.acks = b""
        self.go_on = threading.Event()
        self.go_on.set()
        self.closed = False
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.listener.getsockname()[1]
        self.link: socket.socket | None = None
        self.thread = threading.Thread(target=self._serve)
        self.thread.start()

    def _serve(self) -> None:
        while not self.closed:
            with suppress(OSError):
                self.link, _ = self.listener.accept()
                self.link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                with self.link:
                    self._talk(self.link)

    def _talk(self, link: socket.socket) -> None:
        while b"PSYNC" not in (data := link.recv(4096)):
            if not data:
                return
            link.sendall(b"+PONG\r\n" if b"PING" in data else b"+OK\r\n")
        self.asked.append(data)
        link.sendall(self.answer)
        for piece in self.pieces:
            self.go_on.wait()
            link.sendall(piece)
        while self.hold and (data := link.recv(4096)):
            self.acks += data

    def close(self) -> None:
        self.closed = True
        self.go_on.set()
        for end in (self.listener, self.link):
            with suppress(OSError):
                if end:
                    end.shutdown(socket.SHUT_RDWR)
        self.thread.join()
        self.listener.close()


@pytest.fixture
def script() -> Iterator[Callable[..., Script]]:
    made: list[Script] = []

    def make(*arguments: bytes, hold: bool = True) -> Script:
        made.append(Script(*arguments, hold=hold))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture(scope="module")
def replica() -> Iterator[Server]:
    """One node for all scripts: whatever the last one did must not matter to the next."""
    server = start_node("--maxmemory", "0")
    yield server
    assert server.stop() == 0


@pytest.fixture
def connection(replica: Server) -> Iterator[Connection]:
    with replica.connect() as connection:
        yield connection
        connection("replicaof", "no", "one")
        connection("flushall")


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory, redis_version: str) -> tuple[bytes, object]:
    """A snapshot by redis-server of every type in every encoding, and what is in it."""
    folder = tmp_path_factory.mktemp("snapshot")
    server = start_redis(folder, "--list-max-listpack-size", "64")
    try:
        with server.connect() as writing:
            Writer(21).write(writing, 300)
            pipeline(writing, [
                ("set", "compressed", "abcd" * 500), ("set", "number", 12345), ("set", "small", -7),
                ("set", "bytes", bytes(range(256))), ("sadd", "ints", 1, 2, 3), ("sadd", "wide", 1 << 40),
                ("rpush", "plain", "x" * 9000, "tail"), ("rpush", "nodes", *range(300)),
                ("hset", "pack", "a", "1", "b", "x" * 60), ("hset", "large", "f", "y" * 100),
                ("zadd", "ranks", "-inf", "low", "inf", "high", "1.5", "middle"),
                *[("zadd", "tree", n, f"member {n}") for n in range(200)],
                ("set", "lasting", "x", "px", 9_000_000), ("select", 15), ("set", "last database", "x"),
            ])  # fmt: skip
            writing("select", 0)
            # Nothing may expire between this and the comparison.
            for number in range(16):
                writing("select", number)
                keys = writing("keys", "*").split(b"\r\n")[2::2]
                times = pipeline(writing, [("pttl", key) for key in keys])
                brief = [key for key, ttl in zip(keys, times, strict=True) if 0 <= int(ttl[1:]) < 90_000]
                pipeline(writing, [("persist", key) for key in brief])
            assert writing("save") == b"+OK\r\n"
            return (folder / f"{server.port}.rdb").read_bytes(), contents(writing)
    finally:
        server.stop()


def whole(data: bytes, mark: bool) -> bytes:
    """A snapshot as a primary frames it."""
    return f"$EOF:{MARK}\r\n".encode() + data + MARK.encode() if mark else b"$%d\r\n" % len(data) + data


FULL = f"+FULLRESYNC {STREAM} 1000\r\n".encode()


@pytest.mark.parametrize("mark", [False, True], ids=["length", "mark"])
@pytest.mark.parametrize("step", [1, 3, 1000, 1 << 30])
def test_a_snapshot_in_any_pieces(
    connection: Connection, script: Callable[..., Script], snapshot: tuple[bytes, object], step: int, mark: bool
) -> None:
    """…and the stream behind it, which begins in the same packet where the framing allows."""
    data, expected = snapshot
    tail = request("select", 2) + request("set", "tail", "x")
    sent = b"\n\n" + whole(data, mark) + tail
    primary = script(FULL, *[sent[at : at + step] for at in range(0, len(sent), step)])
    connection("set", "stale", "x")
    connection("replicaof", "127.0.0.1", primary.port)
    until(lambda: fields(connection).get("slave_repl_offset") == str(1000 + len(tail)), "the snapshot is not read")
    assert contents(connection) == expected | {(2, b"tail"): (b"+string\r\n:-1\r\n", b"$1\r\nx\r\n")}  # type: ignore[operator]
    assert fields(connection)["master_replid"] == STREAM
    until(lambda: request("REPLCONF", "ACK", "1000") in primary.acks, "the snapshot is not acknowledged")


def lost(connection: Connection, primary: Script) -> None:
    """The link was given up, and made again, with nothing to go on from."""
    until(lambda: len(primary.asked) >= 2, "the link is not given up")
    assert b"$1\r\n?\r\n$2\r\n-1\r\n" in primary.asked[-1]


def test_broken_snapshots(
    connection: Connection, script: Callable[..., Script], snapshot: tuple[bytes, object]
) -> None:
    """One byte changed anywhere: the checksum tells at the latest, and nothing of it is ever served."""
    data, _ = snapshot
    draw = random.Random(5)
    for at in [0, 5, 8, len(data) - 9, len(data) - 1, *[draw.randrange(9, len(data) - 9) for _ in range(25)]]:
        broken = bytearray(data)
        broken[at] ^= 1 << draw.randrange(8)
        primary = script(FULL, whole(bytes(broken), True), hold=False)
        connection("set", "k", "v")
        connection("replicaof", "127.0.0.1", primary.port)
        lost(connection, primary)
        assert connection("get", "k") == LOADING and connection("ping") == LOADING, at
        assert info(connection, "persistence", "loading") == 1
        assert connection("replicaof", "no", "one") == b"+OK\r\n"
        assert connection("dbsize") == b":0\r\n" and connection("set", "k", "v") == b"+OK\r\n"
        primary.close()


def length(number: int) -> bytes:
    """A length in 64 bits, as a snapshot has it."""
    return b"\x81" + struct.pack(">Q", number)


HEAD = b"REDIS0010\xfe\x00"
BAD = {
    "a length before it that is too short": b"$20\r\n" + HEAD + b"\x00\x01k\x01v\xff" + bytes(8),
    "a length before it that is too long": b"$30\r\n" + HEAD + b"\xff" + bytes(8),
    "no preamble": b"x" * 500,
    "a preamble that is none": b"$-5\r\n",
    "a mark that is too short": b"$EOF:abc\r\n",
    "another mark": whole(HEAD + b"\xff" + bytes(8), True)[:-1] + b"x",
    "no header": whole(b"RUBBISH10" + HEAD, True),
    "a version to come": whole(b"REDIS0099" + HEAD, True),
    "a key longer than any": whole(HEAD + b"\x00" + length(1 << 40), True),
    "a value longer than any": whole(HEAD + b"\x00\x01k" + length(600 << 20), True),
    "a compressed value that would be huge": whole(HEAD + b"\x00\x01k\xc3\x05" + length(500 << 20) + b"abcde", True),
    "a set without members": whole(HEAD + b"\x02\x01k\x00", True),
    "a set with the same member twice": whole(HEAD + b"\x02\x01k\x02\x01a\x01a\xff" + bytes(8), True),
    "a key that is there twice": whole(HEAD + b"\x00\x01k\x01v" * 2 + b"\xff" + bytes(8), True),
    "a stream": whole(HEAD + b"\x15\x01k\x00", True),
    "a module's value": whole(HEAD + b"\x07\x01k\x00", True),
    "a database too many": whole(b"REDIS0010\xfe\x10", True),
    "a score that is no number": whole(HEAD + b"\x05\x01k\x01\x01a" + struct.pack("<d", float("nan")), True),
    "a listpack that lies": whole(HEAD + b"\x10\x01k\x08" + b"\x08\0\0\0\x05\0\x85\xff", True),
}


@pytest.mark.parametrize("sent", BAD.values(), ids=BAD)
def test_a_primary_that_sends_nonsense(connection: Connection, script: Callable[..., Script], sent: bytes) -> None:
    before = info(connection, "memory", "used_memory")
    rss = info(connection, "memory", "used_memory_rss")
    primary = script(FULL, sent)
    connection("replicaof", "127.0.0.1", primary.port)
    until(lambda: len(primary.asked) >= 2, "the link is not given up")
    assert info(connection, "memory", "used_memory_rss") < rss + (100 << 20)
    connection("replicaof", "no", "one")
    until(lambda: info(connection, "memory", "used_memory") <= before, "memory is lost")


def test_a_promise_costs_nothing(connection: Connection, script: Callable[..., Script]) -> None:
    """A count of 2^60 elements, and a string of 500 MiB of which no byte follows: memory goes to what is there."""
    rss = info(connection, "memory", "used_memory_rss")
    for value in (b"\x02\x01k" + length(1 << 60) + b"\x01a\x01b", b"\x00\x01k" + length(500 << 20)):
        primary = script(FULL, whole(HEAD + value, True)[:-40])
        connection("replicaof", "127.0.0.1", primary.port)
        until(lambda: fields(connection)["master_sync_in_progress"] == "1", "the snapshot does not begin")
        time.sleep(0.2)
        assert info(connection, "memory", "used_memory_rss") < rss + (50 << 20)
        assert connection("replicaof", "no", "one") == b"+OK\r\n" and connection("dbsize") == b":0\r\n"
        primary.close()


def test_clients_during_a_snapshot(
    connection: Connection, script: Callable[..., Script], snapshot: tuple[bytes, object]
) -> None:
    data, expected = snapshot
    sent = whole(data, True)
    primary = script(FULL, sent[: len(sent) // 2], sent[len(sent) // 2 :])
    connection("set", "k", "old")
    primary.go_on.clear()
    connection("replicaof", "127.0.0.1", primary.port)
    until(lambda: bool(primary.asked), "the primary is not asked")
    # Until the snapshot begins, what was there is served.
    assert connection("get", "k") == b"$3\r\nold\r\n"
    primary.go_on.set()
    until(lambda: fields(connection)["master_link_status"] == "up", "it does not end")
    assert contents(connection) == expected

    primary = script(FULL, sent[: len(sent) // 2])
    connection("replicaof", "127.0.0.1", primary.port)
    until(lambda: connection("get", "k") == LOADING, "a keyspace that is half there is served")
    told = fields(connection)
    assert told["master_sync_in_progress"] == "1" and told["master_link_status"] == "down"
    until(lambda: int(fields(connection)["master_sync_read_bytes"]) > len(sent) // 3, "nothing is read")
    assert connection("mget", "k", "l") == LOADING and connection("select", 1) == b"+OK\r\n"
    # What is refused for two reasons is refused for the one that Redis names first.
    assert connection("set", "k", "v").startswith(b"-READONLY ")
    assert connection("role").endswith(b"$4\r\nsync\r\n:-1\r\n")


def test_the_stream(connection: Connection, script: Callable[..., Script]) -> None:
    """A transaction whose EXEC does not come is not executed, and the whole of it is asked for again."""
    empty = whole(HEAD + b"\xff" + bytes(8), True)
    first = request("set", "k", 1) + request("incr", "k")
    begun = request("multi") + request("incr", "k") + request("incr", "k")
    primary = script(FULL, empty, first + begun, hold=True)
    connection("replicaof", "127.0.0.1", primary.port)
    until(lambda: connection("get", "k") == b"$1\r\n2\r\n", "the stream is not executed")
    time.sleep(0.1)
    assert connection("get", "k") == b"$1\r\n2\r\n"
    assert fields(connection)["slave_repl_offset"] == str(1000 + len(first))
    primary.answer, primary.pieces = b"+CONTINUE\r\n", (begun + request("exec"), request("replconf", "getack", "*"))
    primary.acks = b""
    assert primary.link
    primary.link.shutdown(socket.SHUT_RDWR)
    until(lambda: connection("get", "k") == b"$1\r\n4\r\n", "the stream does not go on")
    wanted = 1000 + len(first)
    assert request("PSYNC", STREAM, wanted + 1) == primary.asked[-1]
    until(lambda: b"ACK" in primary.acks, "the question how far this is has no answer")


@pytest.mark.parametrize(
    "sent",
    [b"*1\r\n$x\r\n", b"*2\r\n$3\r\nset\r\n$600000000\r\n", b"x" * 70_000],
    ids=["no length", "too long", "no end"],
)
def test_a_broken_stream(connection: Connection, script: Callable[..., Script], sent: bytes) -> None:
    empty = whole(HEAD + b"\xff" + bytes(8), True)
    primary = script(FULL, empty + request("set", "k", 1), sent)
    connection("replicaof", "127.0.0.1", primary.port)
    until(lambda: len(primary.asked) >= 2, "the link is not given up")
    assert STREAM.encode() in primary.asked[1], "what was received before is not known any more"


def test_a_primary_that_answers_without_end(connection: Connection, script: Callable[..., Script]) -> None:
    primary = script(b"+" + b"x" * 100_000)
    connection("replicaof", "127.0.0.1", primary.port)
    until(lambda: len(primary.asked) >= 2, "the link is not given up")
    assert connection("ping") == b"+PONG\r\n"


# -- the handshake, without any socket --------------------------------------------------------------------------------

WISH = Wish(
    number=1, host="h", port=1, stream=STREAM, offset=7, user=b"", password=b"", announce_host="", announce_port=6379,
    timeout=60,
)  # fmt: skip


def talk(wish: Wish, answers: list[bytes]) -> tuple[list[list[bytes]], Agreed]:
    """The words of every request, and the agreement."""
    steps = shake(wish)
    said = [next(steps)]
    for answer in answers:
        try:
            said.append(steps.send(answer))
        except StopIteration as finished:
            return [words.split(b"\r\n")[2::2] for words in said], finished.value
    raise AssertionError("more answers are wanted")


def test_the_handshake() -> None:
    said, agreed = talk(WISH, [b"+PONG", b"+OK", b"+OK", b"+CONTINUE"])
    assert said == [
        [b"PING"], [b"REPLCONF", b"listening-port", b"6379"], [b"REPLCONF", b"capa", b"eof", b"capa", b"psync2"],
        [b"PSYNC", STREAM.encode(), b"7"],
    ]  # fmt: skip
    assert agreed == Agreed(whole=False, stream=b"", offset=0)
    said, agreed = talk(
        {**WISH, "user": b"u", "password": b"p", "announce_host": "me"},
        [b"-NOAUTH", b"+OK", b"-ERR what?", b"+OK", b"+OK", b"+FULLRESYNC " + STREAM.encode() + b" 99"],
    )
    assert said[1] == [b"AUTH", b"u", b"p"] and said[3] == [b"REPLCONF", b"ip-address", b"me"]
    assert agreed == Agreed(whole=True, stream=STREAM.encode(), offset=99)


@pytest.mark.parametrize("answer", [
    b"-NOMASTERLINK Can't SYNC", b"-ERR unknown command", b"+FULLRESYNC", b"+FULLRESYNC x 1", b"+OK",
    b"+FULLRESYNC " + STREAM.encode() + b" -1", b"+CONTINUE x", b"",
])  # fmt: skip
def test_answers_that_are_no_agreement(answer: bytes) -> None:
    with pytest.raises(HandshakeError, match="PSYNC"):
        agreement(answer)


def test_a_refused_handshake() -> None:
    with pytest.raises(HandshakeError, match="masterauth"):
        talk({**WISH, "password": b"p"}, [b"+PONG", b"-WRONGPASS no"])
    with pytest.raises(HandshakeError, match="masterauth"):
        talk(WISH, [b"-NOAUTH", b"-NOAUTH Authentication required."])
    with pytest.raises(HandshakeError, match="PING"):
        talk(WISH, [b"-DENIED protected mode"])
