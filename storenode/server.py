"""Server: a storage node as a process. It opens the port, raises the limits, owns the signals and starts the loop.

The loop runs in a thread without the GIL; this module's trio task only waits for SIGINT or SIGTERM and then wakes it.
"""

import errno
import os
import resource
import secrets
import signal
import socket
from collections.abc import Callable, Mapping, Sequence

import trio

from storenode.loop import Loop
from storenode.upstream import keep_linked

MAXCLIENTS = 10_000
SPARE_FILES = 64  # descriptors beside the clients': listener, epoll, eventfd, those of Python
KEEPING = frozenset({"dir", "dbfilename", "save", "appendonly"})  # whoever sets one of them keeps data on disk
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


class LoadError(OSError):
    """What an earlier run left on disk cannot be loaded; the text says where it is broken and what to do."""


def _run_loop(loop: Loop, load: bool, ready: Callable[[], None]) -> None:
    """The thread's body. Signals are the main thread's: none may interrupt a turn here."""
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    if load:
        try:
            if not loop.load():
                return
        except OSError as error:
            raise LoadError(str(error)) from None
    trio.from_thread.run_sync(ready)
    loop.run()


async def _serve(loop: Loop, load: bool, ready: Callable[[], None]) -> None:
    problems: list[LoadError] = []

    async def wait_signals(task_status: trio.TaskStatus[None]) -> None:
        # The wake-up must come from a task inside the nursery: outside it would wait for the thread it has to wake.
        try:
            with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
                task_status.started()
                async for _ in signals:
                    # Not the end yet: what is to be saved may not be, and then the node goes on.
                    loop.stop()
        finally:
            loop.stop()

    async with trio.open_nursery() as nursery:
        await nursery.start(wait_signals)
        nursery.start_soon(keep_linked, loop)
        try:
            await trio.to_thread.run_sync(_run_loop, loop, load, ready)
        except LoadError as error:
            problems.append(error)
        nursery.cancel_scope.cancel()
    if problems:
        raise problems[0]


def run(
    host: str,
    port: int,
    maxmemory: int,
    password: str | None = None,
    on_ready: Callable[[str, int], None] | None = None,
    *,
    aclfile: str | None = None,
    deny: Sequence[str] = (),
    rename: Mapping[str, str] | None = None,
    parameters: Mapping[str, str] | None = None,
) -> int:
    """Serve on host:port (port 0: a free one) until SIGINT or SIGTERM; returns the exit code.

    maxmemory: bytes of keys and values, 0 for no limit. on_ready(host, port) is called in the main thread as soon as
    the port is open, signals are handled and what an earlier run kept is loaded. aclfile: a file of users; deny: names
    of commands, or `config|set`, that this node is to have not. rename: by the name of a command, what clients have to
    call it. parameters: what CONFIG SET would set, by name; any of
    those about the disk makes the node load at its start. Raises OSError if the port cannot be had, or for a wrong
    file, name or parameter; LoadError.
    """
    maxclients = raise_file_limit()
    with open_listener(host, port) as listener:
        bound_host, bound_port = listener.getsockname()[:2]

        def ready() -> None:
            if on_ready is not None:
                on_ready(bound_host, bound_port)

        renamed = {**dict.fromkeys(deny, ""), **(rename or {})}
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
                renamed=[(name.encode(), called.encode()) for name, called in renamed.items()],
            )
        except ValueError as error:
            raise OSError(errno.EINVAL, str(error)) from error
        chosen = dict(parameters or {})
        for name, value in chosen.items():
            try:
                loop.configure(name.encode(), os.fsencode(value))
            except ValueError as error:
                raise OSError(errno.EINVAL, f"{name}: {error}") from None
        trio.run(_serve, loop, any(name in KEEPING for name in chosen), ready)
    return 0
