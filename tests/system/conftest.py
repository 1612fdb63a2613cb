"""Fixtures that start real processes: redis-servers as nodes, and the proxy in front of them.

Both are functions: a test says how many nodes it wants and what the configuration is. Everything started is stopped
with the test. Nothing waits for a port by sleeping: redis-server and the proxy say on their output when they serve.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import pytest

ROOT = Path(__file__).parent.parent.parent
WITHIN = 20.0  # seconds that a process may take to start or to stop; both take well below one


class Log:
    """The lines that a process writes to a pipe, gathered by a thread so that the pipe never fills."""

    def __init__(self, pipe: IO[str]) -> None:
        self.lines: list[str] = []
        self._ended = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._read, args=(pipe,), daemon=True)
        self._thread.start()

    def _read(self, pipe: IO[str]) -> None:
        with pipe:
            for line in pipe:
                with self._changed:
                    self.lines.append(line.rstrip("\n"))
                    self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def wait_for(self, pattern: str, after: int = 0, within: float = WITHIN) -> re.Match[str]:
        """The first match of `pattern` in a line, from line `after` on; fails when the process ends without it."""
        deadline = time.monotonic() + within
        with self._changed:
            while True:
                for line in self.lines[after:]:
                    if match := re.search(pattern, line):
                        return match
                if self._ended or not self._changed.wait(deadline - time.monotonic()):
                    break
            raise AssertionError(f"no line matches {pattern!r}:\n" + "\n".join(self.lines))

    def join(self) -> None:
        """Wait until the process has closed its side."""
        self._thread.join(WITHIN)

    @property
    def text(self) -> str:
        return "\n".join(self.lines)


@dataclass
class Started:
    """A running process and its log. Unpacks to (process, port)."""

    process: subprocess.Popen[str]
    log: Log
    port: int = 0  #: of the first pool; 0 where it is a unix socket
    addresses: dict[str, str] | None = None  #: by pool: host:port or a path

    def __iter__(self) -> Iterator[subprocess.Popen[str] | int]:
        return iter((self.process, self.port))

    def wait(self, within: float = WITHIN) -> int:
        """Its exit status."""
        status = self.process.wait(within)
        self.log.join()
        return status

    def stop(self) -> int:
        """SIGTERM, then SIGKILL; the exit status."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            return self.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.wait()


def start(stack: ExitStack, *command: str, pipe: str = "stderr", **environment: str) -> Started:
    """Start a process; its standard error (or output) becomes the log."""
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE if pipe == "stdout" else subprocess.DEVNULL,
        stderr=subprocess.PIPE if pipe == "stderr" else subprocess.STDOUT,
        text=True,
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if not name.startswith("QUENCH_")} | environment,
    )
    output = process.stdout if pipe == "stdout" else process.stderr
    assert output is not None
    started = Started(process, Log(output))
    stack.callback(started.stop)
    return started


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass
class RedisNode(Started):
    """A running redis-server, on a port and on a unix socket."""

    path: str = ""

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"


def start_redis(stack: ExitStack, directory: Path, *options: str, port: int = 0, host: str = "127.0.0.1",
                prefix: Sequence[str] = ()) -> RedisNode:  # fmt: skip
    """A redis-server that serves; on a free port unless one is given."""
    path = str(directory / "redis.sock")
    for _ in range(5):
        chosen = port or free_port()
        started = start(
            stack, *prefix, "redis-server", "--bind", host, "--protected-mode", "no", "--port", str(chosen),
            "--unixsocket", path, "--save", "", "--dir", str(directory), *options, pipe="stdout",
        )  # fmt: skip
        found = started.log.wait_for("(?i)(ready to accept connections)|Address already in use|fatal config")
        if found[1]:
            return RedisNode(started.process, started.log, chosen, None, path)
        started.stop()
        if port:
            break
    raise RuntimeError("redis-server did not start:\n" + started.log.text)


@pytest.fixture
def redis_nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., list[RedisNode]]]:
    """`redis_nodes(n, *options)`: n empty redis-servers that serve. Skips where redis-server is missing."""
    if shutil.which("redis-server") is None:
        pytest.skip("redis-server is not installed")
    with ExitStack() as stack:

        def nodes(count: int, *options: str) -> list[RedisNode]:
            return [start_redis(stack, tmp_path_factory.mktemp("node"), *options) for _ in range(count)]

        yield nodes


def pool_config(nodes: list[RedisNode], *options: str, name: str = "main", engines: int = 1) -> str:
    """A configuration of one pool over `nodes`, listening on a free port; `options` are lines of the pool."""
    servers = ", ".join(node.address for node in nodes)
    lines = [f"engines: {engines}", "pools:", f"  {name}:", "    listen: 127.0.0.1:0", f"    servers: [{servers}]"]
    return "\n".join([*lines, *(f"    {option}" for option in options)]) + "\n"


@pytest.fixture
def proxy_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Started]]:
    """`process, port = proxy_process(config_text)`: a proxy that serves, `python -m proxy run`.

    Listen on port 0: the port is read from the log. A traceback in the log of any of them fails the test.
    """
    started: list[Started] = []
    with ExitStack() as stack:

        def run(config: str, *arguments: str) -> Started:
            file = tmp_path_factory.mktemp("proxy") / "quench.yml"
            file.write_text(config)
            proxy = start(stack, sys.executable, "-m", "proxy", "run", "-c", str(file), *arguments)
            started.append(proxy)
            proxy.log.wait_for(r" ready ")
            found = re.findall(r"pool\.listening pool=(\S+) address=(\S+)", proxy.log.text)
            proxy.addresses = dict(found)
            last = found[0][1].rpartition(":")[2]
            proxy.port = int(last) if last.isdigit() else 0
            return proxy

        yield run
    for proxy in started:
        assert "Traceback" not in proxy.log.text, proxy.log.text
