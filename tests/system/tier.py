"""A whole tier of real processes: redis-servers to torment, a proxy before them, and a plain client.

On top of the fixtures of `conftest.py`, for tests that share a tier among many, or that kill and restart its parts.
"""

from __future__ import annotations

import itertools
import re
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hiredis

from proxy.wire import inspect
from tests.system.conftest import start, start_redis

PATIENCE = 20.0  # seconds that anything may take on a busy machine before a test fails


def until(condition: Callable[[], Any], what: str, within: float = PATIENCE, every: float = 0.005) -> Any:
    """Look at ``condition`` again and again until it holds; returns what it returned."""
    deadline = time.monotonic() + within
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not within {within} s: {what}"
        time.sleep(every)
    return value


def error(reply: Any, pattern: str) -> bool:
    """The reply has to be an error that says this."""
    assert isinstance(reply, hiredis.ReplyError), reply
    assert re.search(pattern, str(reply)), reply
    return True


@dataclass(frozen=True)
class Place:
    """Where a server runs: its address, and what has to stand before its command line."""

    host: str = "127.0.0.1"
    prefix: tuple[str, ...] = ()


HERE = Place()


class Link:
    """One blocking connection with a reader; error replies come back as `hiredis.ReplyError` values."""

    _numbers = itertools.count()

    def __init__(self, address: int | str, protocol: int = 2, timeout: float = PATIENCE,
                 host: str = HERE.host) -> None:  # fmt: skip
        self.number = next(self._numbers)  #: no two are alike
        self.socket = socket.socket(socket.AF_UNIX if isinstance(address, str) else socket.AF_INET)
        self.socket.settimeout(timeout)
        try:
            self.socket.connect(address if isinstance(address, str) else (host, address))
        except OSError:
            self.socket.close()
            raise
        self.reader = hiredis.Reader()
        self._raw = bytearray()
        if protocol == 3:
            assert not isinstance(self("HELLO", "3"), hiredis.ReplyError)

    def __call__(self, *words: str | bytes | int) -> Any:
        """Send one request, return its reply."""
        self.send(words)
        return self.reply()

    def send(self, *requests: Sequence[str | bytes | int]) -> None:
        """Send requests in one write, without waiting for their replies."""
        self.socket.sendall(b"".join(hiredis.pack_command(tuple(words)) for words in requests))

    def reply(self) -> Any:
        """The next reply. Raises ConnectionError when the peer closed."""
        while (reply := self.reader.gets()) is False:
            if not (data := self.socket.recv(1 << 18)):
                raise ConnectionError("the connection was closed")
            self.reader.feed(data)
        return reply

    def replies(self, count: int) -> list[Any]:
        """The next ``count`` replies."""
        return [self.reply() for _ in range(count)]

    def raw(self, count: int) -> list[bytes]:
        """The bytes of the next ``count`` replies; not to be mixed with `reply` on one connection."""
        while len((framed := inspect.frame_replies([bytes(self._raw)])).items) < count:
            assert framed.error is None, framed
            if not (data := self.socket.recv(1 << 18)):
                raise ConnectionError(f"closed after {bytes(self._raw)!r}")
            self._raw += data
        items = [bytes(item) for item in framed.items[:count]]
        del self._raw[: sum(map(len, items))]
        return items

    def exactly(self, size: int) -> bytearray:
        """The next ``size`` bytes, past the reader."""
        data = bytearray(size)
        view = memoryview(data)
        while view:
            if not (count := self.socket.recv_into(view)):
                raise ConnectionError("the connection was closed")
            view = view[count:]
        return data

    def ended(self) -> bool:
        """Wait for the peer to close; True when it did and had nothing more to say."""
        try:
            return self.socket.recv(65536) == b""
        except ConnectionResetError:
            return True

    def close(self) -> None:
        self.socket.close()

    def __enter__(self) -> Link:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Node:
    """A redis-server that can be killed, frozen, thawed and started again on its port."""

    def __init__(self, directory: Path, name: str, *options: str, place: Place = HERE) -> None:
        self.name = name
        self.place = place
        self.port = 0
        self._stack = ExitStack()
        self._directory = directory
        self.options = options
        self.start()

    @property
    def server(self) -> str:
        """Its line in a pool's servers."""
        return f"{self.address}:1 {self.name}"

    @property
    def address(self) -> str:
        return f"{self.place.host}:{self.port}"

    def start(self) -> None:
        started = start_redis(
            self._stack, self._directory, "--maxclients", "4000", *self.options, port=self.port, host=self.place.host,
            prefix=self.place.prefix,
        )  # fmt: skip
        self.process, self.port = started.process, started.port

    def stop(self) -> None:
        self.thaw()
        self._stack.close()

    def kill(self) -> None:
        self.process.kill()
        self._stack.close()

    def freeze(self) -> None:
        """SIGSTOP: the kernel goes on accepting and acknowledging, nobody answers."""
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def link(self, protocol: int = 2, timeout: float = PATIENCE) -> Link:
        """A connection to the node itself, not through the proxy."""
        return Link(self.port, protocol, timeout, self.place.host)

    def __call__(self, *words: str | bytes | int) -> Any:
        """Ask the node itself."""
        with self.link() as link:
            return link(*words)


