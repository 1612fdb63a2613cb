"""Demo: three embedded storage nodes, each a process of its own, and a proxy in front of them in this one.

Owns the nodes' processes: they start before the proxy, end after it, and one that dies is announced.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress

import click
import trio

from proxy.address import Listen, Server, make_server
from proxy.app import raise_descriptor_limit, serve, start_logging
from proxy.settings import Pool, Settings, usable_cpus

NODES = 3
MEMORY = "256mb"  # of keys and values, per node
START_TIMEOUT = 10.0  # seconds until a node says that it serves; it takes a fraction of one
STOP_TIMEOUT = 5.0  # seconds until a node that was asked to end is killed


def demo(host: str, port: int) -> int:
    """Serve on host:port until SIGINT, SIGTERM or SIGHUP; returns the exit status.

    Raises:
        OSError: the port is taken, or a node does not start.
    """
    start_logging("warning")
    raise_descriptor_limit()
    # A terminal that closes sends SIGHUP: the nodes, being out of its reach, would outlive a proxy that died of it.
    if signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:
        signal.signal(signal.SIGHUP, lambda *_: signal.raise_signal(signal.SIGTERM))
    return trio.run(_demo, host, port)


async def _demo(host: str, port: int) -> int:
    nodes: list[trio.Process] = []
    status = 0
    # The proxy takes the signals while it serves; these are for the moments before.
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async with trio.open_nursery() as nursery:

            async def give_up() -> None:
                async for _ in signals:
                    nursery.cancel_scope.cancel()

            nursery.start_soon(give_up)
            try:
                servers = [await _start(nodes, number) for number in range(1, NODES + 1)]
                pool = Pool(name="demo", listen=Listen(host=host, port=port), servers=tuple(servers))
                for number, process in enumerate(nodes, 1):
                    nursery.start_soon(_announce_end, number, process)
                status = await serve(Settings(engines=usable_cpus(), pools=(pool,)), _announce)
            finally:
                nursery.cancel_scope.cancel()
                with trio.CancelScope(shield=True):
                    await _stop(nodes)
    return status


async def _start(nodes: list[trio.Process], number: int) -> Server:
    """Start one node on a free port and wait until it says which.

    In a session of its own: Ctrl-C at a terminal reaches the proxy alone, which needs its nodes while it drains.
    """
    command = [sys.executable, "-m", "storenode", "--listen", "127.0.0.1:0", "--maxmemory", MEMORY]
    process = await trio.lowlevel.open_process(command, stdout=subprocess.PIPE, start_new_session=True)
    nodes.append(process)
    assert process.stdout is not None
    said = b""
    with trio.move_on_after(START_TIMEOUT):
        while b"\n" not in said:
            piece = await process.stdout.receive_some()
            if not piece:
                break
            said += piece
    _, ready, address = said.decode("utf-8", "replace").partition("\n")[0].rpartition(" ready on ")
    if not ready:
        raise OSError(None, f"node {number} of the demo did not start: its output above says why")
    return make_server(address, name=f"node-{number}")


async def _announce_end(number: int, process: trio.Process) -> None:
    status = await process.wait()
    click.echo(f"node-{number} has ended (status {status}): its keys are refused, the other nodes serve on", err=True)


def _announce(addresses: Sequence[str]) -> None:
    host, _, port = addresses[0].rpartition(":")
    client = f"redis-cli -h {host.strip('[]')} -p {port}"
    click.echo(f"""Quench serves on {addresses[0]}, in front of {NODES} storage nodes.

    {client} set hello world
    {client} get hello
    {client} info nodes

Ctrl-C stops it; nothing is kept.""")


async def _stop(nodes: Sequence[trio.Process]) -> None:
    """End the nodes: politely, then not."""
    for process in nodes:
        process.terminate()
    with trio.move_on_after(STOP_TIMEOUT):
        for process in nodes:
            await process.wait()
    for process in nodes:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
