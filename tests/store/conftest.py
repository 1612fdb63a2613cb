"""Fixtures: a storage node and a redis-server of the version that it is compared with, as real processes."""

import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.store.raw import Connection

DEADLINE = 15.0  # seconds for a server to become ready or to stop
SANITIZED = "asan" in os.environ.get("LD_PRELOAD", "")  # under AddressSanitizer


@dataclass
class Server:
    """A running server."""

    process: subprocess.Popen[str]
    address: tuple[str, int] | str

    def connect(self) -> Connection:
        return Connection(self.address)

    @property
    def port(self) -> int:
        assert not isinstance(self.address, str)
        return self.address[1]

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(DEADLINE)
        finally:
            self.process.kill()
            if self.process.stdout is not None:
                self.process.stdout.close()


def start_node(*options: str, files: int | None = None, before: Callable[[], None] | None = None) -> Server:
    """Start a storage node on a free port; returns once it has said that it is ready. `files`: its RLIMIT_NOFILE;
    `before`: what else to do in the new process first."""

    def limit() -> None:
        if files is not None:
            resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
        if before is not None:
            before()

    process = subprocess.Popen(
        [sys.executable, "-m", "storenode", "--listen", "127.0.0.1:0", *options],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
        # Only where it is needed: a fork of this process, which has threads, may hang under AddressSanitizer.
        preexec_fn=limit if files is not None or before is not None else None,
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    ready = re.fullmatch(r"storenode: ready on 127\.0\.0\.1:(\d+)\n", line)
    if ready is None:
        process.kill()
        pytest.fail(f"the node did not start: {line!r}, exit code {process.wait()}")
    return Server(process, ("127.0.0.1", int(ready[1])))


@pytest.fixture(scope="module")
def node() -> Iterator[Server]:
    server = start_node("--maxmemory", "0")
    yield server
    assert server.stop() == 0


@pytest.fixture
def new_node() -> Iterator[Callable[..., Server]]:
    """A function that starts a node with options of its own; all are stopped after the test."""
    servers: list[Server] = []

    def start(*options: str) -> Server:
        servers.append(start_node(*options))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


@pytest.fixture(scope="session")
def redis_version() -> str:
    if shutil.which("redis-server") is None:
        pytest.skip("redis-server is not installed")
    text = subprocess.run(["redis-server", "--version"], capture_output=True, text=True, check=True).stdout
    found = re.search(r"v=(\S+)", text)
    assert found is not None
    if not found[1].startswith("7.0."):
        pytest.skip(f"redis-server is {found[1]}, not 7.0")
    return found[1]


@pytest.fixture(scope="module")
def reference(redis_version: str) -> Iterator[Server]:
    """A redis-server on a socket in a directory of its own."""
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, "redis.sock")
        process = subprocess.Popen(
            [
                "redis-server",
                "--port",
                "0",
                "--unixsocket",
                path,
                "--save",
                "",
                "--dir",
                directory,
                "--enable-debug-command",
                "yes",
            ],
            stdout=subprocess.DEVNULL,
            text=True,
        )
        server = Server(process, path)
        give_up = time.monotonic() + DEADLINE
        while True:
            try:
                server.connect().close()
                break
            except OSError:
                assert process.poll() is None and time.monotonic() < give_up, "redis-server did not start"
                time.sleep(0.01)
        yield server
        server.stop()