class Proxy:
    """A running `python -m proxy run` with one pool, called test. ``options`` are lines of the pool."""

    def __init__(self, directory: Path, servers: Sequence[str], options: str = "", engines: int = 1,
                 listen: str = "127.0.0.1:0", place: Place = HERE) -> None:  # fmt: skip
        lines = [f"engines: {engines}", "pools:", "  test:", f"    listen: {listen}"]
        lines += ["    servers:", *(f"      - {server}" for server in servers)] if servers else []
        lines += ["    " + line for line in options.splitlines()]
        self.place = place
        file = directory / "quench.yml"
        file.write_text("\n".join(lines) + "\n")
        self._stack = ExitStack()
        self.started = start(self._stack, *place.prefix, sys.executable, "-m", "proxy", "run", "-c", str(file))
        self.log = self.started.log
        self.pid = self.started.process.pid
        try:
            self.log.wait_for(" ready ")
        except BaseException:
            self._stack.close()
            raise
        address = self.log.wait_for(r"pool\.listening pool=test address=(\S+)")[1]
        self.address: int | str = address if "/" in address else int(address.rpartition(":")[2])

    def link(self, protocol: int = 2, timeout: float = PATIENCE) -> Link:
        return Link(self.address, protocol, timeout)

    def __call__(self, *words: str | bytes | int) -> Any:
        """One request on a connection of its own."""
        with self.link() as link:
            return link(*words)

    def memory(self, field: str = "VmRSS") -> int:
        """Bytes resident now, or at most so far (``VmHWM``)."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith(field + ":"):
                return int(line.split()[1]) << 10
        raise AssertionError(f"no {field}")

    def forget_peak(self) -> None:
        """Have VmHWM begin again at what is resident now."""
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")

    def stop(self) -> None:
        """It has to be running still, to end when it is told to, and to have had no surprise."""
        running = self.started.process.poll() is None
        self._stack.close()
        assert running, f"the proxy ended by itself with {self.started.process.returncode}:\n{self.log.text}"
        assert "Traceback" not in self.log.text, self.log.text


@contextmanager
def running_nodes(directory: Path, count: int, *options: str) -> Iterator[list[Node]]:
    """``count`` redis-servers, named n0, n1, …"""
    with ExitStack() as stack:
        nodes = []
        for number in range(count):
            (directory / f"n{number}").mkdir()
            node = Node(directory / f"n{number}", f"n{number}", *options)
            stack.callback(node.stop)
            nodes.append(node)
        yield nodes


@contextmanager
def running_proxy(directory: Path, servers: Sequence[Any], options: str = "", **more: Any) -> Iterator[Proxy]:
    """A proxy before ``servers``: whatever has a ``server``, its line of a pool's servers."""
    proxy = Proxy(directory, [server.server for server in servers], options, **more)
    try:
        yield proxy
    finally:
        proxy.stop()
