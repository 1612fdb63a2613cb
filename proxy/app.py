"""App: the composition root. Settings in, a running proxy out, an exit status at the end."""

from __future__ import annotations

import logging
import os
import resource
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress

import trio

from proxy.control.access import Access
from proxy.control.clients import Clients
from proxy.control.cluster import present
from proxy.control.clusters import Clusters, with_places
from proxy.control.engines import Engines, Event, EventKind
from proxy.control.failover import Failover
from proxy.control.followers import Followers
from proxy.control.nodes import Nodes
from proxy.control.request import Request
from proxy.control.requests import Requests
from proxy.control.seats import Seats
from proxy.control.snapshot import Snapshot
from proxy.lanes.across import handlers
from proxy.lanes.administration import Administration
from proxy.lanes.databases import Databases
from proxy.lanes.fleet import Fleet
from proxy.lanes.hot import Hot
from proxy.lanes.kept import Kept
from proxy.lanes.links import Links
from proxy.lanes.mending import Mending
from proxy.lanes.monitor import Monitor
from proxy.lanes.pubsub import PubSub
from proxy.lanes.scripts import Scripts
from proxy.lanes.sharded import Sharded
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
    # Asked to reload, a proxy that cannot must not die of it.
    signal.signal(signal.SIGHUP, lambda *_: log.warning("reload.unsupported: restart to change the configuration"))
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
    settings = with_places(settings)
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        engines = Engines(settings)
        drained = [trio.Event() for _ in engines.engines]
        stop, stop_now = trio.Event(), trio.Event()
        async with trio.open_nursery() as nursery:
            kept = Kept(engines)
            seats = Seats(settings)
            failover = Failover(settings, engines, seats)
            nodes = Nodes(settings, engines.engines, nursery, lambda pool, live: pubsub.live(pool, live), seats)
            links = Links(settings, nursery, nodes.ejected, engines.kill_ghost, seats, failover.fenced)
            followers = Followers(settings, engines)
            clusters = Clusters(settings, engines, nodes, lambda pool: pubsub.moved(pool))
            pubsub = PubSub(settings, engines, kept, links, clusters.owner, clusters.redirected)
            clients = Clients(settings, engines, pubsub.counts)
            databases = Databases(links)
            hot = Hot(settings, engines, clients)
            snapshot = Snapshot(
                settings, engines, nodes, databases.known, pubsub.totals, hot.known, failover,
                lambda pool, node: mending.known(pool, node), followers.lag,
            )  # fmt: skip
            access = Access(settings, clients)
            administration = Administration(engines, clients, snapshot, links)
            monitor = Monitor(settings, engines, clients, kept)
            fleet = Fleet(settings, engines, links)
            scripts = Scripts(engines, clients.settled)
            mending = Mending(settings, engines, links, clients.settled)
            lanes = {
                **administration.handlers(), **handlers(links, scripts), **monitor.handlers(), **pubsub.handlers(),
                **Sharded(links, settings).handlers(),
            }  # fmt: skip
            lanes.update(hot.handlers(lanes))

            async def before_info(request: Request) -> None:
                await hot.before_info(request)
                await databases.before_info(request)

            before = {"info": before_info, "config|get": administration.before_get}
            requests = Requests(engines, snapshot, clients, lanes, before, access)

            def on_event(engine: int, event: Event) -> None:
                kind, pool, node, code, client, _, tag, data = event
                if kind == EventKind.REQUEST:
                    requests.asked(engine, event)
                elif kind == EventKind.LISTED:
                    clients.listed(tag, code == 1, data)
                elif kind in (EventKind.NODE, EventKind.SICK):
                    lost = kind == EventKind.NODE and tag == 1
                    nodes.failed(engine, pool, node, code, lost, data.decode("latin-1"))
                    failover.suspect(pool, node)
                    mending.failed(engine, pool, node, lost, data.decode("latin-1"))
                    clusters.failed(pool, node)
                elif kind == EventKind.OPEN:
                    nodes.opened(engine, pool, node)
                    mending.opened(engine, pool, node)
                    clusters.opened(pool, node)
                elif kind == EventKind.REDIRECTED:
                    clusters.redirected(pool, node, data.decode("latin-1"))
                elif kind == EventKind.MONITOR:
                    monitor.shown(pool, tag, data)
                elif kind == EventKind.SCRIPT:
                    scripts.brought(engine, pool, client, data)
                elif kind == EventKind.GONE:
                    kept.gone(engine, client, tag)
                elif kind == EventKind.HOT:
                    hot.found(engine, pool, data)
                    fleet.found(pool, data)
                elif kind == EventKind.DENIED:
                    access.denied(event)
                elif kind == EventKind.DRAINED:
                    drained[engine].set()

            nursery.start_soon(_watch, signals, stop, stop_now)
            nursery.start_soon(engines.run, on_event)
            nursery.start_soon(snapshot.sample)
            nursery.start_soon(requests.run)
            nursery.start_soon(kept.run)
            nursery.start_soon(monitor.run)
            nursery.start_soon(pubsub.run)
            nursery.start_soon(scripts.run)
            nursery.start_soon(fleet.run)

            def moved(pool: int, node: int) -> None:
                pubsub.seated(pool, node, seats.server(pool, node))
                fleet.moved(pool, node, seats.server(pool, node))

            seats.listen(moved)
            nursery.start_soon(failover.run)
            # Names that take long to look up must not keep a signal waiting.
            await _until(stop, nodes.start)
            await _until(stop, clusters.start)
            nursery.start_soon(clusters.run)
            nursery.start_soon(followers.run)
            await _until(stop, mending.first_look)
            await _until(stop, failover.settle)
            nursery.start_soon(mending.run)
            if not stop.is_set():
                for engine in engines.engines:
                    engine.listen()
                for pool, address in zip(settings.pools, engines.ports, strict=True):
                    log.info("pool.listening pool=%s address=%s nodes=%d", pool.name, address,
                             sum(map(present, pool.nodes)))
                log.info("ready pid=%d engines=%d", os.getpid(), settings.engines)
                if on_ready is not None:
                    on_ready(engines.ports)
                await stop.wait()
            status = await _drain(engines, drained, stop_now)
            log.info("stopped status=%d", status)
            nursery.cancel_scope.cancel()
    return status


async def _watch(signals: AsyncIterator[int], stop: trio.Event, stop_now: trio.Event) -> None:
    """The first signal asks for an orderly end, the second for an end at once."""
    async for _ in signals:
        if stop.is_set():
            stop_now.set()
        stop.set()


async def _until(event: trio.Event, work: Callable[[], Awaitable[object]]) -> bool:
    """Do `work`, but not longer than until `event`; True when it was done."""
    done = False
    async with trio.open_nursery() as nursery:

        async def give_up() -> None:
            await event.wait()
            nursery.cancel_scope.cancel()

        nursery.start_soon(give_up)
        await work()
        done = True
        nursery.cancel_scope.cancel()
    return done


async def _drain(engines: Engines, drained: Sequence[trio.Event], stop_now: trio.Event) -> int:
    """Let clients receive what they are owed, until a deadline or a second signal. Returns the exit status."""
    log.info("drain.started timeout=%.0f", DRAIN_TIMEOUT)
    engines.drain()

    async def all_drained() -> None:
        for event in drained:
            await event.wait()

    with trio.move_on_after(DRAIN_TIMEOUT):
        if await _until(stop_now, all_drained):
            return 0
    return 3
