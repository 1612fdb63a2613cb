"""Handshake: what a replica says to a primary before the stream begins, and what the answers mean. Without any I/O.

    PING ─► [AUTH] ─► REPLCONF listening-port, ip-address, capa ─► PSYNC ─► +FULLRESYNC | +CONTINUE

The answers are single lines, one for each request, and the next request waits for the answer to the last, as Redis
does it. What follows the last answer in the same packet belongs to the stream and is handed on untouched.
"""

from collections.abc import Generator
from dataclasses import dataclass
from typing import TypedDict

LINE_MOST = 4096  # bytes of an answer
ID_LENGTH = 40


class HandshakeError(Exception):
    """The primary refused, or is none; the text says what it answered."""


class Wish(TypedDict):
    """The link that is wanted: what `Loop.link_wish()` returns."""

    number: int
    host: str
    port: int
    stream: str  # id of the stream to go on with; "?": none
    offset: int  # number of the next byte wanted, from 1; -1: none
    user: bytes
    password: bytes  # empty: no AUTH
    announce_host: str  # empty: the primary sees for itself
    announce_port: int
    timeout: int  # seconds


@dataclass(frozen=True)
class Agreed:
    """What a primary has agreed to send."""

    whole: bool  # a snapshot first
    stream: bytes  # the stream's id, 40 digits; empty: the one that was asked for
    offset: int  # bytes of the stream that the snapshot contains


def encode(*words: str | bytes) -> bytes:
    """A command as an array of bulk strings."""
    parts = [word.encode() if isinstance(word, str) else word for word in words]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)


def shake(wish: Wish) -> Generator[bytes, bytes, Agreed]:
    """Yields each request, is sent each answer without its line end, returns the agreement. Raises HandshakeError."""
    answer = yield encode("PING")
    if not answer.startswith((b"+", b"-NOAUTH", b"-NOPERM", b"-ERR operation not permitted")):
        raise HandshakeError(f"PING: {shown(answer)}")
    if wish["password"]:
        names = [wish["user"]] if wish["user"] else []
        answer = yield encode("AUTH", *names, wish["password"])
        if answer.startswith(b"-"):
            raise HandshakeError(f"AUTH: {shown(answer)}; set masterauth and masteruser")
    told = [("listening-port", str(wish["announce_port"]))]
    if wish["announce_host"]:
        told.append(("ip-address", wish["announce_host"]))
    for name, value in told:
        # A primary that does not know an option says so, and that is all right.
        answer = yield encode("REPLCONF", name, value)
        if answer.startswith((b"-NOAUTH", b"-NOPERM")):
            raise HandshakeError(f"REPLCONF: {shown(answer)}; set masterauth and masteruser")
    yield encode("REPLCONF", "capa", "eof", "capa", "psync2")
    answer = yield encode("PSYNC", wish["stream"], str(wish["offset"]))
    return agreement(answer)


def agreement(answer: bytes) -> Agreed:
    """The answer to PSYNC. Raises HandshakeError."""
    words = answer.split()
    if len(words) == 3 and words[0] == b"+FULLRESYNC" and is_id(words[1]) and words[2].isdigit():
        return Agreed(whole=True, stream=words[1], offset=int(words[2]))
    if words[:1] == [b"+CONTINUE"] and (len(words) == 1 or (len(words) == 2 and is_id(words[1]))):
        return Agreed(whole=False, stream=words[1] if len(words) == 2 else b"", offset=0)
    raise HandshakeError(f"PSYNC: {shown(answer)}")


def is_id(word: bytes) -> bool:
    return len(word) == ID_LENGTH and all(digit in b"0123456789abcdef" for digit in word)


def shown(answer: bytes) -> str:
    """An answer as a message has it."""
    return answer[:200].decode(errors="replace")
