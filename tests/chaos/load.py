"""Load: clients in a process of their own, who ask at a steady pace whatever becomes of the answers, and note them all.

A client has a connection to each proxy. What it writes has the hash tag of one of its own places; it reads everybody's.
Requests leave on time even if nothing comes back (until `MOST` are under way), so a fault shows in the answers and
not in a pause of the questions. Kinds of keys, by what they show:

    single   one writer, one write at a time, always by the same proxy: a read has exactly one right answer
    shared   everybody writes, no value twice: linearizable or not
    fresh    written once: what was acknowledged is there, then and in the end; what was *not sent* never is
    count    INCR: no number is given out twice
    witness  a script that answers which process ran it; of one client in each process, where there are scripts, because
             beside a script no read is asked of another node
    chain    everybody else's: each write is answered what it replaced
"""

from __future__ import annotations

import asyncio
import gc
import math
import random
import socket
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Event
from typing import Any, NamedTuple

import hiredis

MOST = 3000  # requests of one connection under way
TICK = 0.004  # seconds
WITNESS = "redis.call('set', KEYS[1], ARGV[1]); return string.match(redis.call('info', 'server'), 'run_id:(%x+)')"


class Place(NamedTuple):
    """A hash tag, and the member of the pool that has its keys."""

    tag: str
    member: int


class Record(NamedTuple):
    """One request and what was seen of it. Times are of the monotonic clock, which all processes share."""

    kind: str
    write: bool
    place: int
    value: Any  #: what was written; of a fresh key its number, read or written
    proxy: int
    client: int
    began: float
    ended: float  #: infinite: no answer came
    answer: Any  #: a string is an error


@dataclass(frozen=True)
class Plan:
    """`bystanders`: the first clients of the process, who have nothing to do with `victim`."""

    number: int
    seed: int
    proxies: Sequence[int | str]
    places: Sequence[Place]
    clients: int
    all_clients: int
    bystanders: int
    victim: int
    rate: float  #: requests a second, of this process
    scripts: bool  #: does the last client ask for some?
    reads: float = 0.7  #: share


