"""What hot keys cost a proxy and its nodes: one key that everybody asks for, a skewed load, a key that is hot at once.

What reaches the nodes is read off their own INFO: every command counts, whoever sent it (GET, SET, PTTL, CLIENT, PING),
but for this module's INFO itself.
"""

from __future__ import annotations

import re
import socket
import statistics
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from functools import cache

from bench.load import Load, Options, Result
from bench.targets import Running, node_names
from proxy.engine.ring import Placement

WARM_UP = 0.5
"""Seconds: a hot key is found and copied within 0.1."""

THRESHOLD = 1000
"""Requests a second that make a key hot: the proxy's default, and what floor() goes by."""

SUDDEN_SECONDS = 0.4
BACKGROUND_KEYS = 10_000
QUIET = 0.02
"""Seconds without a request at the nodes that say that the proxy serves a key: 400 requests at 20,000/s."""

Sample = dict[str, float]


class Link:
    """A connection that asks one thing at a time, for what the generator cannot say."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._unread = b""

    def ask(self, *words: bytes) -> bytes:
        """The reply without its frame: a status, a number or a bulk string. Raises OSError for an error or nil."""
        self._socket.sendall(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words))
        line = self._upto(self._unread.find(b"\r\n"))
        if line[:1] == b"-" or line == b"$-1":
            raise OSError(f"{words[0].decode()} was answered {line.decode()}")
        return self._upto(int(line[1:])) if line[:1] == b"$" else line[1:]

    def _upto(self, end: int) -> bytes:
        """The unread bytes before `end` (-1: the next CR LF), which is then behind us with two bytes more."""
        whole = end >= 0
        while end < 0 or len(self._unread) < end + 2:
            data = self._socket.recv(1 << 16)
            if not data:
                raise OSError("the connection was closed")
            self._unread += data
            end = end if whole else self._unread.find(b"\r\n")
        found, self._unread = self._unread[:end], self._unread[end + 2 :]
        return found

    def close(self) -> None:
        self._socket.close()


class Nodes:
    """The nodes' own count of the commands that they ran."""

    def __init__(self, ports: Sequence[int]) -> None:
        self._links = [Link(port) for port in ports]

    def commands(self) -> list[int]:
        """Of each node, all commands so far; one INFO of ours is among those since the call before."""
        return [number(link.ask(b"INFO", b"stats"), rb"total_commands_processed:(\d+)") for link in self._links]

    def calls(self, command: bytes) -> int:
        """Of all nodes together, those of one command."""
        pattern = rb"cmdstat_%b:calls=(\d+)" % command
        return sum(number(link.ask(b"INFO", b"commandstats"), pattern) for link in self._links)

    def close(self) -> None:
        for link in self._links:
            link.close()


def number(text: bytes, pattern: bytes) -> int:
    found = re.search(pattern, text)
    return int(found[1]) if found else 0


def since(before: Sequence[int], after: Sequence[int]) -> list[int]:
    """What was asked between two commands() but for the INFO."""
    return [now - then - 1 for then, now in zip(before, after, strict=True)]


def loaded(result: Result) -> Sample:
    """What the generator says of itself, as in the samples of plain loads."""
    return {
        "rate": result.rate, "p50": result.p50, "p99": result.p99, "generator_us": result.generator_us,
        "generator_percent": result.generator_us * result.rate / 1e4,
        "errors": result.errors + result.lost + result.nils,
    }  # fmt: skip


def one_key(target: Running, clients: int, depth: int, writes: float, seconds: float) -> Sample:
    """GETs of one key, and SETs of it at `writes` a second: CPU of the front process for each, and how many of them the
    nodes saw as commands of any kind, in 10,000."""
    options = Options((("127.0.0.1", target.port),), clients=clients, depth=depth, keys=1)
    with Load(options) as load, closing(Nodes(target.node_ports)) as nodes, written(target.port, writes):
        load.run(seconds=WARM_UP)
        before, front, kernel = nodes.commands(), target.front.cpu_ns(), target.front.kernel_ns()
        result = load.run(seconds=seconds)
        front, kernel = target.front.cpu_ns() - front, target.front.kernel_ns() - kernel
        reached = sum(since(before, nodes.commands()))
    sample = {
        "front_us": front / 1000 / result.requests, "kernel_us": kernel / 1000 / result.requests, **loaded(result),
    }  # fmt: skip
    return {**sample, "reached": reached / result.requests * 10_000} if target.node_ports else sample


@contextmanager
def written(port: int, rate: float) -> Iterator[None]:
    """Somebody SETs the key of a load with one key, `rate` times a second."""
    stop = threading.Event()

    def write() -> None:
        with closing(Link(port)) as link:
            while not stop.wait(1 / rate):
                link.ask(b"SET", b"key:%012d" % 0, b"%064d" % 0)

    thread = threading.Thread(target=write, daemon=True)
    if rate:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        if rate:
            thread.join()


# ── a skewed load ─────────────────────────────────────────────────────────────────────────────────


