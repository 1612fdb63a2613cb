"""Pipe: a TCP connection's worth of wire between a proxy and a node, that can be slow, stand still, or break."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

HALF_OPEN = 2.5  # seconds


class Pipe:
    """Listens on a free port of 127.0.0.1 and forwards to `target`."""

    def __init__(self, name: str, target: int) -> None:
        self.name = name
        self.port = 0
        self.delay = 0.0  # seconds, each way
        self._target = target
        self._writers: set[asyncio.StreamWriter] = set()
        self._pairs: list[tuple[asyncio.StreamWriter, asyncio.StreamWriter]] = []
        self._halves: set[asyncio.StreamWriter] = set()
        self._over = asyncio.Event()
        self._moving = asyncio.Event()
        self._moving.set()

    @property
    def server(self) -> str:
        """Its line in a pool's servers."""
        return f"127.0.0.1:{self.port}:1 {self.name}"

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Accept nobody any more, and let go of everybody."""
        self._server.close()
        self._over.set()
        self.snap()

    def stand(self, still: bool) -> None:
        """Nothing passes while it stands still, in the loop's thread."""
        if still:
            self._moving.clear()
        else:
            self._moving.set()

    def snap(self) -> None:
        """Every connection breaks, in the loop's thread."""
        for writer in self._writers:
            writer.transport.abort()

    def halve(self, which: float) -> None:
        """Cut one connection off, of which its client does not hear for HALF_OPEN, in the loop's thread."""
        if self._pairs:
            client, target = self._pairs[int(which * len(self._pairs))]
            self._halves.add(client)
            target.transport.abort()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.transport.abort()
            return
        self._writers |= {writer, back}
        self._pairs.append((writer, back))
        await asyncio.wait(
            [asyncio.create_task(self._forward(reader, back)), asyncio.create_task(self._forward(there, writer))],
            return_when=asyncio.FIRST_COMPLETED,
        )
        self._pairs.remove((writer, back))
        if writer in self._halves:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._over.wait(), HALF_OPEN)
            self._halves.discard(writer)
        for one in (writer, back):
            self._writers.discard(one)
            one.transport.abort()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        queue: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        loop = asyncio.get_running_loop()

        async def write() -> None:
            while True:
                due, data = await queue.get()
                await asyncio.sleep(due - loop.time())
                await self._moving.wait()
                if not writer.is_closing():
                    writer.write(data)

        task = asyncio.create_task(write())
        try:
            with suppress(OSError):
                while data := await reader.read(1 << 16):
                    queue.put_nowait((loop.time() + self.delay, data))
        finally:
            task.cancel()


class Pipes:
    """Pipes in a thread with a loop of its own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="pipes", daemon=True)
        self._pipes: list[Pipe] = []

    def add(self, name: str, target: int) -> Pipe:
        pipe = Pipe(name, target)
        asyncio.run_coroutine_threadsafe(pipe.open(), self._loop).result(10)
        self._pipes.append(pipe)
        return pipe

    def snap(self, pipe: Pipe) -> None:
        self._loop.call_soon_threadsafe(pipe.snap)

    def halve(self, pipe: Pipe, which: float) -> None:
        self._loop.call_soon_threadsafe(pipe.halve, which)

    def start(self) -> None:
        self._thread.start()

    def stand(self, pipe: Pipe, still: bool) -> None:
        self._loop.call_soon_threadsafe(pipe.stand, still)

    def stop(self) -> None:
        async def end() -> None:
            for pipe in self._pipes:
                await pipe.close()
            await asyncio.sleep(0.05)
            tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        asyncio.run_coroutine_threadsafe(end(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()


@contextmanager
def running_pipes() -> Iterator[Pipes]:
    pipes = Pipes()
    pipes.start()
    try:
        yield pipes
    finally:
        pipes.stop()
