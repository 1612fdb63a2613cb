"""Pipe: a TCP connection's worth of wire between a proxy and a node, that can be slow, stand still, or break."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

HALF_OPEN = 2.5  # seconds
FULL = 1 << 22  # bytes that wait for one end, until no more is read from the other


class End(asyncio.Protocol):
    """One of the two connections of a pair. What it reads leaves by `other`."""

    other: End
    transport: asyncio.Transport | None = None

    def __init__(self, pipe: Pipe) -> None:
        self._pipe = pipe
        self._queue: deque[tuple[float, bytes]] = deque()  # for this end to write, and when
        self._held = 0  # bytes of the queue
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.set_write_buffer_limits(FULL)

    def data_received(self, data: bytes) -> None:
        self.other.pass_on(data)

    def pass_on(self, data: bytes) -> None:
        """Write now, or when its time has come; in order in any case."""
        if self._pipe.moving and not self._pipe.delay and not self._queue and self.transport is not None:
            self.transport.write(data)
            return
        self._queue.append((asyncio.get_running_loop().time() + self._pipe.delay, data))
        self._held += len(data)
        if self._held >= FULL:
            self.other.read_on(False)
        self.move()

    def move(self) -> None:
        """Write what is due."""
        loop = asyncio.get_running_loop()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._queue and self._pipe.moving and self.transport is not None:
            due, data = self._queue[0]
            if due > loop.time():
                self._timer = loop.call_at(due, self.move)
                return
            self._queue.popleft()
            self._held -= len(data)
            self.transport.write(data)
        if self._held < FULL:
            self.other.read_on(True)

    def read_on(self, on: bool) -> None:
        if self.transport is not None and not self.transport.is_closing() and on != self.transport.is_reading():
            (self.transport.resume_reading if on else self.transport.pause_reading)()

    def pause_writing(self) -> None:
        self.other.read_on(False)

    def resume_writing(self) -> None:
        self.other.read_on(True)

    def eof_received(self) -> None:
        """asyncio closes it, and so this pair is over."""

    def connection_lost(self, error: Exception | None) -> None:
        self._queue.clear()
        self._pipe.lost(self)


class Pipe:
    """Listens on a free port of 127.0.0.1 and forwards to `target`."""

    def __init__(self, name: str, target: int) -> None:
        self.name = name
        self.port = 0
        self.delay = 0.0  # seconds, each way
        self.moving = True
        self._target = target
        self._pairs: list[tuple[End, End]] = []  # the client's, and the target's
        self._halves: set[End] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def server(self) -> str:
        """Its line in a pool's servers."""
        return f"127.0.0.1:{self.port}:1 {self.name}"

    async def open(self) -> None:
        self._server = await asyncio.get_running_loop().create_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Accept nobody any more, and let go of everybody."""
        self._server.close()
        self.snap()

    def stand(self, still: bool) -> None:
        """Nothing passes while it stands still, in the loop's thread."""
        self.moving = not still
        for pair in self._pairs:
            for end in pair:
                end.move()

    def snap(self) -> None:
        """Every connection breaks, in the loop's thread."""
        for pair in list(self._pairs):
            self._break(*pair)

    def halve(self, which: float) -> None:
        """Cut one connection off, of which its client does not hear for HALF_OPEN, in the loop's thread."""
        if self._pairs:
            client, target = self._pairs[int(which * len(self._pairs))]
            self._halves.add(client)
            if target.transport is not None:
                target.transport.abort()

    def lost(self, end: End) -> None:
        """One end of a pair is gone: the other one goes, too."""
        for client, target in self._pairs:
            if end is target and client in self._halves:
                asyncio.get_running_loop().call_later(HALF_OPEN, self._break, client, target)
                return
            if end in (client, target):
                self._break(client, target)
                return

    def _break(self, client: End, target: End) -> None:
        self._halves.discard(client)
        if (client, target) in self._pairs:
            self._pairs.remove((client, target))
        for end in (client, target):
            if end.transport is not None:
                end.transport.abort()

    def _accept(self) -> End:
        client, target = End(self), End(self)
        client.other, target.other = target, client
        self._pairs.append((client, target))
        task = asyncio.get_running_loop().create_task(self._connect(client, target))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return client

    async def _connect(self, client: End, target: End) -> None:
        try:
            await asyncio.get_running_loop().create_connection(lambda: target, "127.0.0.1", self._target)
        except OSError:
            self._break(client, target)
            return
        if (client, target) in self._pairs:
            target.move()
        else:  # gone meanwhile
            self._break(client, target)


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
