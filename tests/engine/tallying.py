"""A pool that merges increments, its node, and clients, for tests: what they get is what each would get alone.

The node executes in a CounterStore what comes on one connection; a second store executes every request when it is
sent. All clients share that connection, and increments keep their order, so every reply has to be the second store's,
to the byte.
"""

from __future__ import annotations

from typing import Any

from tests.engine.harness import build, conn
from tests.helpers import request
from tests.oracle.counters import CounterStore
from tests.oracle.resp import frame_replies, frame_requests

ALL = [(b"", "all", 8192, 0, False, 1)]
SHARED = conn(0)


class Counting:
    def __init__(
        self, rules: list[tuple[bytes, str, int, int, bool, int]] | None = None, clients: int = 3, **options: Any
    ) -> None:
        self.engine = build(1, counters=ALL if rules is None else rules, **options)
        self.node, self.alone = CounterStore(), CounterStore()
        self.clients = [self.engine.open() for _ in range(clients)]
        self.expected: dict[int, list[bytes]] = {client: [] for client in self.clients}
        self.got: dict[int, bytes] = dict.fromkeys(self.clients, b"")
        self.queued: list[list[bytes]] | None = None
        self.inbox, self.coming = b"", b""
        self.seen: list[list[bytes]] = []

    def ask(self, place: int, *words: bytes) -> None:
        """Send a request."""
        client = self.clients[place]
        self.expected[client].append(self.alone.run(list(words)))
        self.engine.feed(client, request(*words))

    def ask_all(self, place: int, requests: list[list[bytes]]) -> None:
        """Send requests in one piece."""
        client = self.clients[place]
        self.expected[client] += [self.alone.run(words) for words in requests]
        self.engine.feed(client, b"".join(request(*words) for words in requests))

    def ask_block(self, place: int, *requests: list[bytes]) -> None:
        """Send a transaction."""
        client = self.clients[place]
        self.expected[client] += [b"+OK\r\n", *[b"+QUEUED\r\n"] * len(requests), self.alone.block(list(requests))]
        self.engine.feed(client, b"".join(request(*words) for words in [[b"MULTI"], *requests, [b"EXEC"]]))

    def send(self, most: int = 1 << 30) -> None:
        """So many bytes go to the node, which executes what is whole."""
        self.inbox += self.engine.sent(SHARED, most)
        framing = frame_requests(self.inbox)
        assert framing.error is None
        self.inbox = self.inbox[len(self.inbox) - framing.left :]
        for words in framing.items:
            self.coming += self.run([bytes(word) for word in words])

    def run(self, words: list[bytes]) -> bytes:
        name = words[0].upper()
        if name == b"MULTI":
            self.queued = []
            return b"+OK\r\n"
        if name == b"EXEC":
            assert self.queued is not None
            queued, self.queued = self.queued, None
            self.seen += queued
            return self.node.block(queued)
        if self.queued is not None:
            self.queued.append(words)
            return b"+QUEUED\r\n"
        self.seen.append(words)
        return self.node.run(words)

    def answer(self, most: int = 1 << 30) -> None:
        """So many bytes come back."""
        self.engine.answer(SHARED, self.coming[:most])
        self.coming = self.coming[most:]

    def turn(self) -> None:
        self.engine.turn()
        self.check()

    def settle(self) -> None:
        """Until nothing moves any more without time."""
        for _ in range(20):
            self.engine.turn()
            self.send()
            self.answer()
        self.check()
        assert not any(self.expected.values()), self.expected
        assert self.node.data == self.alone.data and self.node.lives == self.alone.lives

    def flow(self) -> None:
        """As settle(), of requests that were fed and not asked: nobody looks at the replies."""
        for _ in range(5):
            self.engine.turn()
            self.send()
            self.answer()

    def check(self) -> None:
        """What came is what was to come."""
        assert self.engine.audit() == []
        for client in self.clients:
            self.got[client] += self.engine.take(client)
            framing = frame_replies(self.got[client])
            assert framing.error is None
            self.got[client] = self.got[client][len(self.got[client]) - framing.left :]
            for reply in framing.items:
                assert bytes(reply) == self.expected[client].pop(0)

    def counters(self) -> dict[str, int]:
        return dict(self.engine.counters())
