"""A real redis-server to compare with: its own directory, a Unix socket, no port, gone with its context."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import hiredis
import pytest

needs_redis_server = pytest.mark.skipif(shutil.which("redis-server") is None, reason="redis-server is not installed")


class Connection:
    """One blocking connection; error replies come back as `hiredis.ReplyError` values."""

    def __init__(self, address: str, protocol: int = 2) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(10)
        self._socket.connect(address)
        self._reader = hiredis.Reader()
        if protocol == 3:
            self("HELLO", "3")

    def __call__(self, *args: str | bytes | int) -> Any:
        """Send one request, return its reply."""
        self._socket.sendall(hiredis.pack_command(args))
        while (reply := self._reader.gets()) is False:
            data = self._socket.recv(1 << 16)
            if not data:
                raise ConnectionError("redis-server closed the connection")
            self._reader.feed(data)
        return reply

    def close(self) -> None:
        self._socket.close()


@contextmanager
def redis_server(directory: Path, *options: str) -> Iterator[str]:
    """Run redis-server in ``directory``; gives the path of its socket once it accepts connections."""
    address = str(directory / "redis.sock")
    command = ["redis-server", "--port", "0", "--unixsocket", address, "--save", "", "--dir", str(directory), *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            log = []
            for line in process.stdout:
                log.append(line)
                if "ready to accept connections" in line.lower():
                    break
            else:
                raise RuntimeError("redis-server did not start:\n" + "".join(log))
            yield address
        finally:
            process.terminate()
