"""A client that hides nothing: requests as they are given, replies as the bytes that came."""

import socket

Argument = bytes | str | int


def request(*arguments: Argument) -> bytes:
    """Encode a command as an array of bulk strings."""
    parts = [a if isinstance(a, bytes) else str(a).encode() for a in arguments]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(p), p) for p in parts)


class Connection:
    """A blocking connection with a deadline on every read."""

    def __init__(self, address: tuple[str, int] | str, timeout: float = 20.0) -> None:
        self.socket = socket.socket(socket.AF_UNIX if isinstance(address, str) else socket.AF_INET)
        self.socket.settimeout(timeout)
        try:
            self.socket.connect(address)
        except OSError:
            self.socket.close()
            raise
        self.buffer = bytearray()
        self.at = 0

    def __enter__(self) -> "Connection":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def __call__(self, *arguments: Argument) -> bytes:
        """Send one command; its reply."""
        self.send(request(*arguments))
        return self.reply()

    def reply(self) -> bytes:
        """The next whole reply, byte for byte. EOFError when the server closes."""
        self._skip()
        data = bytes(self.buffer[: self.at])
        del self.buffer[: self.at]
        self.at = 0
        return data

    def closed(self) -> bool:
        """Has the server closed, without another byte?"""
        try:
            return not self.buffer and self.socket.recv(1) == b""
        except ConnectionResetError:
            return True

    def _more(self) -> None:
        data = self.socket.recv(1 << 20)
        if not data:
            raise EOFError("the server closed the connection")
        self.buffer += data

    def _line(self) -> bytes:
        while (end := self.buffer.find(b"\r\n", self.at)) < 0:
            self._more()
        line = bytes(self.buffer[self.at : end])
        self.at = end + 2
        return line

    def _skip(self) -> None:
        line = self._line()
        kind, rest = line[:1], line[1:]
        if kind in b"$=" and int(rest) >= 0:
            end = self.at + int(rest) + 2
            while len(self.buffer) < end:
                self._more()
            self.at = end
        elif kind in b"*~>%":
            for _ in range(max(0, int(rest)) * (2 if kind == b"%" else 1)):
                self._skip()
        else:
            assert kind in b"+-:_,#($=", line


def pipeline(connection: Connection, commands: list[tuple[Argument, ...]]) -> list[bytes]:
    """Send all commands at once; their replies."""
    connection.send(b"".join(request(*command) for command in commands))
    return [connection.reply() for _ in commands]


def words(reply: bytes) -> list[bytes]:
    """The strings of an array of bulk strings that have no CR or LF in them."""
    return reply.split(b"\r\n")[2::2]


def info(connection: Connection, section: str, field: str) -> int:
    """A number of INFO."""
    text = connection("info", section).decode()
    return int(text.split(f"\r\n{field}:")[1].split("\r\n")[0])


Parsed = bytes | list["Parsed"]


def parse(reply: bytes) -> Parsed:
    """A reply as nested lists; what is not an aggregate stays as its bytes, kind and all."""

    def value(at: int) -> tuple[Parsed, int]:
        end = reply.index(b"\r\n", at) + 2
        kind, rest = reply[at : at + 1], reply[at + 1 : end - 2]
        if kind in b"$=" and int(rest) >= 0:
            end += int(rest) + 2
        elif kind in b"*~>%" and int(rest) >= 0:
            items: list[Parsed] = [kind]
            for _ in range(int(rest) * (2 if kind == b"%" else 1)):
                item, end = value(end)
                items.append(item)
            return items, end
        return reply[at:end], end

    return value(0)[0]
