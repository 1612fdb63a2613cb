"""Server: a storage node as a process. It opens the port, raises the limits, owns the signals and starts the loop.

The loop runs in a thread without the GIL; this module's trio task only waits for SIGINT or SIGTERM and then wakes it.
"""

import errno
import os
import resource
import secrets
import signal
import socket
from collections.abc import Callable, Sequence

import trio

from storenode.loop import Loop

MAXCLIENTS = 10_000
SPARE_FILES = 64  # descriptors beside the clients': listener, epoll, eventfd, those of Python
BACKLOG = 4096  # a burst beyond it waits a second for its SYN to be sent again; the kernel caps it at somaxconn


def raise_file_limit() -> int:
    """Raise the soft limit of open files to what MAXCLIENTS takes; returns how many clients fit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAXCLIENTS + SPARE_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return MAXCLIENTS if soft == resource.RLIM_INFINITY else max(1, min(MAXCLIENTS, soft - SPARE_FILES))


def open_listener(host: str, port: int) -> socket.socket:
    """A listening, non-blocking socket. Raises OSError naming the address."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise OSError(error.errno, f"cannot listen on {host}:{port}: {error.strerror}") from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        raise OSError(error.errno, f"cannot listen on {host}:{port}: {error.strerror}") from error
    return listener


def _run_loop(loop: Loop) -> None:
    """The thread's body. Signals are the main thread's: none may interrupt a turn here."""
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    loop.run()


async def _serve(loop: Loop, ready: Callable[[], None]) -> None:
    async def wait_signal() -> None:
        # The wake-up must come from a task inside the nursery: outside it would wait for the thread it has to wake.
        try:
            with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
                ready()
                async for _ in signals:
                    return
        finally:
            loop.stop()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait_signal)
        await trio.to_thread.run_sync(_run_loop, loop)
        nursery.cancel_scope.cancel()


def run(
    host: str,
    port: int,
    maxmemory: int,
    password: str | None = None,
    on_ready: Callable[[str, int], None] | None = None,
    *,
    aclfile: str | None = None,
    deny: Sequence[str] = (),
) -> int:
    """Serve on host:port (port 0: a free one) until SIGINT or SIGTERM; returns the exit code.

    maxmemory: bytes of keys and values, 0 for no limit. on_ready(host, port) is called in the main thread as soon as
    the port is open and signals are handled. aclfile: a file of users; deny: names of commands, or `config|set`, that
    this node is to have not. Raises OSError if the port cannot be had, or for a wrong file or name.
    """
    maxclients = raise_file_limit()
    with open_listener(host, port) as listener:
        bound_host, bound_port = listener.getsockname()[:2]

        def ready() -> None:
            if on_ready is not None:
                on_ready(bound_host, bound_port)

        try:
            loop = Loop(
                listener.fileno(),
                bind=host.encode(),
                port=bound_port,
                maxmemory=maxmemory,
                password=password.encode() if password else None,
                run_id=secrets.token_hex(20).encode(),
                seed=int.from_bytes(os.urandom(8)),
                maxclients=maxclients,
                aclfile=os.fsencode(aclfile) if aclfile else None,
                deny=[name.encode() for name in deny],
            )
        except ValueError as error:
            raise OSError(errno.EINVAL, str(error)) from error
        trio.run(_serve, loop, ready)
    return 0
