"""Upstream: the task that makes the link to a primary. The loop says what is wanted (`Wish`) and is given the socket.

    the loop ── wish, eventfd ──► keep_linked ── resolve, connect, handshake ──► Loop.link_offer ──► the loop

A wish holds until another one replaces it: the loop makes a new one for REPLICAOF and whenever a link is lost. An
attempt that fails is repeated after a second, for as long as the wish holds.
"""

import os
import sys
from collections.abc import Callable
from typing import cast

import trio

from storenode.handshake import LINE_MOST, Agreed, HandshakeError, Wish, shake
from storenode.loop import Loop

RETRY_S = 1.0


async def read_line(stream: trio.SocketStream, received: bytearray) -> bytes:
    """The next line of `received` and what arrives behind it. Empty lines only say that the primary is alive."""
    while True:
        while (end := received.find(b"\n")) >= 0:
            line = bytes(received[:end]).removesuffix(b"\r")
            del received[: end + 1]
            if line:
                return line
        if len(received) > LINE_MOST:
            raise HandshakeError("an answer without an end: this is no Redis")
        data = await stream.receive_some(LINE_MOST)
        if not data:
            raise HandshakeError("the primary closed the connection")
        received += data


async def connect(wish: Wish) -> tuple[trio.SocketStream, Agreed, bytes]:
    """A connection on which a primary has agreed to a stream, and what it has already sent of it.

    Raises OSError, HandshakeError, trio.BrokenResourceError or trio.TooSlowError.
    """
    with trio.fail_after(wish["timeout"]):
        stream = await trio.open_tcp_stream(wish["host"], wish["port"])
        try:
            received = bytearray()
            steps = shake(wish)
            request = next(steps)
            while True:
                await stream.send_all(request)
                try:
                    request = steps.send(await read_line(stream, received))
                except StopIteration as finished:
                    return stream, cast(Agreed, finished.value), bytes(received)
        except BaseException:
            await trio.aclose_forcefully(stream)
            raise


async def make_link(loop: Loop, wish: Wish, say: Callable[[str], None]) -> None:
    """Try until there is a link, and give it to the loop."""
    where = f"{wish['host']}:{wish['port']}"
    said = ""
    while True:
        try:
            stream, agreed, rest = await connect(wish)
        except (OSError, HandshakeError, trio.BrokenResourceError, trio.TooSlowError) as error:
            problem = "no answer in time" if isinstance(error, trio.TooSlowError) else str(error)
            if problem != said:
                said = problem
                say(f"no link to the primary {where} yet: {problem}")
            await trio.sleep(RETRY_S)
            continue
        descriptor = os.dup(stream.socket.fileno())
        stream.socket.close()
        say(f"linked to the primary {where}: {'a snapshot first' if agreed.whole else 'going on with its stream'}")
        loop.link_offer(
            number=wish["number"],
            fd=descriptor,
            whole=agreed.whole,
            stream=agreed.stream,
            offset=agreed.offset,
            rest=rest,
        )
        return


def say_on_stderr(text: str) -> None:
    print(f"storenode: {text}", file=sys.stderr, flush=True)


async def keep_linked(loop: Loop) -> None:
    """Make the links that the loop wants, until cancelled."""
    orders = loop.link_orders()
    while True:
        await trio.lowlevel.wait_readable(orders)
        os.eventfd_read(orders)
        async with trio.open_nursery() as nursery:
            wish = loop.link_wish()
            if wish is not None:
                nursery.start_soon(make_link, loop, wish, say_on_stderr)
            # A newer wish ends the attempt at this one.
            await trio.lowlevel.wait_readable(orders)
            nursery.cancel_scope.cancel()
