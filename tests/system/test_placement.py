"""Placement against a real nutcracker 0.5.0 in front of real redis-servers: no key may have two homes.

Every pool is written through nutcracker and then read from the redis-servers themselves; each key must be found where
Placement says.  All pools stand before the same four servers, emptied in between.
"""

import os
import random
import shutil
import signal
import socket
import subprocess
import time
from contextlib import ExitStack, closing
from typing import NamedTuple

import hiredis
import pytest

from proxy.engine.hashes import HASHES
from proxy.engine.ring import Placement

SERVERS = 4
READY_WITHIN = 10.0  # seconds; a fresh redis-server takes about 0.05

for binary in ("nutcracker", "redis-server"):
    if shutil.which(binary) is None:
        pytest.skip(f"{binary} is not installed", allow_module_level=True)


def nutcracker_version():
    answer = subprocess.run(["nutcracker", "-V"], capture_output=True, text=True, check=False)
    return answer.stdout + answer.stderr


if "nutcracker-0.5.0" not in nutcracker_version():
    pytest.skip("nutcracker is not version 0.5.0, whose placement is the reference", allow_module_level=True)


class Pool(NamedTuple):
    name: str
    hash: str
    distribution: str = "ketama"
    weights: tuple[int, ...] = (1, 1, 1, 1)
    names: tuple[str, ...] | None = None
    hash_tag: str | None = None
    unix: bool = False
    host: str = "127.0.0.1"


NAMES = ("alpha", "beta", "gamma", "delta")
POOLS = [
    *(Pool(f"equal-{name}", name) for name in HASHES),
    *(Pool(f"modula-{name}", name, "modula", (3, 1, 1, 2)) for name in ("fnv1a_64", "murmur", "crc16")),
    *(Pool(f"weighted-{name}", name, weights=(1, 2, 3, 10), names=NAMES) for name in ("fnv1a_64", "md5", "hsieh")),
    *(Pool(f"tagged-{name}", name, names=NAMES, hash_tag="{}") for name in ("murmur", "fnv1a_64", "one_at_a_time")),
    Pool("tagged-alike", "jenkins", hash_tag="||"),
    Pool("tagged-modula", "crc32a", "modula", (1, 5, 1, 1), hash_tag="{}"),
    Pool("zero-points", "murmur", weights=(100000, 1, 50000, 20000)),
    Pool("three", "fnv1_64", weights=(10, 20, 60)),
    Pool("single", "murmur", weights=(1,)),
    Pool("host-as-written", "fnv1_32", host="127.1"),
    Pool("unix-sockets", "fnv1a_32", weights=(2, 1, 1, 1), unix=True),
    Pool("modula-uneven-names", "murmur", "modula", (1, 4, 2, 1), names=("zz", "bbb", "y", "aa")),
    *(
        Pool(f"names-of-{size}", "murmur", names=tuple(letter * size for letter in "abcd"))
        for size in (260, 269, 270, 300)
    ),
]


def keys():
    """A few hundred: consecutive ids, random bytes of every short length, and all that can be odd about a tag."""
    chance = random.Random(5)
    pieces = [b"{", b"}", b"|", b"a", b"user", b"\x00", b"\xff", b"\r\n", b"{tag}", b"{}"]
    made = {b"user:%d" % number for number in range(120)}
    made |= {chance.randbytes(length) for length in range(1, 60) for _ in range(3)}
    made |= {b"".join(chance.choices(pieces, k=chance.randrange(1, 7))) for _ in range(150)}
    made |= set(b"{} {}x x{} { } }{ {a} {{a}} {}{a} {a}{b} || |a| |".split())
    made.add(b"x" * 300)
    return sorted(made)


def connect(address):
    family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
    peer = socket.socket(family, socket.SOCK_STREAM)
    peer.settimeout(READY_WITHIN)
    try:
        peer.connect(address)
    except OSError:
        peer.close()
        raise
    return peer


def call(peer, *commands):
    """Send commands in one write, return their replies."""
    peer.sendall(
        b"".join(
            b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words)
            for words in commands
        )
    )
    reader, replies = hiredis.Reader(), []
    while len(replies) < len(commands):
        data = peer.recv(65536)
        assert data, f"the connection was closed after {len(replies)} of {len(commands)} replies"
        reader.feed(data)
        while (reply := reader.gets()) is not False:
            replies.append(reply)
    return replies


