"""Resolve: from a node's configured address to the socket address an engine connects to.

Owns nothing and keeps nothing: a name is looked up again at every (re)connection, so that a node that moved is found.
"""

from __future__ import annotations

import os
import struct

import trio

from proxy.address import Server


async def socket_address(server: Server) -> bytes:
    """The `struct sockaddr` of a node, in native layout.

    Raises:
        OSError: (`socket.gaierror`) when the name has no address now.
    """
    if server.path:
        path = os.fsencode(server.path)
        if len(path) > 107:
            raise OSError(f"the path of a unix socket has at most 107 bytes, {server.path} has {len(path)}")
        return struct.pack("=H", trio.socket.AF_UNIX) + path + b"\0"
    found = await trio.socket.getaddrinfo(server.host, server.port, type=trio.socket.SOCK_STREAM)
    family, _, _, _, address = found[0]
    if family == trio.socket.AF_INET:
        host, port = str(address[0]), address[1]
        return struct.pack("=H", family) + struct.pack("!H", port) + trio.socket.inet_pton(family, host) + bytes(8)
    host, port, flow, scope = address  # type: ignore[misc]
    return (
        struct.pack("=H", family)
        + struct.pack("!HI", port, flow)
        + trio.socket.inet_pton(family, host)
        + struct.pack("=I", scope)
    )