class Lane(asyncio.Protocol):
    """One connection of a client; opened again when it breaks."""

    def __init__(self, client: Client, proxy: int) -> None:
        self._client, self._proxy = client, proxy
        self._transport: asyncio.Transport | None = None
        self.waiting: deque[tuple[str, bool, int, Any, float]] = deque()

    async def open(self) -> None:
        address = self._client.plan.proxies[self._proxy]
        loop = asyncio.get_running_loop()
        while self._transport is None and not self._client.over:
            try:
                if isinstance(address, str):
                    await loop.create_unix_connection(lambda: self, address)
                else:
                    await loop.create_connection(lambda: self, "127.0.0.1", address)
            except OSError:
                await asyncio.sleep(0.05)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._reader = hiredis.Reader()
        sock = transport.get_extra_info("socket")
        if sock is not None and sock.family == socket.AF_INET:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        self.give_up()
        if not self._client.over:
            self._client.tasks.append(asyncio.get_running_loop().create_task(self.open()))

    def give_up(self) -> None:
        """Nothing more will be heard of what is under way."""
        while self.waiting:
            kind, write, place, value, began = self.waiting.popleft()
            self._client.told(Record(kind, write, place, value, self._proxy, self._client.number, began, math.inf,
                                     "no answer"))  # fmt: skip

    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)
        now = time.monotonic()
        while (reply := self._reader.gets()) is not False:
            kind, write, place, value, began = self.waiting.popleft()
            answer = str(reply) if isinstance(reply, hiredis.ReplyError) else reply
            self._client.told(Record(kind, write, place, value, self._proxy, self._client.number, began, now, answer))

    @property
    def ready(self) -> bool:
        return self._transport is not None and len(self.waiting) < MOST

    def send(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()


class Client:
    """Who asks what, in which order, is drawn from its own dice."""

    def __init__(self, plan: Plan, number: int, records: list[Record]) -> None:
        self.plan, self.number = plan, number
        self.over = False
        self.tasks: list[asyncio.Task[None]] = []
        self._records = records
        self._random = random.Random(plan.seed * 1000 + number).random
        self._names = [f"{{{place.tag}}}:" for place in plan.places]
        bystander = number % plan.clients < plan.bystanders
        self._scripts = plan.scripts and (number + 1) % plan.clients == 0
        seen = [n for n, place in enumerate(plan.places) if not bystander or place.member != plan.victim]
        self._seen = seen
        self._owned = [n for n in seen if n % plan.all_clients == number]
        self._serial = 0
        self._sequence = dict.fromkeys(self._owned, 0)
        self._writing: set[int] = set()  # single keys with a write under way
        self._fresh: dict[int, deque[int]] = {n: deque(maxlen=100) for n in self._owned}
        self.lanes = [Lane(self, proxy) for proxy in range(len(plan.proxies))]

    def told(self, record: Record) -> None:
        self._records.append(record)
        if not record.write:
            return
        if record.kind == "single":
            self._writing.discard(record.place)
        elif record.kind == "fresh" and record.answer == b"OK":
            self._fresh[record.place].append(record.value)

    def ask(self, count: int) -> None:
        batches: list[list[bytes]] = [[] for _ in self.lanes]
        now = time.monotonic()
        for _ in range(count):
            proxy, words, kind, write, place, value = self._draw()
            lane = self.lanes[proxy]
            if not lane.ready:
                continue
            if write and kind == "single":
                self._sequence[place] += 1
                self._writing.add(place)
            batches[proxy].append(hiredis.pack_command(words))
            lane.waiting.append((kind, write, place, value, now))
        for lane, batch in zip(self.lanes, batches, strict=True):
            if batch:
                lane.send(b"".join(batch))

    def _draw(self) -> tuple[int, tuple[str, ...], str, bool, int, Any]:
        chance, which, any_proxy = self._random(), self._random(), int(self._random() * len(self.lanes))
        if self._random() < self.plan.reads:
            place = self._seen[int(which * len(self._seen))]
            if chance < 0.6:
                return any_proxy, ("GET", self._names[place] + "single"), "single", False, place, None
            if chance > 0.75 and self._owned:
                own = self._owned[int(which * len(self._owned))]
                if fresh := self._fresh[own]:
                    number = fresh[int(self._random() * len(fresh))]
                    return any_proxy, ("GET", f"{self._names[own]}{number}"), "fresh", False, own, number
            return any_proxy, ("GET", self._names[place] + "shared"), "shared", False, place, None
        self._serial += 1
        value = self._serial * self.plan.all_clients + self.number
        if self._owned and chance < 0.7:
            place = self._owned[int(which * len(self._owned))]
            if chance < 0.3 or place in self._writing:
                return any_proxy, ("SET", f"{self._names[place]}{value}", str(value)), "fresh", True, place, value
            home, sequence = place % len(self.lanes), self._sequence[place] + 1
            return home, ("SET", self._names[place] + "single", str(sequence)), "single", True, place, sequence
        place = self._seen[int(which * len(self._seen))]
        name = self._names[place]
        if chance < 0.85:
            return any_proxy, ("SET", name + "shared", str(value)), "shared", True, place, value
        if chance < (0.9 if self._scripts else 0.97):
            return any_proxy, ("INCR", name + "count"), "count", True, place, None
        if not self._scripts:
            return any_proxy, ("SET", name + "chain", str(value), "GET"), "chain", True, place, value
        return any_proxy, ("EVAL", WITNESS, "1", name + "witness", "1"), "witness", True, place, None


async def drive(plan: Plan, stop: Event) -> list[Record]:
    """Until told to stop, and a little longer for what is under way."""
    records: list[Record] = []
    clients = [Client(plan, plan.number * plan.clients + n, records) for n in range(plan.clients)]
    await asyncio.gather(*(lane.open() for client in clients for lane in client.lanes))
    asked_until = time.monotonic()
    while not stop.is_set():
        now = time.monotonic()
        # If this process was not let run, what it missed is not made up for.
        asked_until = max(asked_until, now - 0.1)
        due = int((now - asked_until) * plan.rate)
        asked_until += due / plan.rate
        share, rest = divmod(due, len(clients))
        for number, client in enumerate(clients):
            if count := share + (number < rest):
                client.ask(count)
        await asyncio.sleep(TICK)
    patience = time.monotonic() + 3
    for lane in (lane for client in clients for lane in client.lanes):
        while lane.waiting and time.monotonic() < patience:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    for client in clients:
        client.over = True
        for lane in client.lanes:
            lane.give_up()
            lane.close()
    return records


def work(plan: Plan, stop: Event, ready: Event, told: Connection) -> None:
    """The body of the process."""
    gc.disable()  # records have no cycles, and to go through hundreds of thousands of them takes long enough to be seen
    ready.set()
    told.send([tuple(record) for record in asyncio.run(drive(plan, stop))])
    told.close()
