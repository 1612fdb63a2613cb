"""A storage node that misbehaves on order, and remembers what it was asked.

It speaks enough of Redis to be greeted by the proxy (HELLO, AUTH, SELECT, INFO, CLIENT …) and to keep strings. Tests
tell it how to treat a command instead: `node.treat("GET", hang)`. A treatment gets the connection, the words and a
function that does what was asked and gives the honest answer; it writes what it likes, or nothing. One thread a
connection; the log is in the order of arrival.

    say(b"…")         this instead of the honest answer        half       half of the answer, then close
    hang              nothing any more on this connection      garbage    bytes that are not RESP
    close             close at once                            twice      the answer, and one that nobody asked for
    Gate()            answers that wait until it is opened

`accepting = False` closes every connection as soon as it is accepted; `mute = True` accepts and answers nothing.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import hiredis

Answer = Callable[[], bytes]  # does what was asked, and gives the honest answer
Treatment = Callable[["Connection", list[bytes], Answer], None]


class Entry(NamedTuple):
    """One request: which connection it came on, the name that one had given itself, and the words."""

    connection: int
    name: bytes
    words: list[bytes]


class Connection:
    """One accepted connection."""

    def __init__(self, node: ChaosNode, link: socket.socket, number: int) -> None:
        self.node = node
        self.link = link
        self.number = number
        self.name = b""
        self.dead = False
        self.deaf = False

    def write(self, data: bytes) -> None:
        with suppress(OSError):
            self.link.sendall(data)

    def close(self) -> None:
        self.dead = True
        with suppress(OSError):
            self.link.shutdown(socket.SHUT_RDWR)

    def serve(self) -> None:
        """Answer until the peer closes; requests are taken one after another, as Redis does."""
        reader = hiredis.Reader()
        with self.link, suppress(OSError):
            while data := self.link.recv(1 << 16):
                reader.feed(data)
                while (words := reader.gets()) is not False:
                    self.node.take(self, words)


class ChaosNode:
    """The node. Its ``port`` stays the same through `shut` and `open`."""

    def __init__(self, name: str = "chaos") -> None:
        self.name = name
        self.log: list[Entry] = []
        self.data: dict[bytes, bytes] = {}
        self.mute = False
        self.accepting = True
        self.run_id = b"c" * 40
        self._treatments: dict[bytes, Treatment] = {}
        self._lock = threading.Lock()
        self._connections: dict[int, Connection] = {}
        self._numbers = 0
        self._threads: list[threading.Thread] = []
        self._listener: socket.socket | None = None
        self.port = 0
        self.open()

    @property
    def server(self) -> str:
        """Its line in a pool's servers."""
        return f"127.0.0.1:{self.port}:1 {self.name}"

    # -- orders of the test ------------------------------------------------------------------------------------------

    def treat(self, command: str, treatment: Treatment | None) -> None:
        """Treat this command so from now on; None: honestly."""
        with self._lock:
            self._treatments.pop(command.encode(), None)
            if treatment is not None:
                self._treatments[command.encode()] = treatment

    def honest(self) -> None:
        """No more tricks."""
        with self._lock:
            self._treatments.clear()
        self.mute = False
        self.accepting = True

    def open(self) -> None:
        """Listen (again)."""
        self._listener = socket.create_server(("127.0.0.1", self.port), backlog=128)
        self.port = self._listener.getsockname()[1]
        self._start(self._accept, self._listener)

    def shut(self) -> None:
        """Stop listening and break every connection: the process is dead."""
        if self._listener is not None:
            # shutdown wakes the thread in accept; close alone would not
            with suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None
        self.break_connections()

    def break_connections(self) -> None:
        """Close every connection, without another word."""
        with self._lock:
            connections = list(self._connections.values())
        for connection in connections:
            connection.close()

    def stop(self) -> None:
        """The end: nothing runs any more."""
        with self._lock:
            gates = [treatment for treatment in self._treatments.values() if isinstance(treatment, Gate)]
        for gate in gates:
            gate.open()
        self.shut()
        for thread in self._threads:
            thread.join(10)
            assert not thread.is_alive()

    def asked(self, *names: str) -> list[Entry]:
        """What was asked so far, of these commands only."""
        wanted = {name.encode() for name in names}
        with self._lock:
            return [entry for entry in self.log if entry.words[0].upper() in wanted]

    # -- serving -----------------------------------------------------------------------------------------------------

    def _start(self, function: Callable[..., None], *arguments: Any) -> None:
        thread = threading.Thread(target=function, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                link, _ = listener.accept()
            except OSError:
                return
            if not self.accepting:
                link.close()
                continue
            with self._lock:
                self._numbers += 1
                connection = Connection(self, link, self._numbers)
                self._connections[self._numbers] = connection
            self._start(self._serve, connection)

    def _serve(self, connection: Connection) -> None:
        try:
            connection.serve()
        finally:
            with self._lock:
                self._connections.pop(connection.number, None)

    def take(self, connection: Connection, words: list[bytes]) -> None:
        """One request: log it, do it, answer it as the treatment of its name has it."""
        name = words[0].upper()
        with self._lock:
            self.log.append(Entry(connection.number, connection.name, words))
            treatment = self._treatments.get(name)
        if self.mute or connection.deaf:
            return
        if treatment is None:
            connection.write(self._do(connection, name, words))
        else:
            treatment(connection, words, lambda: self._do(connection, name, words))

    def _do(self, connection: Connection, name: bytes, words: Sequence[bytes]) -> bytes:
        sub = words[1].upper() if len(words) > 1 else b""
        if name == b"CLIENT":
            if sub == b"SETNAME":
                connection.name = words[2]
            elif sub == b"ID":
                return b":%d\r\n" % connection.number
            elif sub == b"KILL":
                with self._lock:
                    victim = self._connections.get(int(words[3]))
                if victim is None:
                    return b"-ERR No such client\r\n"
                victim.close()
            return b"+OK\r\n"
        if name == b"HELLO":
            return b"%1\r\n$5\r\nproto\r\n:3\r\n"
        if name == b"INFO":
            return bulk(b"# Server\r\nredis_version:7.0.15\r\nrun_id:%b\r\n" % self.run_id)
        if name == b"PING":
            return b"+PONG\r\n"
        if name == b"GET":
            return bulk(self.data[words[1]]) if words[1] in self.data else b"$-1\r\n"
        if name == b"SET":
            self.data[words[1]] = words[2]
        return b"+OK\r\n"


def bulk(text: bytes) -> bytes:
    return b"$%d\r\n%b\r\n" % (len(text), text)


# -- treatments ----------------------------------------------------------------------------------------------------


def say(data: bytes) -> Treatment:
    """Answer with this."""
    return lambda connection, words, answer: connection.write(data)


def hang(connection: Connection, words: list[bytes], answer: Answer) -> None:
    """Never answer, nor anything that follows on this connection."""
    connection.deaf = True


def close(connection: Connection, words: list[bytes], answer: Answer) -> None:
    connection.close()


def half(connection: Connection, words: list[bytes], answer: Answer) -> None:
    whole = answer()
    connection.write(whole[: len(whole) // 2])
    connection.close()


def garbage(connection: Connection, words: list[bytes], answer: Answer) -> None:
    connection.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")


def twice(connection: Connection, words: list[bytes], answer: Answer) -> None:
    connection.write(answer() + b"+nobody asked\r\n")


class Gate:
    """What was asked, with `word` in it if one is given, is done only when the gate opens.

    Like Redis, the node does nothing any more for a connection that was killed meanwhile.
    """

    def __init__(self, word: bytes | None = None) -> None:
        self._word = word
        self._open = threading.Event()
        self._here = threading.Event()
        self._passed = threading.Event()

    def __call__(self, connection: Connection, words: list[bytes], answer: Answer) -> None:
        held = self._word is None or self._word in words
        if held:
            self._here.set()
            self._open.wait(60)
        if not connection.dead:
            connection.write(answer())
        if held:
            self._passed.set()

    def wait_for_one(self) -> None:
        """Until a request stands at the gate."""
        assert self._here.wait(10)

    def open(self) -> None:
        self._open.set()

    def wait_until_passed(self) -> None:
        """Until the request that stood at the gate is done, or dropped with its connection."""
        assert self._passed.wait(10)
