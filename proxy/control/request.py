"""Request: one command that an engine handed over, and what it may be answered with. The slow lane's common words."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from proxy.commands import Command

__all__ = ["Answer", "Handler", "Request"]


@dataclass(frozen=True, slots=True)
class Request:
    """The engine checked its arity and the client's rights, and holds the client behind a barrier until the answer."""

    engine: int
    client: int  #: the engine's pointer, valid until the request is answered, or longer where `Answer.keep` said so
    slot: int
    client_id: int
    pool: int  #: index in Settings.pools
    protocol: int  #: 2 or 3
    database: int
    args: list[bytes]  #: the name first
    command: Command  #: its row; a subcommand's own


@dataclass(frozen=True, slots=True)
class Answer:
    """A reply with something for the engine to do besides."""

    reply: bytes  #: RESP, any number of replies and pushes; empty: the request is answered without a word
    keep: bool = False  #: the control plane goes on naming this client: it is told when it leaves, and then lets go
    close: bool = False  #: the connection ends after the reply
    subscriber: bool | None = None  #: from here on the client is (not) in subscribe mode; None: as before
    reset: bool = False  #: the engine resets the connection, as RESET does


#: Answers one request; raises ReplyError instead where that is shorter. Runs in a task of its own.
Handler = Callable[[Request], Awaitable[bytes | Answer]]
