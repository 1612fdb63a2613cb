"""Several clients of one server, one step at a time: who was answered what, and who is blocked."""

import re
import select
import time

from tests.store.conftest import Server
from tests.store.raw import Argument, request

PATIENCE = 10.0  # seconds for a server to do what it was told


class Room:
    """Connections named a, b, c …, and one more that looks on."""

    def __init__(self, server: Server, names: str = "abcd") -> None:
        self.control = server.connect()
        self.clients = {name: server.connect() for name in names}
        self.ids = {name: int(client("client", "id")[1:]) for name, client in self.clients.items()}
        self.waiting: set[str] = set()

    def close(self) -> None:
        """Hang up and wait until the server has noticed."""
        for client in self.clients.values():
            client.close()
        give_up = time.monotonic() + PATIENCE
        while self.control("client", "list").count(b"id=") > 1:
            assert time.monotonic() < give_up, "the server keeps clients that have hung up"
        self.control.close()

    def flags(self, name: str) -> bytes:
        """Of CLIENT LIST, without U for a Unix socket."""
        found = re.search(rb" flags=(\w+) ", self.control("client", "list", "id", self.ids[name]))
        return found[1].replace(b"U", b"") or b"N" if found else b"gone"

    def blocked(self, name: str) -> bool:
        return b"b" in self.flags(name)

    def step(self, name: str, *command: Argument) -> dict[str, bytes]:
        """Send a command for a client and take every answer that it brings about: the client's own, unless that is
        blocked now, and those of clients that are blocked no more. A blocked client says nothing.

        An argument "id:b" is replaced by that client's id.
        """
        if name in self.waiting:
            return {}
        client = self.clients[name]
        told = [self.ids[part[3:]] if isinstance(part, str) and part.startswith("id:") else part for part in command]
        client.send(request(*told))
        answers = {}
        give_up = time.monotonic() + PATIENCE
        while not select.select([client.socket], [], [], 0.0005)[0]:
            if self.blocked(name) and not select.select([client.socket], [], [], 0)[0]:
                self.waiting.add(name)
                break
            assert time.monotonic() < give_up, f"{command} is neither answered nor blocked"
        else:
            answers[name] = client.reply()
        for other in sorted(self.waiting):
            if not self.blocked(other):
                answers[other] = self.clients[other].reply()
                self.waiting.discard(other)
        return answers


def follow(room: Room, script: list[tuple[Argument, ...]]) -> list[dict[str, bytes]]:
    """Play a script whose lines begin with the client's name."""
    return [room.step(str(line[0]), *line[1:]) for line in script]


def script(text: str) -> list[tuple[Argument, ...]]:
    """`a multi; b set k 1` and so on; newlines separate, too."""
    return [tuple(line.split()) for line in re.split(r"[;\n]", text) if line.strip()]
