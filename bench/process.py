"""Real processes: start one and wait until it answers, read its CPU and memory from /proc, stop it."""

from __future__ import annotations

import contextlib
import os
import resource
import socket
import subprocess
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

START_TIMEOUT = 20.0
"""Seconds a process may take until it answers a PING."""


class StartFailedError(Exception):
    """The process ended, or did not answer in time; the text says which and ends with its last words."""


def free_ports(count: int) -> list[int]:
    """Ports on 127.0.0.1 that were free a moment ago, all different."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def raise_file_limit(wanted: int = 65536) -> int:
    """Raise RLIMIT_NOFILE as far as allowed, up to `wanted`; children inherit it. Returns the limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for limit in ((wanted, max(hard, wanted)), (min(wanted, hard), hard)):
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, limit)
            return limit[0]
    return soft


class Process:
    """A started program: `pid`, what it used so far, and how to end it."""

    def __init__(self, argv: list[str], log: Path):
        self.argv, self.log = argv, log
        with log.open("wb") as out:
            self.popen = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT)
        self.pid = self.popen.pid

    def wait_ready(self, port: int) -> None:
        """Return once a PING on the port gets an answer. Raises StartFailedError."""
        deadline = time.monotonic() + START_TIMEOUT
        while time.monotonic() < deadline:
            if self.popen.poll() is not None:
                raise StartFailedError(f"{self.argv[0]} ended with status {self.popen.returncode}: {self.last_words()}")
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1) as link:
                link.sendall(b"*1\r\n$4\r\nPING\r\n")
                if link.recv(64).startswith(b"+PONG"):
                    return
            time.sleep(0.02)
        raise StartFailedError(f"{self.argv[0]} did not answer in {START_TIMEOUT:.0f} s: {self.last_words()}")

    def last_words(self) -> str:
        lines = self.log.read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else "(it said nothing)"

    def cpu_ns(self) -> int:
        """ns on a CPU, user and system, of all its threads that are alive (schedstat: exact, not sampled by ticks)."""
        total = 0
        for task in Path(f"/proc/{self.pid}/task").iterdir():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                total += int((task / "schedstat").read_text().split()[0])
        return total

    def kernel_ns(self) -> int:
        """ns of those in the kernel, to 10 ms: what its system calls cost, whatever the program does between them."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return int(fields[12]) * 1_000_000_000 // os.sysconf("SC_CLK_TCK")

    def memory_kib(self) -> tuple[int, int]:
        """VmRSS and VmHWM (its peak) in KiB."""
        rows = dict(line.split(":", 1) for line in Path(f"/proc/{self.pid}/status").read_text().splitlines())
        return int(rows["VmRSS"].split()[0]), int(rows["VmHWM"].split()[0])

    def stop(self) -> None:
        """End it at once: nothing that a target holds is wanted, and a hundred polite farewells take ten seconds."""
        self.popen.kill()
        self.popen.wait()


def cpu_ns(processes: Iterable[Process]) -> int:
    return sum(process.cpu_ns() for process in processes)


@contextlib.contextmanager
def spawned(argv: list[str], port: int, log: Path) -> Iterator[Process]:
    """A process that answers on the port, ended with the block."""
    process = Process(argv, log)
    try:
        process.wait_ready(port)
        yield process
    finally:
        process.stop()


def hardware() -> dict[str, str | int]:
    """What the figures were taken on."""
    model = "unknown"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.split(":", 1)[1].strip()
            break
    return {"cpu": model, "cores": os.cpu_count() or 0, "kernel": os.uname().release}
