"""Two servers side by side: a bare redis-server, and a proxy before as many nodes as an arrangement has."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from tests.compat.cases import Case, Step
from tests.compat.replies import alike, elements_alike, parse
from tests.system.tier import Link, Node, running_nodes, running_proxy

PATIENCE = 5.0  # seconds without a reply, after which a server is called silent
UNBLOCKED = 1.0  # seconds that a client may take to be blocked; one that was refused never is

#: What cases change beyond keys and set right at their end, which a case that differs does not reach.
TIDY = (
    ("CLIENT", "UNPAUSE"), ("ACL", "DELUSER", "u"), ("CONFIG", "SET", "notify-keyspace-events", ""),
    ("CONFIG", "SET", "slowlog-log-slower-than", "10000"), ("ACL", "LOG", "RESET"),
)  # fmt: skip


class Arrangement(NamedTuple):
    """How many nodes the proxy has, and what `{}` of the cases becomes."""

    name: str
    nodes: int
    tag: bytes

    @property
    def spread(self) -> bool:
        """Whether the keys of a case live on several nodes."""
        return self.nodes > 1 and not self.tag


ARRANGEMENTS = (
    Arrangement("one node", 1, b""),
    Arrangement("three nodes, one tag", 3, b"{t}"),
    Arrangement("three nodes", 3, b""),
)
OPTIONS = 'hash_tag: "{}"\ntimeout: 10s'


class Difference(NamedTuple):
    """The first reply of a case that is not the same."""

    command: str
    request: str
    ours: bytes
    theirs: bytes

    def __str__(self) -> str:
        return f"{self.request}\n    proxy: {self.ours[:300]!r}\n    redis: {self.theirs[:300]!r}"


class Peer:
    """One of the two servers: the connections that a case has to it, and what it kept."""

    def __init__(self, port: int, tag: bytes, protocol: int) -> None:
        self._port, self._tag, self._protocol = port, tag, protocol
        self._links: dict[int, Link] = {}
        self._kept: dict[bytes, bytes] = {}

    def link(self, number: int) -> Link:
        if number not in self._links:
            self._links[number] = Link(self._port, timeout=PATIENCE)
            if self._protocol == 3:
                self._links[number].send(("HELLO", "3"))
                self._links[number].raw(1)
        return self._links[number]

    def send(self, step: Step) -> None:
        self.link(step.connection).send(step.filled(self._tag, self._kept))

    def reply(self, step: Step) -> bytes:
        """The bytes of the next reply; none when the connection was closed, or nothing comes."""
        try:
            (data,) = self.link(step.connection).raw(1)
        except ConnectionError:
            return b""
        except TimeoutError:
            return b"-SILENT\r\n"
        if step.keep:
            self._kept[step.keep] = parse(data)[1]
        return data

    def wait(self) -> None:
        """Until a client is blocked or held up."""
        with Link(self._port) as other:
            deadline = time.monotonic() + UNBLOCKED
            while b"blocked_clients:0" in other("INFO", "clients") and time.monotonic() < deadline:
                time.sleep(0.002)

    def used(self) -> list[int]:
        return sorted(self._links)

    def close(self) -> None:
        for link in self._links.values():
            link.close()


@dataclass
class Pair:
    """The proxy and the reference, and the nodes that have to be emptied between cases."""

    arrangement: Arrangement
    proxy: int
    reference: Node
    nodes: Sequence[Node]
    _direct: list[Link] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._direct = [node.link() for node in (*self.nodes, self.reference)]

    def empty(self) -> None:
        for link in self._direct:
            link.send(("FLUSHALL",))
        for link in self._direct:
            assert link.reply() == b"OK"

    def compare(self, case: Case, protocol: int) -> Difference | None:
        """Run a case step by step on both; the first difference, if there is one."""
        self.empty()
        if found := self._compare(case, protocol):
            for port in (self.proxy, self.reference.port, *(node.port for node in self.nodes)):
                with Link(port) as link:
                    link.send(*TIDY)
                    link.replies(len(TIDY))
        return found

    def _compare(self, case: Case, protocol: int) -> Difference | None:
        peers = [Peer(port, self.arrangement.tag, protocol) for port in (self.proxy, self.reference.port)]
        last: dict[int, Step] = {}  # the request whose reply comes next, by connection
        queueing = False
        try:
            for step in case:
                if step.words:
                    last[step.connection] = step
                    queueing = step.words[0] == b"MULTI" or (queueing and step.words[0] not in (b"EXEC", b"DISCARD"))
                    for peer in peers:
                        peer.send(step)
                elif step.wait:
                    for peer in peers:
                        peer.wait()
                    continue
                if step.awaited and (found := self._differ(peers, step, last[step.connection])):
                    crossing = queueing and found.ours.startswith(b"-CROSSSLOT")
                    return found._replace(command="multi") if crossing else found
            for number in peers[0].used():  # neither may have more to say
                end = Step((b"ECHO", b"the end"), connection=number)
                for peer in peers:
                    with suppress(OSError):
                        peer.send(end)
                if found := self._differ(peers, end, last[number]):
                    return found
        finally:
            for peer in peers:
                peer.close()
        return None

    def _differ(self, peers: Sequence[Peer], step: Step, request: Step) -> Difference | None:
        ours, theirs = (peer.reply(step) for peer in peers)
        if alike(ours, theirs, step.match) or elements_alike(ours, theirs, step.elements):
            return None
        return Difference(request.command, described(request), ours, theirs)

    def compare_at_once(self, case: Case, protocol: int) -> list[Difference]:
        """Send all requests of a case in one write to both; every reply that is not the same."""
        tag = self.arrangement.tag
        replies = []
        for port in (self.proxy, self.reference.port):
            with Link(port) as link:
                if protocol == 3:
                    link.send(("HELLO", "3"))
                    link.raw(1)
                link.send(*(step.filled(tag, {}) for step in case))
                replies.append(link.raw(len(case)))
        return [
            Difference(step.command, described(step), ours, theirs)
            for step, ours, theirs in zip(case, *replies, strict=True) if not alike(ours, theirs, step.match)
        ]  # fmt: skip

    def close(self) -> None:
        for link in self._direct:
            link.close()


def described(step: Step) -> str:
    """A request as one would type it."""
    return (f"{step.connection}>" if step.connection > 1 else "") + " ".join(
        word.decode() if word and word.isascii() and b" " not in word and b"\n" not in word else repr(word)[1:]
        for word in step.words
    )


@contextmanager
def running_pair(directory: Path, arrangement: Arrangement) -> Iterator[Pair]:
    """The processes of an arrangement, and the reference."""
    with ExitStack() as stack:
        nodes = stack.enter_context(running_nodes(directory, arrangement.nodes + 1))
        proxy = stack.enter_context(running_proxy(directory, nodes[:-1], OPTIONS))
        assert isinstance(proxy.address, int)
        pair = Pair(arrangement, proxy.address, nodes[-1], nodes[:-1])
        stack.callback(pair.close)
        yield pair
