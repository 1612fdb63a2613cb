"""A stage: several connections to one server, and a transcript of every byte that each of them is sent.

A script is a list of lines `NAME command; command; …`. All commands of a line are sent at once by the connection of
that name, which is opened when it is first named. `NAME close` closes it, `NAME blocks command` sends a command that is
not answered before `NAME goes on`, and an argument `@NAME` is that connection's CLIENT ID. After each line every
connection is asked for an echo, so the transcript says what came because of that line, in which order, without any
waiting.
"""

import re
import shlex

from tests.store.conftest import Server
from tests.store.raw import Argument, Connection, request

#: Ids differ from server to server. Where they are shown, the transcript has the connection's name.
SHOWN_ID = re.compile(rb"(tracking-redir-broken\r\n:|redirect\r\n:|\nid\r\n:|redir=|\bid=)(\d+)")
VERSION = re.compile(rb"\$\d+\r\n\d+\.\d+\.\d+\r\n")


class Stage:
    def __init__(self, server: Server) -> None:
        self.server = server
        self.actors: dict[str, Connection] = {}
        self.ids: dict[str, int] = {}
        self.marks = 0
        self.blocked: set[str] = set()

    def __enter__(self) -> "Stage":
        return self

    def __exit__(self, *_: object) -> None:
        for actor in self.actors.values():
            actor.close()

    def actor(self, name: str) -> Connection:
        if name not in self.actors:
            self.actors[name] = self.server.connect()
            self.ids[name] = int(self.actors[name]("client", "id")[1:])
        return self.actors[name]

    def named(self, data: bytes) -> bytes:
        names = {str(number).encode(): name.encode() for name, number in self.ids.items()}
        return SHOWN_ID.sub(lambda found: found[1] + names.get(found[2], found[2]), VERSION.sub(b"<version>", data))

    def until_mark(self, name: str, data: bytes) -> bytes:
        """Send `data` and a PING; what comes before its answer. A connection that is closed instead ends in <end>."""
        self.marks += 1
        mark = b"mark%d" % self.marks
        connection = self.actors[name]
        echo = re.compile(rb"(\*2\r\n\$4\r\npong\r\n)?\$%d\r\n%s\r\n" % (len(mark), mark))  # RESP2's subscribe mode
        try:
            connection.send(data + request("ping", mark))
            while not (found := echo.search(connection.buffer)):
                if not (more := connection.socket.recv(1 << 20)):
                    raise ConnectionResetError
                connection.buffer += more
        except (ConnectionResetError, BrokenPipeError):
            connection.close()
            del self.actors[name]
            return self.named(bytes(connection.buffer)) + b"<end>"
        seen = bytes(connection.buffer[: found.start()])
        del connection.buffer[: found.end()]  # what follows came in the same turn
        return self.named(seen)

    def play(self, line: str) -> dict[str, bytes]:
        """Play one line; what each connection was sent, if anything."""
        name, _, text = line.partition(" ")
        seen: dict[str, bytes] = {}
        if text == "close":
            self.actor(name).close()
            del self.actors[name]
        elif text == "goes on":
            self.blocked.remove(name)
        elif text.startswith("blocks "):
            self.actor(name).send(request(*shlex.split(text)[1:]))
            self.blocked.add(name)
        else:
            self.actor(name)
            commands: list[list[Argument]] = [
                [str(self.ids[word[1:]]) if word.startswith("@") else word for word in shlex.split(part)]
                for part in text.split("; ")
            ]
            data = b"".join(request(*words) for words in commands)
            seen = {name: self.until_mark(name, data)}
        # A second round, of all: broadcasts follow at the end of a turn.
        for other in sorted(self.actors.keys() - self.blocked):
            seen[other] = seen.get(other, b"") + self.until_mark(other, b"")
        return {other: data for other, data in seen.items() if data}


def compare(ours: Server, theirs: Server, script: str) -> None:
    """Play a script to both servers: both must send the same bytes, after every line."""
    with Stage(ours) as mine, Stage(theirs) as its:
        for stage in (mine, its):
            stage.play("cleaner flushall")
            stage.play("cleaner close")
        for line in script.strip().splitlines():
            line = line.strip()
            if line and not line.startswith("#"):
                one, other = mine.play(line), its.play(line)
                assert one == other, f"{line}\n  ours {one}\n  redis-server's {other}"
