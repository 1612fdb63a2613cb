"""App: the composition root. Settings in, a running proxy out, an exit status at the end."""

from __future__ import annotations

import logging
import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

import trio

from proxy.control.clients import Clients
from proxy.control.engines import Engines, Event, EventKind
from proxy.control.nodes import Nodes
from proxy.control.requests import Requests
from proxy.control.snapshot import Snapshot
from proxy.settings import Settings

log = logging.getLogger("quench")

#: Seconds that clients get to receive what they are owed after the first SIGTERM or Ctrl-C.
DRAIN_TIMEOUT = 25.0


def run(settings: Settings, log_level: str = "info") -> int:
    """Serve until SIGTERM or SIGINT. Returns the exit status: 0 clean, 3 when clients had to be cut off.

    Raises:
        OSError: a listener cannot be opened.
    """
    start_logging(log_level)
    raise_descriptor_limit()
    return trio.run(serve, settings, None)


def start_logging(level: str) -> None:
    """One line per event to stderr, as logfmt."""
    handler = logging.StreamHandler(sys.stderr)
    formatter = logging.Formatter("%(asctime)sZ %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%S")
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    root = logging.getLogger("quench")
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    root.propagate = False


def raise_descriptor_limit() -> None:
    """As many open files as we are allowed: every client is one."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


async def serve(settings: Settings, on_ready: Callable[[Sequence[str]], None] | None) -> int:
    """Run the engines and everything that looks after them; `on_ready` gets the addresses listened on."""
    engines = Engines(settings)
    drained = [trio.Event() for _ in engines.engines]
    status = 0
    async with trio.open_nursery() as nursery:
        nodes = Nodes(settings, engines.engines, nursery)
        clients = Clients(settings, engines)
        snapshot = Snapshot(settings, engines, nodes)
        requests = Requests(engines, snapshot, clients)

        def on_event(engine: int, event: Event) -> None:
            kind, pool, node, code, _, _, tag, data = event
            if kind == EventKind.REQUEST:
                requests.asked(engine, event)
            elif kind == EventKind.LISTED:
                clients.listed(tag, code == 1, data)
            elif kind in (EventKind.NODE, EventKind.SICK):
                nodes.failed(engine, pool, node, code, kind == EventKind.NODE and tag == 1, data.decode("latin-1"))
            elif kind == EventKind.OPEN:
                nodes.opened(engine, pool, node)
            elif kind == EventKind.DRAINED:
                drained[engine].set()

        with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
            nursery.start_soon(engines.run, on_event)
            nursery.start_soon(snapshot.sample)
            nursery.start_soon(requests.run)
            await nodes.start()
            for engine in engines.engines:
                engine.listen()
            for pool, address in zip(settings.pools, engines.ports, strict=True):
                log.info("pool.listening pool=%s address=%s nodes=%d", pool.name, address, len(pool.servers))
            log.info("ready pid=%d engines=%d", os.getpid(), settings.engines)
            if on_ready is not None:
                on_ready(engines.ports)
            await anext(signals)
            log.info("drain.started timeout=%.0f", DRAIN_TIMEOUT)
            status = await _drain(engines, drained, signals)
            log.info("stopped status=%d", status)
        nursery.cancel_scope.cancel()
    return status


async def _drain(engines: Engines, drained: list[trio.Event], signals: object) -> int:
    """Let clients receive what they are owed, within a deadline; a second signal ends it at once."""
    for engine in engines.engines:
        engine.drain()
    status = 3
    async with trio.open_nursery() as nursery:

        async def second_signal() -> None:
            await anext(signals)  # type: ignore[call-overload]
            nursery.cancel_scope.cancel()

        nursery.cancel_scope.deadline = trio.current_time() + DRAIN_TIMEOUT
        nursery.start_soon(second_signal)
        for event in drained:
            await event.wait()
        status = 0
        nursery.cancel_scope.cancel()
    return status