def skewed(
    target: Running, clients: int, depth: int, ops: dict[str, float], keys: int, zipf: float, seconds: float
) -> Sample:
    """The busiest node's share of what all nodes did, 1 being the mean: its requests, its CPU, and its floor()."""
    options = Options(
        (("127.0.0.1", target.port),), clients=clients, depth=depth, ops=ops, keys=keys, zipf=zipf, tally=True,
    )  # fmt: skip
    with Load(options) as load, closing(Nodes(target.node_ports)) as nodes:
        load.run(seconds=WARM_UP)
        before, front = nodes.commands(), target.front.cpu_ns()
        cpu = [node.cpu_ns() for node in target.nodes]
        result = load.run(seconds=seconds)
        cpu = [node.cpu_ns() - was for node, was in zip(target.nodes, cpu, strict=True)]
        front, reached = target.front.cpu_ns() - front, since(before, nodes.commands())
        counts = [load.tally(name) for name in ops]
    homes = homes_of(len(target.nodes), keys)
    least, hot = floor(homes, load.tally("get"), load.tally("set"), THRESHOLD * result.seconds)
    plain = [0] * len(target.nodes)
    for count in counts:
        for home, times in zip(homes, count, strict=True):
            plain[home] += times
    return {
        "busiest": busiest(reached), "busiest_cpu": busiest(cpu), "plain": busiest(plain), "floor": busiest(least),
        "over_floor": busiest(reached) / busiest(least), "hot_keys": hot,
        "reached_percent": sum(reached) / result.requests * 100, "least_percent": sum(least) / result.requests * 100,
        "front_us": front / 1000 / result.requests, "nodes_us": sum(cpu) / 1000 / result.requests, **loaded(result),
    }  # fmt: skip


def busiest(amounts: Sequence[float]) -> float:
    return max(amounts) / statistics.fmean(amounts)


def floor(homes: bytes, reads: Sequence[int], writes: Sequence[int], hot: float) -> tuple[list[int], int]:
    """By node, the requests that are left for it if every read of a hot key were free: all writes, and the reads of
    keys that were asked for less than `hot` times, reads and writes together. And how many keys were hot."""
    left = [0] * (max(homes) + 1)
    count = 0
    for home, read, write in zip(homes, reads, writes, strict=True):
        left[home] += write
        if read + write < hot:
            left[home] += read
        else:
            count += 1
    return left, count


@cache
def homes_of(nodes: int, keys: int) -> bytes:
    """The node of key 0, 1, 2 …: the placement of a pool with its defaults over nodes of these names."""
    placement = Placement([name.encode() for name in node_names(nodes)], [1] * nodes)
    return bytes(placement.node(b"key:%012d" % key) for key in range(keys))


# ── a key that is hot at once ─────────────────────────────────────────────────────────────────────


def sudden(target: Running, clients: int, rate: float, value_size: int, seconds: float) -> Sample:
    """ms from the first request for a key, at `rate` from then on, until the nodes are asked for it no more.

    Beside it other keys are asked for at the same rate: by HGET, so that the nodes count them apart.
    """
    address = (("127.0.0.1", target.port),)
    around = Options(address, clients=clients, depth=16, ops={"hget": 1.0}, keys=BACKGROUND_KEYS)
    found: list[float] = []
    errors = 0
    with ExitStack() as stack:
        background = stack.enter_context(Load(around))
        nodes = stack.enter_context(closing(Nodes(target.node_ports)))
        link = stack.enter_context(closing(Link(target.port)))
        pool = stack.enter_context(ThreadPoolExecutor(2))
        while len(found) < max(2.0, seconds / SUDDEN_SECONDS):
            name = f"sudden:{time.monotonic_ns()}:"  # never asked for before
            link.ask(b"SET", f"{name}0".encode(), b"x" * value_size)
            with Load(Options(address, clients=clients, depth=16, keys=1, key_format=f"{name}%01d")) as load:
                beside = pool.submit(background.run, seconds=SUDDEN_SECONDS + 0.2, rate=rate)
                time.sleep(0.1)
                asked = nodes.calls(b"get")
                began = time.monotonic()
                running = pool.submit(load.run, seconds=SUDDEN_SECONDS, rate=rate)
                found.append((last_asked(nodes, asked, began + SUDDEN_SECONDS) - began) * 1000)
                for result in (running.result(), beside.result()):
                    errors += result.errors + result.lost + result.nils
    return {"found_ms": statistics.median(found), "highest_ms": max(found), "errors": errors}


def last_asked(nodes: Nodes, asked: int, end: float) -> float:
    """When the nodes' GETs, `asked` so far, were last seen to grow before QUIET seconds without any; or `end`."""
    last = None
    while (now := time.monotonic()) < end and (last is None or now - last < QUIET):
        count = nodes.calls(b"get")
        if count != asked:
            asked, last = count, time.monotonic()
        time.sleep(0.0005)
    return end if last is None or now >= end else last
