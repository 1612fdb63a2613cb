"""Probe: one question to a node, on a connection of its own: does it serve?"""

from __future__ import annotations

from typing import Any

import hiredis
import trio

from proxy.address import Server
from proxy.settings import Pool


async def probe(pool: Pool, server: Server) -> str:
    """Connect, authenticate, PING. Returns "" when the node serves, else why it does not; never raises OSError.

    Bounded by the pool's `connect_timeout`.
    """
    with trio.move_on_after(pool.connect_timeout):
        try:
            async with await connect(server) as stream:
                return await _ask(stream, pool)
        except (OSError, UnicodeError, trio.BrokenResourceError, hiredis.ProtocolError) as error:
            return str(error) or type(error).__name__
    return "it does not answer"


async def connect(server: Server) -> trio.abc.Stream:
    """A stream to the node, looked up now. Raises OSError, or UnicodeError for a name that IDNA does not allow."""
    if server.path:
        return await trio.open_unix_socket(server.path)
    return await trio.open_tcp_stream(server.host, server.port)


def authentication(pool: Pool) -> list[tuple[Any, ...]]:
    """What a connection to a node of `pool` says first: AUTH, or nothing."""
    if pool.node_password is None:
        return []
    user = (pool.node_username,) if pool.node_username else ()
    return [("AUTH", *user, pool.node_password.reveal())]


async def _ask(stream: trio.abc.Stream, pool: Pool) -> str:
    commands = [*authentication(pool), ("PING",)]
    await stream.send_all(b"".join(hiredis.pack_command(command) for command in commands))
    reader = hiredis.Reader()
    for _ in commands:
        while (reply := reader.gets()) is False:
            received = await stream.receive_some(4096)
            if not received:
                return "it closed the connection"
            reader.feed(bytes(received))
        if isinstance(reply, hiredis.ReplyError):
            return str(reply)
    return ""