def wait_until_ready(process, address, log):
    deadline = time.monotonic() + READY_WITHIN
    while True:
        try:
            with closing(connect(address)) as peer:
                if call(peer, (b"PING",)) == [b"PONG"]:
                    return
        except OSError as error:
            assert process.poll() is None, f"exited at once: {log.read_text()}"
            assert time.monotonic() < deadline, f"{address} not ready within {READY_WITHIN} s: {error}"
            time.sleep(0.01)  # between two attempts, not instead of them


def free_ports(count):
    with ExitStack() as stack:
        held = [stack.enter_context(socket.socket()) for _ in range(count)]
        for listener in held:
            listener.bind(("127.0.0.1", 0))
        return [listener.getsockname()[1] for listener in held]


def stop(process):
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def start(stack, log, *command):
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)
    stack.callback(stop, process)
    return process


class Tier(NamedTuple):
    directory: str
    ports: list[int]  # of the redis-servers

    def path(self, name):
        return f"{self.directory}/{name}.sock"

    def server(self, pool, number):
        """(line of the configuration without its weight, label that is hashed)"""
        address = self.path(number) if pool.unix else f"{pool.host}:{self.ports[number]}"
        if pool.names is not None:
            return address, pool.names[number]
        return address, address + ":" if pool.unix else address

    def configuration(self):
        lines = []
        for pool in POOLS:
            lines += [
                f"{pool.name}:",
                f"  listen: {self.path(pool.name)} 0600",
                f"  hash: {pool.hash}",
                f"  distribution: {pool.distribution}",
                "  redis: true",
                "  servers:",
            ]
            for number, weight in enumerate(pool.weights):
                address, label = self.server(pool, number)
                lines.append(f"    - {address}:{weight}" + (f" {label}" if pool.names is not None else ""))
            if pool.hash_tag is not None:
                lines.append(f'  hash_tag: "{pool.hash_tag}"')
        return "\n".join(lines) + "\n"


@pytest.fixture(scope="module")
def tier(tmp_path_factory):
    # nutcracker listens on unix sockets, so only the redis-servers need free ports.
    directory = tmp_path_factory.mktemp("placement")
    *ports, stats = free_ports(SERVERS + 1)
    tier = Tier(str(directory), ports)
    with ExitStack() as stack:
        for number, port in enumerate(ports):
            log = directory / f"redis-{number}.log"
            options = ["--bind", "127.0.0.1", "--port", str(port), "--unixsocket", tier.path(number)]
            process = start(stack, log, "redis-server", *options, "--save", "", "--dir", os.fspath(directory))
            wait_until_ready(process, ("127.0.0.1", port), log)
        settings, log = directory / "nutcracker.yml", directory / "nutcracker.log"
        settings.write_text(tier.configuration())
        process = start(stack, log, "nutcracker", "-c", os.fspath(settings), "-a", "127.0.0.1", "-s", str(stats))
        for pool in POOLS:
            wait_until_ready(process, tier.path(pool.name), log)
        yield tier


@pytest.mark.parametrize("pool", POOLS, ids=lambda pool: pool.name)
def test_every_key_is_where_nutcracker_puts_it(tier, pool):
    placement = Placement(
        [tier.server(pool, number)[1].encode() for number in range(len(pool.weights))],
        pool.weights,
        pool.distribution,
        pool.hash,
        pool.hash_tag.encode() if pool.hash_tag else None,
    )
    with ExitStack() as stack:
        servers = [stack.enter_context(closing(connect(("127.0.0.1", port)))) for port in tier.ports]
        for server in servers:
            assert call(server, (b"FLUSHALL",)) == [b"OK"]
        proxy = stack.enter_context(closing(connect(tier.path(pool.name))))
        assert set(call(proxy, *((b"SET", key, b"1") for key in keys()))) == {b"OK"}
        homes = {key: number for number, server in enumerate(servers) for key in call(server, (b"KEYS", b"*"))[0]}
    assert sorted(homes) == keys()
    assert {key: placement.node(key) for key in homes} == homes
