"""Probe: one question to a node, on a connection of its own: does it serve?"""

from __future__ import annotations

from collections.abc import Sequence
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
        except (OSError, ValueError, trio.BrokenResourceError, hiredis.ProtocolError) as error:
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


async def exchange(
    stream: trio.abc.Stream, reader: hiredis.Reader, commands: Sequence[tuple[Any, ...]]
) -> list[Any]:
    """The replies to some commands; errors of the node are among them.

    Raises:
        ValueError: it closed the connection.
        OSError, trio.BrokenResourceError, hiredis.ProtocolError: it was lost, or what came is not RESP.
    """
    await stream.send_all(b"".join(hiredis.pack_command(command) for command in commands))
    replies: list[Any] = []
    while len(replies) < len(commands):
        while (reply := reader.gets()) is False:
            received = await stream.receive_some(65536)
            if not received:
                raise ValueError("it closed the connection")
            reader.feed(bytes(received))
        replies.append(reply)
    return replies


async def _ask(stream: trio.abc.Stream, pool: Pool) -> str:
    replies = await exchange(stream, hiredis.Reader(), [*authentication(pool), ("PING",)])
    return next((str(reply) for reply in replies if isinstance(reply, hiredis.ReplyError)), "")
