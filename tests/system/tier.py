"""A whole tier of real processes for system tests: redis-servers, a proxy before them, and a plain client.

Nothing here sleeps to wait for a port: redis-server and the proxy both say on their output when they accept clients,
and that line is waited for.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import hiredis

from proxy.wire import inspect
from tests.redis_server import needs_redis_server

__all__ = [
    "PATIENCE", "Link", "Process", "Proxy", "RedisNode", "free_port", "needs_redis_server", "redis_nodes",
    "running_proxy", "until",
]  # fmt: skip

ROOT = Path(__file__).parents[2]
PATIENCE = 20.0  # seconds that anything may take on a busy machine before a test fails


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def until(condition: Callable[[], Any], what: str, within: float = PATIENCE, every: float = 0.005) -> Any:
    """Look at ``condition`` again and again until it holds; returns what it returned."""
    deadline = time.monotonic() + within
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not within {within} s: {what}"
        time.sleep(every)
    return value


class Link:
    """One blocking connection with a reader; error replies come back as `hiredis.ReplyError` values."""

    def __init__(self, address: int | str, protocol: int = 2, timeout: float = PATIENCE) -> None:
        self.socket = socket.socket(socket.AF_UNIX if isinstance(address, str) else socket.AF_INET)
        self.socket.settimeout(timeout)
        self.socket.connect(address if isinstance(address, str) else ("127.0.0.1", address))
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


class Process:
    """A child process whose output is collected line by line."""

    def __init__(self, command: Sequence[str], ready: str, environment: dict[str, str] | None = None) -> None:
        self.lines: list[str] = []
        self._ready = threading.Event()
        self._pattern = re.compile(ready)
        self.match: re.Match[str] | None = None
        self.popen = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT,
            env=environment,
        )  # fmt: skip
        self._thread = threading.Thread(target=self._collect, daemon=True)
        self._thread.start()
        if not self._ready.wait(PATIENCE) or self.match is None:
            self.stop()
            raise RuntimeError(f"{command[0]} did not start:\n{self.log}")

    def _collect(self) -> None:
        assert self.popen.stdout is not None
        with self.popen.stdout as output:
            for line in output:
                self.lines.append(line)
                if self.match is None and (found := self._pattern.search(line)):
                    self.match = found
                    self._ready.set()
        self._ready.set()

    @property
    def pid(self) -> int:
        return self.popen.pid

    @property
    def log(self) -> str:
        return "".join(self.lines)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """End the process and wait for it; its exit status."""
        if self.popen.poll() is None:
            self.popen.send_signal(signal.SIGCONT)
            self.popen.send_signal(number)
            try:
                self.popen.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self.popen.kill()
                self.popen.wait()
        self._thread.join(PATIENCE)
        return self.popen.returncode


class RedisNode:
    """A redis-server that can be killed, stopped, continued and started again on its port."""

    def __init__(self, directory: Path, name: str, *options: str) -> None:
        self.name = name
        self.port = free_port()
        self._command = [
            "redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--dir", str(directory),
            "--maxclients", "4000", *options,
        ]  # fmt: skip
        self.start()

    @property
    def server(self) -> str:
        """Its line in a pool's servers."""
        return f"127.0.0.1:{self.port}:1 {self.name}"

    def start(self) -> None:
        self.process = Process(self._command, "(?i)ready to accept connections")

    def stop(self) -> None:
        self.process.stop()

    def kill(self) -> None:
        self.process.stop(signal.SIGKILL)

    def freeze(self) -> None:
        """SIGSTOP: the kernel goes on accepting and acknowledging, nobody answers."""
        self.process.popen.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.process.popen.send_signal(signal.SIGCONT)

    def link(self, protocol: int = 2) -> Link:
        """A connection to the node itself, not through the proxy."""
        return Link(self.port, protocol)

    def __call__(self, *words: str | bytes | int) -> Any:
        """Ask the node itself."""
        with self.link() as link:
            return link(*words)


class Proxy(Process):
    """A running `python -m proxy run` with one pool."""

    def __init__(self, directory: Path, servers: Sequence[str], options: str = "", engines: int = 1,
                 listen: str = "127.0.0.1:0", verbose: int = 5) -> None:  # fmt: skip
        file = directory / f"pool-{free_port()}.yml"
        lines = [f"engines: {engines}", "pools:", "  test:", f"    listen: {listen}", "    servers:"]
        lines += [f"      - {server}" for server in servers]
        lines += ["    " + line for line in options.splitlines()]
        file.write_text("\n".join(lines) + "\n")
        super().__init__(
            [sys.executable, "-m", "proxy", "run", "-v", str(verbose), "-c", str(file)],
            r"pool\.listening pool=test address=(\S+)",
            os.environ | {"MALLOC_ARENA_MAX": "2"},
        )
        assert self.match is not None
        address = self.match[1]
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


@contextmanager
def redis_nodes(directory: Path, count: int, *options: str) -> Iterator[list[RedisNode]]:
    """``count`` redis-servers, named n0, n1, …"""
    with ExitStack() as stack:
        nodes = []
        for number in range(count):
            nodes.append(RedisNode(directory, f"n{number}", *options))
            stack.callback(nodes[-1].stop)
        yield nodes


@contextmanager
def running_proxy(directory: Path, servers: Sequence[Any], options: str = "", **more: Any) -> Iterator[Proxy]:
    """A proxy before ``servers``: nodes, or lines as a configuration has them. ``options``: YAML of the pool.

    It has to end cleanly when it is told to stop.
    """
    lines = [server if isinstance(server, str) else server.server for server in servers]
    proxy = Proxy(directory, lines, options, **more)
    try:
        yield proxy
    except BaseException:
        proxy.stop(signal.SIGKILL)
        raise
    else:
        assert proxy.popen.poll() is None, f"the proxy ended by itself with {proxy.popen.returncode}:\n{proxy.log}"
    finally:
        proxy.stop()
